"""Structured prediction: the tier's own method, run on a twin whose answers pass through our hands.

`structured_predict` gives back a parsed object and hides the response that was paid for. The twin of the tier has
the tier's own chat and completion methods wrapped, so that what it was told is known to the ledger and the cache; on
a hit the twin is told the stored answer instead, and parses it by the tier's own parser.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.llms import LLM

from thrift_plugins.engine import Call, Replay
from thrift_plugins.llama_index.convert import reply_in
from thrift_plugins.llama_index.tier import twin
from thrift_plugins.llama_index.turn import Response, Seen, Turn
from thrift_plugins.types import Reply

_PLAIN = ("chat", "complete")
_STREAMS = ("stream_chat", "stream_complete")


@dataclass(slots=True)
class StructuredTurn(Turn):
    """A call whose answer is a parsed object."""

    _told: list[Reply] = field(default_factory=list, init=False)

    def _twin(self, effect: Call | Replay) -> LLM:
        """The tier, with every response it is given noted."""
        source = self.model(effect)
        own = self.tiers[effect.decision.tier].under(self.manager)
        self._told.clear()
        methods: dict[str, Callable[..., Any]] = {}
        for name in _PLAIN:
            methods[name] = self._noting(getattr(source, name))
            methods[f"a{name}"] = self._anoting(getattr(source, f"a{name}"))
        for name in _STREAMS:
            methods[name] = self._noting_stream(getattr(source, name))
            methods[f"a{name}"] = self._anoting_stream(getattr(source, f"a{name}"))
        return twin(own, methods=methods)

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

    def _whole(self) -> Reply:
        """All that the tier was told as one reply; more than one response has no single form to store."""
        if not self._told:
            raise ValueError("the model's structured prediction asked it nothing")
        first, *more = self._told
        for reply in more:
            first = replace(first, usage=first.usage + reply.usage, storable=False)
        return first

    def _failed(self, effect: Call | Replay) -> None:
        if isinstance(effect, Call) and self._told:
            effect.partial = self._whole()

    def call(self, effect: Call | Replay) -> Reply:
        try:
            with self.tagged(effect):
                self.answer = getattr(self._twin(effect), self.operation)(*self.args, **self.kwargs)
        except BaseException:
            self._failed(effect)
            raise
        return self._whole()

    async def acall(self, effect: Call | Replay) -> Reply:
        try:
            with self.tagged(effect):
                self.answer = await getattr(self._twin(effect), self.operation)(*self.args, **self.kwargs)
        except BaseException:
            self._failed(effect)
            raise
        return self._whole()

    def pieces(self, effect: Call | Replay) -> Generator[Any, None, Reply]:
        stream = None
        try:
            with self.tagged(effect):
                stream = getattr(self._twin(effect), self.operation)(*self.args, **self.kwargs)
            for part in stream:
                self._delivered(effect)
                yield part
        except BaseException:
            if stream is not None:
                stream.close()
            self._failed(effect)
            raise
        return self._whole()

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[Any, None]:
        stream = None
        try:
            with self.tagged(effect):
                stream = await getattr(self._twin(effect), self.operation)(*self.args, **self.kwargs)
            async for part in stream:
                self._delivered(effect)
                yield part
        except BaseException:
            if stream is not None:
                await stream.aclose()
            self._failed(effect)
            raise
        self._reply = self._whole()

    @staticmethod
    def _delivered(effect: Call | Replay) -> None:
        if isinstance(effect, Call):
            effect.delivered = True
