"""Whether an app's traffic still looks like what a router was trained on. Where it does not, the strong model serves.

What is compared is how much worse than the baseline the cheapest tier is expected to be: its histogram over the latest
requests of a feature against that of the examples (population stability index), and how often cheap answers are rejected.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Final

WINDOW: Final = 300
"""Requests of a feature after which it is looked at."""

LIMIT: Final = 0.25
"""Of the index, from which traffic has changed; below 0.1 it has not (the usual reading)."""

_BACK: Final = 0.15  # below which it is as it was
_BINS: Final = 10
_FEATURES: Final = 1_000
_LEAST: Final = 1e-3  # of a share, so that an empty bin is no infinity


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of values between edges.

    Attributes:
        edges: rising.
        shares: one more than edges.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def fit(cls, values: Sequence[float]) -> Histogram:
        """Bins of about as many values each."""
        ranked = sorted(values)
        edges = sorted({round(ranked[len(ranked) * part // _BINS], 6) for part in range(1, _BINS)}) if ranked else []
        return cls(tuple(edges), _shares(edges, values))

    @classmethod
    def of(cls, edges: Any, shares: Any) -> Histogram:
        """Read back.

        Raises:
            ValueError: it is none.
        """
        told = [*edges, *shares]
        if (
            not all(type(number) in (int, float) and isfinite(number) for number in told)
            or len(shares) != len(edges) + 1
        ):
            raise ValueError("a histogram that is none")
        if list(edges) != sorted(edges) or min(shares) < 0:
            raise ValueError("a histogram that is none")
        return cls(tuple(edges), tuple(shares))

    def distance(self, counts: Sequence[int]) -> float:
        """The population stability index of as many counts as there are bins."""
        whole = sum(counts) or 1
        pairs = [
            (max(count / whole, _LEAST), max(share, _LEAST)) for count, share in zip(counts, self.shares, strict=True)
        ]
        return sum((now - then) * log(now / then) for now, then in pairs)


def _shares(edges: Sequence[float], values: Sequence[float]) -> tuple[float, ...]:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return tuple(round(count / max(1, len(values)), 6) for count in counts)


@dataclass(slots=True)
class _Feature:
    counts: list[int]
    off: bool = False
    index: float = 0.0
