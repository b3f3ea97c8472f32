"""Which sentences stay: the likeliest that fit into a budget of tokens, or all that are likely enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.compression.vectors import Floats, Indices

Mask = NDArray[np.bool_]


def chances(scores: Floats) -> Floats:
    """(S,) the share of each sentence in what is needed: they add up to 1."""
    if not len(scores):
        return scores
    whole = np.exp(scores - scores.max())
    found: Floats = whole / whole.sum()
    return found


def within(
    scores: Floats,
    sizes: Sequence[float] | NDArray[np.float64],
    passage: Indices,
    heads: Sequence[float] | NDArray[np.float64],
    tokens: float,
    alike: Sequence[int] | None = None,
) -> Mask:
    """The best sentences that `tokens` have room for, each that fits in turn. At least one.

    Args:
        scores: (S,) log odds.
        sizes: (S,) tokens of each.
        passage: (S,) whose it is.
        heads: (D,) tokens that a passage costs once where any of it stays: its title, its number.
        alike: (S,) the same number for sentences that say the same, of which one is enough.
    """
    kept = np.zeros(len(scores), bool)
    said: set[int] = set()
    opened: set[int] = set()
    left = float(tokens)
    costs, owners, fronts = [*map(float, sizes)], passage.tolist(), [*map(float, heads)]
    least = min(costs, default=0.0)
    for place in np.argsort(-scores, kind="stable").tolist():
        own = owners[place]
        cost = costs[place] + (0.0 if own in opened else fronts[own])
        if cost <= left and (alike is None or alike[place] not in said):
            if alike is not None:
                said.add(alike[place])
            left -= cost
            kept[place] = True
            opened.add(own)
            if left < least:
                break
    return kept if kept.any() or not len(scores) else best(scores)


def likely(scores: Floats, least: float) -> Mask:
    """All whose chance is at least `least` of that of the best. The best always is."""
    if not len(scores):
        return np.zeros(0, bool)
    found: Mask = scores - scores.max() >= np.log(max(least, 1e-30))
    return found


def best(scores: Floats) -> Mask:
    """The best alone."""
    kept = np.zeros(len(scores), bool)
    kept[int(np.argmax(scores))] = True
    return kept
