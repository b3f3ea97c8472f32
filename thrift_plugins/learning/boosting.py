"""Boosted trees for yes or no, on numpy: shallow, complete trees grown on binned features, small enough for JSON.

For models of some ten thousand rows and some tens of features. Fitting is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_BINS = 64
_MOST_TREES, _MOST_DEPTH = 2_000, 8


@dataclass(frozen=True)
class BoostedTrees:
    """A fitted model. Node n of a tree has the children 2n + 1 (value at most the threshold) and 2n + 2.

    Attributes:
        width: how many features a row has.
        base: log odds before the first tree.
        features: which feature each inner node looks at, (trees, 2^depth - 1).
        thresholds: what it compares with, of the same shape.
        leaves: log odds that each leaf adds, (trees, 2^depth).
    """

    width: int
    base: float
    features: Ints
    thresholds: Floats
    leaves: Floats

    def __post_init__(self) -> None:
        trees, inner = self.features.shape
        if self.thresholds.shape != (trees, inner) or self.leaves.shape != (trees, inner + 1) or inner & (inner + 1):
            raise ValueError(
                f"trees of shapes {self.features.shape}, {self.thresholds.shape}, {self.leaves.shape} do not fit"
            )
        if trees > _MOST_TREES or inner >= 1 << _MOST_DEPTH:
            raise ValueError(f"{trees} trees of {inner} nodes are more than {_MOST_TREES} of depth {_MOST_DEPTH}")
        if trees and not (self.features.min() >= 0 and self.features.max() < self.width):
            raise ValueError(f"a tree asks for a feature outside 0..{self.width - 1}")
        if not (np.isfinite(self.leaves).all() and np.isfinite(self.base) and not np.isnan(self.thresholds).any()):
            raise ValueError("a tree holds a number that is none")

    def log_odds(self, rows: Floats) -> Floats:
        """Log odds of yes for each row of (n, width)."""
        count, (trees, inner) = len(rows), self.features.shape
        features, thresholds, values = self.features.ravel(), self.thresholds.ravel(), rows.ravel()
        lines, first = np.arange(count)[:, None] * self.width, np.arange(trees) * inner  # flat places are found faster
        at = np.zeros((count, trees), np.intp)
        for _ in range(inner.bit_length()):
            node = at + first
            at = 2 * at + 1 + (values[features[node] + lines] > thresholds[node])
        found: Floats = self.leaves[np.arange(trees), at - inner].sum(axis=1) + self.base
        return found

    def probabilities(self, rows: Floats) -> Floats:
        """Probability of yes for each row of (n, width)."""
        return _logistic(self.log_odds(rows))

    def dump(self) -> dict[str, Any]:
        """As JSON. Thresholds to the last digit: they are values of examples, which are to fall on the same side again."""
        return {
            "width": self.width,
            "base": round(self.base, 7),
            "features": self.features.tolist(),
            "thresholds": self.thresholds.tolist(),
            "leaves": [[float(f"{value:.5g}") for value in tree] for tree in self.leaves.tolist()],
        }

    @classmethod
    def load(cls, found: Mapping[str, Any]) -> BoostedTrees:
        """Read back what `dump` gave.

        Raises:
            ValueError: it is not of that form, or holds numbers that cannot be.
        """
        try:
            return cls(
                int(found["width"]),
                float(found["base"]),
                np.asarray(found["features"], np.intp),
                np.asarray(found["thresholds"], np.float64),
                np.asarray(found["leaves"], np.float64),
            )
        except (KeyError, TypeError, IndexError, OverflowError) as error:
            raise ValueError(f"no boosted trees: {type(error).__name__}: {error}") from error


def fit_boosted(
    rows: Floats,
    answers: NDArray[np.bool_],
    *,
    weights: Floats | None = None,
    trees: int = 150,
    depth: int = 4,
    rate: float = 0.08,
    least: float = 20.0,
    ridge: float = 2.0,
) -> BoostedTrees:
    """Fit by Newton boosting of the log loss.

    Args:
        rows: (n, width), finite.
        answers: (n,), both values must occur.
        weights: (n,), each row's weight; 1 where not given.
        rate: how much of each tree's step is taken.
        least: weight of rows in a leaf, at least.
        ridge: penalty on the square of a leaf's value.

    Raises:
        ValueError: only one answer occurs, or shapes do not fit.
    """
    if rows.ndim != 2 or len(rows) != len(answers) or answers.all() or not answers.any():
        raise ValueError(
            f"cannot learn from {len(rows)} rows with {int(answers.sum())} yes among {len(answers)} answers"
        )
    weight = np.ones(len(rows)) if weights is None else weights
    edges = [np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1])) for column in rows.T]
    binned = np.stack([np.searchsorted(edge, column) for edge, column in zip(edges, rows.T, strict=True)], axis=1)
    share = float(np.average(answers, weights=weight))
    base = float(np.log(share / (1 - share)))
    grower = _Grower(binned, edges, depth, least, ridge)
    odds = np.full(len(rows), base)
    grown = []
    for _ in range(trees):
        chance = _logistic(odds)
        features, thresholds, values, leaf = grower.grow(
            weight * (answers - chance), weight * chance * (1 - chance), weight
        )
        odds += rate * values[leaf]
        grown.append((features, thresholds, rate * values))
    return BoostedTrees(rows.shape[1], base, *(np.stack(part) for part in zip(*grown, strict=True)))


class _Grower:
    """Grows one complete tree after the other on the same binned rows."""

    def __init__(self, binned: Ints, edges: list[Floats], depth: int, least: float, ridge: float) -> None:
        self._binned, self._edges, self._depth, self._least, self._ridge = binned, edges, depth, least, ridge
        self._width = binned.shape[1]
        self._cell = binned + np.arange(self._width) * _BINS  # a cell for each feature and bin
        self._possible = np.zeros((self._width, _BINS), bool)
        for feature, edge in enumerate(edges):
            self._possible[feature, : len(edge)] = True

    def grow(self, slope: Floats, curve: Floats, weight: Floats) -> tuple[Ints, Floats, Floats, Ints]:
        """Features and thresholds of the inner nodes, values of the leaves, and each row's leaf."""
        inner = (1 << self._depth) - 1
        features, thresholds = np.zeros(inner, np.intp), np.full(inner, np.inf)
        at = np.zeros(len(slope), np.intp)  # place in its level
        for level in range(self._depth):
            first, nodes = (1 << level) - 1, 1 << level
            feature, cut = self._splits(at, nodes, slope, curve, weight)
            features[first : first + nodes] = feature
            split = cut >= 0
            thresholds[first : first + nodes][split] = [
                self._edges[f][c] for f, c in zip(feature[split], cut[split], strict=True)
            ]
            limit = np.where(split, cut, _BINS)
            at = 2 * at + (self._binned[np.arange(len(at)), feature[at]] > limit[at])
        leaves = 1 << self._depth
        values = np.bincount(at, slope, leaves) / (np.bincount(at, curve, leaves) + self._ridge)
        return features, thresholds, values, at

    def _splits(self, at: Ints, nodes: int, slope: Floats, curve: Floats, weight: Floats) -> tuple[Ints, Ints]:
        """The best feature and bin to cut each node of a level at; bin -1 where no cut helps."""
        cells = (self._cell + (at * self._width * _BINS)[:, None]).ravel()
        shape = (nodes, self._width, _BINS)

        def left(values: Floats) -> Floats:
            sums = np.bincount(cells, np.repeat(values, self._width), nodes * self._width * _BINS)
            sums = sums.reshape(shape).astype(np.float64)
            return sums.cumsum(axis=2, dtype=np.float64)

        slopes, curves, weights = left(slope), left(curve), left(weight)

        def worth(slopes: Floats, curves: Floats) -> Floats:
            return slopes**2 / (curves + self._ridge)

        all_slope, all_curve, all_weight = slopes[..., -1:], curves[..., -1:], weights[..., -1:]
        gain = worth(slopes, curves) + worth(all_slope - slopes, all_curve - curves) - worth(all_slope, all_curve)
        allowed = self._possible & (weights >= self._least) & (all_weight - weights >= self._least)
        gain = np.where(allowed, gain, 0.0).reshape(nodes, -1)
        best = gain.argmax(axis=1)
        feature, cut = np.divmod(best, _BINS)
        return feature, np.where(gain[np.arange(nodes), best] > 0, cut, -1)


def _logistic(odds: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -40.0, 40.0)))
