"""Threads for synchronous code in a run: few, and one more for each that waits at the collector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final, TypeVar

T = TypeVar("T")

_WORKING: Final = min(32, (os.cpu_count() or 1) + 4)
"""Threads that may work at once, as in any event loop."""

MOST: Final = 5_000
"""Threads in all. One that waits costs little but its stack."""


class ParkingPool(ThreadPoolExecutor):
    """A pool that has a thread more for each one that is parked.

    A pool as wide as a run has items would start a thread for every small thing that a framework does in one.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=_WORKING, thread_name_prefix="thrift-batch-call")
        self._parking, self._parked = Lock(), 0

    @contextmanager
    def parked(self) -> Iterator[None]:
        """This thread of the pool waits in this block, and another one may work."""
        self._widen(1)
        self._serve()
        try:
            yield
        finally:
            self._widen(-1)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """As any pool; where threads are parked, others are begun for what waits."""
        future = super().submit(fn, *args, **kwargs)
        if self._parked:
            self._serve()
        return future

    def _serve(self) -> None:
        """Begin a thread, if something waits for one and there may be one more."""
        with self._shutdown_lock:
            before = len(self._threads)
            # A pool counts threads as idle that have taken their next work already: each look uses one such count up.
            while self._work_queue.qsize() and len(self._threads) == before < self._max_workers:
                self._adjust_thread_count()

    def _widen(self, by: int) -> None:
        with self._parking:
            self._parked += by
            self._max_workers = min(MOST, _WORKING + self._parked)


def threads_of(loop: asyncio.AbstractEventLoop) -> ThreadPoolExecutor:
    """The pool of a loop's synchronous calls: a parking one, unless the app has set its own."""
    pool: ThreadPoolExecutor | None = getattr(loop, "_default_executor", None)
    if pool is None:
        pool = ParkingPool()
        loop.set_default_executor(pool)
    return pool
