"""What may be promised of the student: from which chance on its answers are served, so that few differ from the teacher's.

A threshold is lowered step by step from the surest answers on, over answers to requests that chance has chosen, and as long
as an exact binomial test refutes that too many of them differ. The first step that fails ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from thrift_plugins.distillation.heads import Judged
from thrift_plugins.learning.risk import safe_threshold, upper_bound

LEAST = 100
"""Answers chosen by chance, below which nothing is promised."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is promised of answers that the student gives alone, over all requests.

    Attributes:
        agreement: share of all requests whose answer is not one that the teacher would not give.
        confidence: with which.
        threshold: chance of agreement from which an answer is served; infinite where none may be.
        calibrated: answers that it rests on.
        coverage: share of them that are served.
        differ: share of them that are served and differ.
        bound: upper bound of that share.
        agrees: share of them on which the student agrees, served or not.
    """

    agreement: float
    confidence: float
    threshold: float
    calibrated: int
    coverage: float
    differ: float
    bound: float
    agrees: float

    @property
    def holds(self) -> bool:
        """Whether there is anything to serve."""
        return isfinite(self.threshold)


def certify(judged: Judged, agreement: float, *, confidence: float = 0.95) -> Certificate:
    """The lowest threshold that keeps the promise.

    Args:
        judged: answers to requests that chance has chosen.
        agreement: to promise, above 0 and below 1.
    """
    chance, right = judged.chance, judged.right
    count = len(chance)
    agrees = float(right.mean()) if count else 0.0
    if count < LEAST:
        return Certificate(agreement, confidence, inf, count, 0.0, 0.0, 0.0, agrees)
    threshold = safe_threshold(chance, ~right, 1 - agreement, confidence)
    served = chance >= threshold
    wrong = int((served & ~right).sum())
    bound = upper_bound(wrong, count, confidence) if served.any() else 0.0
    return Certificate(agreement, confidence, threshold, count, float(served.mean()), wrong / count, bound, agrees)


def certified(compared: Sequence[tuple[float, bool]], agreement: float, *, confidence: float = 0.95) -> Certificate:
    """`certify` for pairs of a chance and whether the teacher agreed."""
    chance = np.array([chance for chance, _ in compared], np.float64)
    return certify(
        Judged(chance, np.array([right for _, right in compared], np.bool_)), agreement, confidence=confidence
    )


def certifiable(agrees: float, agreement: float) -> float:
    """The most coverage that any way of telling sure answers from others could have: it would leave out the wrong ones only.

    A student that differs from the teacher on a share m of all requests leaves out at least what of m exceeds 1 - agreement.
    """
    return float(np.clip(1 - (1 - agrees - (1 - agreement)), 0.0, 1.0))
