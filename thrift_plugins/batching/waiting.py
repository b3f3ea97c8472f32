"""Who waits for which line, and how an answer reaches them, in whatever thread or event loop they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent import futures
from contextlib import suppress

from thrift_plugins.batching.pending import Answer, Pending


class Waiting:
    """The requests under way. Used in the courier's thread; answers are handed over to the waiters' own."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, list[Pending]] = {}
        self._posted: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer]]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def add(self, pending: Pending) -> None:
        """Somebody waits for a line."""
        self._by_key.setdefault(pending.key, []).append(pending)

    def deadline(self, key: bytes) -> float | None:
        """The earliest of those who still wait for a line."""
        waiting = self._by_key.get(key, ())
        return min((one.deadline for one in waiting if one.deadline is not None and not one.waiter.done()), default=None)

    def answer(self, key: bytes, answer: Answer) -> None:
        """A line is answered; `post` tells those who wait. The first of them who books anything books it."""
        for pending in self._by_key.pop(key, ()):
            there = not pending.waiter.done()
            self.tell(pending, answer)
            if there and pending.call is not None and answer.booked is None:
                answer = answer._replace(booked=pending.call)

    def tell(self, pending: Pending, answer: Answer) -> None:
        """Answer one request."""
        waiter = pending.waiter
        if isinstance(waiter, futures.Future):
            with suppress(futures.InvalidStateError):
                waiter.set_result(answer)
        else:
            self._posted.setdefault(waiter.get_loop(), []).append((waiter, answer))

    def post(self) -> None:
        """Hand over what was answered, all that goes to one loop at once."""
        posted, self._posted = self._posted, {}
        for loop, answered in posted.items():
            with suppress(RuntimeError):  # a loop that is closed has nobody who waits
                loop.call_soon_threadsafe(_set_all, answered)

    def fail(self, error: BaseException) -> None:
        """Nobody will be answered any more."""
        by_key, self._by_key = self._by_key, {}
        fail((pending for waiters in by_key.values() for pending in waiters), error)


def fail(pendings: Iterable[Pending], error: BaseException) -> None:
    """Raise an error where requests are waited for."""
    for pending in pendings:
        waiter = pending.waiter
        if isinstance(waiter, futures.Future):
            with suppress(futures.InvalidStateError):
                waiter.set_exception(error)
        else:
            with suppress(RuntimeError):
                waiter.get_loop().call_soon_threadsafe(_set_error, waiter, error)


def _set_all(answered: Sequence[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for waiter, answer in answered:
        if not waiter.done():
            waiter.set_result(answer)


def _set_error(waiter: asyncio.Future[Answer], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)
