"""What speaks for a sentence, in two looks: what it says itself, and what its neighbours and the best of the others say.

Every figure is brought to the same scale within one context, so that weights that were learnt on one hold for another.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from thrift_plugins.compression.cues import NAME, PAIRS, SIGNS, asked_kinds, names_in
from thrift_plugins.compression.reading import Reading, bm25, weights
from thrift_plugins.compression.terms import says_little, stem, terms_of, tokens
from thrift_plugins.compression.vectors import Floats
from thrift_plugins.text.embed import Embedder
from thrift_plugins.text.words import unspaced

FIRST: Final = (
    "bm25", "bm25_titled", "bm25_title", "bm25_passage", "cover", "cover_titled", "cover_passage", "pair", "soft", "soft_titled",
    "cosine", "cosine_titled", "cosine_title", "cosine_passage", "soft_passage", "rare_passage", "soft_rare", "rare_cosine", "rare_cosine_titled", "rare_cosine_passage", "retriever", "first", "place", "short", "length", "names", "title_asked",
    *(f"{kind}_{sign}" for kind, sign in PAIRS),
)  # fmt: skip
"""Of the first look."""

SECOND: Final = (
    "score", "score_top", "score_passage", "score_before", "score_after", "score_around", "passage_rank",
    "score_within",
    "score_pooled", "score_near", "score_wide",
    "bridge", "bridge_titled", "title_named", "title_named_first", "title_named_early", "names_title", "best_first",
)  # fmt: skip
"""Of the second look, beside all of the first."""

_TOP: Final = 3
"""Sentences of the first look from which a bridge is built."""

_LINKED: Final = 4
"""Passages, each with its best sentence, whose links to others are followed beside those of the best sentences."""

_AROUND: Final = 4
"""Neighbours on each side that speak for a turn of a dialogue."""

_NEAR, _WIDE = 10, 30
"""Turns on each side among which the best one speaks for a turn of a dialogue: what is talked about stays for a while."""


def first_look(reading: Reading, similarity: Floats | None = None) -> Floats:
    """(S, len(FIRST)) what each sentence says itself.

    Args:
        similarity: (S,) of an embedder of the app's own, in the place of the static vectors' cosine.
    """
    at, heard, weight = reading.passage, reading.heard, reading.weights
    titled = heard + reading.titled[at]
    passages = reading.sums(heard) + reading.titled
    lengths, title_lengths = reading.sentences.lengths, reading.titles.lengths
    whole = reading.sums(lengths) + title_lengths
    soft, soft_title = _soft(reading)
    whole_soft = np.maximum(reading.tops(soft), soft_title)
    rare = weights(passages, reading.terms)
    lexical = [
        bm25(heard, lengths, weight),
        bm25(titled, lengths + title_lengths[at], weight),
        bm25(reading.titled, title_lengths, weight)[at],
        bm25(passages, whole, weight)[at],
    ]
    if any(map(unspaced, reading.query)):  # learnt vectors are of spaced words
        close, rarely = lexical, [lexical[0], lexical[1], lexical[3]]
    else:
        close, rarely = _cosines(reading)
    columns = [
        *lexical,
        _cover(heard, weight),
        _cover(titled, weight),
        _cover(passages, weight)[at],
        _pairs(reading),
        _cover(soft, weight),
        _cover(np.maximum(soft, soft_title[at]), weight),
        *close,
        _cover(whole_soft, rare)[at],
        _cover(passages, rare)[at],
        _cover(np.maximum(soft, soft_title[at]), rare),
        *rarely,
        _given(reading)[at],
        reading.place == 0,
        1 / (1 + reading.place),
        lengths < _SHORT,
        np.log1p(lengths) / 4,
        *_named(reading),
        *_asked(reading),
    ]
    if similarity is not None:
        columns[FIRST.index("cosine")] = similarity
    rows = np.stack(columns, axis=1).astype(np.float32)
    rows[:, _SCALED] = _scaled(rows[:, _SCALED])
    return rows


_SCALED: Final = [
    at
    for at, name in enumerate(FIRST)
    if name.startswith(("bm25", "cosine", "rare_cosine")) or name == "retriever"
]
"""Columns of the first look whose figures are of any size."""


def similarity(reading: Reading, embedder: Embedder | None) -> Floats | None:
    """(S,) the cosine of the question with each sentence by an embedder of the app's own, None where there is none."""
    if embedder is None or not len(reading):
        return None
    rows = embedder.embed([reading.query, *reading.texts])
    return np.asarray(rows[1:] @ rows[0], np.float32)


def second_look(reading: Reading, score: Floats) -> Floats:
    """(S, len(SECOND)) what speaks for each sentence once all have a score of the first look."""
    best = reading.by_passage(score)
    before, after, around = _neighbours(reading, score)
    ranks = np.unique(-best, return_inverse=True)[1].astype(np.float32)
    top, nothing = score.max(), np.zeros_like(score)
    columns = [
        score,
        score - top,
        best - top,
        before - top,
        after - top,
        around,
        1 / (1 + ranks),
        score - best,
        reading.pools(score) - top,
        *(_best_around(reading, score, turns) - top if reading.dialogue else nothing for turns in (_NEAR, _WIDE)),
        *_bridge(reading, score),
        ((reading.place == 0) & (best == best.max())).astype(np.float32),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


_SHORT: Final = 4


def _scaled(values: Floats) -> Floats:
    """Each column in standard deviations from its mean; 0 where all are alike."""
    spread = values.std(axis=0)
    return np.asarray(np.where(spread > 1e-6, (values - values.mean(axis=0)) / np.maximum(spread, 1e-6), 0), np.float32)


def _cover(have: Floats, weight: Floats) -> Floats:
    """The share of the question's weight that each row has."""
    total = float(weight.sum())
    covered: Floats = np.minimum(have, 1) @ weight
    return covered / total if total else covered


def _pairs(reading: Reading) -> Floats:
    """Neighbouring words of the question that are neighbours in a sentence too, as a share."""
    asked = [term for term in reading.terms if not says_little(term)]
    if len(asked) < 2:
        return np.zeros(len(reading), np.float32)
    rows, width = reading.sentences, len(asked)
    place = rows.places([reading.numbers.get(term, -1) for term in asked], len(reading.numbers))
    known = place >= 0
    where, which = rows.rows[known], place[known]
    beside = (where[1:] == where[:-1]) & (which[1:] == which[:-1] + 1)
    seen = np.zeros((len(reading), width), bool)
    seen[where[1:][beside], which[1:][beside]] = True
    return np.asarray(seen.sum(axis=1) / (width - 1), np.float32)


def _soft(reading: Reading) -> tuple[Floats, Floats]:
    """(S, Q) and (D, Q): how near the nearest word of a sentence, or title, is to each term of the question."""
    exact = np.minimum(reading.heard, 1), np.minimum(reading.titled, 1)
    asked = _words_of_terms(reading)
    if not asked or not reading.vocabulary:  # pairs of characters have no vector of their own
        return exact
    near = np.maximum(reading.vectors @ _unit(reading.table.rows(asked)).T / reading.norms[:, None], 0) ** _SHARP
    return np.maximum(reading.sentences.most(near), exact[0]), np.maximum(reading.titles.most(near), exact[1])


_SHARP: Final = 2


def _words_of_terms(reading: Reading) -> list[str]:
    """A word of the question for each of its terms, empty where they are no words."""
    found: dict[str, str] = {}
    for word in reading.asked:
        found.setdefault(stem(word), word)
    return [found[term] for term in reading.terms] if all(term in found for term in reading.terms) else []


def _unit(rows: Floats) -> Floats:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


def _cosines(reading: Reading) -> tuple[list[Floats], list[Floats]]:
    """Of the question with the sentence, with title and sentence, with the title, with the passage: (S,) each.

    Returns:
        These, and those with a word counted by how few sentences have it, without the title's.
    """
    at, vectors, rare = reading.passage, reading.vectors, reading.rarity / reading.norms
    asked = reading.table.rows(reading.asked)
    known = [reading.vocabulary.get(word) for word in reading.asked]
    weight = np.array([_RARE if place is None else reading.rarity[place] for place in known], np.float32)
    goals = np.stack([asked.sum(axis=0), weight @ _unit(asked)])
    weights = np.stack([np.ones_like(rare), rare])
    owns, titles = reading.sentences.sums(vectors, weights), reading.titles.sums(vectors, weights)
    plain, rarely = (
        [
            _toward(own, goal),
            _toward(own + title[at], goal),
            _toward(title, goal)[at],
            _toward(reading.sums(own) + title, goal)[at],
        ]
        for own, title, goal in zip(owns, titles, _unit(goals), strict=True)
    )
    return plain, [*rarely[:2], rarely[3]]


def _toward(rows: Floats, goal: Floats) -> Floats:
    """(n,) cosine of each row with a goal of length 1; 0 for a row of zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(rows @ goal / np.where(lengths == 0, 1, lengths), np.float32)


_RARE: Final = 3.0
"""Weight of a word of the question that no sentence has."""


def _given(reading: Reading) -> Floats:
    """(D,) the retriever's scores, 0 where it gave none."""
    scores = [passage.score for passage in reading.passages]
    known = [score for score in scores if score is not None]
    lowest = min(known, default=0.0)
    return np.array([lowest if score is None else score for score in scores], np.float32)


def _named(reading: Reading) -> list[Floats]:
    """Names that the question does not have, which an answer may be; and how much of the title it has."""
    asked = set(reading.asked)
    names = [len({name.lower() for name in NAME.findall(text)} - asked) for text in reading.texts]
    terms = set(reading.terms)
    share = [sum(term in terms for term in told) / len(told) if told else 0.0 for told in reading.title_terms]
    return [np.array([min(4, count) / 4 for count in names], np.float32), np.array(share, np.float32)[reading.passage]]


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


def _best_around(reading: Reading, score: Floats, turns: int) -> Floats:
    """(S,) the largest score among so many sentences on each side, within the passage."""
    found = np.full_like(score, -np.inf)
    for start, end in pairwise(reading.ends):
        if start < end:
            edge = np.full(turns, -np.inf, np.float32)
            own = np.concatenate((edge, score[start:end], edge))
            found[start:end] = np.lib.stride_tricks.sliding_window_view(own, 2 * turns + 1).max(axis=1)
    return found


def _bridge(reading: Reading, score: Floats) -> list[Floats]:
    """What the best sentences name leads to others: by their terms, by a title that they name, and by naming their title."""
    top = np.argsort(-score, kind="stable")[:_TOP]
    asked = set(reading.terms)
    found: dict[str, None] = {}
    for place in map(int, top):
        named = [*names_in(reading.texts[place]), reading.passages[reading.passage[place]].title]
        found.update(dict.fromkeys(term for name in named for term in terms_of(tokens(name)) if term not in asked))
    terms = [term for term in found if not says_little(term)][:_MOST_TERMS]
    heard, titled = reading.counts(terms)
    weight, at = weights(heard, terms), reading.passage
    lengths, title_lengths = reading.sentences.lengths, reading.titles.lengths
    own = bm25(heard, lengths, weight)
    with_title = bm25(heard + titled[at], lengths + title_lengths[at], weight)
    inside = np.isin(at, at[top])  # what is in the same passage needs no bridge
    bridges = _scaled(np.where(inside[:, None], 0, np.stack([own, with_title], axis=1)))
    return [bridges[:, 0], bridges[:, 1], *_links(reading, score)]


_MOST_TERMS: Final = 24


def _links(reading: Reading, score: Floats) -> list[Floats]:
    """What links a sentence to the best of other passages.

    Returns:
        Whether its title is named there, the same for the first sentence under a title, the same counting less the later it is,
        and whether the sentence names the title of one of them.
    """
    at, place = reading.passage, reading.place
    titles = [set(own) for own in reading.title_terms]
    order = np.argsort(-score, kind="stable")
    leads = order[np.sort(np.unique(at[order], return_index=True)[1])[:_LINKED]]
    best = dict.fromkeys(map(int, (*order[:_TOP], *leads)))
    said = [(int(at[one]), set(terms_of(tokens(reading.texts[one])))) for one in best]
    named = np.array(
        [
            float(any(own <= terms and number != other for other, terms in said)) if own else 0.0
            for number, own in enumerate(titles)
        ],
        np.float32,
    )[at]
    naming = np.zeros(len(reading), bool)
    for number in dict(said):
        if titles[number]:
            heard, _ = reading.counts(sorted(titles[number]))
            naming |= (heard > 0).all(axis=1) & (at != number)
    columns = (named, named * (place == 0), named / (1 + place), naming)
    return [np.asarray(column, np.float32) for column in columns]
