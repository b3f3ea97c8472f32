"""A question and the passages beside it, read once into arrays: which terms are in which sentence, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Final

import numpy as np

from thrift_plugins.compression.terms import says_little, stem, terms_of, tokens
from thrift_plugins.compression.vectors import Floats, Indices, WordTable
from thrift_plugins.text.sentences import Span, is_dialogue, lines, pieces
from thrift_plugins.text.words import unspaced


@dataclass(frozen=True, slots=True)
class Passage:
    """One document, or a part of one, that was found for a question.

    Attributes:
        text: its words.
        title: what it is about; kept whole where any of its text is.
        score: the retriever's own, higher is better; None where there is none.
        dialogue: whether it is cut at lines, not at sentences; None: by its looks.
    """

    text: str
    title: str = ""
    score: float | None = None
    dialogue: bool | None = None

    def pieces(self) -> list[Span]:
        """Where it may be cut."""
        return lines(self.text) if self.dialogue else pieces(self.text)


_ADDED: Final = re.compile(r"\s*[(（][^()（）]*[)）]\s*\Z")  # noqa: RUF001
"""As in "Mercury (planet)"."""

_LITTLE: Final = 0.15
"""Weight of a function word in a question, against 1."""


class Rows:
    """Texts as rows of terms, numbered through all of them.

    Attributes:
        words: (T,) of each word in all rows, its number in the vocabulary.
        starts: (R + 1,) where the words of each row begin, and the end of the last.
        terms: (U,) of each term in all rows, its number.
        rows: (U,) the row of each of these.
        lengths: (R,) how many terms each row has.
    """

    def __init__(self, texts: Iterable[Sequence[str]], vocabulary: dict[str, int], numbers: dict[str, int]) -> None:
        rows = list(texts)
        self.starts = np.cumsum([0, *map(len, rows)])
        flat = [*chain.from_iterable(rows)]
        for word in dict.fromkeys(flat):
            vocabulary.setdefault(word, len(vocabulary))
        self.words: Indices = np.fromiter(map(vocabulary.__getitem__, flat), np.intp, len(flat))
        if any(len(word) == 1 and not word.isascii() and unspaced(word) for word in vocabulary):
            told = [terms_of([*row]) for row in rows]
            self.terms: Indices = np.array(
                [numbers.setdefault(term, len(numbers)) for row in told for term in row], np.intp
            )
            self.lengths: Floats = np.array([len(row) for row in told], np.float32)
        else:
            of_word = np.array([numbers.setdefault(stem(word), len(numbers)) for word in vocabulary] or [0], np.intp)
            self.terms = of_word[self.words]
            self.lengths = np.diff(self.starts).astype(np.float32)
        self.rows = np.repeat(np.arange(len(rows)), self.lengths.astype(np.intp))

    def __len__(self) -> int:
        return len(self.lengths)

    def places(self, asked: Sequence[int], numbers: int) -> Indices:
        """(U,) of each term, which of these it is; -1 for none."""
        of_term = np.full(numbers + 1, -1, np.intp)
        of_term[list(asked)] = np.arange(len(asked))
        of_term[-1] = -1
        return of_term[self.terms]

    def counts(self, asked: Sequence[int], numbers: int) -> Floats:
        """(R, asked) how often each row has each of these terms; a number below 0 is of a term that no row has."""
        width = max(1, len(asked))
        if not len(asked):
            return np.zeros((len(self), 1), np.float32)
        place = self.places(asked, numbers)
        known = place >= 0
        flat = np.bincount(self.rows[known] * width + place[known], minlength=len(self) * width)
        return flat.reshape(len(self), width).astype(np.float32)

    def sums(self, vectors: Floats, weights: Floats) -> Floats:
        """(K, R, width) the sums of the vectors of each row's words, once by each of these weights.

        Args:
            vectors: (V, width).
            weights: (K, V).
        """
        found = np.zeros((len(weights), len(self), vectors.shape[1]), np.float32)
        own, share = vectors[self.words], weights[:, self.words]
        for row, (start, end) in enumerate(pairwise(self.starts.tolist())):  # faster than one `reduceat` of all
            if start < end:
                np.matmul(share[:, start:end], own[start:end], out=found[:, row])
        return found

    def most(self, values: Floats) -> Floats:
        """(R, width) the largest value of each row's words, 0 where it has none."""
        found = np.zeros((len(self), values.shape[1]), np.float32)
        full = np.flatnonzero(np.diff(self.starts))
        if len(full):
            found[full] = np.maximum.reduceat(values[self.words], self.starts[:-1][full], axis=0)
        return found


@dataclass(frozen=True)
class Reading:
    """Sentences are numbered through all passages. S sentences, D passages, Q terms of the question, V words.

    Attributes:
        query: the question.
        texts: the sentences.
        passage: (S,) the passage of each.
        place: (S,) its number there.
        spans: where each is in its passage.
        dialogue: whether most of the passages are dialogues.
        asked: the words of the question, in small letters.
        terms: its terms, each once.
        sentences: the sentences as rows of terms.
        titles: the titles likewise.
    """

    query: str
    passages: Sequence[Passage]
    texts: Sequence[str]
    passage: Indices
    place: Indices
    spans: Sequence[Span]
    dialogue: bool
    asked: Sequence[str]
    terms: tuple[str, ...]
    sentences: Rows
    titles: Rows
    vocabulary: dict[str, int]
    numbers: dict[str, int]
    table: WordTable

    @classmethod
    def of(cls, query: str, passages: Sequence[Passage], table: WordTable) -> Reading:
        """Read passages. Those without text have no sentences."""
        spans = [passage.pieces() for passage in passages]
        texts = [passage.text[a:b] for passage, own in zip(passages, spans, strict=True) for a, b in own]
        sizes = [len(own) for own in spans]
        talks = sum(size for passage, size in zip(passages, sizes, strict=True) if size and is_dialogue(passage.text))
        asked = tokens(query)
        vocabulary: dict[str, int] = {}
        numbers: dict[str, int] = {}
        titles = Rows((tokens(passage.title) for passage in passages), vocabulary, numbers)
        return cls(
            query,
            passages,
            texts,
            np.repeat(np.arange(len(passages)), sizes),
            np.array([at for size in sizes for at in range(size)], np.intp),
            [*chain.from_iterable(spans)],
            2 * talks > len(texts),
            asked,
            tuple(dict.fromkeys(terms_of(asked))),
            Rows(map(tokens, texts), vocabulary, numbers),
            titles,
            vocabulary,
            numbers,
            table,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def counts(self, terms: Sequence[str]) -> tuple[Floats, Floats]:
        """(S, terms) and (D, terms): how often each sentence, and each title, has each term."""
        size = len(self.numbers)
        asked = [self.numbers.get(term, -1) for term in terms]
        return self.sentences.counts(asked, size), self.titles.counts(asked, size)

    @cached_property
    def vectors(self) -> Floats:
        """(V, width) of each word of the vocabulary."""
        return self.table.rows([*self.vocabulary])

    @cached_property
    def ends(self) -> list[int]:
        """(D + 1,) where the sentences of each passage begin, and the end of the last."""
        found: list[int] = np.searchsorted(self.passage, np.arange(len(self.passages) + 1)).tolist()
        return found

    @cached_property
    def norms(self) -> Floats:
        """(V,) the length of each word's vector, 1 for a word without one."""
        lengths = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))
        return np.where(lengths == 0, np.float32(1), lengths)

    @cached_property
    def title_terms(self) -> list[list[str]]:
        """Of each title the terms that say something, without what is added in brackets to tell it from others of its name."""
        bare = (_ADDED.sub("", passage.title) or passage.title for passage in self.passages)
        told = (terms_of(tokens(title)) if title else [] for title in bare)
        return [[term for term in own if not says_little(term)] for own in told]

    @cached_property
    def _heard(self) -> tuple[Floats, Floats]:
        return self.counts(self.terms)

    @property
    def heard(self) -> Floats:
        """(S, Q) how often a sentence has each term of the question."""
        return self._heard[0]

    @property
    def titled(self) -> Floats:
        """(D, Q) how often a title has each term of the question."""
        return self._heard[1]

    @cached_property
    def weights(self) -> Floats:
        """(Q,) how much each term tells the sentences apart; little for a function word."""
        return weights(self.heard, self.terms)

    def by_passage(self, values: Floats) -> Floats:
        """(S,) the largest value in each sentence's passage."""
        most = np.full(len(self.passages), -np.inf, np.float32)
        np.maximum.at(most, self.passage, values)
        found: Floats = most[self.passage]
        return found

    @cached_property
    def rarity(self) -> Floats:
        """(V,) inverse document frequency of each word among the sentences."""
        rows = self.sentences
        pairs = np.sort(rows.words * len(rows) + np.repeat(np.arange(len(rows)), np.diff(rows.starts)))
        first = np.concatenate(([True], pairs[1:] != pairs[:-1]))[: len(pairs)]
        have = np.bincount(pairs[first] // max(1, len(rows)), minlength=len(self.vocabulary))
        return np.log1p((len(rows) - have + 0.5) / (have + 0.5)).astype(np.float32)

    def pools(self, score: Floats) -> Floats:
        """(S,) the logarithm of the sum of what e to the score is in each sentence's passage."""
        top = float(score.max())
        sums = self.sums(np.exp(np.maximum(score - top, -60)))
        found: Floats = np.log(np.maximum(sums, 1e-30))[self.passage] + np.float32(top)
        return found

    def tops(self, values: Floats) -> Floats:
        """(D, ...) the largest in each passage, 0 where it has no sentence."""
        most = np.zeros((len(self.passages), *values.shape[1:]), np.float32)
        starts = np.flatnonzero(self.place == 0)
        most[self.passage[starts]] = np.maximum.reduceat(values, starts, axis=0)
        return most

    def sums(self, values: Floats) -> Floats:
        """(D, ...) the sum in each passage."""
        total = np.zeros((len(self.passages), *values.shape[1:]), np.float32)
        starts = np.flatnonzero(self.place == 0)
        total[self.passage[starts]] = np.add.reduceat(values, starts, axis=0)
        return total


def weights(heard: Floats, terms: Sequence[str]) -> Floats:
    """(terms,) inverse document frequency among the rows, little for function words."""
    have = (heard > 0).sum(axis=0)
    rarity = np.log1p((len(heard) - have + 0.5) / (have + 0.5))
    little = np.array([_LITTLE if says_little(term) else 1.0 for term in terms] or [0.0])
    found: Floats = (rarity * little).astype(np.float32)
    return found


def bm25(heard: Floats, lengths: Floats, weight: Floats, *, k: float = 1.2, b: float = 0.5) -> Floats:
    """(rows,) the weight of the terms that a row has, more of each counting ever less, and less in a long row."""
    mean = float(lengths.mean()) if len(lengths) else 1.0
    norm = k * (1 - b + b * lengths / max(mean, 1.0))
    return np.asarray((heard * (k + 1) / (heard + norm[:, None])) @ weight, np.float32)
