"""The hashed pieces of a text that a learned router reads: its words, pairs of words, and runs of letters.

A piece goes to the slot that the last bits of its CRC-32 name. The checksum of a run of ASCII letters, which all are as long, is the sum (without
carry) of what each letter adds at its place, so those of a whole text are looked up at once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from thrift_plugins.routing.traits import SLOTS

_RUN: Final = 4  # letters
_MARK: Final = re.compile(r"[a-z0-9']+|[^\sa-z0-9]")
_WORDS: Final = 50_000  # that are remembered with their checksums
_LETTERS: Final = 128


def _of_letters() -> list[NDArray[np.int64]]:
    """For each place in a run, what each ASCII letter there adds to the slot of the run."""
    nothing = bytes(_RUN)
    empty = crc32(b"#" + nothing)
    tables = []
    for place in range(_RUN):
        runs = (nothing[:place] + bytes([letter]) + nothing[place + 1 :] for letter in range(_LETTERS))
        tables.append(np.array([(crc32(b"#" + run) ^ empty) % SLOTS for run in runs]))
    tables[0] ^= empty % SLOTS
    return tables


_FIRST, _SECOND, _THIRD, _FOURTH = _of_letters()


def occurrences(text: str) -> NDArray[np.int64]:
    """The slot of every piece of a text, as often as the piece occurs; in no order."""
    lowered = text.lower()
    found = _of_marks(_MARK.findall(lowered))
    if not lowered.isascii():
        found += [_sum(f"#{lowered[at : at + _RUN]}") for at in range(len(lowered) - _RUN + 1)]
    sums = np.array(found, dtype=np.int64) & (SLOTS - 1)
    if len(lowered) < _RUN or not lowered.isascii():
        return sums
    letters = np.frombuffer(lowered.encode(), np.uint8)
    runs = _FIRST[letters[:-3]] ^ _SECOND[letters[1:-2]] ^ _THIRD[letters[2:-1]] ^ _FOURTH[letters[3:]]
    return np.concatenate((sums, runs))


def counted(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The slots of a text, each once, and how often each occurs."""
    slots, times = np.unique(occurrences(text), return_counts=True)
    return slots, times


def _of_marks(marks: list[str]) -> list[int]:
    """The checksums of words, and of pairs of words: `first second`."""
    if not marks:
        return []
    spelt, own, begun = zip(*map(_hashed, marks), strict=True)
    return [*own, *map(crc32, spelt[1:], begun)]


@lru_cache(maxsize=_WORDS)
def _hashed(mark: str) -> tuple[bytes, int, int]:
    """A word in bytes, its checksum, and the one that a pair begins with of which it is the first."""
    spelt = mark.encode("utf-8", "surrogatepass")
    return spelt, crc32(spelt), crc32(spelt + b" ")


def _sum(piece: str) -> int:
    return crc32(piece.encode("utf-8", "surrogatepass"))
