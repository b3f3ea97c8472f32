"""Keeps of some passages the sentences that a question needs, whole, in their order, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.ranker import Ranker, shipped
from thrift_plugins.compression.reading import Passage, Reading
from thrift_plugins.compression.selection import Mask, likely, within
from thrift_plugins.compression.vectors import Floats, WordTable
from thrift_plugins.text.embed import Embedder
from thrift_plugins.text.sentences import Span

GAP: Final = "… "
"""Stands where something was left out between two sentences of one passage."""

Measure = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What stays of a passage.

    Attributes:
        text: the sentences that stay, with `GAP` between those that were apart; "" where none does.
        kept: where they are in the passage.
        dropped: where what was left out is.
    """

    text: str
    kept: tuple[Span, ...]
    dropped: tuple[Span, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.dropped


@dataclass(frozen=True, slots=True)
class Extraction:
    """What stays of passages, in their order.

    Attributes:
        excerpts: one for each passage.
        tokens_before: of all passages with what stands before each.
        tokens_after: of those of which something stays.
    """

    excerpts: tuple[Excerpt, ...]
    tokens_before: int
    tokens_after: int


class Extractor:
    """Finds the sentences that a question needs. Thread-safe; the same input gives the same output.

    Args:
        ranker: of the app's own, made by `thrift-plugins compress train`; by default the shipped one.
        embedder: of the app's own, in the place of the static word vectors where whole sentences are compared. It costs one
            vector a sentence.
        table: word vectors to share.
    """

    def __init__(
        self, *, ranker: Ranker | None = None, embedder: Embedder | None = None, table: WordTable | None = None
    ) -> None:
        self.ranker = ranker or shipped()
        self.table = table or WordTable()
        self._embedder = embedder

    @property
    def name(self) -> str:
        """Names ranker and vectors: a calibration made with others says nothing."""
        space = self._embedder.name if self._embedder is not None else self.table.name
        return f"{self.ranker.digest}+{space}"

    def read(self, query: str, passages: Sequence[Passage]) -> tuple[Reading, Floats]:
        """The sentences, and how likely each is to be needed, in log odds."""
        reading = Reading.of(query, passages, self.table)
        similarity = None
        if self._embedder is not None and len(reading):
            rows = self._embedder.embed([query, *reading.texts])
            similarity = rows[1:] @ rows[0]
        return reading, self.ranker.scores(reading, similarity)

    def extract(
        self, query: str, passages: Sequence[Passage], limit: Limit, measure: Measure, heads: Sequence[str] = ()
    ) -> Extraction:
        """What of the passages stays within a limit. A context within it already stays as it is.

        Args:
            query: the question; nothing is left out where it has no words.
            measure: tokens of a text.
            heads: what stands before each passage, and goes with it where nothing of it stays.
        """
        fronts = [measure(head) if head else 0 for head in heads] or [0] * len(passages)
        before = sum(measure(passage.text) for passage in passages) + sum(fronts)
        threshold, tokens = limit.threshold(), limit.tokens(before)
        if not limit.extracts or not query.strip() or (threshold is None and before <= tokens):
            return Extraction(tuple(_whole(passage) for passage in passages), before, before)
        reading, scores = self.read(query, passages)
        if not len(reading):
            return Extraction(tuple(_whole(passage) for passage in passages), before, before)
        if threshold is None:
            sizes = [measure(text) for text in reading.texts]
            kept = _fitting(reading, scores, sizes, fronts, tokens, measure)
        else:
            kept = likely(scores, threshold)
        excerpts = _excerpts(reading, kept)
        after = sum(
            measure(excerpt.text) + front for excerpt, front in zip(excerpts, fronts, strict=True) if excerpt.text
        )
        if after >= before:
            return Extraction(tuple(_whole(passage) for passage in passages), before, before)
        return Extraction(excerpts, before, after)


def _fitting(
    reading: Reading, scores: Floats, sizes: Sequence[int], heads: Sequence[int], tokens: int, measure: Measure
) -> Mask:
    """The best that fit; what gaps add is taken off until it does."""
    room = tokens
    kept = within(scores, sizes, reading.passage, heads, room)
    for _ in range(_TRIES):
        used = sum(
            measure(excerpt.text) + head
            for excerpt, head in zip(_excerpts(reading, kept), heads, strict=True)
            if excerpt.text
        )
        if used <= tokens or kept.sum() <= 1:
            break
        room -= used - tokens
        kept = within(scores, sizes, reading.passage, heads, room)
    return kept


_TRIES: Final = 4


def _whole(passage: Passage) -> Excerpt:
    return Excerpt(passage.text, (Span(0, len(passage.text)),), ())


def _excerpts(reading: Reading, kept: Mask) -> tuple[Excerpt, ...]:
    ends = np.searchsorted(reading.passage, np.arange(len(reading.passages) + 1))
    return tuple(
        _excerpt(passage.text, reading.spans[start:end], kept[start:end])
        for passage, (start, end) in zip(reading.passages, pairwise(ends.tolist()), strict=True)
    )


def _excerpt(text: str, spans: Sequence[Span], kept: Mask) -> Excerpt:
    if kept.all():
        return Excerpt(text, (Span(0, len(text)),), ()) if len(spans) else Excerpt(text, (), ())
    stays = [span for span, keep in zip(spans, kept, strict=True) if keep]
    goes = [span for span, keep in zip(spans, kept, strict=True) if not keep]
    parts: list[str] = []
    for at, span in enumerate(stays):
        if at and span.start != stays[at - 1].end:
            parts.append(GAP if text[stays[at - 1].end - 1].isspace() else f" {GAP}")
        parts.append(text[span.start : span.end])
    return Excerpt("".join(parts).rstrip(), _run(stays), _run(goes))


def _run(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans with neighbours joined."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].end == span.start:
            found[-1] = Span(found[-1].start, span.end)
        else:
            found.append(span)
    return tuple(found)
