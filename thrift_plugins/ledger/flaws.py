"""Answers that something was wrong with, by feature, in the holdout and outside of it, and what was paid for them.

Nobody has judged these answers. That one was cut, refused or never came is seen without a judge, on all traffic, and costs
nothing to see; an answer that is whole may still be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from thrift_plugins.ledger.leaks import ending, remarkable
from thrift_plugins.ledger.summary import is_call
from thrift_plugins.types import Nano

ORPHANED: Final = "Orphaned"
OVER_BUDGET: Final = "BudgetExceeded"

KINDS: Final = ("cut", "refused", "failed")
"""Cut at the output limit; refused or filtered by the model or its provider; ended in an error of the model or the app."""

_REPAIRED: Final = " rejected ("
"""In what the ledger notes of a cheaper answer that could not stand."""


@dataclass(slots=True)
class Arm:
    """The calls of a feature on one side of the holdout.

    Attributes:
        calls: all that the app made.
        unjudged: of them, those that say nothing about answers: refused by a budget, given up by the app, or gone with
            their process.
        flaws: kind to how many answers had it.
        paid: kind to what was paid for those calls, in nano-dollars.
        escalated: calls in which a cheaper answer could not stand and a stronger model was asked; no flaw of the answer.
    """

    calls: int = 0
    unjudged: int = 0
    flaws: Counter[str] = field(default_factory=Counter)
    paid: dict[str, Nano] = field(default_factory=dict)
    escalated: int = 0

    @property
    def answers(self) -> int:
        """Calls that should have had an answer."""
        return self.calls - self.unjudged

    @property
    def sound(self) -> float | None:
        """Share of them that had a whole one; None where there were none."""
        return 1 - self.flaws.total() / self.answers if self.answers > 0 else None

    def merge(self, other: Arm) -> None:
        """Add the calls of another feature."""
        self.calls += other.calls
        self.unjudged += other.unjudged
        self.escalated += other.escalated
        self.flaws.update(other.flaws)
        for kind, amount in other.paid.items():
            self.paid[kind] = self.paid.get(kind, 0) + amount


@dataclass(slots=True)
class Flaws:
    """Adds up what is remarkable of ledger records.

    Attributes:
        treated: by feature, calls that tactics could change; their `calls` are filled in at the end.
        held: by feature, calls in the holdout.
    """

    treated: dict[str, Arm] = field(default_factory=dict)
    held: dict[str, Arm] = field(default_factory=dict)

    def hold(self, feature: str) -> None:
        """Count a call of the holdout."""
        (self.held.get(feature) or self.held.setdefault(feature, Arm())).calls += 1

    def look(self, entry: Mapping[str, Any]) -> None:
        """Add what is remarkable of a record, without counting it."""
        if not is_call(entry):
            return
        arms = self.held if entry.get("extra", {}).get("holdout") else self.treated
        arm = arms.get(entry["feature"]) or arms.setdefault(entry["feature"], Arm())
        arm.escalated += any(_REPAIRED in what for what in entry["fallbacks"])
        kind = _kind(entry)
        if kind in KINDS:
            arm.flaws[kind] += 1
            arm.paid[kind] = arm.paid.get(kind, 0) + entry["bill"]["actual"]
        elif kind:
            arm.unjudged += 1

    def count(self, calls: Mapping[str, int]) -> None:
        """Fill in how many calls were treated.

        Args:
            calls: by feature, all that the app made.
        """
        for feature, count in calls.items():
            held = self.held.get(feature)
            self.treated.setdefault(feature, Arm()).calls = count - (held.calls if held else 0)


def flaws(entries: Iterable[Mapping[str, Any]]) -> Flaws:
    """Count over ledger records in one pass."""
    found, calls = Flaws(), Counter[str]()
    for entry in entries:
        calls[entry["feature"]] += is_call(entry)
        if entry.get("extra", {}).get("holdout"):
            found.hold(entry["feature"])
        if remarkable(entry) or entry["fallbacks"]:
            found.look(entry)
    found.count(calls)
    return found


def _kind(entry: Mapping[str, Any]) -> str:
    """One of `KINDS`, "unjudged", or "" for an answer that is whole."""
    if entry["outcome"] in ("aborted", "cancelled") or entry["error"] in (ORPHANED, OVER_BUDGET):
        return "unjudged"
    return "failed" if entry["outcome"] == "error" else ending(entry)
