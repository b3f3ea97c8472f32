"""Fits an `AnswerCheck` to answers of known quality."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.learning.boosting import fit_boosted
from thrift_plugins.routing.check import DIGITS, FAR, AnswerCheck

Floats = NDArray[np.float64]

# Chosen on one half of the worked solutions to GSM8K; see `tests.benchmarks.routing`.
_OWN_RIDGE: Final = 30.0
_BEST_RIDGE: Final = 200.0
_TREES: Final = 30
_DEPTH: Final = 3
_RATE: Final = 0.1
_STEPS: Final = 12  # of Newton's method, which has then long arrived


def fit_check(rows: Floats, own: Floats, best: Floats) -> AnswerCheck:
    """Learn from answers.

    Args:
        rows: (n, k) what `answer_traits` reads of each.
        own: (n,) how good each is, 0 to 1; not all alike.
        best: (n,) how good the baseline's answer to the same question is.
    """
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread < 1e-9] = 0.0
    standard = _standard(rows, centre, spread)
    right = own > 0.5
    if right.all() or not right.any():
        raise ValueError("all answers are alike")
    trees = fit_boosted(standard, right, trees=_TREES, depth=_DEPTH, rate=_RATE)
    return AnswerCheck(
        tuple(centre.tolist()),
        tuple(spread.tolist()),
        _logistic(standard, own, _OWN_RIDGE),
        _logistic(standard, best, _BEST_RIDGE),
        trees.dump(),
    )


def expected_loss(check: AnswerCheck, rows: Floats) -> Floats:
    """(n,) how much better the baseline's answer is expected to be than each of these."""
    standard = _standard(rows, np.array(check.centre), np.array(check.spread))
    boosted = check._boosted.probabilities(standard)  # noqa: SLF001  the same for many at once
    found: Floats = _chances(check.best, standard) - (_chances(check.own, standard) + boosted) / 2
    return found


def out_of_fold(rows: Floats, own: Floats, best: Floats, *, folds: int, seed: int) -> Floats:
    """(n,) the same for each answer by what was learnt from others."""
    found = np.zeros(len(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    for fold in np.array_split(order, folds):
        others = np.setdiff1d(order, fold)
        found[fold] = expected_loss(fit_check(rows[others], own[others], best[others]), rows[fold])
    return found


def _standard(rows: Floats, centre: Floats, spread: Floats) -> Floats:
    """As `AnswerCheck.standard`: rounded, since a tree compares with values that were seen, and a file has few digits."""
    found: Floats = np.clip((rows - centre) / np.where(spread, spread, 1.0), -FAR, FAR) * (spread > 0)
    return np.round(found, DIGITS)


def _chances(weights: tuple[float, ...], rows: Floats) -> Floats:
    odds = weights[0] + rows @ np.array(weights[1:])
    found: Floats = 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
    return found


def _logistic(rows: Floats, good: Floats, ridge: float) -> tuple[float, ...]:
    """A constant and a weight for each column, by penalised maximum likelihood."""
    columns = np.column_stack((np.ones(len(rows)), rows))
    penalty = ridge * np.eye(columns.shape[1])
    penalty[0, 0] = 1e-3
    weights = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(columns @ weights, -40, 40)))
        slope = columns.T @ (chance - good) + penalty @ weights
        weights -= np.linalg.solve((columns * (chance * (1 - chance))[:, None]).T @ columns + penalty, slope)
    return tuple(round(weight, 6) for weight in weights.tolist())
