"""Kernel ridge regression as a classifier, with the scores that each example would get had it not been learnt from.

Those leave-one-out scores are exact and cost no further fit, so that all examples serve both to learn and to calibrate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Fitted(NamedTuple):
    """What was learnt from n examples.

    Attributes:
        weights: (n, k), by which similarities to the examples are multiplied to give scores.
        left_out: (n, k), the scores of each example by all others.
    """

    weights: Floats
    left_out: Floats


def coded(classes: Indices, count: int, *, balanced: bool = False) -> Floats:
    """(n, count) targets: 1 for an example's own class, and for the others what makes a row add up to 0.

    Args:
        balanced: whether examples of rare classes speak up, and those of frequent ones hold back: how frequent classes are
            is the first thing to change between the examples and what comes after them.
    """
    others = -1.0 / max(1, count - 1)
    targets = np.full((len(classes), count), others)
    own = np.ones(len(classes))
    if balanced and len(classes):
        times = np.bincount(classes, minlength=count)
        own = np.minimum(_LOUDEST, (float(np.median(times[times > 0])) / times[classes]) ** _BALANCE)
    targets[np.arange(len(classes)), classes] = own
    return targets


_BALANCE, _LOUDEST = 0.4, 4.0


def fit(gram: Floats, targets: Floats, ridge: float) -> Fitted:
    """Learn scores from similarities.

    Args:
        gram: (n, n), the similarity of each example with each, symmetric.
        targets: (n, k).
        ridge: how much less than wholly an example is believed, above 0.

    Raises:
        ValueError: shapes do not fit, or `ridge` is not above 0.
    """
    if gram.shape != (len(targets), len(targets)) or not len(targets):
        raise ValueError(f"a table of similarities {gram.shape} cannot have {len(targets)} targets")
    if ridge <= 0:
        raise ValueError(f"ridge must be above 0, not {ridge}: an example would speak for nothing but itself")
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    weights = inverse @ targets
    return Fitted(weights, targets - weights / np.diag(inverse)[:, None])


def margins(scores: Floats) -> tuple[Indices, Floats, Floats]:
    """The best class of each row, its score, and how far that is above the next."""
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    if scores.shape[1] < 2:
        return best, top, np.ones(len(scores))
    rest = scores.copy()
    rest[np.arange(len(scores)), best] = -np.inf
    return best, top, top - rest.max(axis=1)
