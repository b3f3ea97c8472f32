"""What a store is: bytes under a key for a while, a feed of records, and a log of events. Nothing here knows what the bytes mean."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import NamedTuple, Protocol, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch."""

MARK_TTL = 3600.0
"""Seconds for which a store remembers that something was forgotten: longer than any answer is on its way."""

Records: TypeAlias = list[tuple[str, bytes]]
"""Records of a feed, oldest first, each with the cursor that comes right after it."""


class Claim(NamedTuple):
    """The right to make the call for a key, among all processes.

    Attributes:
        token: tells this claim from an earlier or a later one for the same key.
    """

    key: str
    token: str


class Entry(NamedTuple):
    """A value with all that is kept beside it.

    Attributes:
        expires: seconds since the epoch, infinity where it stays until it is evicted.
        tags: names by which it can be forgotten.
        written: seconds since the epoch.
    """

    key: str
    value: bytes
    expires: float
    tags: tuple[str, ...]
    written: float


class Store(Protocol):
    """Entries that expire. Every method may raise `StoreUnavailable`; none raises anything else.

    Keys are printable ASCII such as `{tenant-digest}:entry-digest`; the part in braces keeps a tenant's keys
    in one slot of a Redis Cluster. Values are sealed on the way in and checked on the way out: a value that was
    cut, altered, or written under another key is dropped, counted in `damaged`, and reads as a miss.

    What is deleted, forgotten or cleared leaves a mark for `MARK_TTL` seconds, so that an answer which was on its way at that
    moment does not bring it back: `put` compares the mark with `asked`.
    """

    kind: str
    damaged: int

    @property
    def space(self) -> Hashable:
        """Equal for two stores of this process that see the same entries."""
        ...

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged."""
        ...

    def put(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """Keep a value for `ttl` seconds, or until evicted.

        Args:
            tags: names by which it can be forgotten.
            asked: when the question was asked, by this store's clock: the value is not kept if its key, one of its tags, or
                its tenant was forgotten since then.
            claim: keep the value only if this claim is still ours, and release it in the same step.

        Returns:
            False if it was not kept: forgotten since, the claim lost, no time to live, or too large.
        """
        ...

    def delete(self, key: str) -> None:
        """Forget a value, and leave a mark; no error where there is none."""
        ...

    def forget(self, tag: str, prefix: str = "") -> int:
        """Forget every value that has this tag and whose key starts with `prefix`, and leave a mark. Returns how many there were."""
        ...

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`. Leaves a mark where that is everything, or all of a tenant (`{tenant}:`)."""
        ...

    def claim(self, key: str) -> Claim | None:
        """The right to make the call for this key, or None while another process has it. Never waits.

        Threads and tasks of one process are for the caller to arbitrate. A claim ends with its process.
        """
        ...

    def release(self, claim: Claim) -> None:
        """Let others have it. Idempotent, and no error where the claim was lost."""
        ...

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """Every living entry whose key starts with `prefix`, in no order, streamed. What changes meanwhile may or may not be seen."""
        ...

    def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """Add a record to a feed, for every process to read for `ttl` seconds at most. Feeds are bounded: the oldest records go first."""
        ...

    def since(self, channel: str, cursor: str, limit: int) -> Records:
        """At most `limit` records that came after `cursor`, which is empty for the oldest there are."""
        ...

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""
        ...

    async def aget(self, key: str) -> bytes | None:
        """`get` without blocking the event loop."""
        ...

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
        """`put` without blocking the event loop."""
        ...

    async def adelete(self, key: str) -> None:
        """`delete` without blocking the event loop."""
        ...

    async def aforget(self, tag: str, prefix: str = "") -> int:
        """`forget` without blocking the event loop."""
        ...

    async def aclear(self, prefix: str = "") -> None:
        """`clear` without blocking the event loop."""
        ...

    async def aclaim(self, key: str) -> Claim | None:
        """`claim` without blocking the event loop."""
        ...

    async def arelease(self, claim: Claim) -> None:
        """`release` without blocking the event loop."""
        ...

    async def apublish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """`publish` without blocking the event loop."""
        ...

    async def asince(self, channel: str, cursor: str, limit: int) -> Records:
        """`since` without blocking the event loop."""
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


class ScannedLog(EventLog, Protocol):
    """An event log that can be read in any order, which is faster than in that of time, and followed while others write it."""

    def bodies(self, since: float = -inf, until: float = inf) -> Iterator[str]:
        """The JSON of every event that began at `since` or later and before `until`, in seconds since the epoch, streamed.

        In no order, each once. Events added meanwhile may or may not be seen.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    def place(self, since: float) -> str:
        """A place before every event that began at `since` or later, in seconds since the epoch; a few earlier ones may follow it.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...

    def after(self, place: str, limit: int) -> tuple[list[str], str]:
        """The JSON of at most `limit` events that were added after a place, in that order, and the place after them.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        ...
