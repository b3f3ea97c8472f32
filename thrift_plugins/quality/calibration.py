"""How far a judge can be trusted, and what that makes of a margin.

A judge that takes worse for better in a share e of the pairs shows only (1 - 2e) of a drop, so a drop is held against
that much less of the margin. One that calls two equal answers different, in one direction, shows a drop where there is
none. Both are known from a sample of labelled pairs, so both are bounds: the one that makes a verdict harder counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from thrift_plugins.errors import ConfigError
from thrift_plugins.learning.sequential import mean_bounds

_DOUBT = 0.05
_FEW = 20
"""Pairs of a kind below which nothing is known of a judge."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a judge makes of a drop.

    Attributes:
        shown: the share of a drop that it shows, 1 - 2e: lower and upper bound.
        bias: the drop that it sees between equal answers: lower and upper bound.
        pairs: labelled pairs that this is known from; 0 where it is assumed.
    """

    shown: tuple[float, float] = (1.0, 1.0)
    bias: tuple[float, float] = (0.0, 0.0)
    pairs: int = 0

    @classmethod
    def flips(cls, share: float, at_most: float | None = None) -> Calibration:
        """Of a judge that is wrong in this share of the pairs, or in some share between the two.

        Raises:
            ConfigError: a share that cannot be.
        """
        most = share if at_most is None else at_most
        if not 0 <= share <= most < 0.5:
            raise ConfigError(f"a judge must be wrong in fewer than half of the pairs, not in {share} to {most}")
        return cls((1 - 2 * most, 1 - 2 * share))

    @property
    def flip(self) -> float:
        """The share of the pairs in which it takes worse for better, or better for worse; the middle of the bounds."""
        return (1 - sum(self.shown) / 2) / 2

    def holds_below(self, margin: float) -> float:
        """The drop that must be refuted before a drop of the margin is."""
        return max(self.shown[0], 0.0) * margin + min(self.bias[0], 0.0)

    def broken_above(self, margin: float) -> float:
        """The drop that must be exceeded before the margin is."""
        return max(self.shown[1], 0.0) * margin + max(self.bias[1], 0.0)


def calibrated(counts: Counter[tuple[Any, Any]]) -> Calibration:
    """From how often a judge said what of pairs whose truth is known.

    Args:
        counts: (truth, said) to how often: each the loss of the served answer, -1, 0 or 1.

    Raises:
        ConfigError: too few pairs.
    """
    shown, bias = Counter[float](), Counter[float]()
    for (truth, said), times in counts.items():
        if truth:
            shown[truth * said] += times
        else:
            bias[said] += times
    if shown.total() < _FEW:
        raise ConfigError(
            f"a judge is known from {_FEW} pairs or more with one better answer, not from {shown.total()}"
        )
    equal = mean_bounds(bias, doubt=_DOUBT) if bias.total() >= _FEW else (0.0, 0.0)
    return Calibration(mean_bounds(shown, doubt=_DOUBT), equal, counts.total())
