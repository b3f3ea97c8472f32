"""Learns a ranker from questions whose needed sentences are known: a softmax over the sentences of each context, twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.compression.features import FIRST, SECOND, first_look, second_look, similarity
from thrift_plugins.compression.ranker import Ranker, Weights
from thrift_plugins.compression.reading import Passage, Reading
from thrift_plugins.compression.vectors import Floats, WordTable
from thrift_plugins.learning.minimise import minimise
from thrift_plugins.text.embed import Embedder

L2: Final = 0.3
"""Half the penalty on a squared weight, in nats: what few examples say counts little."""


@dataclass(frozen=True, slots=True)
class Example:
    """A question, its passages, and what of them is needed.

    Attributes:
        needed: for each sentence, through all passages, whether it is.
        every: whether all of them are needed together; else any one does.
    """

    query: str
    passages: Sequence[Passage]
    needed: NDArray[np.bool_]
    every: bool = False


@dataclass(frozen=True, slots=True)
class _Context:
    rows: NDArray[np.float64]
    needed: NDArray[np.bool_]
    every: bool
    weight: float


def answered_by(passages: Sequence[Passage], answers: Sequence[str]) -> NDArray[np.bool_]:
    """Which sentences have one of the answers in them, whatever the case."""
    wanted = [answer.casefold() for answer in answers if answer.strip()]
    return np.array(
        [
            any(answer in passage.text[a:b].casefold() for answer in wanted)
            for passage in passages
            for a, b in passage.pieces()
        ],
        bool,
    )


def train(
    prose: Sequence[Example],
    dialogue: Sequence[Example],
    *,
    base: Ranker | None = None,
    note: str = "",
    table: WordTable | None = None,
    embedder: Embedder | None = None,
    l2: float = L2,
) -> Ranker:
    """A ranker for these examples.

    Args:
        prose: of documents.
        dialogue: of transcripts.
        base: whose weights a kind without examples keeps, and which the others start from.
        embedder: with which the ranker will be used, None for the static word vectors.

    Raises:
        ValueError: there are no examples for a kind that has no base.
    """
    table = table or WordTable()
    kinds = {}
    for name, examples in (("prose", prose), ("dialogue", dialogue)):
        known: Weights | None = getattr(base, name) if base else None
        if examples:
            kinds[name] = _weights(examples, table, known, embedder, l2)
        elif known is not None:
            kinds[name] = known
        else:
            raise ValueError(f"there are no examples of {name}, and no ranker to take its weights from")
    return Ranker(kinds["prose"], kinds["dialogue"], note)


def _weights(
    examples: Sequence[Example], table: WordTable, known: Weights | None, embedder: Embedder | None, l2: float
) -> Weights:
    readings = [Reading.of(example.query, example.passages, table) for example in examples]
    pairs = [pair for pair in zip(readings, examples, strict=True) if 0 < pair[1].needed.sum() < len(pair[0])]
    firsts = [first_look(reading, similarity(reading, embedder)) for reading, _ in pairs]
    start = known.first[1:] if known is not None else np.zeros(len(FIRST))
    first = _fit([_context(rows, example) for rows, (_, example) in zip(firsts, pairs, strict=True)], start, l2)
    both = [
        np.concatenate((rows, second_look(reading, (rows @ first).astype(np.float32))), axis=1)
        for rows, (reading, _) in zip(firsts, pairs, strict=True)
    ]
    start = known.second[1:] if known is not None else np.zeros(len(FIRST) + len(SECOND))
    second = _fit([_context(rows, example) for rows, (_, example) in zip(both, pairs, strict=True)], start, l2)
    return Weights(_with_bias(first), _with_bias(second))


def _context(rows: Floats, example: Example) -> _Context:
    return _Context(rows.astype(np.float64), example.needed, example.every, 1.0)


def _with_bias(weights: NDArray[np.float64]) -> Floats:
    return np.concatenate(([0.0], weights)).astype(np.float32)


def _fit(contexts: Sequence[_Context], start: NDArray[np.float64] | Floats, l2: float) -> NDArray[np.float64]:
    """The weights near `start` under which needed sentences are the likeliest."""
    start = np.asarray(start, np.float64)
    return minimise(_loss(contexts, start, l2), start.copy())


def _loss(
    contexts: Sequence[_Context], start: NDArray[np.float64], l2: float
) -> Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]:
    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        apart = weights - start
        total, slope = l2 / 2 * float(apart @ apart), l2 * apart
        for context in contexts:
            value, gradient = _of_context(context, weights)
            total += value
            slope = slope + gradient
        return total, slope

    return loss


def _of_context(context: _Context, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Minus the log likelihood of what is needed, and its slope: of any of them, or the mean over each."""
    scores = context.rows @ weights
    shifted = scores - scores.max()
    whole = np.exp(shifted)
    share = whole / whole.sum()
    needed = context.needed
    if context.every:
        goal = needed / needed.sum()
        value = float(np.log(whole.sum()) - goal @ shifted)
    else:
        most = shifted[needed].max()
        part = np.where(needed, np.exp(np.minimum(shifted - most, 0.0)), 0.0)
        goal = part / part.sum()
        value = float(np.log(whole.sum()) - np.log(part.sum()) - most)
    slope: NDArray[np.float64] = context.rows.T @ (share - goal)
    return context.weight * value, context.weight * slope
