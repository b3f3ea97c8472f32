"""One call in LlamaIndex's types: runs the caller's own method on the tier that the flow names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.llms import LLM

from thrift_plugins.engine import Call, Replay
from thrift_plugins.llama_index.convert import as_mapping, finish_in, reply_in
from thrift_plugins.llama_index.replay import replay
from thrift_plugins.llama_index.tier import ModelTier
from thrift_plugins.types import Decision, Reply

Response = ChatResponse | CompletionResponse


@dataclass(slots=True)
class Turn:
    """The native half of one call.

    Attributes:
        operation: name of the method that the app called, "chat" or "astream_complete".
        answer: what the app gets.
    """

    tiers: Sequence[ModelTier]
    manager: CallbackManager
    operation: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    request_id: str
    answer: Any = None
    _reply: Reply | None = field(default=None, init=False)

    def model(self, effect: Call | Replay) -> LLM:
        """Who is asked: a tier, or a stored answer that stands in for it."""
        own = self.tiers[effect.decision.tier].under(self.manager)
        return replay(own, effect.reply) if isinstance(effect, Replay) else own

    def mark(self, effect: Call | Replay) -> dict[str, Any]:
        """The decision, for the answer's `additional_kwargs["thrift"]` and the tags of events."""
        decision = effect.decision
        told: dict[str, Any] = {**self._tags(decision), "hit": isinstance(effect, Replay)}
        if isinstance(effect, Replay):
            used = effect.reply.usage
            told["saved"] = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        return told

    def _tags(self, decision: Decision) -> dict[str, Any]:
        return {
            "tier": decision.name,
            "policy": decision.policy,
            "reasons": list(decision.reasons),
            "request_id": self.request_id,
        }

    @contextmanager
    def tagged(self, effect: Call | Replay) -> Generator[None, None, None]:
        """Events that the tier fires in this block carry the decision."""
        with instrument_tags({"thrift": self._tags(effect.decision)}):
            yield

    def _take(self, response: Response, effect: Call | Replay) -> Reply:
        reply = reply_in(response)
        response.additional_kwargs["thrift"] = self.mark(effect)
        self.answer = response
        return reply

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the response for the app."""
        with self.tagged(effect):
            response = getattr(self.model(effect), self.operation)(*self.args, **self.kwargs)
        return self._take(response, effect)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        with self.tagged(effect):
            response = await getattr(self.model(effect), self.operation)(*self.args, **self.kwargs)
        return self._take(response, effect)

    def pieces(self, effect: Call | Replay) -> Generator[Response, None, Reply]:
        """Ask, and pass the pieces on as they come."""
        seen = Seen(self.mark(effect))
        with self.tagged(effect):
            stream = getattr(self.model(effect), self.operation)(*self.args, **self.kwargs)
        try:
            for piece in stream:
                seen.passing(piece, effect)
                yield piece
        except BaseException:
            seen.broke(effect)
            raise
        finally:
            stream.close()
        return seen.reply()

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[Response, None]:
        """`pieces` without blocking the event loop."""
        seen = Seen(self.mark(effect))
        with self.tagged(effect):
            stream = await getattr(self.model(effect), self.operation)(*self.args, **self.kwargs)
        try:
            async for piece in stream:
                seen.passing(piece, effect)
                yield piece
        except BaseException:
            seen.broke(effect)
            raise
        finally:
            await stream.aclose()
        self._reply = seen.reply()

    def reply(self) -> Reply:
        """The whole of what `apieces` passed on."""
        assert self._reply is not None
        return self._reply


class Seen:
    """What the pieces of a stream have told so far. A piece holds the whole text up to it, so the last is kept."""

    def __init__(self, mark: Mapping[str, Any] | None = None) -> None:
        self._mark = mark
        self._last: Response | None = None
        self._finish: str | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has come."""
        return self._last is None

    def add(self, piece: Response) -> None:
        """Remember a piece."""
        self._last = piece
        self._finish = finish_in(as_mapping(piece.raw)) or self._finish

    def passing(self, piece: Response, effect: Call | Replay) -> None:
        """A piece on its way to the app: mark it and remember it."""
        piece.additional_kwargs["thrift"] = self._mark
        if isinstance(effect, Call):
            effect.delivered = True
        self.add(piece)

    def reply(self, *, complete: bool = True) -> Reply:
        """The whole answer, or what there is of it."""
        if self._last is None:
            raise ValueError("the model's stream ended without a single piece")
        return reply_in(self._last, self._finish, complete=complete)

    def broke(self, effect: Call | Replay) -> None:
        if isinstance(effect, Call) and self._last is not None:
            effect.partial = self.reply(complete=False)
