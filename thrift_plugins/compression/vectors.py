"""Words as vectors, kept in one table, so that a context of a few thousand words is read with a handful of numpy calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.forks import new_lock
from thrift_plugins.text.embed import StaticEmbedder

Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.intp]

_ROWS: Final = 16_384
"""Words that are kept: 16 MB of vectors. A text brings some hundreds, and texts of one app share most."""


class WordTable:
    """Vectors of words by their meaning, or by their letters where no learnt vectors are installed. Thread-safe.

    Args:
        embedder: where the vectors come from.
    """

    def __init__(self, embedder: StaticEmbedder | None = None) -> None:
        self._embedder = embedder or StaticEmbedder()
        self._lock = new_lock()
        self._forget()

    @property
    def name(self) -> str:
        """Of the vectors' space."""
        return self._embedder.name

    def _forget(self) -> None:
        self._index: dict[str, int] = {}
        self._rows = np.zeros((_ROWS, self._embedder.word_width), np.float32)

    def rows(self, words: Sequence[str]) -> Floats:
        """Vectors of words, float32 (n, width); a longer one is of a word that says more."""
        with self._lock:
            if len(self._index) + len(words) > _ROWS:
                self._forget()
            if len(words) > _ROWS:
                return np.array([self._embedder.plain_word(word) for word in words], np.float32)
            index = self._index
            places = [index.get(word, -1) for word in words]
            for at, place in enumerate(places):
                if place < 0:
                    places[at] = self._add(words[at])
            return self._rows[places]

    def _add(self, word: str) -> int:
        place = self._index.get(word)
        if place is None:
            place = self._index[word] = len(self._index)
            self._rows[place] = self._embedder.plain_word(word)
        return place
