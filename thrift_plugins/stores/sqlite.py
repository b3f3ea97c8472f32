"""Entries in a SQLite file: no server, several processes, survives kill -9."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from thrift_plugins.errors import StoreCorrupt, StoreUnavailable
from thrift_plugins.stores.base import Clock
from thrift_plugins.stores.breaker import Breaker
from thrift_plugins.stores.envelope import as_secret, expiry, seal, unseal
from thrift_plugins.stores.forks import renew_after_fork
from thrift_plugins.stores.sqlite_file import SQLiteFile, shared_secret

# Ids grow with every write, so the order of ids is the order of age and no index is kept for it or for expiry:
# a put dirties two b-trees. Against WITHOUT ROWID, 1.2 kB values measured 1.7x faster to read and 1.6x to write.
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS entries(
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, expires REAL NOT NULL, value BLOB NOT NULL)""",
)
# The cast: a damaged value of another type must come back as bytes that do not open, not as a decoding error.
_GET: Final = "SELECT CAST(value AS BLOB) FROM entries WHERE key = ?"
_PUT: Final = "INSERT OR REPLACE INTO entries(key, expires, value) VALUES (?, ?, ?)"
_DELETE: Final = "DELETE FROM entries WHERE key = ?"
_CLEAR: Final = (
    "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE key >= ? AND (? = '' OR key < ?) LIMIT 2000)"
)
_USED: Final = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_OLDEST: Final = "SELECT id, length(key) + length(value) FROM entries ORDER BY id LIMIT 512"
_NEXT: Final = "SELECT id, expires FROM entries WHERE id > ? ORDER BY id LIMIT ?"
_EXPIRE: Final = "DELETE FROM entries WHERE id BETWEEN ? AND ? AND expires <= ?"

_BUSY_TIMEOUT_S = 0.05
_PATIENTLY: Final = "PRAGMA busy_timeout = 50"
_INLINE: Final = "PRAGMA busy_timeout = 5"
_TEND_EVERY = 64
"""Puts between two looks at size and age; smaller than what one look can remove, so the bound is kept."""
_SWEEP = 128


class SQLiteStore:
    """Entries in a file, the oldest evicted first. For threads, forks and several processes at once.

    Reads never wait for writers. A write waits for others 50 ms at most; where writes keep failing they are refused at
    once for a second at a time, while reads go on. The asynchronous methods run inline: handing microseconds to a
    thread costs more than they take. They hold up the event loop, and so wait 5 ms at most.

    Args:
        path: the file. `<path>-wal` and `<path>-shm` are SQLite's own; `<path>.key` holds the secret.
        clock: seconds since the epoch.
        secret: what seals the entries, 16 bytes or more; by default a random one kept beside the file.
        max_bytes: bound on the file, give or take the entries of 64 puts and the write-ahead log.

    Raises:
        ConfigError: the path names no file, or the secret is too short.
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
    ) -> None:
        self.damaged = 0
        self._clock = clock
        self._max_bytes = max_bytes
        self._file = SQLiteFile(path, _SCHEMA, busy_timeout=_BUSY_TIMEOUT_S, checkpoints_apart=True)
        key_file = self._file.path.with_name(f"{self._file.path.name}.key")
        self._secret = as_secret(shared_secret(key_file) if secret is None else secret)
        self._writes = Breaker()
        self._puts_since = self._bytes_since = 0
        self._swept_to = 0
        self.renew()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._file.path)!r})"

    def renew(self) -> None:
        """A lock of this process's own."""
        self._lock = Lock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged."""
        row = self._file.run(lambda connection: connection.execute(_GET, (key,)).fetchone())
        if row is None:
            return None
        entry = unseal(key, row[0], self._secret)
        if entry is None:
            self._drop_damaged(key)
            return None
        return entry.payload if entry.expires > self._clock() else None

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value for `ttl` seconds, or until evicted."""
        self._put(_PATIENTLY, key, value, ttl)

    def delete(self, key: str) -> None:
        """Forget a value; no error where there is none."""
        self._write(_PATIENTLY, _DELETE, key)

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`, in steps that let other writers in between."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""
        while self._write(_PATIENTLY, _CLEAR, prefix, end, end):
            pass

    def close(self) -> None:
        """Let go of the file. It is opened again when the store is used again."""
        self._file.close()

    async def aget(self, key: str) -> bytes | None:
        """`get`, inline."""
        return self.get(key)

    async def aput(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """`put`, inline."""
        self._put(_INLINE, key, value, ttl)

    async def adelete(self, key: str) -> None:
        """`delete`, inline."""
        self._write(_INLINE, _DELETE, key)

    async def aclear(self, prefix: str = "") -> None:
        """`clear`, in a thread."""
        await asyncio.to_thread(self.clear, prefix)

    async def aclose(self) -> None:
        """`close`."""
        self.close()

    def _put(self, patience: str, key: str, value: bytes, ttl: float | None) -> None:
        expires = expiry(self._clock(), ttl)
        if expires is None or len(value) > self._max_bytes:
            self._write(patience, _DELETE, key)
            return
        sealed = seal(key, value, expires, self._secret)
        self._write(patience, _PUT, key, expires, sealed)
        self._tend(len(sealed))

    def _write(self, patience: str, statement: str, *values: str | float | bytes) -> int:
        """How many rows it changed."""

        def change(connection: sqlite3.Connection) -> int:
            # Left as it is afterwards, so that what tends the file next, on the same connection, is as patient.
            connection.execute(patience)
            return connection.execute(statement, values).rowcount

        if not self._writes.allow():
            raise StoreUnavailable(f"{self._file.path}: writes failed lately; not tried")
        try:
            changed = self._file.run(change)
        except StoreUnavailable:
            self._writes.failure()
            raise
        self._writes.success()
        return changed

    def _drop_damaged(self, key: str) -> None:
        with self._lock:
            self.damaged += 1
        with suppress(StoreUnavailable):
            self.delete(key)

    def _tend(self, written: int) -> None:
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
            self._file.run(self._sweep)
            self._file.run(self._evict)
        self._file.checkpoint_soon()

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Remove the expired among the next few entries, going round and round."""
        now = self._clock()
        seen = connection.execute(_NEXT, (self._swept_to, _SWEEP)).fetchall()
        self._swept_to = seen[-1][0] if len(seen) == _SWEEP else 0
        # Looked at first: a delete that finds nothing would still wait for the one writer's place.
        if any(expires <= now for _, expires in seen):
            connection.execute(_EXPIRE, (seen[0][0], seen[-1][0], now))

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Remove the oldest entries until the file's used pages fit, a bounded number at a time."""
        excess = connection.execute(_USED).fetchone()[0] - self._max_bytes
        if excess <= 0:
            return
        last = None
        for entry_id, size in connection.execute(_OLDEST).fetchall():
            last, excess = entry_id, excess - size
            if excess <= 0:
                break
        if last is not None:
            connection.execute("DELETE FROM entries WHERE id <= ?", (last,))
