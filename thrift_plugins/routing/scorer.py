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
_EACH: Final = np.concatenate(([0.0], _WEIGHT[1:] / _TIMES))
"""The same, for each of its occurrences."""
_SQUARE: Final = np.concatenate(([0.0], _WEIGHT[1:] ** 2 / _TIMES))
"""Of its square, for each of its occurrences."""


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
        self._rarity, self._means, self._far = np.array(rarity), np.array(means), far
        self._squares = self._rarity**2
        weights = np.zeros((SLOTS, len(means)))
        for slot, row in slots.items():
            weights[slot] = row
        self._weights = weights * (self._rarity / UNIT)[:, None]
        width = np.array(spread)
        self._centre = np.array(centre)
        self._scale = np.where(width > 0, 1 / np.where(width > 0, width, 1.0), 0.0)
        self._numbers = np.array(numbers, dtype=np.float64) / UNIT

    def expected(self, text: str, traits: Sequence[float]) -> list[float]:
        """The quality that each tier's answer is expected to have.

        Args:
            text: what the user asked last.
            traits: of the request.
        """
        off = (np.array(traits) - self._centre) * self._scale
        found = self._means + np.minimum(np.maximum(off, -self._far), self._far) @ self._numbers
        slots = occurrences(text)
        if len(slots):
            times = np.bincount(slots, minlength=SLOTS)[slots]
            norm = float(_SQUARE[times] @ self._squares[slots])
            if norm > 0:
                found += _EACH[times] @ self._weights[slots] / norm**0.5
        told: list[float] = found.tolist()
        return told
