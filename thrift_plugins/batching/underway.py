"""The lots that are under way, and what becomes of them when their lines are asked again with another deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf

from thrift_plugins.batching.lots import Lot


class Underway:
    """Every lot from when it is queued until it is done with.

    Args:
        clock: seconds since the epoch.
        beat: the most seconds between two looks at the clock, which may be set.
    """

    def __init__(self, clock: Callable[[], float], beat: float) -> None:
        self._clock, self._beat = clock, beat
        self._lots: set[Lot] = set()
        self._moved = asyncio.Event()

    def add(self, lot: Lot) -> None:
        """A lot is under way, though its task may not have begun."""
        self._lots.add(lot)

    def done(self, lot: Lot) -> None:
        """It is not any more."""
        self._lots.discard(lot)

    def forget(self) -> None:
        """None is."""
        self._lots.clear()

    def move(self, moved: Mapping[bytes, float]) -> None:
        """Lines were asked again, and are wanted by these times."""
        if moved:
            for lot in self._lots:
                lot.move(moved, self._clock())
            self._moved.set()

    async def wake(self, seconds: float) -> None:
        """So long a deadline that a run before has left may become another one; then it counts."""
        while True:
            await asyncio.sleep(seconds)
            seconds = max(seconds, self._beat)
            for lot in list(self._lots):
                self.move({item.key: item.deadline for item in lot.items if item.deadline is not None and not item.wanted})

    async def hasten(self, ask: Callable[[Lot], None]) -> None:
        """Have those lines asked at once that are wanted before the rest of their batch, each in time."""
        while True:
            for lot in list(self._lots):
                if early := lot.early(self._clock()):
                    ask(Lot(lot.address, early))
            soonest = min((item.leaves for lot in self._lots for item in lot.hurried.values()), default=inf)
            try:
                await asyncio.wait_for(self._moved.wait(), _between(soonest - self._clock(), self._beat))
            except TimeoutError:
                continue
            self._moved.clear()


def _between(seconds: float, most: float) -> float | None:
    """How long to sleep, None where only a change ends it."""
    return None if seconds == inf else max(0.05, min(seconds, most))
