"""Intervals for what is known from some days, or from some calls, by leaving each out in turn (the jackknife)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

from thrift_plugins.learning.survey import Estimate, student

MONTH: Final = 30.44
"""Days."""

FEW_DAYS: Final = 3
"""Days below which nothing is said of a month."""


def monthly(days: Sequence[float]) -> Estimate | None:
    """The sum of a month like these days, which are drawn as they come; None where they are too few.

    Args:
        days: the sum of each whole day, those without any included.
    """
    if len(days) < FEW_DAYS:
        return None
    mean = sum(days) / len(days)
    spread = sqrt(sum((day - mean) ** 2 for day in days) / (len(days) - 1))
    # the mean of the days seen is unsure, and so is that of the days to come
    reach = student(len(days) - 1) * spread * MONTH * sqrt(1 / len(days) + 1 / MONTH)
    return Estimate(mean * MONTH, mean * MONTH - reach, mean * MONTH + reach)


def ratio(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """The sum of the first over the sum of the second; None where that is not known from three pairs or more."""
    above, below = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    if len(pairs) < FEW_DAYS or not below or any(not below - pair[1] for pair in pairs):
        return None
    value = above / below
    errors = [(above - pair[0]) / (below - pair[1]) - value for pair in pairs]
    count = len(pairs)
    mean = sum(errors) / count
    reach = student(count - 1) * sqrt((count - 1) / count * sum((error - mean) ** 2 for error in errors))
    return Estimate(value, value - reach, value + reach)
