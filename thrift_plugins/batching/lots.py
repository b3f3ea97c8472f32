"""Which lines go in one batch: of one model and URL, due at about the same time, within what the provider takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from thrift_plugins.batching.client import Address, BatchLine, Limits

_AROUND = 160
"""Bytes of a line beside its body."""

_BYTES_PER_TOKEN: Final = 4
_BUCKET_S: Final = 900.0

_LEAD: Final = 0.25
"""Share of the time that a request has which is kept for leaving the batch: cancelling it, flex, and real time."""
_LEAD_MOST: Final = 2700.0
_LAST: Final = 3
"""The last third of that is for real time."""


def lead(deadline: float, made_at: float) -> float:
    """Seconds before the deadline at which a request leaves the batch."""
    return min(_LEAD_MOST, max(0.0, deadline - made_at) * _LEAD)


class Item(NamedTuple):
    """A line that waits to be sent, or is under way.

    Attributes:
        size: bytes of its body.
        deadline: seconds since the epoch, None where it may wait.
        wanted: whether the deadline counts: one that a run before has left may be another one once it is asked again.
        made_at: when it was asked with that deadline.
    """

    key: bytes
    address: Address
    size: int
    deadline: float | None
    wanted: bool
    made_at: float

    @property
    def tokens(self) -> int:
        """About how many input tokens it has: what a provider's queue counts."""
        return self.size // _BYTES_PER_TOKEN + 1

    @property
    def leaves(self) -> float:
        """When it has to leave its batch."""
        return inf if self.deadline is None else self.deadline - lead(self.deadline, self.made_at)

    @property
    def last(self) -> float:
        """When only real time is left."""
        return inf if self.deadline is None else self.deadline - lead(self.deadline, self.made_at) / _LAST


class Lot:
    """Lines for one batch, or in one.

    Attributes:
        items: those that it still has to see to.
        leaves: when it has to be left for the sake of its lines; `last`, `deadline` (None: never) likewise.
        asleep: when it would have to be, by deadlines that do not count yet.
        hurried: what is wanted before `leaves`, of fewer than half of the lines: it leaves alone, and the others stay.
        changed: set when a deadline was moved.
    """

    def __init__(self, address: Address, items: Sequence[Item]) -> None:
        self.address, self.items = address, list(items)
        self.hurried: dict[bytes, Item] = {}
        self.changed = asyncio.Event()
        self._look()

    def _look(self) -> None:
        own = [item for item in self.items if item.deadline is not None and item.key not in self.hurried]
        counts = [item for item in own if item.wanted]
        self.leaves = min((item.leaves for item in counts), default=inf)
        self.last = min((item.last for item in counts), default=inf)
        self.deadline = min((item.deadline for item in counts if item.deadline is not None), default=None)
        self.asleep = min((item.leaves for item in own if not item.wanted), default=inf)

    @property
    def tokens(self) -> int:
        """About how many input tokens it has."""
        return sum(item.tokens for item in self.items)

    def move(self, moved: Mapping[bytes, float], now: float) -> None:
        """Lines were asked again, and are wanted by these times."""
        before, touched = self.leaves, False
        for place, item in enumerate(self.items):
            deadline = moved.get(item.key)
            if deadline is None or (item.wanted and deadline == item.deadline):
                continue
            made_at = item.made_at if deadline == item.deadline else now
            self.items[place] = again = item._replace(deadline=deadline, wanted=True, made_at=made_at)
            self.hurried.pop(item.key, None)
            if again.leaves < before:
                self.hurried[item.key] = again
            touched = True
        if touched:
            if 2 * len(self.hurried) >= len(self.items):  # to leave the batch costs less than to pay for so many twice
                self.hurried.clear()
            self._look()
            self.changed.set()

    def early(self, now: float) -> list[Item]:
        """What leaves alone now: it is not the lot's any more."""
        early = [item for item in self.hurried.values() if item.leaves <= now]
        if early:
            gone = {item.key for item in early}
            self.items = [item for item in self.items if item.key not in gone]
            for key in gone:
                del self.hurried[key]
        return early

    def keep(self, keys: Iterable[bytes]) -> None:
        """See to these lines alone."""
        kept = set(keys)
        self.items = [item for item in self.items if item.key in kept]
        self.hurried = {key: item for key, item in self.hurried.items() if key in kept}
        self._look()

    def split(self, now: float) -> tuple[list[Item], list[Item]]:
        """What has to leave at about this time, and the rest. The lot sees to nothing more."""
        leaving = [item for item in self.items if item.wanted and item.leaves <= now + _BUCKET_S]
        gone = {item.key for item in leaving}
        rest = [item for item in self.items if item.key not in gone]
        self.keep(())
        return leaving, rest


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
    return size_too_large(item.size, limits)


def size_too_large(size: int, limits: Limits) -> bool:
    """Whether no batch takes a line whose body has so many bytes."""
    return size + _AROUND > min(limits.bytes, limits.line_bytes or limits.bytes)


def as_line(custom: str, address: Address, body: bytes) -> BatchLine:
    """A line of a batch."""
    return BatchLine(custom, address.url, body)
