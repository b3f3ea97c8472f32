"""Finds the weights of a linear classifier: penalised maximum likelihood, the same result from the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.learning.linear import UNIT, LinearModel
from thrift_plugins.learning.minimise import minimise

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_TELLING = 0.25 * UNIT
"""Between a feature's weights; less hardly changes an answer, and makes the file long."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples as sparse rows of ones. Column 0 is in every row: the bias.

    Attributes:
        names: what the columns from 1 on stand for.
        columns: the columns of all rows, one row after the other.
        rows: the row that each of `columns` belongs to.
        starts: where each row begins in `columns`.
    """

    names: tuple[str, ...]
    columns: Indices
    rows: Indices
    starts: Indices

    @classmethod
    def of(cls, examples: Sequence[Collection[str]], *, least: int = 1) -> Rows:
        """Rows of the features that at least `least` examples have."""
        counts = Counter(feature for example in examples for feature in set(example))
        names = tuple(sorted(feature for feature, count in counts.items() if count >= least))
        index = {name: at for at, name in enumerate(names, 1)}
        picked = [[0, *sorted(index[feature] for feature in set(example) if feature in index)] for example in examples]
        sizes = np.array([len(row) for row in picked], dtype=np.intp)
        return cls(
            names,
            np.array([column for row in picked for column in row], dtype=np.intp),
            np.repeat(np.arange(len(picked), dtype=np.intp), sizes),
            np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp),
        )


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The penalised loss of a table of weights, and its slope.

    Attributes:
        rows: n examples over d - 1 features and the bias.
        targets: (n,) the label of each, as an index.
        labels: how many labels there are.
        l2: half the penalty on a squared weight; the bias has none.
        dense: (n, k) more columns, whose weights come after those of `rows`; None: there are none.
    """

    rows: Rows
    targets: Indices
    labels: int
    l2: float
    dense: Floats | None = None

    @property
    def size(self) -> int:
        """How many weights there are: (d + k, labels), flat."""
        return (self._sparse + (0 if self.dense is None else self.dense.shape[1])) * self.labels

    @property
    def _sparse(self) -> int:
        return len(self.rows.names) + 1

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        """Negative log likelihood plus penalty in nats, and its gradient, for weights laid out flat."""
        weights = flat.reshape(-1, self.labels)
        scores = np.add.reduceat(weights[self.rows.columns], self.rows.starts, axis=0)
        if self.dense is not None:
            scores += self.dense @ weights[self._sparse :]
        scores -= scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        each = np.arange(len(self.targets))
        excess = np.exp(logs)
        excess[each, self.targets] -= 1.0
        slope = np.stack(
            [
                np.bincount(self.rows.columns, excess[self.rows.rows, label], minlength=self._sparse)
                for label in range(self.labels)
            ],
            axis=1,
        )
        if self.dense is not None:
            slope = np.concatenate((slope, self.dense.T @ excess))
        penalised = weights.copy()
        penalised[0] = 0.0
        loss = -float(logs[each, self.targets].sum()) + self.l2 * float((penalised**2).sum()) / 2
        return loss, (slope + self.l2 * penalised).ravel()


def fit(
    examples: Sequence[Collection[str]],
    targets: Sequence[str],
    labels: tuple[str, ...],
    *,
    l2: float,
    least: int = 1,
    vectors: Mapping[str, Floats] | None = None,
) -> LinearModel:
    """Weights for `labels` from examples of known label.

    Args:
        examples: the features of each example.
        targets: the label of each; all in `labels`.
        labels: at least two.
        l2: strength of the penalty, above 0: the larger, the less a rare feature counts.
        least: features of fewer examples are left out.
        vectors: directions of features, all of one width: what is learnt of one then holds for those that point its
            way, seen or not, and each of them that says enough gets a weight. The longer they are, the more it holds.

    Raises:
        ValueError: lengths differ, a label is unknown, or `l2` is not above 0.
    """
    if len(examples) != len(targets) or not examples:
        raise ValueError(f"{len(examples)} examples cannot have {len(targets)} targets")
    if l2 <= 0:
        raise ValueError(f"l2 must be above 0, not {l2}: weights would grow without end")
    rows = Rows.of(examples, least=least)
    known = np.array([labels.index(target) for target in targets], dtype=np.intp)
    loss = Likelihood(rows, known, len(labels), l2, _summed(examples, vectors) if vectors else None)
    weights = minimise(loss, np.zeros(loss.size)).reshape(-1, len(labels))
    found = dict(zip(rows.names, weights[1:], strict=False))
    shared = weights[len(rows.names) + 1 :]
    nothing = np.zeros(len(labels))
    for name, vector in (vectors or {}).items():
        found[name] = found.get(name, nothing) + vector @ shared
    named = {name: tuple(np.rint(row * UNIT).astype(int).tolist()) for name, row in sorted(found.items())}
    telling = {name: row for name, row in named.items() if max(row) - min(row) >= _TELLING}  # alike for all is for none
    return LinearModel(labels, tuple(np.rint(weights[0] * UNIT).astype(int).tolist()), telling)


def _summed(examples: Sequence[Collection[str]], vectors: Mapping[str, Floats]) -> Floats:
    """The sum of the directions of each example's features."""
    total = np.zeros((len(examples), len(next(iter(vectors.values())))))
    for at, example in enumerate(examples):
        for feature in sorted(set(example) & vectors.keys()):  # in one order, so that sums are the same each time
            total[at] += vectors[feature]
    return total
