"""What a store is: bytes under a key for a while, and a log of events. Nothing here knows what the bytes mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch."""


class Store(Protocol):
    """Entries that expire. Every method may raise `StoreUnavailable`; none raises anything else.

    Keys are printable ASCII such as `{tenant-digest}:entry-digest`; the part in braces keeps a tenant's keys
    in one slot of a Redis Cluster. Values are sealed on the way in and checked on the way out: a value that was
    cut, altered, or written under another key is dropped, counted in `damaged`, and reads as a miss.
    """

    kind: str
    damaged: int

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged."""
        ...

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value for `ttl` seconds, or until evicted."""
        ...

    def delete(self, key: str) -> None:
        """Forget a value; no error where there is none."""
        ...

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""
        ...

    async def aget(self, key: str) -> bytes | None:
        """`get` without blocking the event loop."""
        ...

    async def aput(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """`put` without blocking the event loop."""
        ...

    async def adelete(self, key: str) -> None:
        """`delete` without blocking the event loop."""
        ...

    async def aclear(self, prefix: str = "") -> None:
        """`clear` without blocking the event loop."""
        ...

    async def aclose(self) -> None:
        """`close` for the connections of this event loop."""
        ...


class EventLog(Protocol):
    """Where the ledger keeps its events. Written by one thread at a time, read by anyone."""

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        """Append rows of (event id, seconds, JSON); a known id is passed over. Returns how many were new.

        Raises:
            StoreUnavailable: none of them were kept.
        """
        ...

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """All rows in the order of time, then id, streamed."""
        ...

    def close(self) -> None:
        """Let go of files. Idempotent."""
        ...
