"""Work that nobody waits for: a few daemon threads, or a task of the running event loop.

It holds nothing up: what finds no room is not done, and at the end of the process, of the loop or of its owner it is left.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import TypeAlias

from thrift_plugins.forks import renew_after_fork

Job: TypeAlias = Callable[[], None]

_THREADS = 4
_WAITING = 64
"""Jobs that may wait for a thread, and tasks that may run."""

_IDLE = 10.0
"""Seconds without a job after which a thread ends."""

_AGAIN = 30.0
"""Seconds before the same thing is tried again, whatever came of it."""

_REMEMBERED = 10_000


class Background:
    """Does each job at most once in a while, in an empty context, so that nothing of the caller's shows or is seen in it.

    What a job raises is nobody's business here: it has to tell on its own.
    """

    def __init__(self) -> None:
        self._tried: OrderedDict[str, float] = OrderedDict()
        self._closed = False
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Threads and locks of this process's own."""
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._threads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, name: str, job: Job) -> None:
        """Do a job on a thread, unless one of that name was tried a moment ago."""
        with self._lock:
            if self._jobs.qsize() >= _WAITING or not self._due(name):
                return
            self._jobs.put(job)
            if self._threads >= _THREADS:
                return
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="thrift-background", daemon=True).start()
        except RuntimeError:  # no thread is to be had now; the next job tries again
            with self._lock:
                self._threads -= 1

    def spawn(self, name: str, job: Callable[[], Coroutine[None, None, None]]) -> None:
        """`submit` for a coroutine, as a task of the running event loop."""
        with self._lock:
            if len(self._tasks) >= _WAITING:  # a loop that was closed over its tasks never ends them
                # Of a copy: loops in other threads begin and end tasks of theirs at any moment.
                self._tasks -= {task for task in self._tasks.copy() if task.get_loop().is_closed()}
            if len(self._tasks) >= _WAITING or not self._due(name):
                return
        task = asyncio.get_running_loop().create_task(_quietly(job), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Begin nothing any more, and let threads end that wait for a job. Idempotent."""
        with self._lock:
            self._closed = True
            with suppress(Empty):
                while True:
                    self._jobs.get_nowait()
            for _ in range(self._threads):
                self._jobs.put(_nothing)

    def _due(self, name: str) -> bool:
        now = time.monotonic()
        if self._closed or now < self._tried.get(name, now):
            return False
        self._tried[name] = now + _AGAIN
        self._tried.move_to_end(name)
        if len(self._tried) > _REMEMBERED:
            self._tried.popitem(last=False)
        return True

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            if self._closed:
                with self._lock:
                    self._threads -= 1
                return
            with suppress(BaseException):
                Context().run(job)


def _nothing() -> None:
    """Wakes a thread."""


async def _quietly(job: Callable[[], Coroutine[None, None, None]]) -> None:
    with suppress(Exception):
        await job()
