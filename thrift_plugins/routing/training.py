"""Trains a `LearnedRouter` on answers whose quality is known, and finds out what may be promised of it.

Each tier's quality is predicted by ridge regression on the traits of a request and the pieces of its text, solved in the
space of the examples. What may be promised rests on predictions of examples that were not learnt from: as the limit grows
from nothing, more is sent to cheaper tiers, and the first limit at which the quality of the next as many requests cannot be
vouched for ends it (fixed-sequence testing: no correction for the many limits is needed). It is vouched for by the spread of
the examples, with a normal approximation; what is served is predicted by a router that has learnt from all of them, not from
four fifths. So the confidence is one that was measured (see `tests.benchmarks.routing`), not one that was proved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.learned import EVERY, FAR, UNIT, LearnedRouter, Promise
from thrift_plugins.routing.traits import SLOTS, last_turn, pieces, traits
from thrift_plugins.types import Request

Floats = NDArray[np.float64]

LEAST: Final = 100
"""Examples below which nothing is learnt, and nothing promised for a feature of its own."""

MOST: Final = 6_000
"""Examples that are learnt from, the last ones; a solution takes the square of it in memory."""

# Chosen on draws 0 to 4 of the half of MMLU that is here; see `tests.benchmarks.routing`.
_RIDGE: Final = 10.0
_NUMBERS: Final = 0.1  # how much all numbers together say, beside the pieces of the text
_FOLDS: Final = 5
_LIMITS: Final = 60  # that are tried
_TELLING: Final = 2  # steps of a weight below which a slot is left out


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and how good each tier's answer to it was.

    Attributes:
        scores: tier to the quality of its answer, 0 to 1: right or wrong, a judge's, a user's.
    """

    request: Request
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Read:
    """Examples as numbers.

    Attributes:
        text: (n, SLOTS) weights of the slots of each, of length 1.
        numbers: (n, k) traits, standardised.
        counts: (SLOTS,) in how many examples each slot is.
    """

    text: NDArray[np.float32]
    numbers: Floats
    counts: NDArray[np.int64]
    centre: Floats
    spread: Floats

    def kernel(self) -> Floats:
        """(n, n) how alike examples are."""
        told = (self.text @ self.text.T).astype(np.float64)
        told += self.numbers @ self.numbers.T * (_NUMBERS / self.numbers.shape[1])
        return told


def train(
    examples: Sequence[Example], tiers: Sequence[str], *, quality: float = 0.99, confidence: float = 0.95, seed: int = 0
) -> LearnedRouter:
    """A router over tiers, with the promise that it can keep for each feature.

    Args:
        examples: each with a score for every tier; those that lack one are passed over.
        tiers: their names, cheapest first; the last one is the baseline.
        quality: share of the baseline's quality that is to be promised, 0 to 1.
        confidence: with which, 0.5 to 1.
        seed: of how the examples are divided.

    Raises:
        ConfigError: fewer than 100 examples, scores that are all alike, or a promise that is none; says what to do.
    """
    if not 0 < quality <= 1 or not 0.5 <= confidence < 1:
        raise ConfigError(
            f"quality must be above 0 and at most 1, confidence 0.5 to below 1, not {quality} and {confidence}"
        )
    if len(tiers) < 2 or len(set(tiers)) < len(tiers):
        raise ConfigError("a router needs two tiers or more, each named once, cheapest first")
    whole = [example for example in examples if all(tier in example.scores for tier in tiers)][-MOST:]
    if len(whole) < LEAST:
        raise ConfigError(
            f"{len(whole)} examples have a score for each of {', '.join(tiers)}: {LEAST} are needed to learn anything that "
            "holds; collect more, and the strong model serves until then"
        )
    scores = np.array([[float(example.scores[tier]) for tier in tiers] for example in whole])
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ConfigError("scores must be 0 to 1")
    if (scores == scores[0]).all():
        raise ConfigError(
            "all answers have the same score: there is nothing to tell apart; label some that are not good"
        )
    read = _read([example.request for example in whole])
    kernel = read.kernel()
    predicted = _out_of_fold(kernel, scores, seed)
    features = np.array([example.request.scope.feature for example in whole])
    named = sorted(set(features.tolist()))
    if named == [""]:
        promises = {EVERY: _promise(predicted, scores, quality, confidence)}
    else:  # what holds for all together need not hold for one of them
        parts = {name: features == name for name in named}
        promises = {name: _promise(predicted[mine], scores[mine], quality, confidence) for name, mine in parts.items()}
    return _router(read, _solve(kernel, scores), scores.mean(axis=0), tuple(tiers), promises, quality, confidence)


def _read(requests: Sequence[Request]) -> _Read:
    text = np.zeros((len(requests), SLOTS), np.float32)
    for row, request in zip(text, requests, strict=True):
        found = pieces(last_turn(request.messages))
        row[list(found)] = list(found.values())
    counts = (text > 0).sum(axis=0)
    text *= np.log((1 + len(requests)) / (1 + counts))
    text /= np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
    numbers = np.array([traits(request) for request in requests])
    centre, spread = numbers.mean(axis=0), numbers.std(axis=0)
    spread[spread < 1e-9] = 0.0
    standard = np.clip((numbers - centre) / np.where(spread, spread, 1.0), -FAR, FAR) * (spread > 0)
    return _Read(text, standard, counts, centre, spread)


def _solve(kernel: Floats, scores: Floats) -> Floats:
    """(n, tiers) what each example adds to what is like it."""
    ridge = kernel + _RIDGE * np.eye(len(kernel))
    return np.linalg.solve(ridge, scores - scores.mean(axis=0))


def _out_of_fold(kernel: Floats, scores: Floats, seed: int) -> Floats:
    """(n, tiers) the quality expected of each example's answers by what was learnt from others."""
    order = np.random.default_rng(seed).permutation(len(scores))
    predicted = np.zeros_like(scores)
    for fold in np.array_split(order, _FOLDS):
        others = np.setdiff1d(order, fold)
        weights = _solve(kernel[np.ix_(others, others)], scores[others])
        predicted[fold] = kernel[np.ix_(fold, others)] @ weights + scores[others].mean(axis=0)
    return predicted


def _promise(predicted: Floats, scores: Floats, quality: float, confidence: float) -> Promise:
    """The largest limit at which the quality of as many requests again can be vouched for."""
    cheaper = predicted[:, -1:] - predicted[:, :-1]
    best = scores[:, -1]
    mean = float(best.mean()) or 1.0
    kept = Promise(None, len(scores), 1.0, 0.0)
    if len(scores) < LEAST:
        return kept
    for limit in np.unique(np.quantile(cheaper.min(axis=1), np.linspace(0, 1, _LIMITS + 1))):
        got = _served(cheaper, scores, float(limit))
        if not _holds(got - quality * best, confidence):
            break
        share = float((cheaper <= limit).any(axis=1).mean())
        kept = Promise(float(limit), len(scores), float(got.mean()) / mean, share)
    return kept


def _served(cheaper: Floats, scores: Floats, limit: float) -> Floats:
    """(n,) the quality of each answer where the cheapest tier within the limit gives it."""
    good = np.concatenate((cheaper <= limit, np.ones((len(scores), 1), dtype=bool)), axis=1)
    return np.take_along_axis(scores, good.argmax(axis=1)[:, None], axis=1)[:, 0]


def _holds(margins: Floats, confidence: float) -> bool:
    """Whether the mean of as many margins again is above 0 with this confidence.

    Both these examples and the next ones are samples, so the variance counts twice; and one loss more is added than was
    seen, since no loss among few is no proof that there are none.
    """
    count = len(margins)
    worst = float(margins.min(initial=0.0)) or -1.0
    mean = (float(margins.sum()) + min(worst, -1.0)) / (count + 1)
    variance = float(((margins - mean) ** 2).sum() + (min(worst, -1.0) - mean) ** 2) / count
    return mean - NormalDist().inv_cdf(confidence) * float(np.sqrt(2 * variance / count)) >= 0


def _router(
    read: _Read,
    weights: Floats,
    means: Floats,
    tiers: tuple[str, ...],
    promises: Mapping[str, Promise],
    quality: float,
    confidence: float,
) -> LearnedRouter:
    """The solution as weights of slots and numbers."""
    slots = np.rint(read.text.T.astype(np.float64) @ weights * UNIT).astype(int)
    numbers = np.rint(read.numbers.T @ weights * (_NUMBERS / read.numbers.shape[1]) * UNIT).astype(int)
    telling = np.flatnonzero(np.abs(slots).max(axis=1) >= _TELLING)
    return LearnedRouter(
        tiers,
        len(read.text),
        tuple(read.counts.tolist()),
        tuple(means.tolist()),
        {int(slot): tuple(slots[slot].tolist()) for slot in telling},
        tuple(read.centre.tolist()),
        tuple(read.spread.tolist()),
        tuple(tuple(row) for row in numbers.tolist()),
        dict(promises),
        quality,
        confidence,
    )
