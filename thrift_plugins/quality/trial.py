"""What is known of one tactic in one feature: a verdict that may be looked at after every answer, for as long as one likes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.learning.sequential import Excess, mean_bounds

Verdict: TypeAlias = Literal["holds", "broken", "not known yet"]

FALSE_HOLDS: Final = 0.05
"""The chance that a drop as large as the margin is ever said to hold."""

FALSE_ALARMS: Final = 0.01
"""The chance that a drop within the margin ever raises the alarm."""

_ANEW: Final = 250
"""Comparisons after which the search for a drop begins anew beside the old one, for one that came later."""


class Limits(NamedTuple):
    """The drops that are refuted, or exceeded, for a verdict: the margin, as far as the judge shows it."""

    holds_below: float
    broken_above: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tactic does in a feature. A drop is the share of worse answers without that of better ones.

    Attributes:
        tactic: "cache", "semantic", "routing", "budget" and so on, or "all" for all that act on a call together.
        verdict: "holds": the drop is below the margin; "broken": it is above; or that it is not known yet.
        compared: answers that were compared with what would have been answered without the tactic.
        unjudged: answers of which the judge could not say anything.
        unasked: answers that were drawn, and for which there was no room in the budget.
        drop: of those that were compared, as the judge sees it.
        low: lower bound of that, right at all times with a chance of 95 %.
        high: upper bound.
        complaints: share of flawed answers and complaints above that of the calls that are left alone; None for a tactic,
            and where there are none of those.
        off_since: when the tactic was rolled back, in seconds since the epoch; 0.0 where it is on.
        why: what led to that, in words.
    """

    tactic: str
    feature: str
    verdict: Verdict
    compared: int
    better: int
    same: int
    worse: int
    unjudged: int
    unasked: int
    drop: float
    low: float
    high: float
    complaints: float | None = None
    off_since: float = 0.0
    why: str = ""


class Trial:
    """Collects judgements on a tactic in a feature, and complaints.

    Args:
        limits: see `Limits`.
        complaints: the most that flawed answers and complaints may be above those of calls that are left alone; None where
            nobody looks at those. With it, each of the two searches for a drop has half of the chance of a false alarm.
    """

    def __init__(self, limits: Limits, complaints: float | None = None) -> None:
        self.limits = limits
        self.unjudged = self.unasked = 0
        alarms = FALSE_ALARMS if complaints is None else FALSE_ALARMS / 2
        self._counts: Counter[float] = Counter()
        self._drop = Excess(limits.broken_above, alarms, anew=_ANEW)
        self._good = Excess(-limits.holds_below, FALSE_HOLDS)
        self._complaints = None if complaints is None else Excess(complaints, alarms, anew=_ANEW)
        self._complained = 0.0
        self._verdict: Verdict = "not known yet"

    @property
    def verdict(self) -> Verdict:
        """What may be said now. What is broken stays so; what holds does until it is shown to be broken."""
        return self._verdict

    @property
    def why(self) -> str:
        """What is broken, in words for people."""
        if self._drop.shown:
            worse, better = self._counts[1.0], self._counts[-1.0]
            return f"{worse} of {self._counts.total()} answers that were compared are worse, {better} better"
        if self._complaints is not None and self._complaints.shown:
            return f"flawed answers and complaints are {self._mean_complaint():.1%} above those of calls that are left alone"
        return ""

    def judged(self, loss: float, times: int = 1) -> None:
        """Take note of judgements: 1 for a worse answer, 0 for one as good, -1 for a better one."""
        self._counts[loss] += times
        self._drop.observe(loss, times)
        self._good.observe(-loss, times)
        self._settle()

    def complained(self, excess: float) -> None:
        """Take note of how much more often than a call that was left alone those of a feature were flawed or complained of."""
        if self._complaints is not None:
            self._complaints.observe(excess)
            self._complained += excess
            self._settle()

    def standing(self, tactic: str, feature: str) -> Standing:
        """For people."""
        counts, total = self._counts, self._counts.total()
        drop = (counts[1.0] - counts[-1.0]) / total if total else 0.0
        watched = self._complaints is not None and self._complaints.count > 0
        return Standing(
            tactic, feature, self._verdict, total, counts[-1.0], counts[0.0], counts[1.0], self.unjudged, self.unasked,
            drop, *mean_bounds(counts), complaints=self._mean_complaint() if watched else None, why=self.why,
        )  # fmt: skip

    def _mean_complaint(self) -> float:
        return self._complained / self._complaints.count if self._complaints and self._complaints.count else 0.0

    def _settle(self) -> None:
        if self._drop.shown or (self._complaints is not None and self._complaints.shown):
            self._verdict = "broken"
        elif self._good.shown:
            self._verdict = "holds"
