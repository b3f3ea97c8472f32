"""OpenAI's JSON for answers: whole, in chunks, and for errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from thrift_plugins.testing.generation import Generation, Piece
from thrift_plugins.testing.script import Endpoint
from thrift_plugins.types import Json

_EPOCH: Final = 1_700_000_000  # answers carry no clock, so that two runs are the same byte for byte


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every body and chunk of one answer says about it.

    Attributes:
        cached_tokens: input tokens read from the prompt cache.
        with_usage: a stream ends with its usage; as at OpenAI, every chunk before that has `usage: null`.
        service_tier: how it was worked at, None where nothing was asked for and nothing is said.
    """

    number: int
    model: str
    endpoint: Endpoint
    input_tokens: int
    cached_tokens: int
    with_usage: bool
    service_tier: str | None = None

    @property
    def id(self) -> str:
        """The completion id."""
        prefix = "chatcmpl" if self.endpoint == "chat/completions" else "cmpl"
        return f"{prefix}-loopback-{self.number}"

    def whole(self, generation: Generation) -> dict[str, Json]:
        """The body of an answer that is not streamed."""
        if self.endpoint == "completions":
            choice: dict[str, Json] = {"index": 0, "text": generation.text, "logprobs": None}
        else:
            choice = {"index": 0, "message": _message(generation), "logprobs": None}
        choice["finish_reason"] = generation.finish_reason
        kind = "text_completion" if self.endpoint == "completions" else "chat.completion"
        return {**self._head(kind), "choices": [choice], "usage": self.usage(generation)}

    def opening(self) -> dict[str, Json] | None:
        """The chunk before the first token; legacy completions have none."""
        if self.endpoint == "completions":
            return None
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None)

    def piece(self, piece: Piece) -> dict[str, Json] | None:
        """The chunk for one piece; reasoning is not shown."""
        if piece.kind == "reasoning":
            return None
        if self.endpoint == "completions":
            return self._chunk({"text": piece.text}, None)
        return self._chunk(_delta(piece), None)

    def ending(self, generation: Generation) -> Iterator[dict[str, Json]]:
        """The chunk that says why the answer ended, and the one with the usage and no choices if it was asked for."""
        yield self._chunk({"text": ""} if self.endpoint == "completions" else {}, generation.finish_reason)
        if self.with_usage:
            yield {**self._head(self._chunk_kind), "choices": [], "usage": self.usage(generation)}

    def usage(self, generation: Generation) -> dict[str, Json]:
        """The usage object."""
        reasoning = sum(piece.tokens for piece in generation.pieces if piece.kind == "reasoning")
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": generation.tokens,
            "total_tokens": self.input_tokens + generation.tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def _head(self, kind: str) -> dict[str, Json]:
        return {
            "id": self.id,
            "object": kind,
            "created": _EPOCH + self.number,
            "model": self.model,
            "system_fingerprint": "fp_loopback",
            **({"service_tier": self.service_tier} if self.service_tier else {}),
        }

    @property
    def _chunk_kind(self) -> str:
        return "text_completion" if self.endpoint == "completions" else "chat.completion.chunk"

    def _chunk(self, said: dict[str, Json], finish_reason: str | None) -> dict[str, Json]:
        shown = said if self.endpoint == "completions" else {"delta": said}
        choice: Json = {"index": 0, **shown, "logprobs": None, "finish_reason": finish_reason}
        silent: dict[str, Json] = {"usage": None} if self.with_usage else {}
        return {**self._head(self._chunk_kind), "choices": [choice], **silent}


def _message(generation: Generation) -> dict[str, Json]:
    calls: list[Json] = [
        {
            "id": opened.call_id,
            "type": "function",
            "function": {
                "name": opened.text,
                "arguments": "".join(
                    p.text for p in generation.pieces if p.kind == "arguments" and p.call == opened.call
                ),
            },
        }
        for opened in generation.pieces
        if opened.kind == "call"
    ]
    message: dict[str, Json] = {"role": "assistant", "content": generation.text, "refusal": None, "annotations": []}
    if calls:
        message |= {"content": generation.text or None, "tool_calls": calls}
    return message


def _delta(piece: Piece) -> dict[str, Json]:
    match piece.kind:
        case "call":
            function: Json = {"name": piece.text, "arguments": ""}
            return {
                "tool_calls": [{"index": piece.call, "id": piece.call_id, "type": "function", "function": function}]
            }
        case "arguments":
            return {"tool_calls": [{"index": piece.call, "function": {"arguments": piece.text}}]}
        case _:
            return {"content": piece.text}


def error_body(status: int, code: str, message: str) -> dict[str, Json]:
    """The body of a refusal."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "invalid_request_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "requests")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models_body(names: tuple[str, ...]) -> dict[str, Json]:
    """The list of models."""
    data: list[Json] = [{"id": n, "object": "model", "created": _EPOCH, "owned_by": "loopback"} for n in names]
    return {"object": "list", "data": data}
