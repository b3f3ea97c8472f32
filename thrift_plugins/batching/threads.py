"""Threads for synchronous code in a run: few, and one more for each that waits at the collector."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Final

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
        if self._work_queue.qsize():
            self._adjust_thread_count()
        try:
            yield
        finally:
            self._widen(-1)

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
