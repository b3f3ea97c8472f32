"""The promise: wrong answers over all lookups stay below a bound, or the tier switches itself off, scope by scope.

A scope is a tenant's feature on one model, with its walls. A new one is on trial: its hits are not given, but asked of
the model and compared. Then a share of its hits goes on being compared, four times as many once there is a doubt. When
the comparisons refute that at most half of the bound is wrong, the scope is off for a day, and then on trial again.

At half the bound or less, a scope is ever switched off with a chance of 1 %. How soon it is where the bound is broken
depends on traffic: with the defaults, twice the bound takes some 4,000 lookups in the median, ten times 600.
All processes of a store fold the same checks, so they agree, and a new process knows what others have seen.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from thrift_plugins.caching.semantic.records import Check
from thrift_plugins.learning.sequential import Alarm, bounds

Mode: TypeAlias = Literal["trial", "on", "off"]

_TOLD = 1_000
"""Lookups without a check after which others are told of them all the same."""

_MOST_SCOPES = 4_096
_DOUBTFUL = 4.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guard keeps to.

    Attributes:
        max_errors: wrong answers over all lookups that are allowed.
        shadow: share of hits that are compared with a real answer.
        first: comparisons before a scope's hits are given.
        rest: seconds for which a scope stays off.
    """

    max_errors: float = 0.02
    shadow: float = 0.05
    first: int = 20
    rest: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How a scope does, for people.

    Attributes:
        errors_over_all: wrong answers that were or would have been given, over all lookups; estimated.
        errors_over_hits: the same over hits.
        at_most_over_all: bound of the former that holds at all times with a chance of 95 %.
        at_most_over_hits: the same of the latter.
    """

    name: str
    mode: Mode
    lookups: int
    hits: int
    checked: int
    wrong: int
    errors_over_all: float
    errors_over_hits: float
    at_most_over_all: float
    at_most_over_hits: float


@dataclass(slots=True)
class _Scope:
    alarm: Alarm
    name: str = ""
    lookups: int = 0
    hits: int = 0
    checked: int = 0
    wrong: int = 0
    trial: int = 0
    off_until: float = 0.0
    times_off: int = 0
    waiting: list[int] = field(default_factory=lambda: [0, 0])  # lookups and hits that others were not told of
    share: float = 1.0  # at which those were seen

    def standing(self) -> Standing:
        low_high = bounds(self.wrong, self.checked)
        hit_share = self.hits / self.lookups if self.lookups else 0.0
        over_hits = self.wrong / self.checked if self.checked else 0.0
        mode: Mode = "off" if self.off_until else "trial" if self.trial > 0 else "on"
        return Standing(
            self.name, mode, self.lookups, self.hits, self.checked, self.wrong,
            over_hits * hit_share, over_hits, low_high[1] * hit_share, low_high[1],
        )  # fmt: skip


class Guard:
    """Decides which hits are given, which are compared, and which scopes are off. Not thread-safe: its owner holds a lock.

    Args:
        origin: 8 bytes that name this process.
        chance: gives numbers of 0 to 1.
    """

    def __init__(self, limits: Limits, origin: bytes, chance: Callable[[], float] = random.random) -> None:
        self.outbox: list[Check] = []
        self._limits = limits
        self._origin = origin
        self._chance = chance
        self._scopes: OrderedDict[bytes, _Scope] = OrderedDict()

    def why_off(self, scope: bytes, name: str, now: float) -> str | None:
        """Why a scope is not to be searched, in words, or None where it may be."""
        known = self._scope(scope)
        known.name = name
        if known.off_until > now:
            return f"semantic tier off for {name}: {known.wrong} of {known.checked} answers that were compared are wrong"
        if known.off_until:
            self._try_again(known)
        return None

    def missed(self, scope: bytes, now: float) -> None:
        """A lookup without a hit."""
        self._count(scope, 0, now)

    def gives(self, scope: bytes, now: float) -> bool:
        """Whether a hit is to be given. If not, it is to be compared, and `compared` told."""
        if self._chance() < self._share(self._scope(scope)):
            return False
        self._count(scope, 1, now)
        return True

    def compared(self, scope: bytes, now: float, *, agreed: bool | None) -> None:
        """What the comparison of a hit came to."""
        self._count(scope, 1, now)
        if agreed is not None:
            self._tell(scope, now, wrong=not agreed)

    def fold(self, check: Check) -> None:
        """Take note of what another process saw."""
        if check.origin != self._origin:
            self._apply(check)

    def flush(self, now: float) -> None:
        """Tell others of every lookup that they were not told of."""
        for scope, known in list(self._scopes.items()):
            if known.waiting[0]:
                self._tell(scope, now, wrong=None)

    def standings(self) -> list[Standing]:
        """How every scope does, the busiest first."""
        return sorted((known.standing() for known in self._scopes.values()), key=lambda known: -known.lookups)

    def _scope(self, scope: bytes) -> _Scope:
        known = self._scopes.get(scope)
        if known is None:
            known = self._scopes[scope] = _Scope(self._new_alarm(), trial=self._limits.first)
            if len(self._scopes) > _MOST_SCOPES:
                self._scopes.popitem(last=False)  # it starts anew on trial, and gives nothing meanwhile
        self._scopes.move_to_end(scope)
        return known

    def _new_alarm(self) -> Alarm:
        return Alarm(self._limits.max_errors / 2)

    def _share(self, known: _Scope) -> float:
        if known.trial > 0:
            return 1.0
        doubtful = known.alarm.evidence > 1
        return min(1.0, self._limits.shadow * (_DOUBTFUL if doubtful else 1.0))

    def _count(self, scope: bytes, hits: int, now: float) -> None:
        known = self._scope(scope)
        share = self._share(known)
        if known.waiting[0] and (share != known.share or known.waiting[0] >= _TOLD):
            self._tell(scope, now, wrong=None)
        known.share = share
        known.waiting[0] += 1
        known.waiting[1] += hits

    def _tell(self, scope: bytes, now: float, *, wrong: bool | None) -> None:
        known = self._scope(scope)
        lookups, hits = known.waiting
        known.waiting = [0, 0]
        if known.share > 0:
            check = Check(scope, self._origin, now, known.share, lookups, hits, wrong)
            self.outbox.append(check)
            self._apply(check)

    def _apply(self, check: Check) -> None:
        known = self._scope(check.scope)
        known.lookups += check.lookups
        known.hits += check.hits
        if known.off_until:
            if check.at < known.off_until:
                return
            self._try_again(known)
        known.alarm.observe(int(check.wrong or 0), max(1, check.lookups), check.share)
        if check.wrong is not None:
            known.checked += 1
            known.wrong += check.wrong
            known.trial -= 1
        if known.alarm.raised:
            known.off_until = check.at + self._limits.rest
            known.times_off += 1

    def _try_again(self, known: _Scope) -> None:
        """On trial, each time for twice as long."""
        known.off_until = 0.0
        known.trial = self._limits.first * 2**min(known.times_off, 10)
        known.checked = known.wrong = known.lookups = known.hits = 0
        known.alarm = self._new_alarm()
