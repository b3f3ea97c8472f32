"""One account: what was used and is held in each of its windows. Pure."""

from __future__ import annotations

import time
from calendar import timegm
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple

from thrift_plugins.stores.accounts import Hold, Standing

SLICES: Final = 60
"""A rolling window moves on by one part in so many of its length."""
KEPT: Final = 3
"""Windows that a clock which jumps back finds again."""
HOUR: Final = 3600
DAY: Final = 86_400
KEEP_CALL: Final = 1 * DAY
KEEP_RUN: Final = 90 * DAY
_SECONDS: Final = {"hour": HOUR, "day": DAY}


class Moment(NamedTuple):
    """A window at one time.

    Attributes:
        number: of the window, or of the slice of a rolling one; later ones have higher numbers.
        starts: when it does, in seconds since the epoch.
        ends: when it does; for a slice, this moment.
        keep: until when its account may be asked for again.
    """

    number: int
    starts: float
    ends: float
    keep: float


def moment(window: str, rolling: float, now: float) -> Moment:
    """The window, or the slice of a rolling one, of a time."""
    if rolling:
        return Moment(int(now * SLICES // rolling), now, now, now + 2 * rolling + DAY)
    length = _SECONDS.get(window)
    if length is not None:
        number = int(now // length)
        ends = float((number + 1) * length)
        return Moment(number, ends - length, ends, ends + length + DAY)
    if window == "month":
        date = time.gmtime(now)
        number = date.tm_year * 12 + date.tm_mon - 1
        ends = _month_begins(number + 1)
        return Moment(number, _month_begins(number), ends, ends + 32 * DAY)
    return Moment(0, -inf, inf, now + KEEP_CALL if window == "call" else now + KEEP_RUN if window == "run" else inf)


@lru_cache(maxsize=64)
def _month_begins(number: int) -> float:
    year, month = divmod(number, 12)
    return float(timegm((year, month + 1, 1, 0, 0, 0)))


class Sheet:
    """An account.

    Attributes:
        floor: windows up to this number are forgotten, and nothing is reserved in them again.
        keep: until when it may be asked for again.
        lines: by window: what is used and what is held.
    """

    __slots__ = ("floor", "keep", "lines")

    def __init__(self, floor: int = -1, keep: float = 0.0, lines: dict[int, tuple[int, int]] | None = None) -> None:
        self.floor = floor
        self.keep = keep
        self.lines: dict[int, tuple[int, int]] = {} if lines is None else lines

    def number(self, now: Moment) -> int:
        """The window in which to reserve: the clock's, or after a jump back beyond all that is known the oldest known."""
        if now.number > self.floor:
            return now.number
        return min((number for number in self.lines if number > self.floor), default=self.floor + 1)

    def standing(self, hold: Hold, now: Moment) -> Standing:
        """How it stands."""
        number = self.number(now)
        if not hold.rolling:
            used, held = self.lines.get(number, (0, 0))
            return Standing(hold.account, hold.limit, used, held, now.ends)
        used = held = 0
        oldest = None
        for each, (line_used, line_held) in self.lines.items():
            if each >= number - SLICES and (line_used or line_held):
                used += line_used
                held += line_held
                oldest = each if oldest is None or each < oldest else oldest
        resets = now.ends if oldest is None else (oldest + 1 + SLICES) * hold.rolling / SLICES
        return Standing(hold.account, hold.limit, used, held, resets)

    def hold(self, hold: Hold, now: Moment) -> int:
        """Set an amount aside, and forget windows that are over. Returns the window."""
        number = self.number(now)
        used, held = self.lines.get(number, (0, 0))
        if not used and not held:
            self._prune(number - SLICES if hold.rolling else None)
        self.lines[number] = (used, held + hold.amount)
        self.keep = max(self.keep, now.keep)
        return number

    def settle(self, number: int, release: int, charge: int) -> None:
        """Give back what was held in a window, and charge it. Of a forgotten window, nothing is left to correct."""
        used, held = self.lines.get(number, (0, 0))
        if number in self.lines or number > self.floor:
            self.lines[number] = (used + charge, held - release)

    @property
    def holds_any(self) -> bool:
        """Whether something is held, in any window."""
        return any(held for _, held in self.lines.values())

    def _prune(self, first: int | None) -> None:
        """Forget all windows before `first`, or all but the latest, apart from those in which something is held."""
        ordered = sorted(self.lines)
        for number in ordered[: 1 - KEPT] if first is None else ordered:
            if first is not None and number >= first:
                break
            if not self.lines[number][1]:
                del self.lines[number]
                self.floor = max(self.floor, number)
