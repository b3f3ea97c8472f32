"""Whether an app's traffic still looks like what a router was trained on. Where it does not, the strong model serves.

What is compared is how much worse than the baseline the cheapest tier is expected to be: its histogram over the latest
requests of a feature against that of the examples, by the population stability index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log
from typing import TYPE_CHECKING, Any, Final

from thrift_plugins.forks import new_lock
from thrift_plugins.types import Decision, Reply, Request, Tier

if TYPE_CHECKING:
    from thrift_plugins.routing.learned import LearnedRouter

EVERY: Final = "*"
"""In the place of a feature: every one, where no example names any."""

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
    """The latest requests of a feature.

    Attributes:
        counts: how many fell into each bin.
        off: whether its traffic has changed.
    """

    counts: list[int]
    off: bool = False


class DriftGuard:
    """A learned router whose features go to the strong model while their traffic is not what it has learnt from.

    Every `WINDOW` requests of a feature its histogram is compared with that of the examples. A feature that has changed
    comes back when a later window looks as the examples did.

    Args:
        router: the one that is guarded.
    """

    def __init__(self, router: LearnedRouter) -> None:
        self.router = router
        self._features: OrderedDict[str, _Feature] = OrderedDict()
        self._lock = new_lock()

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier; see `Router.decide`."""
        decision = self.router.decide(request, tiers, baseline)
        feature = request.scope.feature
        known = self.router.drift.get(feature) or self.router.drift.get(EVERY)
        if known is None or decision.gap is None or not self._changed(feature, known, decision.gap):
            return decision
        top = decision.alternatives[-1] if decision.alternatives else decision.tier
        reasons = ("its traffic is not what was learnt from", *decision.reasons)
        return replace(
            decision, tier=top, name=tiers[top].name, policy="drift", reasons=reasons, alternatives=(), verify=None
        )

    def rejects(self, request: Request, reply: Reply, decision: Decision) -> str | None:
        """Why an answer must not stand; see `Verifier.rejects`."""
        return self.router.rejects(request, reply, decision)

    def changed(self) -> list[str]:
        """Features whose traffic has changed."""
        with self._lock:
            return sorted(name for name, feature in self._features.items() if feature.off)

    def _changed(self, name: str, known: Histogram, gap: float) -> bool:
        with self._lock:
            feature = self._features.setdefault(name, _Feature([0] * len(known.shares)))
            self._features.move_to_end(name)
            if len(self._features) > _FEATURES:
                self._features.popitem(last=False)
            feature.counts[bisect_right(known.edges, gap)] += 1
            if sum(feature.counts) >= WINDOW:
                index = known.distance(feature.counts)
                feature.off = index > (_BACK if feature.off else LIMIT)
                feature.counts = [0] * len(known.shares)
            return feature.off
