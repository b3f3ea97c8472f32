"""The hashed pieces of a text that a learned router reads: its words, pairs of words, and runs of letters.

A piece goes to the slot that the last bits of its CRC-32 name. That checksum is a sum (without carry) of what each byte adds
by its value and by how many bytes follow it, so most are looked up, many at once, and not computed byte by byte:

- A run of ASCII letters is the sum of what its first two letters add and of what its last two add.
- A pair of words is the sum of the second word's checksum and of the first one's, carried over as many bytes as the second
  has. What a word's checksum becomes when it is carried over 1, 2, 3, ... bytes is remembered with the word.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.routing.traits import SLOTS
from thrift_plugins.text.memo import Memo

Slots = NDArray[np.uint16]

_RUN: Final = 4  # letters
_RUN_MARK: Final = crc32(b"#")  # before each run, so that it is no word
_MARK: Final = re.compile(r"[a-z0-9']+|[^\sa-z0-9]")
_WORDS: Final = 50_000  # that are remembered with their rows
_CHUNKS: Final = 20_000  # so of what stands between spaces
_COLUMNS: Final = 32  # of a row: the word's slot, where to look in the row before it, and the carried slots
_CARRIED: Final = _COLUMNS - 2
_BITS: Final = 16  # of a column
_COLUMN: Final = np.dtype("<u2")


def _of_places() -> list[Slots]:
    """For each place in a run, what each byte there adds to the slot of the run."""
    empty = crc32(bytes(_RUN), _RUN_MARK)
    tables = []
    for place in range(_RUN):
        runs = (bytes(place) + bytes([byte]) + bytes(_RUN - 1 - place) for byte in range(256))
        tables.append(np.array([(crc32(run, _RUN_MARK) ^ empty) % SLOTS for run in runs], np.uint16))
    tables[0] ^= np.uint16(empty % SLOTS)
    return tables


def _of_two(first: Slots, second: Slots) -> Slots:
    """The sums for two bytes, at the number that both are in memory: the second one is the high byte, and here is ASCII."""
    return (second[:128, None] ^ first[None, :]).ravel()


def _carry() -> list[list[int]]:
    """For each byte of a checksum, by its value: the slots that it becomes over 1 to `_CARRIED` bytes, a column each."""
    bits = []
    for bit in range(32):
        over = ((crc32(bytes(count), 1 << bit) ^ crc32(bytes(count))) % SLOTS for count in range(1, _CARRIED + 1))
        bits.append(sum(slot << _BITS * at for at, slot in enumerate(over)))
    tables = []
    for place in range(0, 32, 8):
        table = [0]
        for value in range(1, 256):
            table.append(table[value & (value - 1)] ^ bits[place + (value & -value).bit_length() - 1])
        tables.append(table)
    return tables


_PLACES: Final = _of_places()
_FIRST_TWO: Final = _of_two(*_PLACES[:2])
_LAST_TWO: Final = _of_two(*_PLACES[2:])
_CARRY: Final = _carry()


def occurrences(text: str) -> NDArray[np.intp]:
    """The slot of every piece of a text, as often as the piece occurs; in no order."""
    lowered = text.lower()
    return np.concatenate((*_of_marks(lowered), _of_runs(lowered)), dtype=np.intp)


def counted(text: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The slots of a text, each once, and how often each occurs."""
    slots, times = np.unique(occurrences(text), return_counts=True)
    return slots, times


def _of_marks(lowered: str) -> tuple[Slots, Slots]:
    """The slots of words of ASCII and of each further character, and of pairs of these marks: `first second`."""
    try:
        rows = b"".join(map(_rows_of, lowered.split()))
    except _TooLongError:
        marks = _MARK.findall(lowered)
        pairs = (f"{first} {second}" for first, second in pairwise(marks))
        return np.array([*map(_slot, marks)], np.uint16), np.array([*map(_slot, pairs)], np.uint16)
    table = np.frombuffer(rows, _COLUMN)
    own, at = table[::_COLUMNS], table[_COLUMNS + 1 :: _COLUMNS]
    before = np.arange(0, len(table) - _COLUMNS, _COLUMNS)
    return own, table.take(before + at) ^ own[1:]


def _rows(chunk: str) -> bytes:
    """The rows of the marks in what stands between spaces, in their order."""
    if chunk.isascii() and chunk.isalnum():  # a word and nothing else, as most are: it has one row, which is shared
        return _row_of(chunk)
    return b"".join(map(_row_of, _MARK.findall(chunk)))


def _row(mark: str) -> bytes:
    """The columns of a mark: its slot, the column before it where a pair is looked up, and the carried slots."""
    spelt = mark.encode("utf-8", "surrogatepass")
    if len(spelt) > _CARRIED:
        raise _TooLongError
    begun = crc32(spelt + b" ")
    carried = _CARRY[0][begun & 255] ^ _CARRY[1][begun >> 8 & 255] ^ _CARRY[2][begun >> 16 & 255] ^ _CARRY[3][begun >> 24]
    columns = crc32(spelt) % SLOTS | len(spelt) + 1 << _BITS | carried << 2 * _BITS
    return columns.to_bytes(_COLUMNS * 2, "little")


class _TooLongError(Exception):
    """A word has more bytes than a checksum is carried over; such a text is read piece by piece."""


_row_of: Final = Memo(_row, _WORDS).__getitem__
_rows_of: Final = Memo(_rows, _CHUNKS, letters=20).__getitem__


def _of_runs(lowered: str) -> Slots:
    """The slots of all runs of letters."""
    count = len(lowered) - _RUN + 1
    if count < 1:
        return np.zeros(0, np.uint16)
    told = lowered.encode("ascii", "replace")
    twos = np.ndarray(len(told) - 1, _COLUMN, told, 0, (1,)).astype(np.intp)  # every two letters that stand together, as one number
    runs: Slots = _FIRST_TWO.take(twos[:-2]) ^ _LAST_TWO.take(twos[2:])
    if not lowered.isascii():
        _set_others(runs, lowered.encode("utf-8", "surrogatepass"))
    return runs


def _set_others(runs: Slots, spelt: bytes) -> None:
    """Set the slots of the runs that have a character of more than one byte, one by one."""
    letters = np.frombuffer(spelt + b".", np.int8)  # signed: ASCII is not below 0, and what continues a character is below -64
    begins = np.flatnonzero(letters >= -64)
    beyond = letters[begins[:-1]] < 0
    other = np.flatnonzero(beyond[:-3] | beyond[1:-2] | beyond[2:-1] | beyond[3:])
    spans = zip(begins[other].tolist(), begins[other + _RUN].tolist(), strict=True)
    runs[other] = np.array([crc32(spelt[begin:end], _RUN_MARK) for begin, end in spans], np.int64) % SLOTS


def _slot(piece: str) -> int:
    return crc32(piece.encode("utf-8", "surrogatepass")) % SLOTS
