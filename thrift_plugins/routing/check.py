"""What a router has learnt of one tier's answers: how probably one is good, now that it is there.

Two models that err differently, a logistic regression and boosted trees over `answers.NAMES`, and their mean. Inference needs
numpy, which is loaded with the first answer that is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp
from typing import TYPE_CHECKING, Any

from thrift_plugins.routing.answers import NAMES, answer_traits
from thrift_plugins.types import Reply, Request

if TYPE_CHECKING:
    from thrift_plugins.learning.boosting import BoostedTrees

FAR = 4.0
"""Standard deviations beyond which a number says no more."""

DIGITS = 4
"""Behind the point, of a number in standard deviations."""

_LARGEST = 1e9


@dataclass(frozen=True)
class AnswerCheck:
    """Tells good answers of a tier from bad ones.

    Attributes:
        centre, spread: mean and standard deviation of each number of `answers.NAMES`.
        own: log odds that the answer is good: a constant, and what a standard deviation of each number adds.
        best: the same for the baseline's answer to the same question.
        trees: boosted trees for the first, as JSON.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    own: tuple[float, ...]
    best: tuple[float, ...]
    trees: Mapping[str, Any]

    def chances(self, request: Request, reply: Reply) -> tuple[float, float]:
        """How probably this answer is good, and how probably the baseline's would be."""
        row = self.standard(answer_traits(request, reply))
        import numpy as np  # noqa: PLC0415  for those who check answers

        boosted = float(self._boosted.probabilities(np.array([row]))[0])
        return (_logistic(self.own, row) + boosted) / 2, _logistic(self.best, row)

    def standard(self, told: Sequence[float]) -> list[float]:
        """The numbers in standard deviations."""
        return [
            round(min(FAR, max(-FAR, (number - centre) / spread)), DIGITS) if spread else 0.0
            for number, centre, spread in zip(told, self.centre, self.spread, strict=True)
        ]

    @cached_property
    def _boosted(self) -> BoostedTrees:
        from thrift_plugins.learning.boosting import BoostedTrees  # noqa: PLC0415  as above

        return BoostedTrees.load(self.trees)

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "traits": list(NAMES),
            "centre": list(self.centre),
            "spread": list(self.spread),
            "own": list(self.own),
            "best": list(self.best),
            "trees": dict(self.trees),
        }

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> AnswerCheck:
        """Read back what `dump` gave.

        Raises:
            ValueError: it is not of that form.
        """
        if told["traits"] != list(NAMES):
            raise ValueError("it was trained by another version, which read other things of an answer")
        width = len(NAMES)
        check = cls(
            _row(told["centre"], width),
            _row(told["spread"], width),
            _row(told["own"], width + 1),
            _row(told["best"], width + 1),
            told["trees"],
        )
        if check._boosted.width != width:
            raise ValueError("trees of another width")
        return check


def _row(told: Any, length: int) -> tuple[float, ...]:
    row = tuple(float(number) for number in told if type(number) in (int, float) and abs(number) < _LARGEST)
    if not isinstance(told, list) or len(row) != length:
        raise ValueError(f"{length} numbers were expected")
    return row


def _logistic(weights: Sequence[float], row: Sequence[float]) -> float:
    odds = weights[0] + sum(weight * number for weight, number in zip(weights[1:], row, strict=True))
    return 1 / (1 + exp(-min(40.0, max(-40.0, odds))))
