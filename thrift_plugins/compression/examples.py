"""Chooses the examples of a few-shot prompt: the labels that are likeliest for a question, and of each its nearest example.

Six fixed examples seldom have the right label among them; four chosen ones, each of another label, have it more often than
the plain six nearest, for fewer tokens. Put them behind what a provider caches: chosen shots change with every question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from thrift_plugins.text.embed import Embedder, StaticEmbedder

_NEAR: Final = 40
"""Neighbours that have a say on the label."""

_SHARP: Final = 20.0
"""How much more a nearer neighbour says: e-fold for each 0.05 of cosine."""


class Examples:
    """Examples with labels, to choose from. Thread-safe once it is made.

    Args:
        texts: what is answered in each example.
        labels: the answer of each, or what kind of answer it is; equal ones are of one label.
        embedder: turns texts into vectors; by default the static one, which needs no download.

    Raises:
        ValueError: there are none, or not as many labels as texts.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[str], *, embedder: Embedder | None = None) -> None:
        if not texts or len(texts) != len(labels):
            raise ValueError(f"{len(texts)} examples cannot have {len(labels)} labels")
        self._embedder = embedder or StaticEmbedder()
        self._labels = tuple(labels)
        self._rows = self._embedder.embed(texts)

    def choose(self, query: str, count: int = 4) -> list[int]:
        """Indices of at most so many examples, each of another label, the likeliest last, where a model looks first."""
        near = self._rows @ self._embedder.embed([query])[0]
        nearest = np.argsort(-near, kind="stable")[: max(_NEAR, count)]
        votes: dict[str, float] = {}
        best: dict[str, int] = {}
        for at in nearest.tolist():
            label = self._labels[at]
            votes[label] = votes.get(label, 0.0) + float(np.exp(_SHARP * (near[at] - near[nearest[0]])))
            best.setdefault(label, at)
        chosen = sorted(votes, key=lambda label: -votes[label])[:count]
        return [best[label] for label in reversed(chosen)]
