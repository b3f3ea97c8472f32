"""The promise: wrong answers over all lookups stay below a bound, or the tier switches itself off, scope by scope.

A scope is a tenant's feature on one model, with its walls. A new one is on trial: its hits are not given, but asked of
the model and compared. Then a share of its hits goes on being compared, four times as many once there is a doubt. When
the comparisons refute that at most half of the bound is wrong, the scope is off for a day, and then on trial again.

At half the bound or less, a scope is ever switched off with a chance of 1 %, also where many calls run at once. How soon
it is where the bound is broken depends on traffic. With the defaults, in the median of simulations: twice the bound takes
some 700 lookups of a new scope and 6,000 after 20,000 good ones, ten times the bound 15 and 600.
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
"""Lookups after which a round is to end, compared or not."""

_LOST = 60.0
"""Seconds after which no comparison is waited for any more: its call has failed, or was cancelled."""

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
class _Round:
    """Lookups that are judged in one step, when every comparison among them is made.

    Of many calls at once the misses are known long before the comparisons. Judged one by one, in that order, a burst
    of good answers would look like a run of bad ones.

    Attributes:
        share: of hits that are compared, the same for all of the round.
        drawn: when, for each comparison that is to come.
    """

    number: int = 0
    share: float = 1.0
    lookups: int = 0
    hits: int = 0
    checked: int = 0
    wrong: int = 0
    drawn: list[float] = field(default_factory=list)


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
    round: _Round = field(default_factory=_Round)

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
            wrong = f"{known.wrong} of {known.checked} answers that were compared are wrong"
            return f"semantic tier off for {name}: {wrong}"
        if known.off_until:
            self._try_again(known)
        self._close_round(scope, known, now)
        if 0 < known.trial <= len(known.round.drawn):  # more would keep the round from ever ending
            return f"semantic tier on trial for {name}: as many answers as it takes are being compared"
        return None

    def missed(self, scope: bytes, now: float) -> None:
        """A lookup without a hit."""
        self._count(scope, 0, now)

    def draw(self, scope: bytes, now: float) -> int | None:
        """None where a hit is to be given. Else it is to be compared, and `compared` told of this number."""
        known = self._scope(scope)
        opened = self._round(known)
        draining = opened.share < 1 and opened.drawn and opened.lookups >= _TOLD
        if draining or self._chance() >= opened.share:
            self._count(scope, 1, now)
            return None
        opened.drawn.append(now)
        return opened.number

    def compared(self, scope: bytes, now: float, number: int, *, agreed: bool | None) -> None:
        """What the comparison of a hit came to; one that comes after its round is counted for nothing."""
        known = self._scope(scope)
        opened = known.round
        if number != opened.number or not opened.drawn:
            return
        opened.drawn.pop(0)
        opened.lookups += 1
        opened.hits += 1
        opened.checked += agreed is not None
        opened.wrong += agreed is False
        self._close_round(scope, known, now)

    def fold(self, check: Check) -> None:
        """Take note of what another process saw."""
        if check.origin != self._origin:
            self._apply(check)

    def flush(self, now: float) -> None:
        """Tell others of every lookup that they were not told of."""
        for scope, known in list(self._scopes.items()):
            if known.round.lookups:
                self._tell(scope, known, now)

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
        if known.trial > 0 or known.off_until:
            return 1.0
        doubtful = known.alarm.evidence > 1
        return min(1.0, self._limits.shadow * (_DOUBTFUL if doubtful else 1.0))

    def _round(self, known: _Scope) -> _Round:
        opened = known.round
        if not opened.lookups and not opened.drawn:
            opened.share = self._share(known)
        return opened

    def _count(self, scope: bytes, hits: int, now: float) -> None:
        """A lookup that is not compared. While a long round waits for its end, none is counted, hit or not."""
        known = self._scope(scope)
        opened = self._round(known)
        if opened.lookups >= _TOLD and opened.drawn:
            return
        opened.lookups += 1
        opened.hits += hits
        self._close_round(scope, known, now)

    def _close_round(self, scope: bytes, known: _Scope, now: float) -> None:
        opened = known.round
        opened.drawn = [at for at in opened.drawn if at > now - _LOST]
        if not opened.drawn and (opened.checked or opened.lookups >= _TOLD):
            self._tell(scope, known, now)

    def _tell(self, scope: bytes, known: _Scope, now: float) -> None:
        done = known.round
        known.round = _Round(done.number + 1)
        if done.share > 0:
            counts = (done.lookups, done.hits, done.checked, done.wrong)
            check = Check(scope, self._origin, now, done.share, *counts, known.name)
            self.outbox.append(check)
            self._apply(check)

    def _apply(self, check: Check) -> None:
        known = self._scope(check.scope)
        known.name = known.name or check.name
        known.lookups += check.lookups
        known.hits += check.hits
        if known.off_until:
            if check.at < known.off_until:
                return
            self._try_again(known)
        known.alarm.observe(check.wrong, check.lookups, check.share)
        known.checked += check.checked
        known.wrong += check.wrong
        known.trial -= check.checked
        if known.alarm.raised:
            known.off_until = check.at + self._limits.rest
            known.times_off += 1

    def _try_again(self, known: _Scope) -> None:
        """On trial, each time for twice as long."""
        known.off_until = 0.0
        known.trial = self._limits.first * 2 ** min(known.times_off, 10)
        known.checked = known.wrong = known.lookups = known.hits = 0
        known.alarm = self._new_alarm()
