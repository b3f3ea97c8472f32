"""The way from what the app alone would have paid to what was paid, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from thrift_plugins.ledger.holdout import Comparison, Holdout
from thrift_plugins.ledger.summary import Line
from thrift_plugins.types import Nano

Kind: TypeAlias = Literal["before", "saved", "beside", "paid"]


@dataclass(frozen=True, slots=True)
class Checked:
    """All that the ledger claims to have saved, beside what the holdout says of it. Money in nano-dollars.

    What the holdout cannot check, because a feature has too few calls in it, is taken as booked.

    Attributes:
        claimed: as booked: baseline less what was paid.
        measured: None where the holdout says nothing.
        low: with `high`, the interval of 95 %.
        share: of the baseline, that is checked.
        agrees: whether the claim, corrected by the holdout, is in the interval; None where there is none.
    """

    claimed: Nano
    measured: Nano | None = None
    low: Nano | None = None
    high: Nano | None = None
    share: float = 0.0
    agrees: bool | None = None


def checked(line: Line, told: Comparison) -> Checked:
    """What the holdout says of a whole bill, of which it has compared a part."""
    claimed = line.baseline - line.actual
    if told.measured is None:
        return Checked(claimed)
    measured, low, high = (claimed - told.booked + round(value) for value in told.measured)
    share = told.baseline / line.baseline if line.baseline > 0 else 0.0
    return Checked(claimed, measured, low, high, min(1.0, share), told.agrees)


def checked_features(lines: dict[str, Line], holdout: Holdout) -> dict[str, Checked]:
    """What the holdout says of each feature's bill."""
    told = holdout.by_feature()
    return {name: checked(line, told[name]) for name, line in lines.items() if name in told}


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a waterfall. Money in nano-dollars.

    Attributes:
        tactic: whose row; "" for the first and the last.
        amount: what it adds to the bill: negative where something was saved.
        start: the bill before it; 0 for the first and the last, which stand on the ground.
        end: the bill after it.
        low: with `high`, where `end` lies with a confidence of 95 %, for the first where the holdout can tell.
    """

    kind: Kind
    tactic: str
    amount: Nano
    start: Nano
    end: Nano
    low: Nano | None = None
    high: Nano | None = None

    @property
    def name(self) -> str:
        """For people."""
        match self.kind:
            case "before":
                return "without thrift-plugins"
            case "saved":
                return f"saved by {self.tactic}"
            case "beside":
                return f"paid beside the answers by {self.tactic}"
            case "paid":
                return "paid"


def waterfall(line: Line, check: Checked | None = None) -> list[Step]:
    """The steps of a bill, the largest saving first. They add up to the nano-dollar, whatever tactics there are."""
    low = high = None
    if check is not None and check.low is not None and check.high is not None:
        low, high = line.actual + check.low, line.actual + check.high
    steps = [Step("before", "", line.baseline, 0, line.baseline, low, high)]
    for tactic, amount in sorted(line.by_tactic.items(), key=lambda item: (-item[1], item[0])):
        steps.append(_step("saved", tactic, -amount, steps[-1].end))
    for tactic, amount in sorted(line.overheads.items()):
        steps.append(_step("beside", tactic, -amount, steps[-1].end))
    return [*steps, Step("paid", "", line.actual, 0, line.actual)]


def _step(kind: Kind, tactic: str, amount: Nano, before: Nano) -> Step:
    return Step(kind, tactic, amount, before, before + amount)
