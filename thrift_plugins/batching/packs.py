"""Prompts and answers as they are kept: many in one value, compressed and perhaps encrypted together, for a fraction of the price."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, TypeVar

import zstandard

from thrift_plugins.errors import StoreCorrupt
from thrift_plugins.stores.encrypt import Cipher

T = TypeVar("T")

_LINES: Final = 256
_BYTES: Final = 1_000_000
"""To read one of a pack is to read them all."""


class Packs:
    """Packs texts, and unpacks them.

    Args:
        key: encrypts them (extra `encryption`).

    Raises:
        ConfigError: the key is too short, or the extra is not installed.
    """

    def __init__(self, key: str | bytes | None) -> None:
        self.cipher = Cipher(key) if key is not None else None
        # With a checksum: a bit that a disk has turned over would otherwise be another word in somebody's answer.
        self._zip = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self._unzip = zstandard.ZstdDecompressor()

    def pack(self, texts: Sequence[bytes]) -> bytes:
        """One value for all."""
        sizes = array("I", [len(texts), *map(len, texts)])
        packed = self._zip.compress(b"".join((sizes.tobytes(), *texts)))
        return self.cipher.encrypt(packed) if self.cipher else packed

    def unpack(self, value: bytes) -> list[bytes]:
        """What was packed.

        Raises:
            StoreCorrupt: it is not what `pack` made with this key.
        """
        packed = self.cipher.decrypt(value) if self.cipher else value
        try:
            whole = self._unzip.decompress(packed or b"")
            sizes = array("I", whole[:_SIZE])
            sizes.frombytes(whole[_SIZE : _SIZE * (sizes[0] + 1)])
        except (zstandard.ZstdError, ValueError, IndexError, MemoryError):  # the last where a size is damaged
            raise StoreCorrupt(
                "a prompt or an answer in a journal of batches is damaged, or under another key"
            ) from None
        sizes[0] = _SIZE * len(sizes)
        return [whole[start:end] for start, end in pairwise(accumulate(sizes))]


_SIZE: Final = array("I").itemsize


def in_packs(items: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """Items with the bytes of their texts, in groups for one pack each."""
    group: list[T] = []
    size = 0
    for item, bytes_of in items:
        if group and (len(group) >= _LINES or size + bytes_of > _BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += bytes_of
    if group:
        yield group
