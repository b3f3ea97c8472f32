"""What may be promised of a router's answers, and where it must then draw the line (learn, then test).

Ways to route stand in rows, from the most cautious on. Each says of every example what quality its answer would have. A way
is vouched for where the quality of the next as many requests is at least the target less half a point, with the confidence
asked for: both these examples and the next ones are samples, so the variance counts twice. In a row the first way that cannot
be vouched for ends it (fixed-sequence testing), so no correction is needed for its length; several rows share the doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOLERANCE: Final = 0.005
"""Of the baseline's quality: what a promise may fall short of, so that a target of 1 can be kept at all."""

LEAST: Final = 100
"""Examples below which nothing is promised."""

_LOSS: Final = 0.5
_FEW: Final = 10
_ONE: Final = 1.0  # a loss that was not seen: that there is none among few proves nothing


class Way(NamedTuple):
    """A way to route.

    Attributes:
        line: where it draws its line.
        got: (n,) quality of what each example is answered with.
        saved: of what the baseline alone would cost, the share that it saves on these examples.
    """

    line: float
    got: Floats
    saved: float


class Row(NamedTuple):
    """Ways, the most cautious first.

    Attributes:
        doubt: the share of the doubt that is spent on it.
    """

    kind: str
    doubt: float
    ways: Iterable[Way]


def vouched(rows: Sequence[Row], best: Floats, quality: float, confidence: float) -> tuple[str, Way] | None:
    """The way that saves most among those that can be vouched for, None where there is none.

    Args:
        best: (n,) quality of the baseline's answers.
    """
    found: tuple[str, Way] | None = None
    if len(best) < LEAST:
        return None
    for row in rows:
        bound = 1 - (1 - confidence) * row.doubt
        for way in row.ways:
            if not holds(way.got - (quality - TOLERANCE) * best, bound):
                break
            if way.saved > (found[1].saved if found else 0.0):
                found = row.kind, way
    return found


def holds(margins: Floats, confidence: float) -> bool:
    """Whether the mean of as many margins again is at least 0 with this confidence.

    By a normal approximation; and where few losses were seen, one more is counted.
    """
    count = len(margins)
    few = int((margins < -_LOSS).sum()) < _FEW
    worst = min(float(margins.min(initial=0.0)), -_ONE) if few else 0.0
    mean = (float(margins.sum()) + worst) / (count + 1)
    variance = float(((margins - mean) ** 2).sum() + (worst - mean) ** 2) / count
    return mean - NormalDist().inv_cdf(confidence) * float(np.sqrt(2 * variance / count)) >= 0
