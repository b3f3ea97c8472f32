"""Whether a stored question is the same question: hard differences first, then a learned probability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from thrift_plugins.caching.semantic.features import NAMES, Comparer, Weights
from thrift_plugins.caching.semantic.reading import read
from thrift_plugins.caching.semantic.vetoes import veto
from thrift_plugins.learning.boosting import BoostedTrees
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.text.words import plain, words

_MOST_BYTES = 8_000_000


class Verdict(NamedTuple):
    """What is thought of a candidate.

    Attributes:
        probability: that the candidate's answer answers the question; 0 after a veto.
        why: the difference that vetoed it, "far" where it was not compared, or "".
    """

    probability: float
    why: str


@dataclass(frozen=True)
class Verifier:
    """A trained judge of pairs of questions that were asked in the same context.

    Attributes:
        trees: gives the log odds from the numbers of `features.compare`.
        comparer: holds what it knows of single words, and their vectors.
        threshold: probability from which an answer may be shared, as the training chose it.
        max_errors: share of all lookups that may be answered wrongly, for which `threshold` was chosen.
        floor: cosine below which hardly any candidate is right, so that none is looked at.
        overlap: the same of the words that are shared, over the words of both.
    """

    trees: BoostedTrees
    comparer: Comparer
    threshold: float
    max_errors: float
    floor: float = -1.0
    overlap: float = 0.0

    @property
    def embedder(self) -> StaticEmbedder:
        """Its cosines are the ones that it was trained with."""
        return self.comparer.embedder

    @classmethod
    def load(cls, path: Path | None = None) -> Verifier:
        """Read an artifact that `train` wrote; without a path the one that is shipped.

        Raises:
            ValueError: the file is no such artifact, or was trained with vectors that are not installed.
            OSError: it cannot be read.
        """
        return _shipped() if path is None else _parsed(path.read_bytes(), path.name, StaticEmbedder())

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.dump(), separators=(",", ":")) + "\n")

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": _VERSION,
            "features": list(NAMES),
            "embedder": self.embedder.name,
            "threshold": self.threshold,
            "max_errors": self.max_errors,
            "floor": self.floor,
            "overlap": self.overlap,
            "trees": self.trees.dump(),
            "rarity": dict(self.comparer.weights.rarity),
            "unknown": self.comparer.weights.unknown,
            "slack": dict(self.comparer.weights.slack),
        }

    def probability(self, question: str, candidate: str, cosine: float | None) -> float:
        """That the candidate's answer answers the question.

        Args:
            question: the last user turn.
            candidate: that of a stored request of the same space.
            cosine: of the two by `embedder`; None where another embedder found the candidate.
        """
        return self.judge_many(question, [candidate], None if cosine is None else [cosine])[0].probability

    def judge_many(self, question: str, candidates: Sequence[str], cosines: Sequence[float] | None) -> list[Verdict]:
        """A verdict for each candidate, in their order.

        Args:
            candidates: nearest first. Those behind one that says the same, or that is hopeless, are not compared.
            cosines: as in `probability`.
        """
        near = self._cosines(question, candidates) if cosines is None else cosines
        verdicts = [_FAR] * len(candidates)
        for number, (candidate, cosine) in enumerate(zip(candidates, near, strict=True)):
            if cosine < self.floor or overlap(question, candidate) < self.overlap:
                continue
            verdict = verdicts[number] = self._judge(question, candidate, cosine)
            if not verdict.why and not _HOPELESS < verdict.probability < 1:
                break
        return verdicts

    def _cosines(self, question: str, candidates: Sequence[str]) -> list[float]:
        vectors = self.embedder.embed([question, *candidates])
        found: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return found

    def _judge(self, question: str, candidate: str, cosine: float) -> Verdict:
        asked, stored = read(question), read(candidate)
        if why := veto(asked, stored):
            return Verdict(0.0, why)
        if _spoken(question) == _spoken(candidate):
            return _EQUAL
        row = np.array([self.comparer.compare(asked, stored, cosine)])
        return Verdict(float(self.trees.probabilities(row)[0]), "")


_HOPELESS = 0.1
"""Behind a neighbour of no higher probability, hardly any is right: it costs 1 in 1,000 hits not to look."""

_VERSION = 3
_FAR = Verdict(0.0, "far")
_EQUAL = Verdict(1.0, "")  # but for case, marks and courtesies


def overlap(question: str, candidate: str) -> float:
    """The share of the words of both that both have, 1 where there are none; a tenth of the work of a comparison."""
    one, other = set(_spoken(question)), set(_spoken(candidate))
    return len(one & other) / len(one | other) if one or other else 1.0


@lru_cache(maxsize=4_096)
def _spoken(text: str) -> tuple[str, ...]:
    """The words of a question, without greeting and thanks."""
    return tuple(words(plain(text)))


@cache
def _shipped() -> Verifier:
    embedder = StaticEmbedder()
    name = f"verifier-{embedder.name}.json"
    found = files("thrift_plugins.caching.semantic").joinpath(name).read_bytes()
    return _parsed(found, name, embedder)


def _parsed(data: bytes, name: str, embedder: StaticEmbedder) -> Verifier:
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{name} has {len(data)} bytes; an artifact has at most {_MOST_BYTES}")
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("version") != _VERSION or found.get("features") != list(NAMES):
        raise ValueError(f"{name} is no artifact of this version: train it again")
    if found["embedder"] != embedder.name:
        raise ValueError(
            f"{name} was trained with {found['embedder']}, but here is {embedder.name}: train it again, or install the same"
        )
    threshold, max_errors = float(found["threshold"]), float(found["max_errors"])
    floor, least = float(found["floor"]), float(found["overlap"])
    if not (0 <= threshold <= 1 and 0 < max_errors < 1 and -1 <= floor <= 1 and 0 <= least <= 1):
        raise ValueError(f"{name} has threshold {threshold} for errors {max_errors}, and floors {floor} and {least}")
    trees = BoostedTrees.load(found["trees"])
    if trees.width != len(NAMES):
        raise ValueError(f"{name} has trees of {trees.width} features, not {len(NAMES)}")
    weights = Weights(_numbers(found["rarity"]), float(found["unknown"]), _numbers(found["slack"]))
    return Verifier(trees, Comparer(weights, embedder), threshold, max_errors, floor, least)


def _numbers(found: Any) -> dict[str, float]:
    if not isinstance(found, dict):
        raise ValueError(f"a table of words is a {type(found).__name__}")  # noqa: TRY004 - the file is wrong, not the call
    return {str(word): float(value) for word, value in found.items()}
