"""Questions that have an answer, by space, in this process: found by their vectors, bounded, the oldest forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from thrift_plugins.caching.semantic.index import VectorIndex
from thrift_plugins.caching.semantic.records import Question
from thrift_plugins.text.embed import Vectors


class Near(NamedTuple):
    """A question that is near another one.

    Attributes:
        cosine: of their vectors.
    """

    text: str
    cosine: float


@dataclass(slots=True)
class _Space:
    index: VectorIndex
    dimensions: int
    texts: dict[int, str] = field(default_factory=dict)


class _Place(NamedTuple):
    slot: int
    expires: float


class Questions:
    """Not thread-safe: its owner holds a lock.

    Args:
        most: questions that are kept. One takes some 350 bytes beside its text and its vector's dimensions.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._spaces: dict[bytes, _Space] = {}
        self._places: OrderedDict[tuple[bytes, str], _Place] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, question: Question) -> None:
        """Remember a question; one that is known lives as long as it is told last. One of other dimensions is passed over."""
        name = (question.space, question.text)
        known = self._places.pop(name, None)
        if known is not None:
            self._places[name] = known._replace(expires=question.expires)
            return
        space = self._spaces.get(question.space)
        if space is None:
            space = self._spaces[question.space] = _Space(VectorIndex(len(question.vector)), len(question.vector))
        elif space.dimensions != len(question.vector):
            return
        (slot,) = space.index.add(question.vector[None])
        space.texts[slot] = question.text
        self._places[name] = _Place(slot, question.expires)
        while len(self._places) > self._most:
            self.forget(*next(iter(self._places)))

    def forget(self, space: bytes, text: str) -> None:
        """Its answer is gone."""
        place = self._places.pop((space, text), None)
        if place is None:
            return
        home = self._spaces[space]
        home.index.remove(place.slot)
        del home.texts[place.slot]
        if not home.texts:
            del self._spaces[space]

    def near(self, space: bytes, vector: Vectors, count: int, now: float) -> list[Near]:
        """The nearest living questions of a space to a vector of shape (dimensions,), best first."""
        home = self._spaces.get(space)
        if home is None or home.dimensions != len(vector):
            return []
        found = [(home.texts[slot], cosine) for slot, cosine in home.index.search(vector, count)]
        living = []
        for text, cosine in found:
            if self._places[space, text].expires > now:
                living.append(Near(text, cosine))
            else:
                self.forget(space, text)
        return living
