"""Calibrates compression on an app's own examples, trains a ranker on them, and measures what a limit keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from thrift_plugins.compression.calibration import Calibration, margin_of
from thrift_plugins.compression.extraction import Extractor
from thrift_plugins.compression.labelled import Labelled
from thrift_plugins.compression.ranker import Ranker, shipped
from thrift_plugins.compression.selection import likely
from thrift_plugins.compression.training import Example, train
from thrift_plugins.compression.vectors import Floats
from thrift_plugins.text.embed import Embedder
from thrift_plugins.tokens import count


def calibrated(examples: Iterable[Labelled], extractor: Extractor) -> Calibration:
    """How far below the best sentence the last one is that each example needs."""
    return Calibration(tuple(_margin(extractor, example) for example in examples), extractor.name)


def _margin(extractor: Extractor, example: Labelled) -> float:
    _, scores = extractor.read(example.query, example.passages)
    if not len(scores):
        return float("-inf")
    if example.groups is not None:
        bests = [float(scores[example.groups == number].max()) for number in set(example.groups.tolist()) - {-1}]
        return min(bests, default=float("-inf")) - float(scores.max())
    return margin_of(scores.tolist(), example.needed.tolist(), every=example.every)


def trained(examples: Iterable[Labelled], *, embedder: Embedder | None = None, note: str = "") -> Ranker:
    """A ranker that has learnt from an app's own examples, beginning with the shipped one.

    Args:
        embedder: with which it will be used, None for the static word vectors.

    Raises:
        ValueError: there is no example of which something, and not everything, is needed.
    """
    prose: list[Example] = []
    dialogue: list[Example] = []
    for example in examples:
        if 0 < example.needed.sum() < len(example.needed):
            kind = dialogue if example.is_dialogue else prose
            kind.append(Example(example.query, example.passages, example.needed, example.every))
    if not prose and not dialogue:
        raise ValueError("no example says of which sentences something, and not everything, is needed")
    return train(prose, dialogue, base=shipped(), embedder=embedder, note=note)


class Trial(NamedTuple):
    """What a threshold did on examples.

    Attributes:
        lost: examples of which something needed was left out.
        ratio: how many times fewer tokens were kept.
    """

    examples: int
    lost: int
    ratio: float


def tried(examples: Iterable[Labelled], extractor: Extractor, threshold: float, model: str = "gpt-4o") -> Trial:
    """Keep of each example what is likely enough, and see what is lost. Titles count as kept where a sentence under them is."""
    seen = lost = before = after = 0
    for example in examples:
        reading, scores = extractor.read(example.query, example.passages)
        kept = likely(scores, threshold)
        seen += 1
        lost += _margin_lost(scores, example, threshold)
        sizes = np.array([count(text, model) for text in reading.texts])
        heads = [count(passage.title, model) for passage in example.passages]
        before += int(sizes.sum()) + sum(heads)
        after += int(sizes[kept].sum()) + sum(heads[number] for number in set(reading.passage[kept].tolist()))
    return Trial(seen, lost, before / max(1, after))


def _margin_lost(scores: Floats, example: Labelled, threshold: float) -> bool:
    kept = likely(scores, threshold)
    if example.groups is not None:
        return any(not kept[example.groups == number].any() for number in set(example.groups.tolist()) - {-1})
    have = kept & example.needed
    return not (have.sum() == example.needed.sum() > 0 if example.every else have.any())
