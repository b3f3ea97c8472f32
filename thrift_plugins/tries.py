"""How often an SDK asks its provider for one call. SDKs repeat requests on their own, and what was lost may have been paid.

The HTTP client of a model gets two hooks, once, which count for the call that they are in and do nothing in any other. A
request that the provider refused (a status of 400 or more) costs nothing. One that is repeated although it was never
answered, or was while its answer was on the way, may cost as much as the one that follows it: nobody on this side knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from typing import Any, Final

from thrift_plugins.types import Processing

_REFUSED: Final = 400
_CLIENTS: Final = (
    "root_client", "root_async_client", "client", "async_client", "_client", "_async_client", "_aclient",
)  # fmt: skip
"""Where the classes of LangChain and LlamaIndex, and the SDKs of OpenAI and Anthropic in them, have their clients."""

_DEEP: Final = 3

RETRIES: Final = 2
"""How often the SDKs of OpenAI and Anthropic repeat a request unless they are told otherwise."""


class Lost(BaseException):
    """An answer was lost, or nothing was sent yet, and the request for it is not sent before that has been accounted for.

    No `Exception`: an SDK would take it for a failed connection, and repeat the request.
    """


class Tries:
    """The requests of one call.

    Attributes:
        sent: how many were sent.
        lost: how many of them were repeated though they may have been paid.
        stops: whether a repetition of such a one raises `Lost` instead.
        stopped: whether one was.
        retries: how many may be repeated so. An SDK that is stopped begins to count its own retries anew.
        several: whether the app itself may ask more than once in it, and the same again on purpose; nothing is counted then.
        processing: how a batch run had it worked on, None outside of one.
        set_aside: whether the app has left it while a batch run had it: it is paid once, by the call that is given the answer.
        kept: whether it is asked all the same then, because it is in the run's journal.
        booked: the name of the call that books what its answer has cost, which is of a batch run; "" for one that did so before, None for
            itself.
        book: tells the run's journal that it has, by its name; None where it has nothing to tell.
        name: its lease in a batch run, "" for one that nobody else has.
        alone: whether no batch takes it after all, so that it is sent by itself and has a reservation of its own.
    """

    __slots__ = (
        "_content", "_status", "alone", "book", "booked", "kept", "lost", "name", "processing", "retries", "sent", "set_aside",
        "several", "stopped", "stops",
    )  # fmt: skip

    def __init__(self, retries: int = RETRIES) -> None:
        self.sent, self.lost, self.retries = 0, 0, retries
        self.stops = self.stopped = self.several = self.set_aside = self.kept = self.alone = False
        self._content: object = None
        self._status: int | None = None
        self.processing: Processing | None = None
        self.booked: str | None = None
        self.book: Callable[[str], None] | None = None
        self.name = ""

    @property
    def shared(self) -> bool:
        """Whether others who ask the same in a batch run go on with its reservation: it is paid once for all of them."""
        return self.name != "" and not self.alone

    @property
    def answered(self) -> bool:
        """Whether the provider took the last request and began to answer it, so that it bills it, whatever raises here."""
        return self._status is not None and self._status < _REFUSED

    def request(self, content: object) -> None:
        """A request is about to be sent.

        Raises:
            Lost: it repeats one that was lost, and that has to be accounted for first.
            ConnectionError: it does so once too often, or one that is left to a batch run; an SDK takes that for the end of its
                own retries.
        """
        if self.several:
            self._status = None
            return
        if self.set_aside:
            raise ConnectionError("its batch run was left")
        again = self.sent > 0 and content == self._content
        if again and (self._status is None or self._status < _REFUSED):
            if self.stops and self.lost >= self.retries:
                raise ConnectionError(f"no answer came, and the request was repeated {self.lost} times")
            self.lost += 1
            if self.stops:
                self.stopped = True
                raise Lost
        self.sent += 1
        self._content, self._status = content, None

    def again(self) -> None:
        """What was lost is accounted for: the next request is a first one."""
        self._content, self.stopped = None, False

    def by_itself(self) -> None:
        """It is about to be sent, and not by a batch.

        Raises:
            Lost: others may go on with its reservation, and would be paid with it: it needs one of its own first.
        """
        if self.shared:
            self.alone, self.stopped, self.sent = True, True, 0
            raise Lost

    def within(self, inner: Tries) -> None:
        """A call was made in this one, and has ended."""
        if inner.set_aside:
            self.set_aside, self.kept = True, self.kept or inner.kept
        if inner.processing is not None:
            self.processing = inner.processing

    def response(self, status: int) -> None:
        """The head of an answer has come."""
        self._status = status


_current: ContextVar[Tries | None] = ContextVar("thrift_tries", default=None)


def worked_as(processing: Processing) -> None:
    """The call that this code is in was answered by a batch run, which knows how it was worked on."""
    tries = _current.get()
    if tries is not None:
        tries.processing = processing


def sent_by_itself() -> None:
    """What the call that this code is in sends goes out as it is, past the batch run that it is part of; see `Tries.by_itself`."""
    tries = _current.get()
    if tries is not None:
        tries.by_itself()


def booking() -> str | None:
    """The name of the call that this code is in, if that books what it has cost, None if it does not."""
    tries = _current.get()
    return None if tries is None else tries.name


def given(booked: str | None, book: Callable[[str], None]) -> None:
    """The call that this code is in was given an answer of a batch run.

    Args:
        booked: see `Tries.booked`.
        book: tells the run that the call has booked what it has cost.
    """
    tries = _current.get()
    if tries is not None:
        tries.booked, tries.book = booked, book if booked is None else None


def set_aside(*, kept: bool) -> None:
    """The call that this code is in is left to a batch run, which gives its answer when it is asked again.

    Args:
        kept: whether the run's journal has it.
    """
    tries = _current.get()
    if tries is not None:
        tries.set_aside, tries.kept = True, kept


@contextmanager
def counting(tries: Tries) -> Iterator[None]:
    """Requests that are sent in this block, here or where its context goes, are of this call.

    Raises:
        Lost: one was stopped, whatever a framework between has made of that.
    """
    token = _current.set(tries)
    try:
        yield
    except BaseException as error:
        if tries.stopped and not isinstance(error, Lost):
            raise Lost from error
        raise
    finally:
        _current.reset(token)
        if isinstance(token.old_value, Tries):
            token.old_value.within(tries)


def retries_of(model: object) -> int:
    """How often a model's SDK repeats a request that has failed."""
    told = getattr(model, "max_retries", None)
    return told if isinstance(told, int) and told >= 0 else RETRIES


def watch(model: object, deep: int = _DEEP) -> None:
    """Have the HTTP clients of a model counted, if it has any of httpx's kind. Done again, it does nothing."""
    for name in _CLIENTS:
        inner = getattr(model, name, None)
        if inner is None:
            continue
        hooks = getattr(inner, "event_hooks", None)
        if isinstance(hooks, MutableMapping):
            _hook(inner, hooks)
        elif deep > 1:
            watch(inner, deep - 1)


def _hook(client: Any, hooks: MutableMapping[str, list[Any]]) -> None:
    asynchronous = iscoroutinefunction(client.send)
    for event, ours in (("request", _arequest if asynchronous else _request), ("response", _aresponse if asynchronous else _response)):  # fmt: skip
        kept = hooks.setdefault(event, [])
        if ours not in kept:
            kept.append(ours)


def _request(request: Any) -> None:
    tries = _current.get()
    if tries is not None:
        tries.request((request.method, str(request.url), _body(request)))


def _response(response: Any) -> None:
    tries = _current.get()
    if tries is not None:
        tries.response(response.status_code)


async def _arequest(request: Any) -> None:
    _request(request)


async def _aresponse(response: Any) -> None:
    _response(response)


def _body(request: Any) -> object:
    """What tells a repetition from another request; a body that is streamed is like no other."""
    try:
        return request.content
    except Exception:  # noqa: BLE001  httpx's own error, of a module that need not be here
        return object()
