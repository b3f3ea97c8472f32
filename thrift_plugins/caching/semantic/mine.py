"""What a search would have found: labelled pairs of questions turned into lookups to learn from and to measure on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from thrift_plugins.text.embed import Embedder


class Pair(NamedTuple):
    """Two questions, and whether one answer serves both."""

    first: str
    second: str
    same: bool


class Candidate(NamedTuple):
    """A stored question that a search finds; `same`: its answer is right."""

    text: str
    cosine: float
    same: bool


class Lookup(NamedTuple):
    """A question and what is found for it, nearest first."""

    question: str
    candidates: tuple[Candidate, ...]


class Groups:
    """Texts joined into groups, as union-find: a = b and b = c make a = c."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, text: str) -> str:
        """The text that stands for its group; a text that was never joined stands for itself."""
        top = text
        while (above := self._above.get(top, top)) != top:
            top = above
        while text != top:
            self._above[text], text = top, self._above[text]
        return top

    def join(self, first: str, second: str) -> None:
        """Make one group of two; the one that comes first in the alphabet stands for it."""
        low, high = sorted((self.of(first), self.of(second)))
        if low != high:
            self._above[high] = low


def meanings(pairs: Iterable[Pair]) -> Groups:
    """Groups of questions that share an answer."""
    groups = Groups()
    for pair in pairs:
        if pair.same:
            groups.join(pair.first, pair.second)
    return groups


def components(pairs: Iterable[Pair]) -> Groups:
    """Groups of questions that any pair connects: what must stay on one side of a split."""
    groups = Groups()
    for pair in pairs:
        groups.join(pair.first, pair.second)
    return groups


def lookups(
    questions: Sequence[str], stored: Sequence[str], groups: Groups, embedder: Embedder, *, found: int = 3
) -> list[Lookup]:
    """The nearest stored questions of each, itself left out."""
    rows = embedder.embed(stored)
    result = []
    for start in range(0, len(questions), _AT_ONCE):
        part = questions[start : start + _AT_ONCE]
        near = embedder.embed(part) @ rows.T
        wanted = min(found + 1, near.shape[1])
        best = np.argpartition(-near, wanted - 1, axis=1)[:, :wanted]
        for number, question in enumerate(part):
            places: list[int] = best[number].tolist()
            ranked = sorted(((float(near[number, place]), stored[place]) for place in places), reverse=True)
            meaning = groups.of(question)
            others = [
                Candidate(text, cosine, groups.of(text) == meaning) for cosine, text in ranked if text != question
            ]
            result.append(Lookup(question, tuple(others[:found])))
    return result


_AT_ONCE = 500  # questions whose similarities to everything are held at a time
