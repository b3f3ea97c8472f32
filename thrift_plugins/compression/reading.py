"""A question and the passages beside it, read once into arrays: which terms are in which sentence, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

import numpy as np

from thrift_plugins.compression.terms import says_little, terms_of, tokens
from thrift_plugins.compression.vectors import Floats, Indices, WordTable
from thrift_plugins.text.sentences import Span, is_dialogue, lines, pieces


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
        if self.dialogue is None:
            return pieces(self.text)
        return lines(self.text) if self.dialogue else [*pieces(self.text)]


_LITTLE: Final = 0.15
"""Weight of a function word in a question, against 1."""


@dataclass(frozen=True)
class Reading:
    """Sentences are numbered through all passages. S sentences, D passages, Q terms of the question, T words.

    Attributes:
        query: the question.
        terms: its terms, each once.
        texts: the sentences.
        passage: (S,) the passage of each.
        place: (S,) its number there.
        spans: (S,) where it is in its passage.
        dialogue: whether most of the passages are dialogues.
        heard: (S, Q) how often each term is in a sentence.
        titled: (D, Q) in a title.
        lengths: (S,) terms of a sentence.
        words: the words of each sentence, in small letters.
        title_words: the words of each title.
    """

    query: str
    terms: tuple[str, ...]
    passages: Sequence[Passage]
    texts: Sequence[str]
    passage: Indices
    place: Indices
    spans: Sequence[Span]
    dialogue: bool
    words: Sequence[list[str]]
    title_words: Sequence[list[str]]
    table: WordTable

    @classmethod
    def of(cls, query: str, passages: Sequence[Passage], table: WordTable) -> Reading:
        """Read passages. Those without text have no sentences."""
        spans = [passage.pieces() for passage in passages]
        texts = [passage.text[a:b] for passage, own in zip(passages, spans, strict=True) for a, b in own]
        sizes = [len(own) for own in spans]
        talks = sum(len(own) for passage, own in zip(passages, spans, strict=True) if own and is_dialogue(passage.text))
        return cls(
            query,
            tuple(dict.fromkeys(terms_of(tokens(query)))),
            passages,
            texts,
            np.repeat(np.arange(len(passages)), sizes),
            np.array([at for size in sizes for at in range(size)], np.intp),
            [*chain.from_iterable(spans)],
            2 * talks > len(texts),
            [tokens(text) for text in texts],
            [tokens(passage.title) for passage in passages],
            table,
        )

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def sentence_terms(self) -> list[list[str]]:
        """The terms of each sentence."""
        return [terms_of(found) for found in self.words]

    @cached_property
    def title_terms(self) -> list[list[str]]:
        """The terms of each title."""
        return [terms_of(found) for found in self.title_words]

    @cached_property
    def lengths(self) -> Floats:
        """(S,) terms of each sentence."""
        return np.array([len(found) for found in self.sentence_terms], np.float32)

    @cached_property
    def title_lengths(self) -> Floats:
        """(D,) terms of each title."""
        return np.array([len(found) for found in self.title_terms], np.float32)

    @cached_property
    def heard(self) -> Floats:
        """(S, Q) how often a sentence has each term."""
        return counts(self.sentence_terms, self.terms)

    @cached_property
    def titled(self) -> Floats:
        """(D, Q) how often a title has each term."""
        return counts(self.title_terms, self.terms)

    @cached_property
    def weights(self) -> Floats:
        """(Q,) how much each term tells the sentences apart; little for a function word."""
        return weights(self.heard, self.terms)

    def by_passage(self, values: Floats) -> Floats:
        """The largest value in each passage, in the row or at the place of each of its sentences."""
        most = np.full((len(self.passages), *values.shape[1:]), -np.inf, np.float32)
        np.maximum.at(most, self.passage, values)
        found: Floats = most[self.passage]
        return found

    def sums(self, values: Floats) -> Floats:
        """(D, ...) the sum in each passage."""
        total = np.zeros((len(self.passages), *values.shape[1:]), np.float32)
        np.add.at(total, self.passage, values)
        return total


def counts(rows: Sequence[Sequence[str]], terms: Sequence[str]) -> Floats:
    """(rows, terms) how often each row has each term."""
    index = {term: at for at, term in enumerate(terms)}
    found = np.zeros((len(rows), max(1, len(terms))), np.float32)
    for at, row in enumerate(rows):
        for term in row:
            place = index.get(term)
            if place is not None:
                found[at, place] += 1
    return found


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
