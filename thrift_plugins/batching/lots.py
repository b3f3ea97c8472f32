"""Which lines go in one batch: of one model and URL, due at about the same time, within what the provider takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from thrift_plugins.batching.client import Address, BatchLine, Limits

_AROUND = 160
"""Bytes of a line beside its body."""

_BYTES_PER_TOKEN: Final = 4
_BUCKET_S: Final = 900.0


class Item(NamedTuple):
    """A line that waits to be sent.

    Attributes:
        size: bytes of its body.
        deadline: seconds since the epoch, None where it may wait.
        made_at: when it was asked.
    """

    key: bytes
    address: Address
    size: int
    deadline: float | None
    made_at: float

    @property
    def tokens(self) -> int:
        """About how many input tokens it has: what a provider's queue counts."""
        return self.size // _BYTES_PER_TOKEN + 1


class Lot(NamedTuple):
    """Lines for one batch."""

    address: Address
    items: Sequence[Item]

    @property
    def tokens(self) -> int:
        """About how many input tokens it has."""
        return sum(item.tokens for item in self.items)

    @property
    def deadline(self) -> float | None:
        """The earliest of its lines'."""
        return min((item.deadline for item in self.items if item.deadline is not None), default=None)


def lots(items: Iterable[Item], limits: Limits, most_tokens: int | None) -> Iterator[Lot]:
    """Items of one address as lots that the provider takes."""
    groups: dict[int | None, list[Item]] = {}
    for item in items:
        bucket = None if item.deadline is None else int(item.deadline // _BUCKET_S)
        groups.setdefault(bucket, []).append(item)
    for group in groups.values():
        yield from _cut(group, limits, most_tokens)


def _cut(items: Sequence[Item], limits: Limits, most_tokens: int | None) -> Iterator[Lot]:
    lot: list[Item] = []
    size = tokens = 0
    for item in items:
        full = len(lot) >= limits.lines or size + item.size + _AROUND > limits.bytes
        if lot and (full or (most_tokens is not None and tokens + item.tokens > most_tokens)):
            yield Lot(lot[0].address, lot)
            lot, size, tokens = [], 0, 0
        lot.append(item)
        size, tokens = size + item.size + _AROUND, tokens + item.tokens
    if lot:
        yield Lot(lot[0].address, lot)


def too_large(item: Item, limits: Limits) -> bool:
    """Whether no batch takes a line."""
    most = min(limits.bytes, limits.line_bytes or limits.bytes)
    return item.size + _AROUND > most


def as_line(custom: str, address: Address, body: bytes) -> BatchLine:
    """A line of a batch."""
    return BatchLine(custom, address.url, body)
