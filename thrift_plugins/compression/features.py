"""What speaks for a sentence, in two looks: what it says itself, and what its neighbours and the best of the others say.

Every figure is brought to the same scale within one context, so that weights that were learnt on one hold for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from thrift_plugins.compression.cues import PAIRS, SIGNS, asked_kinds, names_in
from thrift_plugins.compression.reading import Reading, bm25, counts, weights
from thrift_plugins.compression.terms import says_little, terms_of, tokens
from thrift_plugins.compression.vectors import Floats, Indices
from thrift_plugins.text.words import unspaced

FIRST: Final = (
    "bm25", "bm25_titled", "bm25_title", "bm25_passage", "cover", "cover_titled", "cover_passage", "pair", "soft", "soft_titled",
    "cosine", "cosine_titled", "cosine_title", "cosine_passage", "retriever", "first", "place", "short", "length", "names", "title_asked",
    *(f"{kind}_{sign}" for kind, sign in PAIRS),
)  # fmt: skip
"""Of the first look."""

SECOND: Final = (
    "score", "score_top", "score_passage", "score_before", "score_after", "score_around", "passage_rank",
    "bridge", "bridge_titled", "title_named", "names_title", "best_first",
)  # fmt: skip
"""Of the second look, beside all of the first."""

_TOP: Final = 3
"""Sentences of the first look from which a bridge is built."""

_AROUND: Final = 4
"""Neighbours on each side that speak for a turn of a dialogue."""


def first_look(reading: Reading, similarity: Floats | None = None) -> Floats:
    """(S, len(FIRST)) what each sentence says itself.

    Args:
        similarity: (S,) of an embedder of the app's own, in the place of the static vectors' cosine.
    """
    at, heard, weight = reading.passage, reading.heard, reading.weights
    titled = heard + reading.titled[at]
    passages = reading.sums(heard) + reading.titled
    lengths, title_lengths = reading.lengths, reading.title_lengths
    whole = reading.sums(lengths) + title_lengths
    soft, soft_title = _soft(reading)
    lexical = [
        bm25(heard, lengths, weight),
        bm25(titled, lengths + title_lengths[at], weight),
        bm25(reading.titled, title_lengths, weight)[at],
        bm25(passages, whole, weight)[at],
    ]
    close = lexical if any(map(unspaced, reading.query)) else _cosines(reading)  # learnt vectors are of spaced words
    columns = [
        *(_scaled(column) for column in lexical),
        _cover(heard, weight),
        _cover(titled, weight),
        _cover(passages, weight)[at],
        _pairs(reading),
        _cover(soft, weight),
        _cover(np.maximum(soft, soft_title[at]), weight),
        *(_scaled(column) for column in close),
        _scaled(_given(reading)[at]),
        (reading.place == 0).astype(np.float32),
        1 / (1 + reading.place.astype(np.float32)),
        (lengths < _SHORT).astype(np.float32),
        np.log1p(lengths) / 4,
        *_named(reading),
        *_asked(reading),
    ]
    if similarity is not None:
        columns[FIRST.index("cosine")] = _scaled(similarity.astype(np.float32))
    return np.stack(columns, axis=1).astype(np.float32)


def second_look(reading: Reading, score: Floats) -> Floats:
    """(S, len(SECOND)) what speaks for each sentence once all have a score of the first look."""
    best = reading.by_passage(score)
    before, after, around = _neighbours(reading, score)
    ranks = np.unique(-best, return_inverse=True)[1].astype(np.float32)
    columns = [
        score,
        score - score.max(),
        best - score.max(),
        before - score.max(),
        after - score.max(),
        around,
        1 / (1 + ranks),
        *_bridge(reading, score),
        ((reading.place == 0) & (best == best.max())).astype(np.float32),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


_SHORT: Final = 4


def _scaled(values: Floats) -> Floats:
    """In standard deviations from the mean; 0 where all are alike."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 1e-6 else np.zeros_like(values)


def _cover(have: Floats, weight: Floats) -> Floats:
    """The share of the question's weight that each row has."""
    total = float(weight.sum())
    covered: Floats = np.minimum(have, 1) @ weight
    return covered / total if total else covered


def _pairs(reading: Reading) -> Floats:
    """Neighbouring words of the question that are neighbours in a sentence too, by their number."""
    asked = [term for term in reading.terms if not says_little(term)]
    wanted = set(pairwise(asked))
    if not wanted:
        return np.zeros(len(reading), np.float32)
    found = np.zeros(len(reading), np.float32)
    terms = set(asked)
    for at, own in enumerate(reading.sentence_terms):
        found[at] = len(wanted.intersection(pairwise([term for term in own if term in terms])))
    return np.asarray(found / len(wanted), np.float32)


def _soft(reading: Reading) -> tuple[Floats, Floats]:
    """(S, Q) and (D, Q): how near the nearest word of a sentence, or title, is to each term of the question."""
    asked = _words_of_terms(reading)
    space = reading.table
    goal = _unit(space.rows(asked)) if asked else np.zeros((1, 1), np.float32)
    rows = [*reading.words, *reading.title_words]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(word for row in rows for word in row))}
    if not vocabulary or not asked:  # pairs of characters have no vector of their own
        return np.minimum(reading.heard, 1), np.minimum(reading.titled, 1)
    near = np.maximum(_unit(space.rows([*vocabulary])) @ goal.T, 0) ** _SHARP
    flat = near[[vocabulary[word] for row in rows for word in row]]
    sizes = np.array([len(row) for row in rows])
    found = np.zeros((len(rows), near.shape[1]), np.float32)
    full = np.flatnonzero(sizes)
    starts = np.concatenate(([0], np.cumsum(sizes)))[:-1][full]
    found[full] = np.maximum.reduceat(flat, starts, axis=0)
    sentences = len(reading)
    return np.maximum(found[:sentences], reading.heard > 0), np.maximum(found[sentences:], reading.titled > 0)


_SHARP: Final = 2


def _words_of_terms(reading: Reading) -> list[str]:
    """A word of the question for each of its terms, empty where they are no words."""
    found: dict[str, str] = {}
    for word in tokens(reading.query):
        for term in terms_of([word]):
            found.setdefault(term, word)
    return [found[term] for term in reading.terms] if all(term in found for term in reading.terms) else []


def _unit(rows: Floats) -> Floats:
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


def _cosines(reading: Reading) -> list[Floats]:
    """Of the question with the sentence, with title and sentence, with the title, with the passage: (S,) each."""
    table, at = reading.table, reading.passage
    goal = _unit(_summed(table.rows(tokens(reading.query)), [len(tokens(reading.query))]))[0]
    flat = [word for row in reading.words for word in row]
    own = _summed(table.rows(flat), [len(row) for row in reading.words])
    title = _summed(
        table.rows([word for row in reading.title_words for word in row]), [len(row) for row in reading.title_words]
    )
    whole = reading.sums(own) + title
    return [_unit(own) @ goal, _unit(own + title[at]) @ goal, (_unit(title) @ goal)[at], (_unit(whole) @ goal)[at]]


def _summed(rows: Floats, sizes: Sequence[int]) -> Floats:
    """The sum of each run of rows."""
    ends = np.cumsum([0, *sizes])
    found = np.zeros((len(sizes), rows.shape[1]), np.float32)
    full = np.flatnonzero(np.diff(ends))
    if len(full):
        found[full] = np.add.reduceat(rows, ends[:-1][full], axis=0)
    return found


def _given(reading: Reading) -> Floats:
    """(D,) the retriever's scores, 0 where it gave none."""
    scores = [passage.score for passage in reading.passages]
    known = [score for score in scores if score is not None]
    lowest = min(known, default=0.0)
    return np.array([lowest if score is None else score for score in scores], np.float32)


def _named(reading: Reading) -> list[Floats]:
    """Names that the question does not have, which an answer may be; and whether the question names the title."""
    asked = set(reading.terms)
    names = np.zeros(len(reading), np.float32)
    for at, text in enumerate(reading.texts):
        found = {term for name in names_in(text)[:12] for term in terms_of(tokens(name))}
        names[at] = min(4, len(found - asked)) / 4
    share = [
        sum(term in asked for term in told) / len(told) if (told := [t for t in own if not says_little(t)]) else 0.0
        for own in reading.title_terms
    ]
    return [names, np.array(share, np.float32)[reading.passage]]


def _asked(reading: Reading) -> list[Floats]:
    """What kind of thing is asked for, times whether the sentence has one."""
    kinds = asked_kinds(reading.query)
    needed = {sign for kind, sign in PAIRS if kinds[kind]}
    signs = {sign: np.array([SIGNS[sign](text) for text in reading.texts], np.float32) for sign in needed}
    nothing = np.zeros(len(reading), np.float32)
    return [signs[sign] if kinds[kind] else nothing for kind, sign in PAIRS]


def _neighbours(reading: Reading, score: Floats) -> tuple[Floats, Floats, Floats]:
    """Of the sentence before, of the one after, and the mean around, all within the passage."""
    at, low = reading.passage, np.float32(score.min())
    same = np.concatenate((at[1:] == at[:-1], [False]))
    after = np.where(same, np.roll(score, -1), low)
    before = np.where(np.concatenate(([False], same[:-1])), np.roll(score, 1), low)
    sums = np.concatenate(([0.0], np.cumsum(score, dtype=np.float64)))
    starts = np.maximum(np.arange(len(score)) - _AROUND, np.searchsorted(at, at, side="left"))
    ends = np.minimum(np.arange(len(score)) + _AROUND + 1, np.searchsorted(at, at, side="right"))
    around = (sums[ends] - sums[starts]) / (ends - starts)
    return before.astype(np.float32), after.astype(np.float32), around.astype(np.float32)


def _bridge(reading: Reading, score: Floats) -> list[Floats]:
    """What the best sentences name leads to others: by their terms, by a title that they name, and by naming their title."""
    top = np.argsort(-score, kind="stable")[:_TOP]
    asked = set(reading.terms)
    found: dict[str, None] = {}
    for place in top:
        named = [*names_in(reading.texts[place]), reading.passages[reading.passage[place]].title]
        found.update(dict.fromkeys(term for name in named for term in terms_of(tokens(name)) if term not in asked))
    terms = [term for term in found if not says_little(term)][:_MOST_TERMS]
    heard, titled = counts(reading.sentence_terms, terms), counts(reading.title_terms, terms)
    weight, at = weights(heard, terms), reading.passage
    own = bm25(heard, reading.lengths, weight)
    with_title = bm25(heard + titled[at], reading.lengths + reading.title_lengths[at], weight)
    inside = np.isin(at, at[top])  # what is in the same passage needs no bridge
    return [_scaled(np.where(inside, 0, own)), _scaled(np.where(inside, 0, with_title)), *_links(reading, top)]


_MOST_TERMS: Final = 24


def _links(reading: Reading, top: Indices) -> tuple[Floats, Floats]:
    """Whether a sentence's title is named by one of the best in another passage, and whether it names the title of one."""
    at = reading.passage
    titles = [{term for term in own if not says_little(term)} for own in reading.title_terms]
    said = {int(place): set(reading.sentence_terms[place]) for place in top}
    named = np.array(
        [
            float(any(own <= terms and at[place] != number for place, terms in said.items())) if own else 0.0
            for number, own in enumerate(titles)
        ],
        np.float32,
    )
    goals = {int(at[place]): titles[at[place]] for place in top if titles[at[place]]}
    naming = np.array(
        [
            float(any(own <= terms and number != at[place] for number, own in goals.items()))
            for place, terms in enumerate(map(set, reading.sentence_terms))
        ],
        np.float32,
    )
    return named[at], naming
