"""Keeps of some passages the sentences that a question needs, whole, in their order, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from thrift_plugins.compression.features import similarity
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
        tokens_before: of all passages with what stands before each, on lines of their own.
        tokens_after: of what stays of them, likewise.
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
        self.embedder = embedder

    @property
    def name(self) -> str:
        """Names ranker and vectors: a calibration made with others says nothing."""
        space = self.embedder.name if self.embedder is not None else self.table.name
        return f"{self.ranker.digest}+{space}"

    def read(self, query: str, passages: Sequence[Passage]) -> tuple[Reading, Floats]:
        """The sentences, and how likely each is to be needed, in log odds."""
        reading = Reading.of(query, passages, self.table)
        return reading, self.ranker.scores(reading, similarity(reading, self.embedder))

    def extract(
        self,
        query: str,
        passages: Sequence[Passage],
        limit: Limit,
        measure: Measure,
        heads: Sequence[str] = (),
        *,
        whole: int | None = None,
    ) -> Extraction:
        """What of the passages stays within a limit. A context within it already stays as it is.

        Args:
            query: the question; nothing is left out where it has no words.
            measure: tokens of a text.
            heads: what stands before each passage, and goes with it where nothing of it stays.
            whole: tokens of all of them, where that is known.
        """
        if whole is None:
            whole = measure("\n".join([*heads, *(passage.text for passage in passages)]))
        threshold, tokens = limit.threshold(), limit.tokens(whole)
        same = Extraction(tuple(_whole(passage) for passage in passages), whole, whole)
        if not limit.extracts or not query.strip() or (threshold is None and whole <= tokens):
            return same
        reading, scores = self.read(query, passages)
        if not len(reading):
            return same
        heads = heads or [""] * len(passages)
        if threshold is None:
            kept, after = _Fitting(reading, scores, heads, measure, whole).within(tokens)
        else:
            kept = likely(scores, threshold)
            after = _tokens(_texts(reading, kept), heads, measure)
        return Extraction(_excerpts(reading, kept), whole, after) if after < whole else same


def _tokens(texts: Sequence[str], heads: Sequence[str], measure: Measure) -> int:
    kept = [head + text for text, head in zip(texts, heads, strict=True) if text]
    return measure("\n".join(kept))


class _Fitting:
    """Finds the best sentences that fit. Sizes are estimates, by letters; what they come to is counted, and put right."""

    def __init__(self, reading: Reading, scores: Floats, heads: Sequence[str], measure: Measure, whole: int) -> None:
        self._reading, self._scores, self._heads, self._measure = reading, scores, heads, measure
        letters = np.array([len(text) for text in reading.texts], np.float64)
        fronts = np.array([len(head) for head in heads], np.float64)
        rate = whole / max(1.0, letters.sum() + fronts.sum())
        self._sizes, self._fronts = letters * rate, fronts * rate
        known: dict[str, int] = {}
        told = [
            text.strip() if len(text) >= _REPEATS and not reading.dialogue else str(at)
            for at, text in enumerate(reading.texts)
        ]
        self._alike = [known.setdefault(text, len(known)) for text in told]

    def within(self, tokens: int) -> tuple[Mask, int]:
        """Which sentences, and how many tokens they have with what stands before and between them."""
        room = float(tokens)
        best_kept, best_used = self._try(room)
        for _ in range(_TRIES):
            if tokens * _FULL <= best_used <= tokens:
                break
            room += tokens - best_used if best_used > tokens else (tokens - best_used) * _HALF
            kept, used = self._try(room)
            if used > tokens and best_used <= tokens:
                break
            best_kept, best_used = kept, used
            if kept.sum() <= 1:
                break
        while best_used > tokens and best_kept.sum() > 1:
            places = np.flatnonzero(best_kept)
            best_kept[places[np.argmin(self._scores[places])]] = False
            best_used = _tokens(_texts(self._reading, best_kept), self._heads, self._measure)
        return best_kept, best_used

    def _try(self, room: float) -> tuple[Mask, int]:
        kept = within(self._scores, self._sizes, self._reading.passage, self._fronts, room, self._alike)
        return kept, _tokens(_texts(self._reading, kept), self._heads, self._measure)


_REPEATS: Final = 20
"""Characters; a shorter sentence is no repetition, but a figure of speech."""

_FULL: Final = 0.96
_HALF: Final = 0.8
_TRIES: Final = 3


def _whole(passage: Passage) -> Excerpt:
    return Excerpt(passage.text, (Span(0, len(passage.text)),), ())


def _excerpts(reading: Reading, kept: Mask) -> tuple[Excerpt, ...]:
    return tuple(_excerpt(passage.text, spans, stays) for passage, spans, stays in _by_passage(reading, kept))


def _texts(reading: Reading, kept: Mask) -> list[str]:
    """The texts of `_excerpts` alone: while sentences are chosen, nobody asks what was left out."""
    return [_joined(passage.text, spans, stays) for passage, spans, stays in _by_passage(reading, kept)]


def _by_passage(reading: Reading, kept: Mask) -> Iterator[tuple[Passage, Sequence[Span], list[bool]]]:
    """Each passage with its sentences, and whether each of them stays."""
    told: list[bool] = kept.tolist()
    for passage, (start, end) in zip(reading.passages, pairwise(reading.ends), strict=True):
        yield passage, reading.spans[start:end], told[start:end]


def _excerpt(text: str, spans: Sequence[Span], kept: Sequence[bool]) -> Excerpt:
    if all(kept):
        return Excerpt(text, (Span(0, len(text)),), ()) if len(spans) else Excerpt(text, (), ())
    stays = [span for span, keep in zip(spans, kept, strict=True) if keep]
    goes = [span for span, keep in zip(spans, kept, strict=True) if not keep]
    return Excerpt(_joined(text, spans, kept), _run(stays), _run(goes))


def _joined(text: str, spans: Sequence[Span], kept: Sequence[bool]) -> str:
    """The sentences that stay, with `GAP` between those that were apart."""
    if True not in kept:
        return "" if len(spans) else text
    if False not in kept:
        return text
    parts: list[str] = []
    last = -1
    for span, keep in zip(spans, kept, strict=True):
        if not keep:
            continue
        if 0 <= last != span.start:
            parts.append(GAP if text[last - 1].isspace() else f" {GAP}")
        parts.append(text[span.start : span.end])
        last = span.end
    return "".join(parts).rstrip()


def _run(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans with neighbours joined."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].end == span.start:
            found[-1] = Span(found[-1].start, span.end)
        else:
            found.append(span)
    return tuple(found)
