"""Trains a verifier on labelled pairs: on what a search finds among them, not on the pairs as they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.caching.semantic.features import NAMES, Comparer, Weights, odd_words
from thrift_plugins.caching.semantic.mine import Groups, Lookup, Pair, components, lookups, meanings
from thrift_plugins.caching.semantic.reading import read
from thrift_plugins.caching.semantic.verify import Verifier, overlap
from thrift_plugins.caching.semantic.vetoes import veto
from thrift_plugins.learning.boosting import BoostedTrees, fit_boosted
from thrift_plugins.learning.risk import safe_threshold
from thrift_plugins.text.embed import StaticEmbedder

_NEIGHBOURS = 4  # of each question that are learnt from
_FEW = 3  # questions that must have a word before its rarity is believed
_PRIOR = 8.0  # pairs that a word's slack starts with
_MISSED = 0.01  # share of hits that may lie below each floor
_TUNING = 0.4  # share of the components that chooses the threshold


def train(
    pairs: Sequence[Pair], *, max_errors: float = 0.02, confidence: float = 0.9, embedder: StaticEmbedder | None = None
) -> Verifier:
    """Train on three fifths of the pairs, and choose the threshold on the rest.

    Questions that no chain of equal pairs connects are taken as different. Pairs that share a question stay on one side.

    Args:
        pairs: a thousand or more, from the app's own traffic; near misses are worth most.
        max_errors: the share of all lookups that may be answered wrongly.
        confidence: that `max_errors` holds for traffic like the pairs.

    Raises:
        ValueError: there are too few pairs to learn from.
    """
    parts = components(pairs)
    tuned = [pair for pair in pairs if _share(parts.of(pair.first)) < _TUNING]
    learnt = [pair for pair in pairs if _share(parts.of(pair.first)) >= _TUNING]
    embedder = embedder or StaticEmbedder()
    verifier = fit(neighbourhoods(learnt, embedder), components(learnt), embedder)
    return calibrate(verifier, neighbourhoods(tuned, embedder), max_errors=max_errors, confidence=confidence)


def neighbourhoods(pairs: Sequence[Pair], embedder: StaticEmbedder) -> list[Lookup]:
    """Each question of the pairs asked once, with all others stored."""
    questions = sorted({text for pair in pairs for text in (pair.first, pair.second)})
    return lookups(questions, questions, meanings(pairs), embedder, found=_NEIGHBOURS) if questions else []


def fit(mined: Sequence[Lookup], parts: Groups, embedder: StaticEmbedder) -> Verifier:
    """Learn from lookups; the threshold is left at 1, so that nothing is shared before `calibrate`.

    Args:
        parts: groups of questions that must not lie in both halves when words are judged: a word that is judged by the
            very pair that it is then used on would seem to know everything.

    Raises:
        ValueError: the lookups have no candidate of one kind.
    """
    found = [(lookup.question, candidate) for lookup in mined for candidate in lookup.candidates]
    half = np.array([_share(parts.of(question)) < 0.5 for question, _ in found], bool)
    same = np.array([candidate.same for _, candidate in found], bool)
    if not same.any() or same.all():
        raise ValueError(f"{len(found)} neighbours with {int(same.sum())} repeats among them: nothing to learn from")
    odd = [_odd(question, candidate.text) for question, candidate in found]
    rarity, unknown = _rarity({text for question, candidate in found for text in (question, candidate.text)})
    rows = np.zeros((len(found), len(NAMES)))
    for side in (True, False):  # each half is described with words judged on the other
        comparer = Comparer(Weights(rarity, unknown, _slack(odd, same, half != side)), embedder)
        for at in np.flatnonzero(half == side):
            question, candidate = found[at]
            rows[at] = comparer.compare(read(question), read(candidate.text), candidate.cosine)
    free = np.array([not veto(read(question), read(candidate.text)) for question, candidate in found], bool)
    trees = BoostedTrees.load(fit_boosted(rows[free], same[free]).dump())  # as it will be read, digits and all
    everything = Weights(rarity, unknown, _slack(odd, same, np.ones(len(same), bool)))
    return Verifier(trees, Comparer(everything, embedder), threshold=1.0, max_errors=0.5)


def calibrate(
    verifier: Verifier, seen: Sequence[Lookup], *, max_errors: float = 0.02, confidence: float = 0.9
) -> Verifier:
    """Choose the lowest threshold that keeps errors over all lookups at most `max_errors`, with this confidence."""
    scores, right = outcomes(verifier, seen)
    threshold = min(1.0, safe_threshold(scores, ~right, max_errors, confidence))
    return hastened(replace(verifier, threshold=threshold, max_errors=max_errors), seen)


def hastened(verifier: Verifier, seen: Iterable[Lookup]) -> Verifier:
    """Set the floors just below what the threshold lets through of these lookups, so that less is compared."""
    cosines, overlaps = [], []
    for lookup in seen:
        texts, near = [candidate.text for candidate in lookup.candidates], [one.cosine for one in lookup.candidates]
        for text, cosine, verdict in zip(texts, near, verifier.judge_many(lookup.question, texts, near), strict=True):
            if verdict.probability >= verifier.threshold:
                cosines.append(cosine)
                overlaps.append(overlap(lookup.question, text))
    if not cosines:
        return verifier
    floor, least = (float(np.quantile(values, _MISSED)) for values in (cosines, overlaps))
    return replace(verifier, floor=round(floor, 3), overlap=round(least, 3))


def outcomes(verifier: Verifier, seen: Iterable[Lookup]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability of each lookup's best candidate (-inf where none is left), and whether its answer is right."""
    scores, right = [], []
    for lookup in seen:
        texts = [candidate.text for candidate in lookup.candidates]
        verdicts = verifier.judge_many(lookup.question, texts, [candidate.cosine for candidate in lookup.candidates])
        best = max(range(len(texts)), key=lambda at: verdicts[at].probability, default=None)
        chance = 0.0 if best is None else verdicts[best].probability
        scores.append(chance if chance > 0 else -np.inf)
        right.append(best is not None and lookup.candidates[best].same)
    return np.array(scores), np.array(right, bool)


def _share(text: str) -> float:
    """A number from 0 to 1 that only the text decides."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()) / 2**32


def _odd(question: str, candidate: str) -> frozenset[str]:
    one, other = odd_words(read(question), read(candidate))
    return one | other


def _rarity(texts: Iterable[str]) -> tuple[Mapping[str, float], float]:
    count: Counter[str] = Counter()
    total = 0
    for text in texts:
        count.update(set(read(text).words))
        total += 1
    return {word: round(log(total / seen), 2) for word, seen in sorted(count.items()) if seen >= _FEW}, log(
        max(2, total) / 1.5
    )


def _slack(odd: Sequence[frozenset[str]], same: NDArray[np.bool_], use: NDArray[np.bool_]) -> dict[str, float]:
    """Log odds that a pair has one answer though the word is only in one question, against the odds of any pair."""
    share = float(same[use].mean()) if use.any() else 0.5
    counts: dict[str, list[int]] = {}
    for words, answer, used in zip(odd, same.tolist(), use.tolist(), strict=True):
        if used:
            for word in words:
                counts.setdefault(word, [0, 0])[answer] += 1
    usual = log((share + 1e-6) / (1 - share + 1e-6))
    return {
        word: round(log((yes + _PRIOR * share + 1e-6) / (no + _PRIOR * (1 - share) + 1e-6)) - usual, 2)
        for word, (no, yes) in sorted(counts.items())
        if yes + no > _FEW
    }
