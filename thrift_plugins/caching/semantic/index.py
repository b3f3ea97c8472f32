"""Nearest vectors of one space: exact while it is small, sublinear above, with adding and removing at any time.

Vectors are kept in eight bits and grouped in cells. A cell knows its centre, and of each vector the signs of what it
differs from the centre in (256 bits), from which its similarity to a query is estimated by counting bits; only the
best estimates are compared in full. A cell that has grown too large is split and shares its vectors out anew with its
neighbours, so that there is never a training run over everything, and no call waits for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Slots: TypeAlias = NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.generic)

_BITS = 256
_EXACT = 192
"""Vectors up to which all are compared in full."""

_FULL = 64
"""Vectors that are compared in full where there are more."""

_PROBED = 12
"""Cells that are looked into."""

_SMALLEST_SPLIT = 384
"""A cell is split above this size, or above the square root of the number of vectors where that is more."""

_SMALLEST_CELL = 32
"""A cell that has lost so many vectors that fewer are left is dissolved."""

_NEIGHBOURS = 8
"""Cells that share their vectors out anew when one of them was split."""

_AT_ONCE = 256
"""Vectors that are added before cells are split, which keeps a split short."""

_NOWHERE = -1


@dataclass(slots=True)
class _Cell:
    """A group of vectors.

    Attributes:
        facts: (6, room) words: four of signs, one of two float32 (length of the difference from the centre, its
            product with the centre), one of the vector's slot. One array, so that a search copies each cell once, and
            by columns, so that it counts bits in long runs.
    """

    facts: NDArray[np.uint64]
    size: int = 0

    @property
    def slots(self) -> Slots:
        return self.facts[5, : self.size].astype(np.int64)


class VectorIndex:
    """The vectors of one space, by slot. Not thread-safe: whoever owns it holds a lock.

    Args:
        dimensions: of every vector. Vectors have length 1.
    """

    def __init__(self, dimensions: int) -> None:
        self._frame = _frame(dimensions)
        self._codes = np.zeros((0, self._frame.width), np.int8)
        self._scales = np.zeros(0, np.float32)
        self._cell_of = np.zeros(0, np.int32)
        self._free: list[int] = []
        self._end = 0
        self._cells = [_Cell(np.empty((6, 0), np.uint64))]
        self._centres = np.zeros((1, self._frame.width), np.float32)
        self._squares = np.zeros(1, np.float32)

    def __len__(self) -> int:
        return self._end - len(self._free)

    @property
    def nbytes(self) -> int:
        """Bytes that its arrays take."""
        arrays = (self._codes, self._scales, self._cell_of, self._centres, self._squares)
        return sum(array.nbytes for array in arrays) + sum(cell.facts.nbytes for cell in self._cells)

    def add(self, vectors: Floats) -> list[int]:
        """Add vectors of shape (n, dimensions); gives their slots, which stay the same until they are removed."""
        slots: list[int] = []
        for start in range(0, len(vectors), _AT_ONCE):
            slots += self._add(self._frame.place(vectors[start : start + _AT_ONCE]))
        return slots

    def remove(self, slot: int) -> None:
        """Remove the vector in a slot, which may be given to another one.

        Raises:
            KeyError: nothing is in that slot.
        """
        home = int(self._cell_of[slot]) if 0 <= slot < self._end else _NOWHERE
        if home == _NOWHERE:
            raise KeyError(slot)
        cell = self._cells[home]
        place = int(np.flatnonzero(cell.facts[5, : cell.size] == slot)[0])
        cell.size -= 1
        cell.facts[:, place] = cell.facts[:, cell.size]
        self._cell_of[slot] = _NOWHERE
        self._free.append(slot)
        if cell.size < _SMALLEST_CELL and len(self._cells) > 1:
            self._dissolve(home)

    def search(self, vector: Floats, count: int) -> list[tuple[int, float]]:
        """The slots of the `count` nearest to a vector of shape (dimensions,), with their cosines, best first."""
        if len(self) == 0:
            return []
        query = self._frame.place(vector[None])[0]
        slots = self._promising(query)
        cosines = (self._codes[slots].astype(np.float32) @ query) * self._scales[slots]
        best = np.argsort(-cosines)[:count]
        return list(zip(slots[best].tolist(), cosines[best].tolist(), strict=True))

    def _add(self, placed: Floats) -> list[int]:
        slots = self._take_slots(len(placed))
        self._scales[slots] = scales = np.maximum(np.abs(placed).max(axis=1), 1e-12) / 127
        self._codes[slots] = np.rint(placed / scales[:, None])
        self._settle(placed, slots)
        return [int(slot) for slot in slots]

    def _settle(self, placed: Floats, slots: Slots) -> None:
        """Put vectors into the cells whose centres are nearest, and split those that grow too large."""
        live = len(self._cells)
        homes = np.argmax(placed @ self._centres[:live].T - self._squares[:live], axis=1)
        for home in np.unique(homes).tolist():
            mine = np.flatnonzero(homes == home)
            self._append(home, placed[mine], slots[mine])
            while self._cells[home].size > self._limit() and self._split(home):
                pass

    def _dissolve(self, home: int) -> None:
        """Give what is left of a cell to its neighbours, or a search would look into ever more cells with nothing in them."""
        slots, last = self._cells[home].slots, len(self._cells) - 1
        self._cells[home] = self._cells[last]
        self._cells.pop()
        self._centres[home], self._squares[home] = self._centres[last], self._squares[last]
        if home != last:
            self._cell_of[self._cells[home].slots] = home
        if len(slots):
            self._settle(self._vectors(slots), slots)

    def _promising(self, query: Floats) -> Slots:
        """Slots whose estimated cosine is among the highest."""
        live = len(self._cells)
        along = self._centres[:live] @ query
        cells = _largest(along - self._squares[:live], _PROBED)
        probed = [self._cells[cell] for cell in cells.tolist()]
        facts = np.concatenate([cell.facts[:, : cell.size] for cell in probed], axis=1)
        if facts.shape[1] <= _EXACT:
            every: Slots = facts[5].astype(np.int64)
            return every
        sizes = [cell.size for cell in probed]
        away = query - self._centres[cells]
        signs = np.repeat(self._frame.signs(away), sizes, axis=1)
        signs ^= facts[:4]
        lengths = facts[4].view(np.float32)
        estimate = _COSINES[_bits(signs)]
        estimate *= lengths[0::2]
        estimate *= np.repeat(np.sqrt(np.einsum("ij,ij->i", away, away)), sizes)
        estimate += lengths[1::2]
        estimate += np.repeat(along[cells], sizes)
        best: Slots = facts[5, _largest(estimate, _FULL)].astype(np.int64)
        return best

    def _limit(self) -> float:
        return float(max(_SMALLEST_SPLIT, len(self) ** 0.5))

    def _take_slots(self, count: int) -> Slots:
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        new = range(self._end, self._end + count - len(reused))
        self._end = new.stop
        if self._end > len(self._codes):
            room = max(8, self._end, len(self._codes) * 5 // 4)
            self._codes = _grown(self._codes, room)
            self._scales = _grown(self._scales, room)
            self._cell_of = _grown(self._cell_of, room)
        return np.array([*reused, *new], np.int64)

    def _append(self, home: int, placed: Floats, slots: Slots) -> None:
        cell = self._cells[home]
        end = cell.size + len(slots)
        if end > cell.facts.shape[1]:
            room = max(8, end, cell.facts.shape[1] * 3 // 2)
            cell.facts = np.concatenate([cell.facts, np.empty((6, room - cell.facts.shape[1]), np.uint64)], axis=1)
        cell.facts[:, cell.size : end] = self._described(placed, self._centres[home], slots)
        cell.size = end
        self._cell_of[slots] = home

    def _described(self, placed: Floats, centre: Floats, slots: Slots) -> NDArray[np.uint64]:
        """The facts of vectors in a cell with this centre."""
        away = placed - centre
        facts = np.empty((6, len(placed)), np.uint64)
        facts[:4] = self._frame.signs(away)
        lengths = facts[4].view(np.float32)
        lengths[0::2] = np.sqrt(np.einsum("ij,ij->i", away, away))
        lengths[1::2] = away @ centre
        facts[5] = slots
        return facts

    def _split(self, home: int) -> bool:
        """Make two cells of one, and share the vectors of its neighbourhood out among all cells there.

        Returns:
            Whether the cell has become smaller. One of equal vectors cannot be split.
        """
        vectors = self._vectors(self._cells[home].slots)
        first, second = _two_centres(vectors)
        if np.array_equal(first, second):
            return False
        size, new = len(vectors), len(self._cells)
        self._cells.append(_Cell(np.empty((6, 0), np.uint64)))
        if new == len(self._centres):
            self._centres = _grown(self._centres, 2 * new)
            self._squares = _grown(self._squares, 2 * new)
        self._move_centre(home, first)
        self._move_centre(new, second)
        nearness = self._centres[: new + 1] @ first - self._squares[: new + 1]
        self._share_out(np.union1d(_largest(nearness, _NEIGHBOURS), [home, new]))
        return self._cells[home].size < size

    def _share_out(self, cells: Slots) -> None:
        slots = np.concatenate([self._cells[cell].slots for cell in cells.tolist()])
        vectors = self._vectors(slots)
        homes = np.argmax(vectors @ self._centres[cells].T - self._squares[cells], axis=1)
        for place, cell in enumerate(cells.tolist()):
            mine = homes == place
            if mine.any():
                self._move_centre(cell, vectors[mine].mean(axis=0))
            self._cells[cell] = _Cell(np.empty((6, 0), np.uint64))
            self._append(cell, vectors[mine], slots[mine])

    def _move_centre(self, cell: int, centre: Floats) -> None:
        self._centres[cell] = centre
        self._squares[cell] = centre @ centre / 2

    def _vectors(self, slots: Slots) -> Floats:
        return self._codes[slots] * self._scales[slots, None]


class _Frame:
    """How vectors of some number of dimensions are laid out, so that their signs tell as much as they can.

    Up to 256 dimensions are rotated at random into 256. More are flipped and shuffled at random and filled up to a
    multiple of 256, whose parts are added up before signs are taken.
    """

    def __init__(self, dimensions: int) -> None:
        chance = np.random.default_rng(dimensions)
        self.width = -(-dimensions // _BITS) * _BITS
        self._rotation: Floats | None = None
        if dimensions <= _BITS:
            square, _ = np.linalg.qr(chance.standard_normal((_BITS, _BITS)))
            self._rotation = np.ascontiguousarray(square[:dimensions], np.float32)
        else:
            self._order = chance.permutation(dimensions)
            self._flips = chance.choice(np.array([-1, 1], np.float32), dimensions)

    def place(self, vectors: Floats) -> Floats:
        """(n, dimensions) -> (n, width); products of vectors stay as they are."""
        if self._rotation is not None:
            return vectors @ self._rotation
        placed = np.zeros((len(vectors), self.width), np.float32)
        placed[:, : vectors.shape[1]] = vectors[:, self._order] * self._flips
        return placed

    def signs(self, placed: Floats) -> NDArray[np.uint64]:
        """(n, width) -> (4, n) words of signs."""
        folded = placed if self.width == _BITS else placed.reshape(len(placed), -1, _BITS).sum(axis=1)
        return np.packbits(folded > 0, axis=1).view(np.uint64).T


@cache
def _frame(dimensions: int) -> _Frame:
    return _Frame(dimensions)


_COSINES = np.cos(np.pi * np.arange(_BITS + 1) / _BITS).astype(np.float32)
"""The cosine between two vectors of which so many random signs differ."""


def _bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """How many bits are set in each column of four words; 256 reads as 0, which no two vectors of a cell come to."""
    counts = np.bitwise_count(words)
    total: NDArray[np.uint8] = counts[0] + counts[1]
    total += counts[2]
    total += counts[3]
    return total


def _largest(values: NDArray[np.float32], count: int) -> Slots:
    """Places of the `count` largest values, or a few more where some are equal, in no order."""
    if len(values) <= count:
        return np.arange(len(values))
    least = np.partition(values, len(values) - count)[len(values) - count]  # several times faster than argpartition
    return np.flatnonzero(values >= least)


def _grown(array: NDArray[_Number], room: int) -> NDArray[_Number]:
    larger = np.empty((room, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _two_centres(vectors: Floats) -> tuple[Floats, Floats]:
    """Centres of two halves of a cell, as far apart as a few rounds make them."""
    mean = vectors.mean(axis=0)
    far = vectors[np.argmin(vectors @ mean)]
    near = vectors[np.argmin(vectors @ far)]
    for _ in range(4):
        side = vectors @ (far - near)
        apart = side > np.median(side)  # at the median, so that both have members whatever the vectors are
        if not apart.any():
            break
        far, near = vectors[apart].mean(axis=0), vectors[~apart].mean(axis=0)
    return far, near
