"""What the scripts of `accounts_scripts` are asked, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, NamedTuple, TypeAlias

from thrift_plugins.stores.accounts import Hold, Orphan, Standing
from thrift_plugins.stores.accounts_lines import NO_SLICE, read_lines
from thrift_plugins.stores.accounts_sheet import SLICES, moment

_Windows: TypeAlias = tuple[tuple[str, float], ...]

_NEVER: Final = 1e300
"""A time that every script language reads."""
_BY_THE_RULES: Final = frozenset({"run", "call"})
"""Windows whose accounts are kept from their last use on, which the short way through the scripts does not note."""
_SPANS: Final = 256


class Span(NamedTuple):
    """The time in which some holds have the same windows.

    Attributes:
        first: when it begins, in seconds since the epoch.
        last: when it ends; where a window rolls, as soon as it has begun.
        bounds: when the windows begin and end, as a script reads it.
        numbers: of the windows.
        resets: when each window ends.
        usual: whether the scripts may go the short way.
    """

    first: float
    last: float
    bounds: tuple[str, str]
    numbers: tuple[int | str, ...]
    resets: tuple[float, ...]
    usual: bool


class Spans:
    """Spans by the windows of holds, and whether each has an account of its own, each worked out once."""

    def __init__(self) -> None:
        self._known: dict[tuple[_Windows, bool], Span] = {}

    def at(self, holds: Sequence[Hold], now: float) -> Span:
        """The one of a time."""
        windows = tuple([(hold.window, hold.rolling) for hold in holds])
        key = windows, len({hold.account for hold in holds}) == len(holds)
        span = self._known.get(key)
        if span is None or not span.first <= now < span.last:
            if len(self._known) >= _SPANS:
                self._known.clear()
            span = self._known[key] = _span(*key, now)
        return span


def _span(windows: _Windows, distinct: bool, now: float) -> Span:
    moments = [moment(window, rolling, now) for window, rolling in windows]
    fixed = [at for at, (_, rolling) in zip(moments, windows, strict=True) if not rolling]
    starts = max((at.starts for at in fixed), default=-inf)
    ends = min((at.ends for at in fixed), default=inf)
    return Span(
        starts,
        ends if len(fixed) == len(windows) else starts,
        (repr(max(starts, -_NEVER)), repr(min(ends, _NEVER))),
        tuple([NO_SLICE if rolling else at.number for at, (_, rolling) in zip(moments, windows, strict=True)]),
        tuple([at.ends for at in moments]),
        distinct and len(fixed) == len(windows) and not any(window in _BY_THE_RULES for window, _ in windows),
    )


def reserved(holds: Sequence[Hold], resets: Sequence[float], told: Sequence[bytes]) -> list[Standing]:
    """From used and held of each hold, as they were before it was reserved."""
    found = map(int, told)
    return [
        Standing(hold.account, hold.limit, used, held + hold.amount, ends)
        for hold, used, held, ends in zip(holds, found, found, resets, strict=False)
    ]


def settled(
    holds: Sequence[Hold], resets: Sequence[float], amounts: Sequence[int], told: Sequence[bytes]
) -> list[Standing]:
    """From used and held of each hold, as they were before it was settled."""
    found = map(int, told)
    return [
        Standing(hold.account, hold.limit, used + amount, held - hold.amount, ends)
        for hold, amount, used, held, ends in zip(holds, amounts, found, found, resets, strict=False)
    ]


def standings(holds: Sequence[Hold], resets: Sequence[float], told: Sequence[bytes]) -> list[Standing]:
    """From used, held and the oldest slice of each hold, as they are."""
    found = map(int, told)
    return [
        Standing(hold.account, hold.limit, used, held, _rolls(hold, oldest) if oldest >= 0 else ends)
        for hold, used, held, oldest, ends in zip(holds, found, found, found, resets, strict=False)
    ]


def holds_of(lines: bytes) -> list[Hold]:
    """What a lease held."""
    return [line.hold for line in read_lines(lines.decode())] if lines else []


def orphan(told: bytes) -> Orphan:
    """From account, charge, time, lease."""
    account, charged, at, lease = told.decode().split(" ", 3)
    return Orphan(lease, account, int(charged), float(at))


def _rolls(hold: Hold, oldest: int) -> float:
    return (oldest + 1 + SLICES) * hold.rolling / SLICES
