"""Entries in this process: a dictionary in the order of last use, bounded by bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from threading import Lock
from typing import NamedTuple

from thrift_plugins.forks import renew_after_fork
from thrift_plugins.stores import marks
from thrift_plugins.stores.base import Claim, Clock, Entry, Records
from thrift_plugins.stores.envelope import expiry
from thrift_plugins.stores.memory_feed import MemoryFeed

_ENTRY_OVERHEAD = 300
"""Bytes that an entry takes beside its key and value: dictionary slot, list node, tuple, float and object headers."""
_TAG_OVERHEAD = 60
_FEED_SHARE = 4
"""The feed may take one part in so many of the store's bytes, beside the entries."""


class _Kept(NamedTuple):
    value: bytes
    expires: float
    tags: tuple[str, ...]
    written: float


class MemoryStore:
    """Entries in memory, the least recently used evicted first. Thread-safe; gone with the process.

    Values are not sealed: whoever can alter this process's memory needs no forged entry.

    Args:
        max_bytes: bound on keys, values and what Python adds to them. A value that is larger on its own is not kept.
        clock: seconds since the epoch.
    """

    kind = "memory"

    def __init__(self, *, max_bytes: int = 64 * 1024 * 1024, clock: Clock = time.time) -> None:
        self.damaged = 0
        self._entries: OrderedDict[str, _Kept] = OrderedDict()
        self._marks = marks.Marks()
        self._feed = MemoryFeed(max_bytes // _FEED_SHARE)
        self._max_bytes = max_bytes
        self._clock = clock
        self.renew()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._entries)} entries, {self._bytes} of {self._max_bytes} bytes)"

    def renew(self) -> None:
        """A lock of this process's own, and the sum that its holder may have been about to correct."""
        self._lock = Lock()
        self._bytes = sum(_size(key, kept.value, kept.tags) for key, kept in self._entries.items())

    @property
    def space(self) -> Hashable:
        """Its own: no two memory stores see the same entries."""
        return ("memory", id(self))

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[1] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,  # noqa: ARG002  it cannot be lost
    ) -> bool:
        """Keep a value for `ttl` seconds, or until evicted. Whether it was kept; see `Store`."""
        now = self._clock()
        expires = expiry(now, ttl)
        size = _size(key, value, tags)
        with self._lock:
            if asked is not None and self._marks.since(asked, key, tags):
                return False
            self._drop(key)
            if expires is None or size > self._max_bytes:
                return False
            self._entries[key] = _Kept(value, expires, tags, now)
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))
        return True

    def delete(self, key: str) -> None:
        """Forget a value, and leave a mark; no error where there is none."""
        with self._lock:
            self._marks.leave(marks.of_key(key), self._clock())
            self._drop(key)

    def forget(self, tag: str, prefix: str = "") -> int:
        """Forget every value that has this tag and whose key starts with `prefix`, and leave a mark. How many there were."""
        with self._lock:
            self._marks.leave(marks.of_tag(tag, prefix), self._clock())
            tagged = [key for key, kept in self._entries.items() if tag in kept.tags and key.startswith(prefix)]
            for key in tagged:
                self._drop(key)
        return len(tagged)

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`, and leave a mark."""
        with self._lock:
            self._marks.leave(marks.of_prefix(prefix), self._clock())
            for key in [key for key in self._entries if key.startswith(prefix)]:
                self._drop(key)

    def claim(self, key: str) -> Claim:
        """Always granted: no other process sees this store."""
        return Claim(key, "")

    def release(self, claim: Claim) -> None:
        """Nothing to let go of."""

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """Every living entry whose key starts with `prefix`, as things are now."""
        now = self._clock()
        with self._lock:
            found = [
                (key, kept) for key, kept in self._entries.items() if key.startswith(prefix) and kept.expires > now
            ]
        for key, kept in found:
            yield Entry(key, kept.value, kept.expires, kept.tags, kept.written)

    def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """Add a record to a feed."""
        expires = expiry(self._clock(), ttl)
        if expires is not None:
            with self._lock:
                self._feed.publish(channel, data, expires)

    def since(self, channel: str, cursor: str, limit: int) -> Records:
        """At most `limit` records that came after `cursor`, which is empty for the oldest there are."""
        with self._lock:
            return self._feed.since(channel, cursor, limit, self._clock())

    def close(self) -> None:
        """Forget everything."""
        self.clear()

    async def aget(self, key: str) -> bytes | None:
        """`get`; it does not block."""
        return self.get(key)

    async def aput(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """`put`; it does not block."""
        return self.put(key, value, ttl, tags=tags, asked=asked, claim=claim)

    async def adelete(self, key: str) -> None:
        """`delete`; it does not block."""
        self.delete(key)

    async def aforget(self, tag: str, prefix: str = "") -> int:
        """`forget`; it does not block."""
        return self.forget(tag, prefix)

    async def aclear(self, prefix: str = "") -> None:
        """`clear`; it does not block."""
        self.clear(prefix)

    async def aclaim(self, key: str) -> Claim:
        """`claim`."""
        return self.claim(key)

    async def arelease(self, claim: Claim) -> None:
        """`release`."""
        self.release(claim)

    async def apublish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """`publish`; it does not block."""
        self.publish(channel, data, ttl)

    async def asince(self, channel: str, cursor: str, limit: int) -> Records:
        """`since`; it does not block."""
        return self.since(channel, cursor, limit)

    async def aclose(self) -> None:
        """Nothing here belongs to an event loop."""

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.value, entry.tags)


def _size(key: str, value: bytes, tags: tuple[str, ...]) -> int:
    return len(key) + len(value) + _ENTRY_OVERHEAD + sum(_TAG_OVERHEAD + len(tag) for tag in tags)
