"""Trains a `LearnedRouter` on answers whose quality is known, and finds out what may be promised of it.

Each tier's quality is predicted by ridge regression on the traits of a request and the pieces of its text, solved in the
space of the examples. Where the cheapest tier's answers are given too, a check of them is learnt, and that tier answers
first. What may be promised (see `promise`) rests on predictions of examples that were not learnt from; what is served is
predicted by a router that has learnt from all of them. So the confidence is one that was measured (see
`tests.benchmarks.routing`), not one that was proved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.answers import answer_traits
from thrift_plugins.routing.check import AnswerCheck
from thrift_plugins.routing.checking import fit_check, out_of_fold
from thrift_plugins.routing.drift import EVERY, Histogram
from thrift_plugins.routing.example import Example, costs_of
from thrift_plugins.routing.learned import FAR, Goal, LearnedRouter, Promise
from thrift_plugins.routing.pieces import counted
from thrift_plugins.routing.promise import LEAST, Row, Way, vouched
from thrift_plugins.routing.reading import UNIT
from thrift_plugins.routing.traits import SLOTS, last_turn, traits
from thrift_plugins.routing.trial import scored
from thrift_plugins.routing.verify import rejects
from thrift_plugins.types import Request

Floats = NDArray[np.float64]

MOST: Final = 6_000
"""Examples that are learnt from, the last ones; a solution takes the square of it in memory."""

# Chosen on draws 0 to 4 of the half of MMLU that is here; see `tests.benchmarks.routing`.
_RIDGE: Final = 10.0
_NUMBERS: Final = 0.1  # how much all numbers together say, beside the pieces of the text
_FOLDS: Final = 5
_LIMITS: Final = 60  # that are tried
_LEARNT: Final = (
    0.5  # of the doubt, for lines on what is learnt: the rest is for what learning itself has seen by chance
)
_BESIDE_FORM: Final = 0.05  # of it, where an answer's form alone may vouch for it
_TELLING: Final = 2  # steps of a weight below which a slot is left out


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
    examples: Sequence[Example],
    tiers: Sequence[str],
    *,
    quality: float = 0.99,
    confidence: float = 0.95,
    goals: Mapping[str, Goal] | None = None,
    seed: int = 0,
) -> LearnedRouter:
    """A router over tiers, with the promise that it can keep for each feature.

    Args:
        examples: each with a score for every tier; those that lack one are passed over.
        tiers: their names, cheapest first; the last one is the baseline.
        quality: share of the baseline's quality that is to be promised, 0 to 1.
        confidence: with which, 0.5 to 1.
        goals: feature to what is to be promised of it, where that is something else.
        seed: of how the examples are divided.

    Raises:
        ConfigError: fewer than 100 examples, scores that are all alike, or a promise that is none; says what to do.
    """
    goal, goals = Goal(quality, confidence), goals or {}
    _check_asked((goal, *goals.values()), tiers)
    whole, scores = _labelled(examples, tiers)
    read = _read([example.request for example in whole])
    kernel = read.kernel()
    weights, left_out = _learnt(kernel, scores)
    seen = _Seen(left_out, scores, _costs(whole, tiers), *_checked(whole, scores, tiers, seed))
    features = np.array([example.request.scope.feature for example in whole])
    promises = _promises(seen, features, goal, goals)
    gap = (seen.predicted[:, -1] - seen.predicted[:, 0]).tolist()
    drift = {
        name: Histogram.fit([each for each, label in zip(gap, features, strict=True) if name in (EVERY, label)])
        for name in promises
    }
    checks = _checks(whole, scores, tiers) if seen.loss is not None else {}
    own = {name: goals[name] for name in promises if name in goals}
    return _router(read, weights, scores.mean(axis=0), tuple(tiers), promises, goal, own, checks, drift)


def _check_asked(goals: Iterable[Goal], tiers: Sequence[str]) -> None:
    """Raises ConfigError where what is to be promised is no promise, or there is nothing to choose among."""
    for each in goals:
        if not 0 < each.quality <= 1 or not 0.5 <= each.confidence < 1:
            raise ConfigError(
                f"quality must be above 0 and at most 1, confidence 0.5 to below 1, not {each.quality} and {each.confidence}"
            )
    if len(tiers) < 2 or len(set(tiers)) < len(tiers):
        raise ConfigError("a router needs two tiers or more, each named once, cheapest first")


def _labelled(examples: Sequence[Example], tiers: Sequence[str]) -> tuple[list[Example], Floats]:
    """The examples that have a score for every tier, and (n, tiers) those. Raises ConfigError where they teach nothing."""
    whole = [example for example in examples if all(tier in example.scores for tier in tiers)][-MOST:]
    if len(whole) < LEAST:
        raise ConfigError(
            f"{len(whole)} examples have a score for each of {', '.join(tiers)}{scored(examples)}: {LEAST} are needed to learn anything that "
            "holds; collect more, and the strong model serves until then"
        )
    scores = np.array([[float(example.scores[tier]) for tier in tiers] for example in whole])
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ConfigError("scores must be 0 to 1")
    if (scores == scores[0]).all():
        raise ConfigError(
            "all answers have the same score: there is nothing to tell apart; label some that are not good"
        )
    return whole, scores


def _promises(
    seen: _Seen, features: NDArray[np.str_], goal: Goal, goals: Mapping[str, Goal]
) -> dict[str, Promise]:
    """What may be promised of each feature: what holds for all together need not hold for one of them."""
    named = sorted(set(features.tolist()))
    if named == [""]:
        return {EVERY: _promise(seen, goal)}
    return {name: _promise(seen.part(features == name), goals.get(name, goal)) for name in named}


def _costs(examples: Sequence[Example], tiers: Sequence[str]) -> Floats:
    """(n, tiers) what each answer cost."""
    return np.array([[float(costs[tier]) for tier in tiers] for costs in costs_of(examples, tiers)])


def _checked(
    examples: Sequence[Example], scores: Floats, tiers: Sequence[str], seed: int
) -> tuple[Floats | None, bool]:
    """See `_Seen.loss` and `formed`."""
    replies = [example.replies.get(tiers[0]) for example in examples]
    asked = sum(bool(example.request.tools) or example.request.schema is not None for example in examples)
    if any(reply is None for reply in replies) or len(set(scores[:, 0].tolist())) == 1:
        return None, False
    told = [(example.request, reply) for example, reply in zip(examples, replies, strict=True) if reply is not None]
    rows = np.array([answer_traits(*each) for each in told])
    loss = out_of_fold(rows, scores[:, 0], scores[:, -1], folds=_FOLDS, seed=seed)
    loss[[rejects(*each) is not None for each in told]] = np.inf
    return loss, 2 * asked >= len(examples)


def _checks(examples: Sequence[Example], scores: Floats, tiers: Sequence[str]) -> dict[str, AnswerCheck]:
    rows = np.array([answer_traits(example.request, example.replies[tiers[0]]) for example in examples])
    return {tiers[0]: fit_check(rows, scores[:, 0], scores[:, -1])}


def _read(requests: Sequence[Request]) -> _Read:
    text = np.zeros((len(requests), SLOTS), np.float32)
    for row, request in zip(text, requests, strict=True):
        slots, times = counted(last_turn(request.messages))
        row[slots] = 1 + np.log(times)
    counts = (text > 0).sum(axis=0)
    text *= np.log((1 + len(requests)) / (1 + counts))
    text /= np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
    numbers = np.array([traits(request) for request in requests])
    centre, spread = numbers.mean(axis=0), numbers.std(axis=0)
    spread[spread < 1e-9] = 0.0
    standard = np.clip((numbers - centre) / np.where(spread, spread, 1.0), -FAR, FAR) * (spread > 0)
    return _Read(text, standard, counts, centre, spread)


def _learnt(kernel: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """(n, tiers) what each example adds to what is like it, and (n, tiers) what all others say of it.

    Leaving one out needs no further solution: what it is off by then is its weight over its own entry of the inverse.
    """
    inverse = np.linalg.inv(kernel + _RIDGE * np.eye(len(kernel)))
    weights: Floats = inverse @ (scores - scores.mean(axis=0))
    return weights, scores - weights / np.diag(inverse)[:, None]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of each of n examples.

    Attributes:
        predicted: (n, tiers) quality expected of each tier's answer by what was learnt from others.
        scores: (n, tiers) the quality that it had.
        costs: (n, tiers) what it cost, in any unit.
        loss: (n,) how much worse than the baseline's the cheapest tier's answer seems, infinite where its form is wrong;
            None: its answers were not given.
        formed: whether most examples ask for a form that can be checked: tools, or a schema.
    """

    predicted: Floats
    scores: Floats
    costs: Floats
    loss: Floats | None = None
    formed: bool = False

    def part(self, mine: NDArray[np.bool_]) -> _Seen:
        loss = None if self.loss is None else self.loss[mine]
        return _Seen(self.predicted[mine], self.scores[mine], self.costs[mine], loss, self.formed)


def _promise(seen: _Seen, goal: Goal) -> Promise:
    """The way to route that saves most, of those whose quality can be vouched for."""
    best = seen.scores[:, -1]
    count, mean = len(best), float(best.mean()) or 1.0
    found = vouched(_rows(seen), best, goal.quality, goal.confidence)
    if found is None:
        return Promise(None, count, 1.0, 0.0)
    kind, way = found
    cheaper = _cheaper_share(seen, kind, way.line)
    got = float(way.got.mean()) / mean
    if kind == "choice":
        return Promise(way.line, count, got, cheaper, saved=way.saved)
    return Promise(None, count, got, cheaper, way.line, way.saved)


def _rows(seen: _Seen) -> list[Row]:
    """Ways to route: by the question alone, or by the cheapest tier's answer where there is one."""
    if seen.loss is None:
        gap = seen.predicted[:, -1:] - seen.predicted[:, :-1]
        return [Row("choice", _LEARNT, (_chosen(gap, seen, limit) for limit in _lines(gap.min(axis=1))))]
    lines = _lines(seen.loss[np.isfinite(seen.loss)])
    if not seen.formed:
        return [Row("cascade", _LEARNT, (_accepted(seen, line) for line in lines))]
    return [
        Row("cascade", 1 - _BESIDE_FORM, [_accepted(seen, math.inf)]),
        Row("cascade", _BESIDE_FORM, (_accepted(seen, line) for line in lines)),
    ]


def _lines(values: Floats) -> list[float]:
    if not len(values):
        return []
    found: list[float] = np.unique(np.quantile(values, np.linspace(0, 1, _LIMITS + 1))).tolist()
    return found


def _chosen(gap: Floats, seen: _Seen, limit: float) -> Way:
    """The cheapest tier within the limit answers."""
    picked = _picked(gap, limit)
    each = np.arange(len(picked))
    return Way(limit, seen.scores[each, picked], 1 - float(seen.costs[each, picked].sum() / seen.costs[:, -1].sum()))


def _picked(gap: Floats, limit: float) -> NDArray[np.intp]:
    good = np.concatenate((gap <= limit, np.ones((len(gap), 1), dtype=bool)), axis=1)
    picked: NDArray[np.intp] = good.argmax(axis=1)
    return picked


def _accepted(seen: _Seen, line: float) -> Way:
    """The cheapest tier answers first, and the baseline where that answer seems too bad."""
    stands = _stands(seen, line)
    got = np.where(stands, seen.scores[:, 0], seen.scores[:, -1])
    paid = seen.costs[:, 0] + np.where(stands, 0.0, seen.costs[:, -1])
    return Way(line, got, 1 - float(paid.sum() / seen.costs[:, -1].sum()))


def _stands(seen: _Seen, line: float) -> NDArray[np.bool_]:
    loss = np.full(len(seen.scores), np.inf) if seen.loss is None else seen.loss
    stands: NDArray[np.bool_] = np.isfinite(loss) & (loss <= line)
    return stands


def _cheaper_share(seen: _Seen, kind: str, line: float) -> float:
    if kind == "cascade":
        return float(_stands(seen, line).mean())
    gap = seen.predicted[:, -1:] - seen.predicted[:, :-1]
    return float((_picked(gap, line) < seen.scores.shape[1] - 1).mean())


def _router(
    read: _Read,
    weights: Floats,
    means: Floats,
    tiers: tuple[str, ...],
    promises: Mapping[str, Promise],
    goal: Goal,
    goals: Mapping[str, Goal],
    checks: Mapping[str, AnswerCheck],
    drift: Mapping[str, Histogram],
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
        *goal,
        dict(checks),
        dict(drift),
        goals,
    )
