"""Single flight in this process: of the same calls at once, in threads and in tasks, one is made, and the others get its answer.

A flight is a call that is under way. Whoever joins first gets a `Seat` and makes the call; whoever comes later gets the
`Flight` and waits for it to land. Nobody waits who has a seat himself, so nobody can wait in a circle.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from thrift_plugins.finalizing import apart


@dataclass(frozen=True, slots=True)
class Landing:
    """How a flight ended.

    Attributes:
        value: the packed answer, None where there is none for others.
        again: whether one of those who waited is to take the leader's place.
        why: why there is no answer, in words for the ledger.
    """

    value: bytes | None = None
    again: bool = False
    why: str = ""


LEFT = Landing(again=True)
"""The leader was cancelled, or closed its stream: nothing is known of the answer."""


class Reading(Protocol):
    """How far the leader's call has come.

    Attributes:
        held: whether the app has the stream in its hands, and has not asked for the next piece.
        pieces: how many it has been given.
    """

    held: bool
    pieces: int


C = TypeVar("C")
"""The right to make the call among all processes. It is the store's."""

C_contra = TypeVar("C_contra", contravariant=True)


class Releasing(Protocol[C_contra]):
    """Where a claim came from."""

    def release(self, claim: C_contra, /) -> None: ...


class Flight(Generic[C]):
    """A call under way.

    Attributes:
        claim: the leader's right among all processes, if it has it.
        reading: how far the leader's call has come, once it is made.
    """

    __slots__ = ("_address", "_asynchronous", "_generation", "_landed", "_thread", "claim", "reading")

    def __init__(self, address: tuple[Hashable, str], *, asynchronous: bool) -> None:
        self._address = address
        self._asynchronous = asynchronous
        self._generation = _generation
        self._thread = threading.get_ident()
        self._landed: Future[Landing] = Future()
        self._landed.set_running_or_notify_cancel()  # so that a follower's cancellation is its own
        self.claim: C | None = None
        self.reading: Reading | None = None

    @property
    def under_way(self) -> bool:
        """Whether somebody here is at it. A forked child has its parent's flights, but nobody who flies them."""
        return self._generation == _generation and not self._landed.done()

    def land(self, landing: Landing) -> None:
        """Tell everybody who waits, and let the next call be a flight of its own. Only the first landing counts."""
        if self._generation != _generation:
            return
        with suppress(InvalidStateError):
            self._landed.set_result(landing)
            _under_way.pop(self._address, None)

    def wait(self, seconds: float) -> Landing | None:
        """How it landed, or None if it has not after so many seconds."""
        with _waiting():
            try:
                return self._landed.result(seconds)
            except NotYet:
                return None

    async def await_landing(self, seconds: float) -> Landing | None:
        """`wait` without blocking the event loop."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._landed), seconds)
        except TimeoutError:
            return None

    @property
    def needs_this_thread(self) -> bool:
        """Whether the leader runs here, so that to block is to wait for oneself."""
        return self._thread == threading.get_ident()

    def may_need_this_thread(self) -> bool:
        """Whether all the other threads of an event loop's pool wait, and the leader may have work for one of them."""
        return self._asynchronous and _is_worker() and len(_workers_waiting) >= _WORKERS - 1


class Seat(Generic[C]):
    """The leader's place. One that is lost, with a stream that nobody read, lands its flight.

    Attributes:
        patient: whether the leader may wait for another process; not from inside of another flight.
    """

    __slots__ = ("_origin", "flight", "patient")

    def __init__(self, flight: Flight[C], origin: Releasing[C], *, patient: bool) -> None:
        self.flight = flight
        self.patient = patient
        self._origin = origin

    def __del__(self) -> None:
        if self.flight.under_way:
            apart(partial(_lost, self.flight, self._origin))


def _lost(flight: Flight[C], origin: Releasing[C]) -> None:
    """Its leader is gone."""
    claim, flight.claim = flight.claim, None
    if claim is not None:
        with suppress(Exception):
            origin.release(claim)
    flight.land(LEFT)


Place: TypeAlias = Seat[C] | Flight[C] | str
"""What joining gives: the leader's place, somebody else's flight, or the reason for going alone."""


def join(origin: Releasing[C], space: Hashable, key: str, *, asynchronous: bool) -> Place[C]:
    """Take part in the flight for a key.

    Args:
        origin: the store that will have given the claim.
        space: which entries the key is one of: stores with an equal one share flights.
        asynchronous: whether the caller waits without blocking its thread.
    """
    mine = _mine.get()
    if mine:
        mine = tuple(flight for flight in mine if flight.under_way)
    address = (space, key)
    known = _under_way.get(address)
    if known is None:
        flight: Flight[C] = Flight(address, asynchronous=asynchronous)
        known = _under_way.setdefault(address, flight)
        if known is flight:
            _mine.set((*mine, flight))
            return Seat(flight, origin, patient=not mine)
    if mine:
        return "asked from inside of another call, asked too"
    if known.needs_this_thread and not asynchronous:
        return "the same call is under way on this thread, asked too"
    return known


_under_way: dict[tuple[Hashable, str], Flight[Any]] = {}
"""Every flight of this process. Each step on it is one operation of a dictionary, so that a finalizer may take it too."""

_mine: ContextVar[tuple[Flight[Any], ...]] = ContextVar("thrift_flights", default=())
"""The flights that are led from here: by this call, or by one that this one is made inside of, in whatever task or thread."""

_generation = 0
"""How many forks this process is away from the first."""

_WORKERS = min(32, (os.cpu_count() or 1) + 4)
"""Threads in the default pool of an event loop."""

_workers_waiting: dict[int, None] = {}
_tickets = count()


def _is_worker() -> bool:
    """Whether this thread is of an event loop's default pool, which models without an asynchronous side are called in."""
    return threading.current_thread().name.startswith("asyncio_")


@contextmanager
def _waiting() -> Iterator[None]:
    if not _is_worker():
        yield
        return
    ticket = next(_tickets)
    _workers_waiting[ticket] = None
    try:
        yield
    finally:
        _workers_waiting.pop(ticket, None)


def _after_fork_in_child() -> None:
    global _generation  # noqa: PLW0603  one for the process
    _generation += 1
    _under_way.clear()
    _workers_waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
