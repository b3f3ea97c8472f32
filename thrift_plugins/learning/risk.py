"""How many errors a share of right answers can hide: exact binomial bounds, and thresholds that keep a promise."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

_STEPS = 60  # halvings of an interval of 1: exact to a float's last digits


def at_most(errors: int, trials: int, rate: float) -> float:
    """Probability of at most so many errors in so many trials, if each fails at this rate."""
    if errors >= trials or rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    whole = lgamma(trials + 1)
    terms = (
        whole - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(rate) + (trials - k) * log1p(-rate)
        for k in range(errors + 1)
    )
    return min(1.0, sum(map(exp, terms)))


def upper_bound(errors: int, trials: int, confidence: float = 0.95) -> float:
    """The rate that errors stay below with this confidence, after so many in so many trials (Clopper-Pearson, one-sided).

    Raises:
        ValueError: the counts cannot be.
    """
    if not 0 <= errors <= trials or not 0.0 < confidence < 1.0:
        raise ValueError(f"{errors} errors in {trials} trials, confidence {confidence}")
    if errors == trials:
        return 1.0
    low, high = errors / trials, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(errors, trials, middle) > 1.0 - confidence else (low, middle)
    return high


def safe_threshold(
    scores: NDArray[np.float64], wrong: NDArray[np.bool_], max_errors: float, confidence: float = 0.9
) -> float:
    """The lowest score to act from, so that errors over all trials stay at most `max_errors` with this confidence.

    Fixed-sequence testing (learn, then test): from the highest score down, each threshold's hypothesis "it makes too
    many errors" must be rejected by an exact binomial test; the first that is not ends it. As errors only grow on the
    way, no correction for the many thresholds is needed.

    Args:
        scores: (n,), of each trial's best candidate; -inf where there was none.
        wrong: (n,), whether acting on it would be an error.
        max_errors: over all n trials, acted on or not.

    Returns:
        The threshold; infinity where not even the best scores are safe.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.cumsum(wrong[order])
    trials = len(scores)
    allowed = -1
    while allowed + 1 < trials and at_most(allowed + 1, trials, max_errors) <= 1.0 - confidence:
        allowed += 1
    safe = np.flatnonzero((errors <= allowed) & np.isfinite(ranked))
    # a threshold admits all of one score: step back from a tie whose rest would be too many
    while len(safe) and safe[-1] + 1 < trials and ranked[safe[-1] + 1] == ranked[safe[-1]]:
        safe = safe[ranked[safe] > ranked[safe[-1]]]
    return float(ranked[safe[-1]]) if len(safe) else float("inf")
