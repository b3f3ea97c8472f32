"""How alike two texts are, by their words, their spelling and, where there are word vectors, their meaning.

What is kept of the examples is hashes, not text: which of them has which group of letters. A new text is compared with
all of them at once, in well under a millisecond for a few thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.text.embed import Embedder
from thrift_plugins.text.words import plain, words

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint32]

_LETTERS = (2, 3, 4, 5)
"""Sizes of the groups of letters that are compared."""


_WORDS = 0.7
"""Share of words, beside their letters."""


def word_keys(text: str) -> Hashes:
    """Hashes of a text's words and pairs of neighbours, each once, in order."""
    found = words(plain(text))
    return _hashed([*found, *(f"{first} {second}" for first, second in pairwise(found))])


def letter_keys(text: str) -> Hashes:
    """Hashes of the groups of letters in a text's words, each once, in order."""
    marked = [f" {word} " for word in words(plain(text))]
    return _hashed(word[at : at + size] for word in marked for size in _LETTERS for at in range(len(word) - size + 1))


def _hashed(names: Iterable[str]) -> Hashes:
    found = {crc32(name.encode("utf-8", "surrogatepass")) for name in names}
    return np.array(sorted(found), np.uint32)


@dataclass(frozen=True, slots=True)
class Postings:
    """Which of n examples has which key.

    Attributes:
        keys: (d,), in order.
        starts: (d + 1,), where each key's examples begin in `rows`.
        rows: the examples.
        lengths: (n,), of the examples, by which similarities are made 1 for equal texts.
    """

    keys: Hashes
    starts: NDArray[np.int32]
    rows: NDArray[np.int32]
    lengths: NDArray[np.float32]

    @classmethod
    def of(cls, examples: Sequence[Hashes], *, least: int) -> Postings:
        """The postings of keys that at least `least` examples have."""
        all_keys = np.concatenate(examples) if examples else np.zeros(0, np.uint32)
        owners = np.repeat(np.arange(len(examples), dtype=np.int32), [len(keys) for keys in examples])
        order = np.argsort(all_keys, kind="stable")
        keys, counts = np.unique(all_keys, return_counts=True)
        often = counts >= least
        weights = _rarity(counts, len(examples))
        lengths = np.sqrt(np.bincount(owners, weights[np.searchsorted(keys, all_keys)], minlength=len(examples)))
        kept = np.repeat(often, counts)
        starts = np.concatenate(([0], np.cumsum(counts[often])))
        return cls(
            keys[often], starts.astype(np.int32), owners[order][kept], np.maximum(lengths, 1e-6).astype(np.float32)
        )

    def alike(self, keys: Hashes, *, own: bool = False) -> Floats:
        """(n,) the cosine of a text with each example.

        Args:
            own: whether the text is one of the examples. Another one is counted in too, so that a word which it shares with
                one example is as rare as a word that two examples share: what is learnt from examples must hold for it.
        """
        found = np.searchsorted(self.keys, keys)
        found = found[found < len(self.keys)] if len(self.keys) else found[:0]
        known = found[np.isin(self.keys[found], keys)]
        if not len(known):
            return np.zeros(len(self.lengths))
        sizes = self.starts[known + 1] - self.starts[known]
        weights = _rarity(sizes + (not own), len(self.lengths))
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) + np.repeat(self.starts[known] - np.concatenate(([0], ends[:-1])), sizes)
        shared = np.bincount(self.rows[places], np.repeat(weights, sizes), minlength=len(self.lengths))
        alone = (len(keys) - len(known)) * float(_rarity(np.ones(1), len(self.lengths))[0])
        return np.asarray(shared / (self.lengths * np.sqrt(weights.sum() + alone)), np.float64)


def _rarity(counts: NDArray[Any], examples: int) -> Floats:
    """What it counts that two texts share a key which so many examples have: the rarer, the more."""
    return np.asarray((np.log((1 + examples) / (1 + counts)) + 1) ** 2)


@dataclass(frozen=True, slots=True)
class Mix:
    """How the ways to be alike are weighed.

    Attributes:
        spelt: share of words and spelling; the rest is meaning.
        narrow: how fast likeness of words falls off.
        narrow_meaning: the same for meaning.
    """

    spelt: float
    narrow: float = 0.5
    narrow_meaning: float = 1.0

    def joined(self, spelt: Floats, meant: Floats | None) -> Floats:
        """One similarity of the cosines of two kinds."""
        near = np.exp(2 * self.narrow * (spelt - 1))
        if meant is None or self.spelt >= 1:
            return np.asarray(near)
        return np.asarray(self.spelt * near + (1 - self.spelt) * np.exp(2 * self.narrow_meaning * (meant - 1)))


@dataclass(frozen=True, slots=True)
class Reader:
    """n examples that texts are compared with.

    Attributes:
        words, letters: what they have in common by words and by spelling.
        centre: (e,) mean of their vectors; empty where there are no word vectors.
        vectors: (n, e), of length 1 after the mean is taken off.
    """

    words: Postings
    letters: Postings
    centre: NDArray[np.float32]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, texts: Sequence[str], embedder: Embedder | None) -> Reader:
        """Read examples."""
        by_word = Postings.of([word_keys(text) for text in texts], least=1)
        by_letter = Postings.of([letter_keys(text) for text in texts], least=2)
        if embedder is None:
            nothing = np.zeros((len(texts), 0), np.float32)
            return cls(by_word, by_letter, nothing[0] if len(texts) else np.zeros(0, np.float32), nothing)
        raw = np.asarray(embedder.embed(list(texts)), np.float32)
        centre = raw.mean(axis=0)
        return cls(by_word, by_letter, centre, _unit(raw - centre))

    def spelt(self, text: str, *, own: bool = False) -> Floats:
        """(n,) how alike by words and spelling; `own`: the text is one of the examples."""
        return _WORDS * self.words.alike(word_keys(text), own=own) + (1 - _WORDS) * self.letters.alike(
            letter_keys(text), own=own
        )

    def meant(self, text: str, embedder: Embedder | None) -> Floats | None:
        """(n,) how alike by meaning, None where there are no word vectors."""
        if embedder is None or not self.vectors.shape[1]:
            return None
        vector = _unit(np.asarray(embedder.embed([text]), np.float32) - self.centre)[0]
        return np.asarray(self.vectors @ vector, np.float64)

    def meant_among(self) -> Floats | None:
        """(n, n) how alike the examples are by meaning."""
        if not self.vectors.shape[1]:
            return None
        return np.asarray(self.vectors @ self.vectors.T, np.float64)


def spelt_among(reader: Reader, texts: Sequence[str]) -> Floats:
    """(n, n) how alike the examples are by words and spelling."""
    table = np.stack([reader.spelt(text, own=True) for text in texts])
    return (table + table.T) / 2


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-6)))
