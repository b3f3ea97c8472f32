"""What two questions have in common and what not, as numbers that a model learns from. All are symmetric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import sqrt

import numpy as np

from thrift_plugins.caching.semantic.reading import Reading
from thrift_plugins.text.embed import StaticEmbedder, Vectors

NAMES = (
    "cosine", "meaning", "odd_cosine", "odd_length_least", "odd_length_most", "apart",
    "shared", "shared_least", "shared_most", "odd_weight_least", "odd_weight_most", "odd_sum_least", "odd_sum_most",
    "odd_count_least", "odd_count_most", "slack", "slack_worst", "neighbours", "length_ratio", "length", "same_ask", "same_first", "same_last",
    "names", "names_odd", "numbers", "units_odd",
)  # fmt: skip
"""The numbers that `Comparer.compare` gives, in order."""


@dataclass(frozen=True)
class Weights:
    """What was learnt of single words.

    Attributes:
        rarity: how rare a word is, from 0; a word that is not in it is as rare as `unknown`.
        slack: log odds that two questions still have one answer when only one of them has the word.
    """

    rarity: Mapping[str, float] = field(default_factory=dict)
    unknown: float = 6.0
    slack: Mapping[str, float] = field(default_factory=dict)

    def rare(self, word: str) -> float:
        """The word's rarity."""
        return self.rarity.get(word, self.unknown)


def odd_words(first: Reading, second: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """The words of each that the other has not."""
    one, other = frozenset(first.words), frozenset(second.words)
    return one - other, other - one


@dataclass(frozen=True, slots=True)
class _Profile:
    """What of one question does not depend on the other.

    Attributes:
        rare: its words and their rarities.
        total: the latter together.
        rows: the vector of each word in that order, as long as the word is rare.
        meaning: the direction of their sum.
        neighbours: pairs of words that stand together.
    """

    words: frozenset[str]
    rare: Mapping[str, float]
    total: float
    rows: Vectors
    meaning: Vectors
    neighbours: frozenset[tuple[str, str]]

    def beside(self, other: _Profile) -> list[str]:
        """The words that the other has not."""
        return [word for word in self.rare if word not in other.words]

    def sum_beside(self, other: _Profile) -> Vectors:
        """The sum of their vectors."""
        odd = np.array([word not in other.words for word in self.rare], np.float32)
        found: Vectors = odd @ self.rows
        return found


class Comparer:
    """Compares questions, by what is known of words."""

    def __init__(self, weights: Weights, embedder: StaticEmbedder) -> None:
        self.weights, self.embedder = weights, embedder
        self._profile = lru_cache(maxsize=2_048)(self._make)  # about 15 kB each

    def compare(self, first: Reading, second: Reading, cosine: float) -> list[float]:
        """The numbers of `NAMES`."""
        one, other = self._profile(first), self._profile(second)
        return [
            cosine,
            float(one.meaning @ other.meaning),
            *self._odds(one, other, first, second),
            _jaccard(one.neighbours, other.neighbours),
            *_forms(first, second),
            *_facts(first, second, one, other),
        ]

    def _make(self, reading: Reading) -> _Profile:
        words = frozenset(reading.words)
        rare = {word: self.weights.rare(word) for word in sorted(words)}  # in one order, for one sum
        weights = np.fromiter(rare.values(), np.float32, len(rare))
        vectors = [self.embedder.word(word) for word in rare]
        rows = np.concatenate([self._nothing(), *vectors]).reshape(len(rare) + 1, -1)[1:] * weights[:, None]
        return _Profile(
            words=words,
            rare=rare,
            total=sum(rare.values()),
            rows=rows,
            meaning=_direction(rows.sum(axis=0)),
            neighbours=frozenset(pairwise(reading.words)),
        )

    def _nothing(self) -> Vectors:
        return np.zeros(self.embedder.word_width, np.float32)

    def _odds(self, one: _Profile, other: _Profile, first: Reading, second: Reading) -> list[float]:
        """How near, how rare and how many the words are that only one of the questions has, and how much is shared."""
        odd_one, odd_other = one.beside(other), other.beside(one)
        rare_one, rare_other = [one.rare[word] for word in odd_one], [other.rare[word] for word in odd_other]
        sum_one, sum_other = sum(rare_one), sum(rare_other)
        common = (one.total - sum_one + other.total - sum_other) / 2
        slack = [self.weights.slack.get(word, 0.0) for word in (*odd_one, *odd_other)]
        counts = len(first.content.intersection(odd_one)), len(second.content.intersection(odd_other))
        return [
            *_apart(one.sum_beside(other), other.sum_beside(one)),
            _ratio(common, one.total + other.total - common),
            *sorted((_ratio(common, one.total), _ratio(common, other.total))),
            *sorted((max(rare_one, default=0.0), max(rare_other, default=0.0))),
            *sorted((sum_one, sum_other)),
            *map(float, sorted(counts)),
            sum(slack),
            min(slack, default=0.0),
        ]


def _apart(first: Vectors, second: Vectors) -> list[float]:
    """How near to each other, how long and how far apart two sums of words are."""
    long_first, long_second, product = float(first @ first), float(second @ second), float(first @ second)
    lengths = sorted((sqrt(long_first), sqrt(long_second)))
    near = product / (lengths[0] * lengths[1]) if lengths[0] else float(not lengths[1])
    return [near, *lengths, sqrt(max(0.0, long_first + long_second - 2 * product))]


def _direction(vector: Vectors) -> Vectors:
    length = float(np.sqrt(vector @ vector))
    return vector / np.float32(length) if length else vector


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _jaccard(first: frozenset[tuple[str, str]], second: frozenset[tuple[str, str]]) -> float:
    shared = len(first & second)
    return _ratio(shared, len(first) + len(second) - shared)


def _forms(first: Reading, second: Reading) -> list[float]:
    lengths = sorted((len(first.words), len(second.words)))
    return [
        _ratio(lengths[0], lengths[1]),
        float(lengths[0]),
        1.0 if first.asks == second.asks else 0.0 if first.asks and second.asks else 0.5,
        float(first.words[:1] == second.words[:1]),
        float(first.words[-1:] == second.words[-1:]),
    ]


def _facts(first: Reading, second: Reading, one: _Profile, other: _Profile) -> list[float]:
    return [
        float(len(first.names & second.names)),
        float(min(len(first.names - other.words), len(second.names - one.words))),
        (len(first.numbers) + len(second.numbers)) / 2,
        float(len(first.units ^ second.units)),
    ]
