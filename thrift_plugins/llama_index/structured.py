"""Structured prediction: the tier's own method, run on a twin whose answers pass through our hands.

`structured_predict` gives back a parsed object and hides the response that was paid for. The twin of the tier has
the tier's own chat and completion methods wrapped, so that what it was told is known to the ledger and the cache; on
a hit the twin is told the stored answer instead, and parses it by the tier's own parser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from llama_index.core.llms import LLM
from pydantic import BaseModel

from thrift_plugins.effects import Call, Replay
from thrift_plugins.llama_index.convert import reply_in
from thrift_plugins.llama_index.tier import shortened, twin
from thrift_plugins.llama_index.turn import Response, Seen, Turn
from thrift_plugins.sent import as_sent
from thrift_plugins.types import NO_USAGE, Reply

Made = TypeVar("Made")

_PLAIN = ("chat", "complete")
_STREAMS = ("stream_chat", "stream_complete")


@dataclass(slots=True)
class StructuredTurn(Turn):
    """A call whose answer is a parsed object.

    Attributes:
        manners: fields of the wrapper that decide how a prediction is asked for.
    """

    manners: Mapping[str, Any] = field(default_factory=dict)
    _told: list[Reply] = field(default_factory=list, init=False)
    _object: Any = field(default=None, init=False)

    def model(self, effect: Call | Replay) -> LLM:
        """The tier, with every response it is given noted."""
        source = Turn.model(self, effect)
        self._told.clear()
        methods: dict[str, Callable[..., Any]] = {}
        for name in _PLAIN:
            methods[name] = self._noting(_formed(getattr(source, name), effect))
            methods[f"a{name}"] = self._anoting(_formed(getattr(source, f"a{name}"), effect))
        for name in _STREAMS:
            methods[name] = self._noting_stream(_formed(getattr(source, name), effect))
            methods[f"a{name}"] = self._anoting_stream(_formed(getattr(source, f"a{name}"), effect))
        return twin(source, {**self.manners, **methods})

    def shortened(self, kwargs: dict[str, Any], most: int) -> dict[str, Any]:
        """The arguments for the tier are inside those of the prediction."""
        return {**kwargs, "llm_kwargs": shortened(kwargs.get("llm_kwargs") or {}, most)}

    def shown(self, piece: Any) -> str:  # noqa: ARG002
        """Nothing: an object does not say how much of it is new."""
        return ""

    def heard(self, answer: Any, mark: Mapping[str, Any]) -> None:  # noqa: ARG002  an object has no place for a mark
        """Keep the object; what it was parsed from is noted already."""
        self._object = answer

    def reply(self) -> Reply:
        """All that the tier was told as one reply; more than one response has no single form to store."""
        if not self._told:  # the tier has a way of its own that goes past its chat methods
            said = self._object.model_dump_json() if isinstance(self._object, BaseModel) else str(self._object)
            return Reply(said, NO_USAGE, storable=False)
        first, *more = self._told
        for reply in more:
            first = replace(first, usage=first.usage + reply.usage, storable=False)
        return self.as_set(first)

    def partial(self) -> Reply | None:
        """What it was told before it broke, or before its answer could not be parsed."""
        return self.reply() if self._told else None

    def _noting(self, method: Callable[..., Response]) -> Callable[..., Response]:
        def noted(*args: Any, **kwargs: Any) -> Response:
            response = method(*args, **kwargs)
            self._told.append(reply_in(response))
            return response

        return noted

    def _anoting(self, method: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        async def noted(*args: Any, **kwargs: Any) -> Response:
            response = await method(*args, **kwargs)
            self._told.append(reply_in(response))
            return response

        return noted

    def _noting_stream(self, method: Callable[..., Iterator[Response]]) -> Callable[..., Iterator[Response]]:
        def noted(*args: Any, **kwargs: Any) -> Iterator[Response]:
            seen, whole = Seen(), False
            try:
                for piece in method(*args, **kwargs):
                    seen.add(piece)
                    yield piece
                whole = True
            finally:
                self._note(seen, whole=whole)

        return noted

    def _anoting_stream(
        self, method: Callable[..., Awaitable[AsyncIterator[Response]]]
    ) -> Callable[..., Awaitable[AsyncIterator[Response]]]:
        async def noted(*args: Any, **kwargs: Any) -> AsyncIterator[Response]:
            stream = await method(*args, **kwargs)

            async def pieces() -> AsyncIterator[Response]:
                seen, whole = Seen(), False
                try:
                    async for piece in stream:
                        seen.add(piece)
                        yield piece
                    whole = True
                finally:
                    self._note(seen, whole=whole)

            return pieces()

        return noted

    def _note(self, seen: Seen, *, whole: bool) -> None:
        if not seen.empty:
            self._told.append(seen.reply(complete=whole))


def _formed(method: Callable[..., Made], effect: Call | Replay) -> Callable[..., Made]:
    """The method, which tells the flow in what form the tier asks for an object."""
    if isinstance(effect, Replay):
        return method

    def formed(*args: Any, **kwargs: Any) -> Made:
        effect.form = partial(as_sent, options=kwargs)
        return method(*args, **kwargs)

    return formed
