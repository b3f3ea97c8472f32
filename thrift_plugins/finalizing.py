"""What the garbage collector ends, in a thread of its own.

The collector may come by wherever a thread makes an object, inside of a lock of ours too. What it ends there, a stream that an
app has dropped in a circle of references, has to settle its budgets and to book itself: it would wait for that very lock, for ever.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any, TypeAlias, TypeVar
from weakref import WeakSet

Job: TypeAlias = Callable[[], None]
T = TypeVar("T")


class _Worker:
    """Does what is put, one after the other, on a thread that ends when nothing is left."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.renew()

    def renew(self) -> None:
        """Locks of this process's own. A forked child has its parent's jobs too, and they are the parent's to do."""
        self.jobs.clear()
        self._doing = threading.RLock()  # a job may call code of the app's, which may want to catch up itself
        self._starting = threading.RLock()  # the collector may come by here as well
        self._running = False

    def put(self, job: Job) -> None:
        self.jobs.append(job)
        with self._starting:
            if self._running:
                return
            self._running = True
        try:
            threading.Thread(target=self._work, name="thrift-finalizing", daemon=True).start()
        except RuntimeError:  # no thread can be had: whoever catches up does it
            self._running = False

    def catch_up(self) -> None:
        """Do what is left, and wait for what is being done."""
        with self._doing:
            while self.jobs:
                with suppress(IndexError):  # one that is put meanwhile may be another's already
                    job = self.jobs.popleft()
                    with suppress(BaseException):  # as an error of a finalizer is nobody's to see
                        job()

    def _work(self) -> None:
        while True:
            self.catch_up()
            with self._starting:
                self._running = False
                if not self.jobs:
                    return
                self._running = True


_worker = _Worker()
_collecting = 0
"""The thread that collects."""


def apart(do: Job) -> None:
    """Do it: here, or in another thread where the collector is at work in this one."""
    if _collecting == get_ident() and not sys.is_finalizing():  # at the end of the interpreter no thread can be had
        _worker.put(do)
    else:
        do()


def catch_up() -> None:
    """Wait until all that the collector has ended is done. Not from inside of a lock."""
    _worker.catch_up()


def living(kept: WeakSet[T]) -> list[T]:
    """What is left of a set whose members come and go in other threads."""
    while True:
        with suppress(RuntimeError):  # one came while we looked
            return list(kept)


def _note(phase: str, _told: dict[str, Any]) -> None:
    global _collecting  # noqa: PLW0603  one collection at a time in a process
    _collecting = get_ident() if phase == "start" else 0


gc.callbacks.append(_note)
atexit.register(catch_up)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_worker.renew)
