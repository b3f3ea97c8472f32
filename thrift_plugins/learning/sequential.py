"""What may be said about a rate while it is still being watched, at any time and as often as one looks.

All tools here bet against a claim and call it refuted when the bets have won a lot (Ville's inequality): the chance that a
true claim is ever refuted stays below a number given beforehand, however long one watches and whenever one stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, lgamma, log, log1p

_FACTORS = (2.0, 4.0, 8.0, 16.0)
"""How many times the allowed rate each bettor believes in."""


class Alarm:
    """Raised when something happens more often than is allowed; a false alarm has a small chance, once and for all.

    Bettors who believe in 2 to 16 times the allowed rate start at the beginning, and again each time that one more event
    would have been allowed, with ever less money: so a long good time does not hide that things turn bad.

    Args:
        allowed: rate of events at or below which a false alarm has at most the chance `false_alarms`.
    """

    def __init__(self, allowed: float, *, false_alarms: float = 0.01) -> None:
        if not 0 < allowed < 1 or not 0 < false_alarms < 1:
            raise ValueError(f"both rates must be between 0 and 1, not {allowed} and {false_alarms}")
        self._allowed = allowed
        self._enough = 1 / false_alarms
        self._rates = [min(factor * allowed, (1 + allowed) / 2) for factor in _FACTORS]
        self._won = [0.0] * len(_FACTORS)
        self._exposure = 0.0
        self._starts = 0
        self.raised = False
        self._start()

    @property
    def evidence(self) -> float:
        """What one unit of money has become; it is 1 or more with probability 1/evidence at most, if all is well."""
        return sum(self._won) / len(self._won) + 1 / (self._starts + 1)

    def observe(self, events: int, trials: int, seen: float = 1.0) -> None:
        """Take note of trials, of which so many were events.

        Args:
            seen: the share of events that are seen at all, each by chance. It must not depend on the trials themselves.
        """
        allowed = self._allowed * seen
        for place, rate in enumerate(self._rates):
            gain = events * log(rate / self._allowed) + (trials - events) * (log1p(-rate * seen) - log1p(-allowed))
            self._won[place] *= exp(min(gain, _MOST))
        self.raised = self.raised or self.evidence >= self._enough
        self._exposure += trials * allowed
        while self._exposure >= self._starts:
            self._start()

    def state(self) -> list[float]:
        """What it has come to, so that it can go on elsewhere with `resumed`."""
        return [float(self.raised), self._exposure, float(self._starts), *self._won]

    @classmethod
    def resumed(cls, allowed: float, state: Sequence[float], *, false_alarms: float = 0.01) -> Alarm:
        """One that goes on where another of the same terms was. Raises `ValueError` where the state is none."""
        made = cls(allowed, false_alarms=false_alarms)
        raised, exposure, starts, *won = map(float, state)
        if len(won) != len(_FACTORS) or min(exposure, starts, *won) < 0:
            raise ValueError("no state of an alarm")
        made.raised, made._exposure, made._starts, made._won = bool(raised), exposure, int(starts), won
        return made

    def _start(self) -> None:
        self._starts += 1
        stake = 1 / (self._starts * (self._starts + 1))  # which sum up to 1 over all starts there may ever be
        self._won = [won + stake for won in self._won]


class Change:
    """Raised when something has begun to happen more often than is allowed, whenever that begins.

    It forgets how good things were before (Shiryaev and Roberts): as long as no more happens than is allowed, a false alarm
    comes after `patience` trials in the mean, or later.

    Args:
        allowed: rate of events.
    """

    def __init__(self, allowed: float, *, patience: float) -> None:
        if not 0 < allowed < 1 or patience < 1:
            raise ValueError(f"a rate between 0 and 1 and some patience, not {allowed} and {patience}")
        self._allowed, self._patience = allowed, patience
        self._rates = [min(factor * allowed, (1 + allowed) / 2) for factor in _CHANGES]
        self._won = [0.0] * len(_CHANGES)
        self.raised = False

    def observe(self, events: int, trials: int) -> None:
        """Take note of trials, of which so many were events."""
        for place, rate in enumerate(self._rates):
            gain = events * log(rate / self._allowed) + (trials - events) * (log1p(-rate) - log1p(-self._allowed))
            self._won[place] = min((self._won[place] + trials) * exp(min(gain, _MOST)), _RICHEST)
        self.raised = self.raised or sum(self._won) / len(self._won) >= self._patience

    def state(self) -> list[float]:
        """What it has come to, so that it can go on elsewhere with `resumed`."""
        return [float(self.raised), *self._won]

    @classmethod
    def resumed(cls, allowed: float, state: Sequence[float], *, patience: float) -> Change:
        """One that goes on where another of the same terms was. Raises `ValueError` where the state is none."""
        made = cls(allowed, patience=patience)
        raised, *won = map(float, state)
        if len(won) != len(_CHANGES) or min(won) < 0:
            raise ValueError("no state of a change")
        made.raised, made._won = bool(raised), won
        return made


_CHANGES = (1.4, 1.9, 2.6, 4.0)
"""Times the allowed rate that it may come to."""

_RICHEST = 1e200

_MOST = 300.0
"""Of a logarithm: more is refuted anyway, and exceeds what a float holds."""


def bounds(events: int, trials: int, *, doubt: float = 0.05) -> tuple[float, float]:
    """Lower and upper bound of a rate, right at all times at once but for a chance of `doubt`.

    A bet with the uniform mixture of all rates: those are kept that it has not refuted.
    """
    if trials == 0:
        return 0.0, 1.0
    mixture = lgamma(events + 1) + lgamma(trials - events + 1) - lgamma(trials + 2)

    def refuted(rate: float) -> bool:
        fit = (events * log(rate) if events else 0.0) + ((trials - events) * log1p(-rate) if trials > events else 0.0)
        return mixture - fit >= -log(doubt)

    likely = events / trials
    low = 0.0 if events == 0 else _edge(refuted, 0.0, likely)
    high = 1.0 if events == trials else _edge(refuted, 1.0, likely)
    return low, high


def _edge(refuted: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where rates begin to be refuted, between one that is and one that is not."""
    for _ in range(40):
        middle = (outside + inside) / 2
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside


class Excess:
    """Shows that the mean of numbers from -1 to 1 lies above a limit; wrongly with a small chance, once and for all.

    Bettors stake a fixed share of their money on each number, from little to nearly all. Most of the money bets from the
    beginning; the rest starts anew from time to time, so that a long good time does not hide that things turn bad.

    Args:
        limit: what the mean is said not to exceed, above -1 and below 1.
        doubt: the chance of refuting that where it is true, however long one watches.
        anew: numbers after which bettors start again; 0 for never, and then all money is there from the beginning.
    """

    def __init__(self, limit: float, doubt: float, *, anew: int = 0) -> None:
        if not -1 < limit < 1 or not 0 < doubt < 1:
            raise ValueError(f"the limit must be between -1 and 1, and doubt between 0 and 1, not {limit} and {doubt}")
        self._limit, self._enough, self._anew = limit, -log(doubt), anew
        self._gains: dict[float, list[float]] = {}
        self._won = [[log(_AT_FIRST if anew else 1.0)] * len(_SHARES)]
        self._starts = 1
        self.count = 0
        self.shown = False

    @property
    def evidence(self) -> float:
        """The logarithm of what one unit of money has become."""
        return _mean_of_logs([money for start in self._won for money in start]) + log(len(self._won))

    def observe(self, number: float, times: int = 1) -> None:
        """Take note of a number that came, so many times in a row."""
        gains = self._gains.get(number) or self._gain(number)
        richest = -inf
        for won in self._won:
            for place, gain in enumerate(gains):
                won[place] += gain * times
            richest = max(richest, *won)
        self.count += times
        if richest >= self._enough - log(len(self._won)):  # less cannot be enough
            self.shown = self.shown or self.evidence >= self._enough
        if self._anew and self.count >= self._starts * self._anew:
            self._start()

    def _gain(self, number: float) -> list[float]:
        gains = _gains(number, self._limit)
        if len(self._gains) < _KNOWN:
            self._gains[number] = gains
        return gains

    def _start(self) -> None:
        """The next part of the money bets. The poorest of many goes, which can only make a proof come later."""
        stake = (1 - _AT_FIRST) / (self._starts * (self._starts + 1))
        self._won.append([log(stake)] * len(_SHARES))
        self._starts += 1
        if len(self._won) > _MOST_STARTS:
            self._won.remove(min(self._won, key=max))


_SHARES = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8)
"""Of a bettor's money, staked on each number: the best share grows with how far the mean is above the limit."""

_AT_FIRST = 0.9
_MOST_STARTS = 16
_KNOWN = 64  # numbers whose gains are kept: a judge knows three


def mean_bounds(counts: Mapping[float, int], *, doubt: float = 0.05) -> tuple[float, float]:
    """Lower and upper bound of the mean of numbers from -1 to 1, right at all times at once but for a chance of `doubt`.

    Args:
        counts: number to how often it came.
    """
    seen = sum(counts.values())
    if not seen:
        return -1.0, 1.0
    mean = sum(number * times for number, times in counts.items()) / seen
    enough = -log(doubt / 2)

    def below(limit: float) -> bool:
        return _evidence(counts, limit) >= enough

    def above(limit: float) -> bool:
        return _evidence({-number: times for number, times in counts.items()}, -limit) >= enough

    low = _edge(below, _END, mean) if mean > _END and below(_END) else -1.0
    high = _edge(above, -_END, mean) if mean < -_END and above(-_END) else 1.0
    return low, high


_END = -1 + 1e-6
"""The lowest limit that can be refuted."""


def _gains(number: float, limit: float) -> list[float]:
    """The logarithm of what each bettor's money grows by."""
    if not -1 <= number <= 1:
        raise ValueError(f"{number} is not from -1 to 1")
    return [log1p(share * (number - limit) / (1 + limit)) for share in _SHARES]


def _evidence(counts: Mapping[float, int], limit: float) -> float:
    won = [0.0] * len(_SHARES)
    for number, times in counts.items():
        for place, gain in enumerate(_gains(number, limit)):
            won[place] += gain * times
    return _mean_of_logs(won)


def _mean_of_logs(logs: Sequence[float]) -> float:
    """The logarithm of the mean."""
    most = max(logs)
    return most + log(sum(exp(each - most) for each in logs) / len(logs))
