"""What a report tells: one tree of numbers, from which the terminal, JSON, Markdown and the page are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from thrift_plugins.ledger.rollup import Rollup
from thrift_plugins.ledger.summary import Line
from thrift_plugins.report.actions import Action, actions
from thrift_plugins.report.soundness import Soundness, soundness
from thrift_plugins.report.waterfall import Checked, Step, checked, checked_features, waterfall
from thrift_plugins.report.wording import digits_of

State: TypeAlias = Literal["holds", "broken", "not known yet"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a quality gate says of a tactic in a feature.

    Attributes:
        evidence: for people: how many requests were compared, and what is sure of the difference.
    """

    tactic: str
    feature: str
    state: State
    evidence: str


@dataclass(frozen=True, slots=True)
class Story:
    """A ledger, told.

    Attributes:
        rollup: every sum.
        check: what the holdout says of the whole.
        checks: the same by feature.
        steps: from what the app alone would have paid to what was paid.
        sound: all answers, as far as a ledger sees their quality.
        sound_by_feature: the same by feature.
        actions: what to do next.
        verdicts: of a quality gate, where one is on.
        digits: after the point of every amount that is shown.
    """

    rollup: Rollup
    check: Checked
    checks: dict[str, Checked]
    steps: list[Step]
    sound: Soundness
    sound_by_feature: list[Soundness]
    actions: list[Action]
    verdicts: tuple[Verdict, ...]
    digits: int

    @property
    def total(self) -> Line:
        """The whole bill."""
        return self.rollup.total

    @property
    def days(self) -> tuple[str, str] | None:
        """First and last day (of UTC); None where there is no call."""
        days = self.rollup.by["day"]
        return (min(days), max(days)) if days else None


def tell(rollup: Rollup, *, verdicts: Sequence[Verdict] = ()) -> Story:
    """Tell what a ledger says.

    Args:
        rollup: its sums.
        verdicts: of a quality gate.
    """
    check = checked(rollup.total, rollup.holdout.total())
    whole, each = soundness(rollup)
    return Story(
        rollup=rollup,
        check=check,
        checks=checked_features(rollup.by["feature"], rollup.holdout),
        steps=waterfall(rollup.total, check),
        sound=whole,
        sound_by_feature=each,
        actions=actions(rollup, check),
        verdicts=tuple(verdicts),
        digits=digits_of(rollup.total.baseline),
    )
