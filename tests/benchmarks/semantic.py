"""Hits and errors of the semantic tier against a similarity threshold: `python -m tests.benchmarks.semantic`.

Real question pairs (`--data DIR`, caching/qqp_pairs) are replayed as a stream: a filled cache, and queries of which 35 %
repeat something in it. Questions that any pair connects stay in one of the parts train, validation and test. Scorers
learn on the first, choose their threshold on the second by the same exact test, and are reported on the third.

Labels are noisy, so they are adjudicated in three steps, none of which looks at a score: equal pairs are closed
transitively (all figures), questions that are equal after `bare` are one (all but those that end in `_raw`), and what one
reader ruled of the pairs that either scorer took for equal counts beside the label (all but `_raw` and `_closed`;
`tests/data/README.md` says how). The same labels serve both scorers. The adjudicated set of this repository
(`tests/neighbours.py`) is measured on its held-out frames, with the shipped verifier. `--train` writes that verifier anew.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tests.benchmarks.harness import report
from tests.neighbours import DATA, PAIRS
from thrift_plugins.caching.semantic.mine import Lookup, Pair, components, lookups, meanings
from thrift_plugins.caching.semantic.train import fit, hastened, neighbourhoods, outcomes
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.learning.risk import safe_threshold, upper_bound
from thrift_plugins.text.embed import StaticEmbedder

MAX_ERRORS = 0.02
SHIPPED_MAX_ERRORS = 0.015
"""Stricter than what the tier promises: an app's near misses are others than ours."""
CONFIDENCE = 0.9
QUERIES, REPEATS = 4_000, 0.35
FOLDS = 5
RULINGS = DATA / "rulings.txt"
_Streams: TypeAlias = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Scores of a validation and of a test stream, each with whether the answers are right."""

ARTIFACTS = Path(__file__).parents[2] / "thrift_plugins" / "caching" / "semantic"

_HEAD = re.compile(r"^(?:how (?:do|can|could|should|would) (?:i|you|we|one|someone|people)|how to) ")
_DULL = {"a", "an", "the", "really", "actually", "please", "in", "on", "to", "of", "for"}


def bare(text: str) -> str:
    """A question without marks, case, articles, small prepositions, plural endings and its form of "how do I"."""
    words = re.sub(r"[^\w\s]", " ", text.casefold().replace("'", "")).split()
    flat = _HEAD.sub("how ", " ".join(words))
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") else word for word in flat.split() if word not in _DULL
    )


def adjudicated(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, and those that are equal after `bare`."""
    forms: dict[str, str] = {}
    texts = sorted({text for pair in pairs for text in pair[:2]})
    return [
        *pairs,
        *(Pair(first, text, same=True) for text in texts if (first := forms.setdefault(bare(text), text)) != text),
    ]


def _place(seed: int, text: str) -> float:
    return int.from_bytes(hashlib.blake2b(f"{seed} {text}".encode(), digest_size=4).digest()) / 2**32


def stream(pairs: Sequence[Pair], seed: int) -> tuple[list[str], list[str]]:
    """Queries and the cache: one question of each repeated meaning is asked, its others are stored."""
    dice = random.Random(seed)
    groups, members = meanings(pairs), defaultdict(list)
    for text in sorted({text for pair in pairs for text in pair[:2]}):
        members[groups.of(text)].append(text)
    several = [texts for texts in members.values() if len(texts) > 1]
    alone = [texts[0] for texts in members.values() if len(texts) == 1]
    dice.shuffle(several)
    dice.shuffle(alone)
    size = min(QUERIES, int(len(several) / REPEATS), int(len(alone) / 2))
    asked, stored = [], []
    for texts in several:
        dice.shuffle(texts)
        head = 1 if len(asked) < size * REPEATS else 0
        asked += texts[:head]
        stored += texts[head:]
    new = size - len(asked)
    return asked + alone[:new], stored + alone[new:]


def digest(first: str, second: str) -> str:
    """What `RULINGS` knows a pair by, in either order."""
    return hashlib.blake2b("\n".join(sorted((first, second))).encode(), digest_size=6).hexdigest()


def ruled(seen: Iterable[Lookup]) -> list[Lookup]:
    """Lookups whose candidates are also right where the reader said so."""
    same = {line.split()[0] for line in RULINGS.read_text(encoding="utf-8").splitlines() if line.endswith(" same")}
    return [
        Lookup(
            lookup.question,
            tuple(
                candidate._replace(same=candidate.same or digest(lookup.question, candidate.text) in same)
                for candidate in lookup.candidates
            ),
        )
        for lookup in seen
    ]


def nearest(seen: Iterable[Lookup]) -> tuple[np.ndarray, np.ndarray]:
    """The plain peer: the cosine of the nearest, and whether its answer is right."""
    firsts = [lookup.candidates[0] for lookup in seen]
    return np.array([first.cosine for first in firsts]), np.array([first.same for first in firsts])


def measured(tuned: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray]) -> tuple[float, float, float]:
    """Hits and errors on the test at the threshold of the validation, and the most hits at `MAX_ERRORS` on the test."""
    threshold = safe_threshold(tuned[0], ~tuned[1], MAX_ERRORS, CONFIDENCE)
    scores, right = tested
    hit = scores >= threshold
    errors = np.cumsum(~right[np.argsort(-scores, kind="stable")])
    most = (errors <= MAX_ERRORS * len(scores)) & np.isfinite(np.sort(scores)[::-1])
    return float(hit.mean()), float((hit & ~right).mean()), float(most.mean())


def kept(tuned: tuple[np.ndarray, np.ndarray], tested: tuple[np.ndarray, np.ndarray], seed: int) -> float:
    """How often the bound holds: both streams are the traffic, and 100 samples of it each choose a threshold for all of it."""
    scores, right = (np.concatenate(part) for part in zip(tuned, tested, strict=True))
    draw = np.random.default_rng(seed)
    good = 0
    for _ in range(100):
        seen = draw.integers(0, len(scores), len(tuned[0]))
        threshold = safe_threshold(scores[seen], ~right[seen], MAX_ERRORS, CONFIDENCE)
        good += float(((scores >= threshold) & ~right).mean()) <= MAX_ERRORS
    return good / 100


def compared(ours: _Streams, cosine: _Streams) -> dict[str, float]:
    """The figures of both scorers, each a validation and a test stream."""
    hits, errors, most = measured(*ours)
    cosine_hits, cosine_errors, cosine_most = measured(*cosine)
    return {
        "semantic_hits": hits,
        "semantic_errors_over_all": errors,
        "semantic_most_hits": most,
        "cosine_hits": cosine_hits,
        "cosine_errors_over_all": cosine_errors,
        "cosine_hits_at_same_error": cosine_most,
        "semantic_hits_over_cosine": hits / max(1e-9, cosine_hits),
        "semantic_most_over_cosine_most": most / max(1e-9, cosine_most),
    }


def one_seed(pairs: Sequence[Pair], seed: int) -> dict[str, float]:
    """All figures of one split."""
    judged = adjudicated(pairs)
    parts = components(judged)
    place = {text: _place(seed, parts.of(text)) for pair in judged for text in pair[:2]}

    def part(given: Sequence[Pair], low: float, high: float) -> list[Pair]:
        return [pair for pair in given if low <= place[pair.first] < high]

    embedder = StaticEmbedder()
    verifier = fit(neighbourhoods(part(judged, 0, 0.6), embedder), parts, embedder)
    figures: dict[str, float] = {}
    streams = {
        name: tuple(
            lookups(*stream(mine, seed), meanings(mine), embedder)
            for mine in (part(given, 0.6, 0.8), part(given, 0.8, 1.0))
        )
        for name, given in (("_raw", pairs), ("_closed", judged))
    }
    streams[""] = tuple(map(ruled, streams["_closed"]))
    for name, (tune, test) in streams.items():
        ours, cosine = (outcomes(verifier, tune), outcomes(verifier, test)), (nearest(tune), nearest(test))
        figures |= {f"{figure}{name}": value for figure, value in compared(ours, cosine).items()}
        figures[f"bound_kept{name}"] = kept(*ours, seed)
    found = [any(candidate.same for candidate in lookup.candidates) for lookup in streams["_closed"][1]]
    figures["recall_at_3"] = sum(found) / (REPEATS * len(found))
    return figures


def neighbour_pairs(part: str) -> list[tuple[Pair, str]]:
    """The adjudicated pairs of a part, with the frame of each."""
    rows = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    return [(Pair(row["a"], row["b"], bool(row["same"])), row["frame"]) for row in rows if row["part"] == part]


def neighbour_lookups(pairs: Sequence[Pair], embedder: StaticEmbedder) -> list[Lookup]:
    """Every second question of a pair asked where every first one is stored; all have near misses beside them."""
    stored, asked = sorted({pair.first for pair in pairs}), sorted({pair.second for pair in pairs})
    return lookups(asked, stored, meanings(pairs), embedder)


def shipped(embedder: StaticEmbedder) -> Verifier:
    """The verifier of the package: learnt on the train part; its threshold is chosen on frames it has not seen."""
    rows = neighbour_pairs("train")
    pairs = [pair for pair, _ in rows]
    scores, right = [], []
    for fold in range(FOLDS):
        inside = [pair for pair, frame in rows if int(_place(7, frame) * FOLDS) != fold]
        outside = [pair for pair, frame in rows if int(_place(7, frame) * FOLDS) == fold]
        verifier = fit(neighbourhoods(inside, embedder), components(inside), embedder)
        found = outcomes(verifier, neighbour_lookups(outside, embedder))
        scores.append(found[0])
        right.append(found[1])
    threshold = safe_threshold(np.concatenate(scores), ~np.concatenate(right), SHIPPED_MAX_ERRORS, CONFIDENCE)
    verifier = fit(neighbourhoods(pairs, embedder), components(pairs), embedder)
    verifier = replace(verifier, threshold=min(1.0, threshold), max_errors=SHIPPED_MAX_ERRORS)
    return hastened(verifier, neighbourhoods(pairs, embedder))


def adjudicated_figures(verifier: Verifier) -> dict[str, float]:
    """Errors over all lookups of the held-out frames, their upper bound, and hits over the lookups that have a repeat."""
    seen = neighbour_lookups([pair for pair, _ in neighbour_pairs("held")], verifier.embedder)
    scores, right = outcomes(verifier, seen)
    hit = scores >= verifier.threshold
    errors = int((hit & ~right).sum())
    repeats = sum(any(candidate.same for candidate in lookup.candidates) for lookup in seen)
    return {
        "adjudicated_lookups": float(len(seen)),
        "adjudicated_errors": float(errors),
        "adjudicated_errors_upper95": upper_bound(errors, len(seen)),
        "adjudicated_hits": float((hit & right).sum() / max(1, repeats)),
    }


def main() -> None:
    """Train, or measure what there is data for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=2, help="splits; pairs of the first two were ruled on")
    parser.add_argument("--train", action="store_true", help="write the shipped verifiers anew")
    given = parser.parse_args()
    if given.train:
        for learnt in (False, True):
            verifier = shipped(StaticEmbedder(learnt=learnt))
            verifier.save(ARTIFACTS / f"verifier-{verifier.embedder.name}.json")
    figures: dict[str, float | int | str | None] = dict(adjudicated_figures(Verifier.load()))
    source = given.data / "caching" / "qqp_pairs.jsonl.gz"
    if source.is_file() and given.seeds:
        with gzip.open(source, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        pairs = [Pair(row["text_a"], row["text_b"], bool(row["label"])) for row in rows]
        seeds = [one_seed(pairs, seed) for seed in range(1, given.seeds + 1)]
        for name in seeds[0]:
            values = [seed[name] for seed in seeds]
            figures[name] = float(np.mean(values))
            figures[f"{name}_spread"] = float(max(values) - min(values))
    elif given.seeds:
        sys.stderr.write(f"no pairs at {source}: the stream is left out; give --data DIR\n")
    report(
        "semantic", figures, {"adjudicated_errors_upper95": 0.01, "semantic_errors_over_all": MAX_ERRORS}, given.json
    )


if __name__ == "__main__":
    main()
