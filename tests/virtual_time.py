"""An event loop whose time passes at once: where everything waits, it is already later."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START = 1_800_000_000.0


class _Selector(selectors.SelectSelector):
    """Never waits: tells the loop how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that never comes")
        if not ready and timeout:
            self.skipped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time` starts at `start`, in seconds since the epoch."""

    def __init__(self, start: float) -> None:
        self._start, self._virtual = start, _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-3  # seconds since the epoch have no finer one in a float

    def time(self) -> float:
        """Now."""
        return self._start + self._virtual.skipped


def run_virtually(work: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run something to its end in virtual time."""
    try:
        return loop.run_until_complete(work)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The same, from some day on."""
    return run_virtually(work, VirtualLoop(START))


def clock() -> float:
    """Seconds since the epoch, in the virtual time of the loop that runs."""
    return asyncio.get_running_loop().time()
