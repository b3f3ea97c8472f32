"""What the student says, how sure it is, and how both are learnt from the teacher's answers.

An answer has one or more parts, each one of a few classes: a label, a field of a record, whether a tag is there. All
parts share one table of similarities. How sure the student is of a whole answer is the chance that the teacher would
give just that, learnt from the answers that each example would have got had it not been learnt from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.distillation.forms import Class
from thrift_plugins.distillation.reading import Floats, Mix, Reader, spelt_among
from thrift_plugins.learning.kernel import Indices, coded, fit, margins
from thrift_plugins.learning.minimise import minimise
from thrift_plugins.text.embed import Embedder

Bools: TypeAlias = NDArray[np.bool_]

MOST = 6_000
"""Examples that are learnt from; more take minutes, and make every answer slower."""

_TRIED = 1_600
"""Of them, those on which mix, ridge and balance are chosen."""

_MIXES = (Mix(0.1, narrow_meaning=0.5), Mix(0.3), Mix(0.8), Mix(1.0), Mix(1.0, narrow=1.0))
_RIDGES = (0.1, 0.2)
_FOR_BALANCE = 0.005
"""Share of right answers that balance may cost: it pays where classes become more or less frequent later."""

_PRIOR = 4.0
"""Answers with which a class's record starts."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The chance that the teacher agrees, from how clearly a class won.

    Attributes:
        weights: of the bias, the margin, the winner's score, and the record of its class; in nats.
        record: (k,), log-odds that the teacher agrees where that class wins.
    """

    weights: tuple[float, float, float, float]
    record: tuple[float, ...]

    def chance(self, best: Indices, top: Floats, margin: Floats, record: Floats | None = None) -> Floats:
        """(n,) chances. `record` is over that of the classes."""
        told = np.array(self.record)[best] if record is None else record
        bias, by_margin, by_top, by_record = self.weights
        return np.asarray(1 / (1 + np.exp(-(bias + by_margin * margin + by_top * top + by_record * told))))

    @classmethod
    def of(cls, best: Indices, top: Floats, margin: Floats, right: Bools, classes: int) -> tuple[Trust, Floats]:
        """Learn from examples; gives also each one's chance, by the record that the other folds make.

        To leave out one example alone would tell its outcome: the record would be worse for those that are right.
        """
        mean, folds = float(right.mean()), np.random.default_rng(0).integers(_FOLDS, size=len(best))
        record = _record(best, right, classes, mean)
        others = np.zeros(len(best))
        for fold in range(_FOLDS):
            own = folds == fold
            others[own] = _record(best[~own], right[~own], classes, mean)[best[own]]
        rows = np.stack([np.ones(len(best)), margin, top, others], axis=1)
        weights = minimise(_Logistic(rows, right.astype(float)).at, np.zeros(4))
        made = cls((float(weights[0]), float(weights[1]), float(weights[2]), float(weights[3])), tuple(record.tolist()))
        return made, made.chance(best, top, margin, others)


class _Logistic(NamedTuple):
    """The penalised loss of weights, and its slope."""

    rows: Floats
    right: Floats

    def at(self, weights: Floats) -> tuple[float, Floats]:
        scores = self.rows @ weights
        loss = float(np.logaddexp(0.0, scores).sum() - scores @ self.right)
        slope = self.rows.T @ (1 / (1 + np.exp(-scores)) - self.right)
        return loss + 0.5 * float(weights @ weights), slope + weights


def _record(best: Indices, right: Bools, classes: int, mean: float) -> Floats:
    """(classes,) log-odds that the teacher agrees where each class wins."""
    seen, good = np.bincount(best, minlength=classes), np.bincount(best, right, minlength=classes)
    return _odds((good + _PRIOR * mean) / (seen + _PRIOR))


_FOLDS = 5


def _odds(chances: Floats) -> Floats:
    held = np.clip(chances, 0.01, 0.99)
    return np.asarray(np.log(held / (1 - held)))


@dataclass(frozen=True, slots=True)
class Head:
    """One part of an answer.

    Attributes:
        name: of the part.
        classes: what it may be.
        weights: (n, k), of the similarities to the examples.
    """

    name: str
    classes: tuple[Class, ...]
    weights: NDArray[np.float32]
    trust: Trust


class Opinion(NamedTuple):
    """What the student would answer.

    Attributes:
        values: part to class.
        chance: that the teacher would answer the same.
        others: part to its second choice; None where there is but one class.
        familiar: how much the request is like what was learnt: the winner's score, of the part where that is lowest.
    """

    values: dict[str, Class]
    chance: float
    others: dict[str, Class]
    familiar: float


class Judged(NamedTuple):
    """What the student makes of its own examples, each by all others.

    Attributes:
        chance: (n,), that the teacher agrees on the whole answer, as the student sees it.
        right: (n,), whether he does.
        familiar: (n,), how much each is like the others, as in an `Opinion`; None where nobody looked.
    """

    chance: Floats
    right: Bools
    familiar: Floats | None = None

    def of(self, chosen: Bools) -> Judged:
        """Some of them."""
        return Judged(self.chance[chosen], self.right[chosen], None if self.familiar is None else self.familiar[chosen])

    def and_wrong(self, chance: Floats, familiar: Floats) -> Judged:
        """With others, on which the teacher does not agree."""
        known = None if self.familiar is None else np.concatenate((self.familiar, familiar))
        wrong = np.zeros(len(chance), np.bool_)
        return Judged(np.concatenate((self.chance, chance)), np.concatenate((self.right, wrong)), known)


@dataclass(frozen=True, slots=True)
class Mind:
    """What was learnt: the examples as hashes and vectors, and a head for each part of an answer."""

    reader: Reader
    mix: Mix
    ridge: float
    balanced: bool
    heads: tuple[Head, ...]

    def answer(self, text: str, embedder: Embedder | None) -> Opinion:
        """What it would answer, and how surely."""
        meant = self.reader.meant(text, embedder) if self.mix.spelt < 1 else None
        alike = self.mix.joined(self.reader.spelt(text), meant).astype(np.float32)
        values: dict[str, Class] = {}
        others: dict[str, Class] = {}
        chance, familiar = 1.0, inf
        for head in self.heads:
            scores = (alike @ head.weights).astype(np.float64)
            best, top, margin = margins(scores[None])
            values[head.name] = head.classes[int(best[0])]
            others[head.name] = head.classes[int(scores.argsort()[-2])] if len(scores) > 1 else None
            chance *= float(head.trust.chance(best, top, margin)[0])
            familiar = min(familiar, float(top[0]))
        return Opinion(values, chance, others, familiar)


def learn(
    texts: Sequence[str],
    parts: Mapping[str, Sequence[Class]],
    embedder: Embedder | None,
    *,
    drawn: Bools | None = None,
    like: Mind | None = None,
) -> tuple[Mind, Judged]:
    """Learn from at most `MOST` texts and the teacher's answers to them.

    What a class is called says something of what belongs to it, so that the names of classes are examples too.

    Args:
        parts: for each part of an answer, what it is for each text.
        drawn: (n,), which examples chance has chosen: only these say how sure to be. None: all.
        like: an earlier mind, whose mix, ridge and balance are kept.

    Returns:
        What was learnt, and what it makes of the texts, each by all others.
    """
    coding = {name: _classes(values) for name, values in parts.items()}
    named = [(at, code, text) for at, (classes, _) in enumerate(coding.values()) for code, text in _named(classes)]
    read = [*texts, *(text for _, _, text in named)]
    reader = Reader.of(read, embedder)
    spelt, meant = spelt_among(reader, read), reader.meant_among()
    bounds = np.cumsum([0, *(len(classes) for classes, _ in coding.values())])
    answers = np.stack([of for _, of in coding.values()], axis=1)
    both = [_targets(list(coding.values()), named, balanced=balanced) for balanced in (False, True)]
    chosen = (like.mix, like.ridge, like.balanced) if like else _chosen(spelt, meant, both, bounds, answers)
    mix, ridge, balanced = chosen
    weights, left_out = fit(mix.joined(spelt, meant), both[balanced], ridge)
    by_chance = np.ones(len(texts), np.bool_) if drawn is None else drawn
    heads: list[Head] = []
    chance, all_right, familiar = np.ones(len(texts)), np.ones(len(texts), np.bool_), np.full(len(texts), inf)
    for at, (name, (classes, of)) in enumerate(coding.items()):
        where = slice(bounds[at], bounds[at + 1])
        best, top, margin = margins(left_out[: len(texts), where])
        right = best == of
        trust, own = Trust.of(best[by_chance], top[by_chance], margin[by_chance], right[by_chance], len(classes))
        each = trust.chance(best, top, margin)
        each[by_chance] = own
        chance, all_right, familiar = chance * each, all_right & right, np.minimum(familiar, top)
        heads.append(Head(name, classes, weights[:, where].astype(np.float32), trust))
    return Mind(reader, mix, ridge, balanced, tuple(heads)), Judged(chance, all_right, familiar)


def _named(classes: tuple[Class, ...]) -> list[tuple[int, str]]:
    """The classes whose names are words, and those words."""
    told = [(code, " ".join(_WORDS.findall(name))) for code, name in enumerate(classes) if isinstance(name, str)]
    return [(code, text) for code, text in told if len(text) > 1]


_WORDS = re.compile(r"[^\W\d_]+")


def _targets(
    coding: Sequence[tuple[tuple[Class, ...], Indices]], named: Sequence[tuple[int, int, str]], *, balanced: bool
) -> Floats:
    """Targets of all examples and names; a name says nothing of other parts than its own."""
    blocks: list[Floats] = []
    for at, (classes, of) in enumerate(coding):
        own = np.array([code for part, code, _ in named if part == at], dtype=np.intp)
        known = coded(np.concatenate((of, own)), len(classes), balanced=balanced)
        block = np.zeros((len(of) + len(named), len(classes)))
        block[: len(of)] = known[: len(of)]
        block[len(of) + np.flatnonzero([part == at for part, _, _ in named])] = known[len(of) :]
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _classes(values: Sequence[Class]) -> tuple[tuple[Class, ...], Indices]:
    """The classes in a fixed order, and the index of each value's. True is another class than 1."""
    known = sorted({(type(value).__name__, str(value)): value for value in values}.items())
    index = {key: at for at, (key, _) in enumerate(known)}
    found = [index[(type(value).__name__, str(value))] for value in values]
    return tuple(value for _, value in known), np.array(found, dtype=np.intp)


def _chosen(
    spelt: Floats, meant: Floats | None, both: Sequence[Floats], bounds: Indices, answers: Indices
) -> tuple[Mix, float, bool]:
    """The mix, ridge and balance by which most examples are told right by the others.

    Args:
        both: targets without and with balance.
    """
    picked = np.random.default_rng(0).permutation(len(answers))[:_TRIED]
    some = np.concatenate((picked, np.arange(len(answers), len(both[0]))))
    block = np.ix_(some, some)
    targets, width = np.concatenate([each[some] for each in both], axis=1), both[0].shape[1]
    best = (-1.0, _MIXES[-1], _RIDGES[0], False)
    for mix in _MIXES:
        if meant is None and mix.spelt < 1:
            continue
        gram = mix.joined(spelt[block], None if meant is None else meant[block])
        for ridge in _RIDGES:
            left_out = fit(gram, targets, ridge).left_out[: len(picked)]
            for balanced in (False, True):
                own = left_out[:, width * balanced : width * (1 + balanced)]
                told = [own[:, bounds[at] : bounds[at + 1]].argmax(axis=1) for at in range(len(bounds) - 1)]
                right = float((np.stack(told, axis=1) == answers[picked]).all(axis=1).mean())
                if right + _FOR_BALANCE * balanced > best[0]:
                    best = (right + _FOR_BALANCE * balanced, mix, ridge, balanced)
    return best[1:]
