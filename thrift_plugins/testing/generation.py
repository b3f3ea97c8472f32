"""An answer as the pieces in which a model would write it, so that it can be cut, stalled and billed at any token."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from thrift_plugins.testing.billing import CALL_TOKENS, encoding, tokens_of
from thrift_plugins.testing.script import Answer, WireRequest
from thrift_plugins.types import ToolCall


@dataclass(frozen=True, slots=True)
class Piece:
    """What is written at once.

    Attributes:
        kind: "reasoning" is billed and not shown, "call" opens a tool call, "arguments" continues it.
        text: the words; of a "call" the tool's name.
        tokens: how many tokens it is; more than one where a character spans several.
        call: index of the tool call.
        call_id: id of the tool call, on a "call".
    """

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    tokens: int
    call: int = 0
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole answer in pieces, and why it ends."""

    pieces: tuple[Piece, ...]
    finish_reason: str

    @property
    def text(self) -> str:
        """The words shown."""
        return "".join(piece.text for piece in self.pieces if piece.kind == "text")

    @property
    def tokens(self) -> int:
        """All output tokens, reasoning included."""
        return sum(piece.tokens for piece in self.pieces)

    def cut(self, tokens: int, finish_reason: str) -> Generation:
        """The first so many tokens; the same generation where it has no more."""
        if self.tokens <= tokens:
            return self
        return Generation(tuple(first(self.pieces, tokens)), finish_reason)


def generate(answer: Answer, request: WireRequest) -> Generation:
    """Write an answer under the request's `stop` and `max_tokens`."""
    natural = "tool_calls" if answer.tool_calls else "stop"
    generation = Generation(tuple(_pieces(answer, request)), answer.finish_reason or natural)
    return generation if request.max_tokens is None else generation.cut(request.max_tokens, "length")


def first(pieces: tuple[Piece, ...], tokens: int) -> Iterator[Piece]:
    """The leading pieces that fit in so many tokens; reasoning is divided, nothing else is."""
    left = tokens
    for piece in pieces:
        if piece.tokens > left:
            if piece.kind == "reasoning" and left:
                yield replace(piece, tokens=left)
            return
        left -= piece.tokens
        yield piece


def _pieces(answer: Answer, request: WireRequest) -> Iterator[Piece]:
    if answer.reasoning_tokens:
        yield Piece("reasoning", "", answer.reasoning_tokens)
    for text, tokens in _split(_stopped(answer.text, request)):
        yield Piece("text", text, tokens)
    for index, call in enumerate(answer.tool_calls):
        call_id = call.id or f"call_{request.number}_{index}"
        yield Piece("call", call.name, CALL_TOKENS + tokens_of(call.name), index, call_id)
        for text, tokens in _split(_arguments(call)):
            yield Piece("arguments", text, tokens, index)


def _arguments(call: ToolCall) -> str:
    """The arguments as OpenAI writes them; text passes as it is, so that a script can send what does not parse."""
    if isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def _stopped(text: str, request: WireRequest) -> str:
    places = [place for stop in request.stops if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def _split(text: str) -> Iterator[tuple[str, int]]:
    """The text token by token, as (text, tokens); tokens that share a character stay together."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    waiting = 0
    for token in encoding().encode_ordinary(text):
        waiting += 1
        if (shown := decoder.decode(encoding().decode_single_token_bytes(token))) and not decoder.getstate()[0]:
            yield shown, waiting
            waiting = 0
        elif shown:
            yield shown, 0
