"""What became of the lookups of a cache, by tenant and feature."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from thrift_plugins.types import Scope

Ending: TypeAlias = Literal["hits", "misses", "passed"]

_MOST_SCOPES = 10_000
_OTHERS = ("(others)", "(others)")


@dataclass(slots=True)
class Count:
    """Lookups of one tenant's feature.

    Attributes:
        passed: calls that are not answered from a cache, for the reasons in `Tally.reasons`.
        saved_input, saved_output: tokens of the calls that were not made, where their model had said them.
    """

    hits: int = 0
    misses: int = 0
    passed: int = 0
    saved_input: int = 0
    saved_output: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of all calls that were answered from the cache."""
        calls = self.hits + self.misses + self.passed
        return self.hits / calls if calls else 0.0


@dataclass(slots=True)
class Tally:
    """Counts of one cache object; nothing is written anywhere. From the 10,000th tenant and feature on, they share a line.

    Attributes:
        by_scope: (tenant, feature) to its counts.
        reasons: why calls passed by, and why answers were not kept.
        outages: lookups and updates that the store did not do.
    """

    by_scope: defaultdict[tuple[str, str], Count] = field(default_factory=lambda: defaultdict(Count))
    reasons: Counter[str] = field(default_factory=Counter)
    outages: int = 0

    def add(self, scope: Scope, ending: Ending, saved: tuple[int, int] = (0, 0)) -> None:
        """Count a lookup.

        Args:
            saved: input and output tokens that were not paid for.
        """
        name = (scope.tenant, scope.feature)
        count = self.by_scope[name if name in self.by_scope or len(self.by_scope) < _MOST_SCOPES else _OTHERS]
        setattr(count, ending, getattr(count, ending) + 1)
        count.saved_input += saved[0]
        count.saved_output += saved[1]

    @property
    def total(self) -> Count:
        """The sum of all lines."""
        counts = list(self.by_scope.values())
        return Count(*(sum(getattr(count, name) for count in counts) for name in Count.__slots__))
