"""One call in LlamaIndex's types: runs the caller's own method on the tier that the flow names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import Token
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM
from llama_index_instrumentation.dispatcher import active_instrument_tags

from thrift_plugins.budgeting import Fuse, joined
from thrift_plugins.effects import Call, Replay, counted
from thrift_plugins.errors import UnsupportedByTier
from thrift_plugins.given import kept, listed
from thrift_plugins.llama_index.closing import aclose, close
from thrift_plugins.llama_index.convert import as_mapping, finish_in, latest, reply_as, usage_in, with_rest
from thrift_plugins.llama_index.noting import with_change, with_notes, with_turns
from thrift_plugins.llama_index.replay import replaying
from thrift_plugins.llama_index.tier import ModelTier, capped, shortened, twin
from thrift_plugins.llama_index.unseen import unseen
from thrift_plugins.types import NO_USAGE, Reply, Usage, decision_record

Response: TypeAlias = ChatResponse | CompletionResponse

_END = object()
_UNREAD = Reply("", Usage(source="estimated"), complete=False)
"""A stream that nobody read: every SDK that is asked for the first piece asks its provider then."""


@dataclass(slots=True)
class Turn:
    """The native half of one call.

    Attributes:
        wrapper: the model that the app called.
        operation: name of the method that the app called, "chat" or "astream_complete".
        identities: for each tier a digest of its settings, by which its answer is kept.
        answer: what the app gets.
        unheard: whether no callback of the app's is to hear of it.
        unseen: whether no instrumentation is to see it either.
    """

    wrapper: LLM
    tiers: Sequence[ModelTier]
    operation: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    request_id: str
    identities: Sequence[str | None]
    answer: Any = None
    unheard: bool = False
    unseen: bool = False
    _seen: Seen = field(init=False)
    _asked: int = field(default=0, init=False)
    _opened: bool = field(default=False, init=False)
    _burnt: bool = field(default=False, init=False)
    _aside: Any = field(default=None, init=False)

    # What a kind of call may do otherwise --------------------------------------------------------------------------

    def model(self, effect: Call | Replay) -> LLM:
        """Who is asked: a tier, or that tier with a stored answer in its mouth."""
        own = self.tiers[effect.decision.tier].under(self.wrapper)
        if self.unheard:
            own = twin(own, {"callback_manager": _nobody()})
        if isinstance(effect, Replay):
            return replaying(own, effect.reply)
        heat = effect.heat(getattr(own, "temperature", None))
        if heat is not None:
            own = twin(own, {"temperature": heat})
        return capped(own, effect.most) if effect.imposed and effect.most else own

    def quiet(self) -> Self:
        """The same call, whole, for an answer that nobody waits for. No callback hears of it; instrumentation sees its mark."""
        args, kwargs = kept((tuple(self.args), dict(self.kwargs)), (ChatMessage,))
        return replace(self._unheard(), args=args, kwargs=kwargs)

    def _unheard(self) -> Self:
        return replace(self, operation=self.operation.replace("stream_", ""), answer=None, unheard=True)

    def aside(self) -> Self:
        """The same call, whole, for an answer that may be rejected: neither callbacks nor instrumentation hear of it."""
        if self._aside is None:
            self._aside = self._unheard()
            self._aside.unseen = True
        return self._aside  # type: ignore[no-any-return]  # made just above

    def shortened(self, kwargs: dict[str, Any], most: int) -> dict[str, Any]:
        """The call's own arguments, none of which allows longer answers."""
        return shortened(kwargs, most)

    def shown(self, piece: Any) -> str:
        """What of a piece the provider has counted."""
        return piece.delta or ""

    def heard(self, answer: Any, mark: Mapping[str, Any]) -> None:
        """Take note of an answer, or a piece of one, on its way to the app, and put the decision on it."""
        answer.additional_kwargs["thrift"] = mark
        self._seen.add(answer)

    def reply(self) -> Reply:
        """The whole of what was heard."""
        if self._burnt:
            return replace(self._seen.reply(complete=False), finish_reason="length", storable=False)
        return self.as_set(self._seen.reply())

    def as_set(self, reply: Reply) -> Reply:
        """An answer, not to be kept where the app has changed the model's settings since they were read for its key."""
        unchanged = self.tiers[self._asked].identity == self.identities[self._asked]
        return reply if unchanged else replace(reply, storable=False)

    def partial(self) -> Reply | None:
        """What was heard before it broke."""
        return None if self._seen.empty else self._seen.reply(complete=False)

    # The call ------------------------------------------------------------------------------------------------------

    def _ask(self, effect: Call | Replay) -> Any:
        """Start the app's call. Each attempt has containers of its own, since integrations write into them."""
        self._seen, self._asked = Seen(), effect.decision.tier
        self.tiers[effect.decision.tier].watch(asynchronous=self.operation.startswith("a"))
        method = getattr(self.model(effect), self.operation, None)
        if method is None:  # only those with tools are not every LLM's
            raise UnsupportedByTier({effect.decision.name: "tools"})
        args, kwargs = (
            [listed(value) for value in self.args],
            {name: listed(value) for name, value in self.kwargs.items()},
        )
        if isinstance(effect, Call) and effect.imposed and effect.most:
            kwargs = self.shortened(kwargs, effect.most)
        plan = effect.plan if isinstance(effect, Call) else None
        if isinstance(effect, Call) and effect.change is not None:
            args, kwargs = with_change(self.operation, args, kwargs, effect.change)
        if plan is not None and plan.notes:
            args, kwargs = with_notes(self.operation, args, kwargs, plan.notes)
        if isinstance(effect, Call) and effect.continues is not None:
            args, kwargs = with_turns(self.operation, args, kwargs, effect.request.messages[-2:])
        if isinstance(effect, Call) and "temperature" in kwargs:
            heat = effect.heat(kwargs["temperature"])
            kwargs["temperature"] = kwargs["temperature"] if heat is None else heat
        return method(*args, **kwargs)

    def _take(self, answer: Any, effect: Call | Replay, mark: Mapping[str, Any]) -> Reply:
        """Keep an answer for the app: as it is, or as the rest of the one that there is."""
        self.heard(answer, mark)
        reply = self.reply()
        first = effect.continues if isinstance(effect, Call) else None
        whole = joined(first, reply) if first else None
        if first is None:
            self.answer = answer
        elif isinstance(effect, Call) and whole is not None:
            self.answer = with_rest(self.answer, answer, first, whole)
            effect.whole = replace(reply_as(self.answer, whole.usage, whole.finish_reason), tier=whole.tier)
        return reply

    def call(self, effect: Call | Replay) -> Reply:
        """Ask, and keep the response for the app."""
        mark = self._mark(effect)
        try:
            with self._noted(mark), counted(effect, self._own(effect)):
                answer = self._ask(effect)
        except BaseException:
            self._broke(effect)
            raise
        return self._take(answer, effect, mark)

    async def acall(self, effect: Call | Replay) -> Reply:
        """`call` without blocking the event loop."""
        mark = self._mark(effect)
        try:
            with self._noted(mark), counted(effect, self._own(effect)):
                answer = await self._ask(effect)
        except BaseException:
            self._broke(effect)
            raise
        return self._take(answer, effect, mark)

    def pieces(self, effect: Call | Replay) -> Generator[Any, None, Reply]:
        """Ask, and pass the pieces on as they come. The first thing that it yields is None: the stream is open."""
        mark, fuse, stream, read = self._mark(effect), self._fuse(effect), None, False
        try:
            with _Tagged(mark), counted(effect, self._own(effect)):
                stream = iter(self._ask(effect))
            if self._opening():
                self._hand(effect)
                yield None
                self._resume(effect)
            while True:
                read = True
                with _Tagged(mark), counted(effect, self._own(effect)):
                    piece = next(stream, _END)
                if piece is _END:
                    break
                self._pass(piece, effect, mark)
                yield piece
                self._resume(effect)
                if fuse.burns(self.shown(piece)):
                    close(stream)
                    self._burnt = True
                    break
        except BaseException:
            with suppress(Exception):  # what ended the call matters more than what happens while it is cleaned up
                close(stream)
            self._broke(effect, unread=stream is not None and not read)
            raise
        return self.reply()

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[Any, None]:
        """`pieces` without blocking the event loop."""
        mark, fuse, stream, read = self._mark(effect), self._fuse(effect), None, False
        try:
            with _Tagged(mark), counted(effect, self._own(effect)):
                stream = aiter(await self._ask(effect))
            if self._opening():
                self._hand(effect)
                yield None
                self._resume(effect)
            while True:
                read = True
                with _Tagged(mark), counted(effect, self._own(effect)):
                    piece = await anext(stream, _END)
                if piece is _END:
                    break
                self._pass(piece, effect, mark)
                yield piece
                self._resume(effect)
                if fuse.burns(self.shown(piece)):
                    await aclose(stream)
                    self._burnt = True
                    break
        except BaseException:
            with suppress(Exception):
                await aclose(stream)
            self._broke(effect, unread=stream is not None and not read)
            raise

    def _own(self, effect: Call | Replay) -> LLM:
        """The app's model that is asked."""
        return self.tiers[effect.decision.tier].model

    def _fuse(self, effect: Call | Replay) -> Fuse:
        most = effect.most if isinstance(effect, Call) else None
        return Fuse(most, self.tiers[effect.decision.tier].facts.model)

    def _opening(self) -> bool:
        """Whether this is the first stream that opens: a second attempt goes on where the app waits already."""
        first, self._opened = not self._opened, True
        return first

    def _pass(self, piece: Any, effect: Call | Replay, mark: Mapping[str, Any]) -> None:
        if isinstance(effect, Call):
            effect.delivered = True
            effect.pieces += 1
        self._hand(effect)
        self.heard(piece, mark)

    @staticmethod
    def _hand(effect: Call | Replay) -> None:
        """The app has it now."""
        if isinstance(effect, Call):
            effect.held = True

    @staticmethod
    def _resume(effect: Call | Replay) -> None:
        """The app asks for more."""
        if isinstance(effect, Call):
            effect.held = False

    def _broke(self, effect: Call | Replay, *, unread: bool = False) -> None:
        if isinstance(effect, Call):
            effect.partial = _UNREAD if unread else self.partial()

    def _noted(self, mark: Mapping[str, Any]) -> AbstractContextManager[None]:
        return unseen() if self.unseen else _Tagged(mark)

    def _mark(self, effect: Call | Replay) -> dict[str, Any]:
        """The decision, for the answer's `additional_kwargs["thrift"]` and the tags of events."""
        decision = effect.decision
        mark: dict[str, Any] = {
            "tier": decision.name,
            "policy": decision.policy,
            "reasons": list(decision.reasons),
            "request_id": self.request_id,
            **decision_record(decision),
            "hit": isinstance(effect, Replay) and not effect.tried,
        }
        if isinstance(effect, Call) and effect.budgets:
            mark["budgets"] = list(effect.budgets)  # a handler of the app's leaves these out
        if self.unheard:
            mark["renewal"] = True
        if isinstance(effect, Replay) and not effect.tried:
            used = effect.reply.usage
            mark["saved"] = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        return mark


def _nobody() -> CallbackManager:
    """A manager that tells nobody: one that is made without handlers takes those of `Settings`."""
    manager = CallbackManager([])
    manager.handlers = []
    return manager


class _Tagged:
    """Events that are fired in this block carry the decision, beside the app's own tags."""

    __slots__ = ("_mark", "_token")

    def __init__(self, mark: Mapping[str, Any]) -> None:
        self._mark = mark

    def __enter__(self) -> None:
        tags = {**active_instrument_tags.get(), "thrift": self._mark}
        self._token: Token[dict[str, Any]] = active_instrument_tags.set(tags)

    def __exit__(self, *_error: object) -> None:
        active_instrument_tags.reset(self._token)


class Seen:
    """What the pieces of an answer have told so far. A piece holds the whole text up to it, so the last is kept."""

    __slots__ = ("_finish", "_last", "_usage")

    def __init__(self) -> None:
        self._last: Response | None = None
        self._finish: str | None = None
        self._usage = NO_USAGE

    @property
    def empty(self) -> bool:
        """Whether nothing has come."""
        return self._last is None

    def add(self, piece: Response) -> None:
        """Remember a piece."""
        self._last = piece
        told = as_mapping(piece.raw)
        self._finish = finish_in(told) or self._finish
        self._usage = latest(self._usage, usage_in(told, piece.additional_kwargs))

    def reply(self, *, complete: bool = True) -> Reply:
        """The whole answer, or what there is of it."""
        if self._last is None:
            return Reply("", NO_USAGE, complete=complete, storable=False)
        return reply_as(self._last, self._usage, self._finish, complete=complete)
