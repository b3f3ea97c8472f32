"""A feed of records in this process, bounded by bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

from thrift_plugins.stores.base import Records

_Record: TypeAlias = tuple[int, float, bytes]

_RECORD_OVERHEAD = 200
"""Bytes that a record takes beside its data."""
_DEAD_AT_MOST = 64
"""Records that a channel keeps after they were dropped, so that not every drop moves all that follow."""


class _Channel:
    """Records in the order of their numbers; those before `first` were dropped."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self.first = 0

    def drop_oldest(self) -> None:
        self.first += 1
        if self.first > max(_DEAD_AT_MOST, len(self.records) // 2):
            del self.records[: self.first]
            self.first = 0


class MemoryFeed:
    """Records by channel, the oldest dropped first. For one thread at a time.

    Args:
        max_bytes: bound on all channels together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._channels: dict[str, _Channel] = {}
        self._order: deque[tuple[str, int]] = deque()
        self._bytes = 0
        self._last = 0

    def publish(self, channel: str, data: bytes, expires: float) -> None:
        """Add a record."""
        self._last += 1
        self._channels.setdefault(channel, _Channel()).records.append((self._last, expires, data))
        size = len(data) + _RECORD_OVERHEAD
        self._order.append((channel, size))
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest, freed = self._order.popleft()
            self._bytes -= freed
            self._channels[oldest].drop_oldest()

    def since(self, channel: str, cursor: str, limit: int, now: float) -> Records:
        """The living records after a cursor, oldest first."""
        found = self._channels.get(channel)
        if found is None:
            return []
        start = bisect_right(found.records, int(cursor or 0), lo=found.first, key=itemgetter(0))
        living = (record for record in islice(found.records, start, None) if record[1] > now)
        return [(str(number), data) for number, _, data in islice(living, limit)]
