"""Entries in a SQLite file: no server, several processes, survives kill -9."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

from thrift_plugins.errors import StoreCorrupt, StoreUnavailable
from thrift_plugins.forks import new_lock
from thrift_plugins.stores import marks, sqlite_feed
from thrift_plugins.stores import sqlite_entries as entries
from thrift_plugins.stores.base import Claim, Clock, Entry, Records
from thrift_plugins.stores.breaker import Breaker
from thrift_plugins.stores.envelope import Sealer, expiry
from thrift_plugins.stores.locks import PLACES, FileLocks
from thrift_plugins.stores.sqlite_file import SQLiteFile, shared_secret

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Milliseconds that a write waits for others: in a thread of the app's, and on its event loop.
_PATIENT: Final = 50
_INLINE: Final = 5
# Ten times SQLite's own, and taken only as needed: the inner pages of 1,000,000 entries stay in it.
_CACHE_KB: Final = 32 * 1024
_TEND_EVERY: Final = 64
"""Puts between two looks at size and age; smaller than what one look can remove, so the bound is kept."""
_FEED_TEND_EVERY: Final = 256
_BYTES_PER_RECORD: Final = 4096
"""The feed is bounded by one record for each so many of the file's bytes: records of 1 kB take a quarter."""


class SQLiteStore:
    """Entries in a file, the oldest evicted first. For threads, forks and several processes at once.

    Reads never wait for writers. A write waits for others 50 ms at most; where writes keep failing they are refused at
    once for a second at a time, while reads go on. The asynchronous methods run inline, except for those that look
    through all entries: handing microseconds to a thread costs more than they take. They hold up the event loop, and so
    wait 5 ms at most.

    Args:
        path: the file. `<path>-wal` and `<path>-shm` are SQLite's own; `<path>.key` holds the secret, and processes
            arbitrate by locks on `<path>.flights`, which holds nothing.
        clock: seconds since the epoch.
        secret: what seals the entries, 16 bytes or more; by default a random one kept beside the file.
        max_bytes: bound on the file, give or take the entries of 64 puts and the write-ahead log.
        encryption_key: encrypts values and tags, with AES-256-GCM; 16 bytes or more. What was written under no key or
            another one reads as damaged.

    Raises:
        ConfigError: the path names no file, the secret or the key is too short, or `cryptography` is not installed.
        StoreCorrupt: the file is not ours or is damaged; it is left as it is.
        StoreUnavailable: the file cannot be made or opened.
    """

    kind = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock = time.time,
        secret: str | bytes | None = None,
        max_bytes: int = 1024 * 1024 * 1024,
        encryption_key: str | bytes | None = None,
    ) -> None:
        self.damaged = 0
        self._clock = clock
        self._max_bytes = max_bytes
        self._file = SQLiteFile(
            path,
            (*entries.SCHEMA, *sqlite_feed.SCHEMA),
            busy_timeout=_PATIENT / 1000,
            cache_kb=_CACHE_KB,
            checkpoints_apart=True,
        )
        beside = self._file.path.with_name
        if secret is None:
            secret = shared_secret(beside(f"{self._file.path.name}.key"))
        self._sealer = Sealer(secret, encryption_key)
        self._locks = FileLocks(beside(f"{self._file.path.name}.flights"))
        self._writes = Breaker()
        self._puts_since = self._bytes_since = self._records_since = 0
        self._swept_to = 0
        self._packed = lru_cache(maxsize=1024)(self._digests)
        self._lock = new_lock()

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._file.path)!r})"

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def space(self) -> Hashable:
        """Equal for stores over one file."""
        return ("sqlite", self._file.identity)

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged."""
        digest = self._digest(key)
        sealed = self._file.run(entries.get, digest)
        if sealed is None:
            return None
        entry = self._sealer.unseal(key, sealed)
        if entry is None:
            self._drop_damaged(digest)
            return None
        return entry.payload if entry.expires > self._clock() else None

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
        """Keep a value for `ttl` seconds, or until evicted. Whether it was kept; see `Store`."""
        return self._put(_PATIENT, key, value, ttl, tags, asked, claim)

    def delete(self, key: str) -> None:
        """Forget a value, and leave a mark; no error where there is none."""
        self._delete(_PATIENT, key)

    def forget(self, tag: str, prefix: str = "") -> int:
        """Forget every value that has this tag and whose key starts with `prefix`, in steps that let other writers in between.

        The mark comes first, so nothing that was asked for before is kept after this returns. How many there were.
        """
        self._mark(marks.of_tag(tag, prefix))
        name = self._name(tag)
        return self._purge(entries.tagged, name, prefix)

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`, in steps that let other writers in between, and leave a mark."""
        self._mark(marks.of_prefix(prefix))
        if prefix:
            self._purge(entries.under, prefix)
            return
        while self._write(_PATIENT, entries.clear_some):
            pass

    def claim(self, key: str) -> Claim | None:
        """The right to make the call for this key, or None while another process has it. Never waits."""
        token = self._locks.take(self._digest(key) % PLACES)
        return None if token is None else Claim(key, token)

    def release(self, claim: Claim) -> None:
        """Let others have it. Idempotent, and no error where the claim was lost."""
        self._locks.leave(claim.token)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """Every living entry whose key starts with `prefix`, the oldest first, read a page at a time."""
        after = 0
        while True:
            page = self._file.run(entries.page, after, prefix)
            if not page:
                return
            for _, name, sealed in page:
                key = name.decode(errors="replace")
                entry = self._sealer.unseal(key, sealed)
                if entry is not None and entry.expires > self._clock():
                    yield Entry(key, entry.payload, entry.expires, entry.tags, entry.written)
            after = page[-1][0]

    def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """Add a record to a feed."""
        self._publish(_PATIENT, channel, data, ttl)

    def since(self, channel: str, cursor: str, limit: int) -> Records:
        """At most `limit` records that came after `cursor`, which is empty for the oldest there are."""
        name, bound, after, found = self._name(channel), _feed_key(channel), int(cursor or 0), Records()
        while len(found) < limit:
            wanted = limit - len(found)
            page = self._file.run(sqlite_feed.after, name, after, wanted)
            for number, sealed in page:
                record = self._sealer.unseal(bound, sealed)
                if record is None:
                    self._count_damaged()
                elif record.expires > self._clock():
                    found.append((str(number), record.payload))
            if len(page) < wanted:
                break
            after = page[-1][0]
        return found

    def close(self) -> None:
        """Let go of the file. It is opened again when the store is used again."""
        self._file.close()

    async def aget(self, key: str) -> bytes | None:
        """`get`, inline."""
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
        """`put`, inline."""
        return self._put(_INLINE, key, value, ttl, tags, asked, claim)

    async def adelete(self, key: str) -> None:
        """`delete`, inline."""
        self._delete(_INLINE, key)

    async def aforget(self, tag: str, prefix: str = "") -> int:
        """`forget`, in a thread."""
        return await asyncio.to_thread(self.forget, tag, prefix)

    async def aclear(self, prefix: str = "") -> None:
        """`clear`, in a thread."""
        await asyncio.to_thread(self.clear, prefix)

    async def aclaim(self, key: str) -> Claim | None:
        """`claim`, inline."""
        return self.claim(key)

    async def arelease(self, claim: Claim) -> None:
        """`release`, inline."""
        self.release(claim)

    async def apublish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """`publish`, inline."""
        self._publish(_INLINE, channel, data, ttl)

    async def asince(self, channel: str, cursor: str, limit: int) -> Records:
        """`since`, inline."""
        return self.since(channel, cursor, limit)

    async def aclose(self) -> None:
        """`close`."""
        self.close()

    def _put(
        self,
        patience: int,
        key: str,
        value: bytes,
        ttl: float | None,
        tags: tuple[str, ...],
        asked: float | None,
        claim: Claim | None,
    ) -> bool:
        if claim is None:
            return self._keep(patience, key, value, ttl, tags, asked)
        try:
            return self._locks.holds(claim.token) and self._keep(patience, key, value, ttl, tags, asked)
        finally:
            self._locks.leave(claim.token)

    def _keep(
        self, patience: int, key: str, value: bytes, ttl: float | None, tags: tuple[str, ...], asked: float | None
    ) -> bool:
        now = self._clock()
        digest, expires = self._digest(key), expiry(now, ttl)
        if expires is None or len(value) > self._max_bytes:
            self._write(patience, entries.delete, digest)
            return False
        sealed = self._sealer.seal(key, value, expires, written=now, tags=tags)
        row = entries.Row(digest, expires, self._packed(tags), key, sealed)
        kept = True
        if asked is None:
            self._write(patience, entries.put, row)
        else:
            kept = self._write(patience, self._keep_unless_forgotten, row, asked, tags)
        self._tend(len(sealed), may_wait=patience == _PATIENT)
        return kept

    def _keep_unless_forgotten(
        self, connection: sqlite3.Connection, row: entries.Row, asked: float, tags: tuple[str, ...]
    ) -> bool:
        # The usual case, that nothing at all was forgotten since, is told without names.
        if entries.put_unless_any_mark(connection, row, asked):
            return True
        names = {self._name(name) for name in marks.covering(row.key, tags)}
        return entries.put_unless_marked(connection, row, asked, names)

    def _delete(self, patience: int, key: str) -> None:
        digest, name, now = self._digest(key), self._name(marks.of_key(key)), self._clock()
        self._write(patience, entries.forget, digest, name, now)

    def _mark(self, name: str) -> None:
        left, now = self._name(name), self._clock()
        self._write(_PATIENT, entries.mark, left, now)

    def _purge(self, matching: Callable[[sqlite3.Connection, int, *Ts], list[int]], *wanted: *Ts) -> int:
        """Remove what matches, a step at a time: looking holds up nobody, and a removal few. How many there were."""
        removed = 0
        for start in self._file.run(entries.steps):
            ids = self._file.run(matching, start, *wanted)
            if ids:
                removed += self._write(_PATIENT, entries.remove, ids)
        return removed

    def _publish(self, patience: int, channel: str, data: bytes, ttl: float | None) -> None:
        now = self._clock()
        expires = expiry(now, ttl)
        if expires is None:
            return
        sealed = self._sealer.seal(_feed_key(channel), data, expires, written=now)
        name = self._name(channel)
        self._write(patience, sqlite_feed.publish, name, sealed, now, expires)
        self._records_since += 1
        if self._records_since >= _FEED_TEND_EVERY:
            self._records_since = 0
            with suppress(StoreUnavailable):
                self._file.run(sqlite_feed.trim, self._max_bytes // _BYTES_PER_RECORD, now)

    def _write(self, patience: int, work: Callable[[sqlite3.Connection, *Ts], T], *given: *Ts) -> T:
        """What `work` returns, unless writes failed lately."""
        if not self._writes.allow():
            raise StoreUnavailable(f"{self._file.path}: writes failed lately; not tried")
        try:
            result = self._file.run(work, *given, patience=patience)
        except StoreUnavailable:
            self._writes.failure()
            raise
        self._writes.success()
        return result

    def _drop_damaged(self, digest: int) -> None:
        self._count_damaged()
        with suppress(StoreUnavailable):
            self._write(_PATIENT, entries.delete, digest)

    def _count_damaged(self) -> None:
        with self._lock:
            self.damaged += 1

    def _tend(self, written: int, *, may_wait: bool) -> None:
        """Every so many puts or bytes, remove what is too much or too old."""
        with self._lock:
            self._puts_since += 1
            self._bytes_since += written
            if self._puts_since < _TEND_EVERY and self._bytes_since < self._max_bytes // _TEND_EVERY:
                return
            self._puts_since = self._bytes_since = 0
        # The value is kept already; a busy or foreign file only puts this off.
        with suppress(StoreUnavailable, StoreCorrupt):
            self._file.reopen_if_moved()
            now = self._clock()
            self._swept_to = self._file.run(entries.sweep, self._swept_to, now)
            self._file.run(entries.evict, self._max_bytes)
        self._file.checkpoint_soon(may_wait=may_wait)

    def _digest(self, key: str) -> int:
        return int.from_bytes(self._sealer.name(key), "big", signed=True)

    def _name(self, text: str) -> bytes:
        return self._sealer.name(text)

    def _digests(self, tags: tuple[str, ...]) -> bytes:
        return b"".join(map(self._sealer.name, tags))


def _feed_key(channel: str) -> str:
    return f"feed:{channel}"
