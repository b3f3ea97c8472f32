"""A linear classifier over named features: what one feature says for each label is one row of whole numbers.

Weights are hundredths of a nat, so that a sum does not depend on the order of its terms, the file stays small, and
who reads it sees which word speaks for what. Reading needs no numpy; `learning.fit` finds the weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp
from typing import TypeAlias

UNIT = 100
"""Steps of a weight in one nat."""

Weights: TypeAlias = tuple[int, ...]
"""One weight for each label, in `UNIT` steps to the nat."""

_MOST_FEATURES, _LARGEST_WEIGHT = 100_000, 100 * UNIT


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Multinomial logistic regression over features that are there or not.

    Attributes:
        labels: what it tells apart, at least two.
        bias: what is known before any feature, for each label.
        weights: what each feature adds, for each label. A feature that is not here says nothing.
    """

    labels: tuple[str, ...]
    bias: Weights
    weights: Mapping[str, Weights]

    def scores(self, features: Iterable[str]) -> list[int]:
        """The sum of the weights for each label; give every feature once."""
        found = filter(None, map(self.weights.get, features))
        return list(map(sum, zip(self.bias, *found, strict=True)))

    def probabilities(self, features: Iterable[str]) -> list[float]:
        """How likely each label is, in the order of `labels`; they add up to 1."""
        scores = self.scores(features)
        best = max(scores)
        parts = [exp((score - best) / UNIT) for score in scores]
        total = sum(parts)
        return [part / total for part in parts]

    def dump(self) -> str:
        """As JSON, one feature a line, so that two versions can be compared."""
        rows = ",\n".join(f"{_json(name)}:{_json(self.weights[name])}" for name in sorted(self.weights))
        return f'{{"labels":{_json(self.labels)},\n"bias":{_json(self.bias)},\n"weights":{{\n{rows}\n}}}}\n'

    @classmethod
    def load(cls, text: str) -> LinearModel:
        """Read back what `dump` gave.

        Raises:
            ValueError: it is not of that form, or holds a weight that cannot be.
        """
        found = json.loads(text)
        if not isinstance(found, dict) or found.keys() != {"labels", "bias", "weights"}:
            raise ValueError("no linear model: it has `labels`, `bias` and `weights`, and nothing else")
        labels, weights = found["labels"], found["weights"]
        if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
            raise ValueError("no linear model: `labels` are at least two strings")
        if not isinstance(weights, dict) or len(weights) > _MOST_FEATURES:
            raise ValueError(f"no linear model: `weights` are an object of at most {_MOST_FEATURES:,} features")
        rows = {name: _row(row, len(labels)) for name, row in weights.items()}
        return cls(tuple(labels), _row(found["bias"], len(labels)), rows)


def _row(found: object, labels: int) -> Weights:
    if not isinstance(found, list) or len(found) != labels:
        raise ValueError(f"no linear model: a row has {labels} weights")
    row = tuple(weight for weight in found if type(weight) is int and abs(weight) <= _LARGEST_WEIGHT)
    if len(row) != labels:
        raise ValueError(f"no linear model: a weight is a whole number of at most {_LARGEST_WEIGHT:,} either way")
    return row


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
