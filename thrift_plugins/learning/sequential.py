"""What may be said about a rate while it is still being watched, at any time and as often as one looks.

Both tools bet against a claim and call it refuted when the bets have won a lot (Ville's inequality): the chance that a
true claim is ever refuted stays below a number given beforehand, however long one watches and whenever one stops.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

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

    def _start(self) -> None:
        self._starts += 1
        stake = 1 / (self._starts * (self._starts + 1))  # which sum up to 1 over all starts there may ever be
        self._won = [won + stake for won in self._won]


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
