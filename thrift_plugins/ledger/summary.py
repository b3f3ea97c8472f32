"""Adds up bills: the whole, by tactic, and by feature. Integers only, so every sum closes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thrift_plugins.types import Nano


def is_call(entry: Mapping[str, Any]) -> bool:
    """Whether somebody asked for it: not so a call of our own accord, and a line that stands for lost events or for a remark."""
    extra = entry.get("extra", {})
    return "lost" not in extra and "quality" not in extra and not extra.get("cache", {}).get("renewal")


@dataclass(slots=True)
class Line:
    """Sums over some calls. Money in nano-dollars.

    Attributes:
        by_tactic: what each tactic saved, its overheads not yet taken off.
        overheads: what each tactic paid beside the answers; never positive.
        outcomes: calls by how they ended.
        unpriced: calls by the model that has no price; they are in no sum of money.
        apart: what priced models were paid in such calls.
        estimated: calls whose tokens we counted ourselves.
        lost: events that are missing, because the log was down for too long.
    """

    requests: int = 0
    baseline: Nano = 0
    actual: Nano = 0
    by_tactic: Counter[str] = field(default_factory=Counter)
    overheads: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    apart: Nano = 0
    estimated: int = 0
    lost: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)

    @property
    def saved_fraction(self) -> float:
        """Share of the baseline that was not paid."""
        return (self.baseline - self.actual) / self.baseline if self.baseline else 0.0

    def closes(self) -> bool:
        """Rows, overheads and actual add up to the baseline."""
        return sum(self.by_tactic.values()) + sum(self.overheads.values()) + self.actual == self.baseline

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one ledger record."""
        priced = entry["bill"]
        if "extra" not in entry or is_call(entry):
            self.requests += 1
            self.outcomes[entry["outcome"]] += 1
        else:
            self.lost += entry["extra"].get("lost", 0)
        self.baseline += priced["baseline"]
        self.actual += priced["actual"]
        for tactic, amount in priced["rows"].items():
            self.by_tactic[tactic] += amount
        for tactic, amount in priced["overheads"].items():
            self.overheads[tactic] += amount
        if priced["unpriced"]:  # to update a Counter with nothing takes as long as all of the rest
            self.unpriced.update(priced["unpriced"])
            self.apart += priced.get("apart", 0)
        if entry["fallbacks"]:
            self.fallbacks.update(entry["fallbacks"])
        if entry["usage"].get("source") == "estimated":
            self.estimated += 1

    def merge(self, other: Line) -> None:
        """Add the sums of other calls."""
        self.requests += other.requests
        self.baseline += other.baseline
        self.actual += other.actual
        self.apart += other.apart
        self.estimated += other.estimated
        self.lost += other.lost
        for name in ("by_tactic", "overheads", "outcomes", "unpriced", "fallbacks"):
            mine, theirs = getattr(self, name), getattr(other, name)
            for key, amount in theirs.items():  # not `+`, which drops what is negative
                mine[key] += amount


@dataclass(slots=True)
class Summary:
    """The whole bill and its parts by feature."""

    total: Line = field(default_factory=Line)
    by_feature: dict[str, Line] = field(default_factory=dict)


def summarise(entries: Iterable[Mapping[str, Any]]) -> Summary:
    """Add up ledger records (see `Ledger.records`) in one pass."""
    summary = Summary()
    for entry in entries:
        summary.total.add(entry)
        summary.by_feature.setdefault(entry["feature"], Line()).add(entry)
    return summary
