"""Entries in this process: a dictionary in the order of last use, bounded by bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from thrift_plugins.stores.base import Clock
from thrift_plugins.stores.envelope import expiry
from thrift_plugins.stores.forks import renew_after_fork

_ENTRY_OVERHEAD = 300
"""Bytes that an entry takes beside its key and value: dictionary slot, list node, tuple, float and object headers."""


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
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._max_bytes = max_bytes
        self._clock = clock
        self.renew()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._entries)} entries, {self._bytes} of {self._max_bytes} bytes)"

    def renew(self) -> None:
        """A lock of this process's own, and the sum that its holder may have been about to correct."""
        self._lock = Lock()
        self._bytes = sum(_size(key, value) for key, (value, _) in self._entries.items())

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

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value for `ttl` seconds, or until evicted."""
        expires = expiry(self._clock(), ttl)
        size = _size(key, value)
        with self._lock:
            self._drop(key)
            if expires is None or size > self._max_bytes:
                return
            self._entries[key] = (value, expires)
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def delete(self, key: str) -> None:
        """Forget a value; no error where there is none."""
        with self._lock:
            self._drop(key)

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`."""
        with self._lock:
            for key in [key for key in self._entries if key.startswith(prefix)]:
                self._drop(key)

    def close(self) -> None:
        """Forget everything."""
        self.clear()

    async def aget(self, key: str) -> bytes | None:
        """`get`; it does not block."""
        return self.get(key)

    async def aput(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """`put`; it does not block."""
        self.put(key, value, ttl)

    async def adelete(self, key: str) -> None:
        """`delete`; it does not block."""
        self.delete(key)

    async def aclear(self, prefix: str = "") -> None:
        """`clear`; it does not block."""
        self.clear(prefix)

    async def aclose(self) -> None:
        """Nothing here belongs to an event loop."""

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry[0])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_OVERHEAD
