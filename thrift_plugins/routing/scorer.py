"""What a learned router expects of each tier, in tables: one look into them for all pieces of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.routing.pieces import occurrences
from thrift_plugins.routing.reading import UNIT
from thrift_plugins.routing.traits import SLOTS

Floats = NDArray[np.float64]

_MOST: Final = 8_192
"""Pieces of a text that fall into one slot, at most: of a long one 2,000 letters are read."""

_TIMES: Final = np.arange(1, _MOST)
_WEIGHT: Final = np.concatenate(([0.0], 1 + np.log(_TIMES)))
"""Of a slot that occurs so often."""
_EACH: Final = np.stack((_WEIGHT, _WEIGHT**2)) / np.maximum(1, np.arange(_MOST))
"""The same and its square, for each of the occurrences."""


class Scorer:
    """Predicts the quality of each tier's answer.

    Args:
        rarity: (SLOTS,) how much each slot tells.
        means: of each tier's quality.
        slots: slot to what it adds to each tier's, in steps of `UNIT`.
        centre, spread: of each trait.
        numbers: for each trait what a standard deviation adds to each tier's, in steps of `UNIT`.
        far: standard deviations beyond which a trait says no more.
    """

    def __init__(
        self,
        rarity: Sequence[float],
        means: Sequence[float],
        slots: Mapping[int, Sequence[int]],
        centre: Sequence[float],
        spread: Sequence[float],
        numbers: Sequence[Sequence[int]],
        far: float,
    ) -> None:
        width, told = np.array(spread), np.array(rarity)
        self._centre, self._means, self._far = np.array(centre), np.array(means), far * width
        self._numbers = np.array(numbers, dtype=np.float64) / UNIT / np.where(width > 0, width, np.inf)[:, None]
        weights = np.zeros((SLOTS, len(means)))
        for slot, row in slots.items():
            weights[slot] = row
        self._slots = np.column_stack((told**2, weights * (told / UNIT)[:, None]))
        """Of each slot the square of what it tells, and what it adds to each tier's quality: one look-up for both."""

    def expected(self, text: str, traits: Sequence[float]) -> list[float]:
        """The quality that each tier's answer is expected to have.

        Args:
            text: what the user asked last.
            traits: of the request.
        """
        off = np.minimum(np.maximum(np.array(traits) - self._centre, -self._far), self._far)
        found: list[float] = (self._means + off @ self._numbers).tolist()
        slots = occurrences(text)
        if not len(slots):
            return found
        each = _EACH.take(np.bincount(slots).take(slots), axis=1)
        added, squares = (each @ self._slots.take(slots, axis=0)).tolist()
        norm = squares[0] ** 0.5 or 1.0
        return [quality + added[at] / norm for at, quality in enumerate(found, 1)]
