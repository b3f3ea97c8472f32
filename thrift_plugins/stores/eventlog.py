"""Where the ledger's events are kept: in memory, or in a SQLite file that may be the cache's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from pathlib import Path
from typing import Final

from thrift_plugins.forks import new_lock
from thrift_plugins.stores.sqlite_file import SQLiteFile

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS events(event_id TEXT PRIMARY KEY, at REAL NOT NULL, body TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS events_by_time ON events(at, event_id)",
)
_ADD: Final = "INSERT INTO events(event_id, at, body) VALUES (?, ?, ?) ON CONFLICT(event_id) DO NOTHING"
_PAGE: Final = "SELECT event_id, at, body FROM events WHERE (at, event_id) > (?, ?) ORDER BY at, event_id LIMIT 1000"
# By row, not by time: a table is read fastest in the order in which it lies (the plus signs keep SQLite from the index of
# times, and from sorting). Small pages stay in the processor's cache.
_SCAN: Final = "SELECT rowid, body FROM events WHERE rowid > ? AND +at >= ? AND +at < ? ORDER BY rowid LIMIT 200"
_PLACE: Final = "SELECT coalesce((SELECT min(rowid) - 1 FROM events WHERE at >= ?), (SELECT max(rowid) FROM events), 0)"
_AFTER: Final = "SELECT rowid, body FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
_LAST: Final = "SELECT coalesce(max(rowid), 0) FROM events"
# Off the hot path: losing an event is worse than waiting for it.
_BUSY_TIMEOUT_S = 5.0

Row = tuple[str, float, str]


class SQLiteEventLog:
    """Events in a file, for several processes at once. Moved or deleted, it is made anew for the next events.

    Args:
        path: the file; a `SQLiteStore` may use the same one.

    Raises:
        ConfigError: the path names no file.
        StoreCorrupt: the file is not ours or is damaged; it is left as it is.
        StoreUnavailable: the file cannot be made or opened.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = SQLiteFile(path, _SCHEMA, busy_timeout=_BUSY_TIMEOUT_S)

    def __repr__(self) -> str:
        return f"SQLiteEventLog({str(self._file.path)!r})"

    def extend(self, rows: Iterable[Row]) -> int:
        """Append rows of (event id, seconds, JSON) in one transaction; a known id is passed over.

        Returns:
            How many were new.

        Raises:
            StoreUnavailable: none of them were kept.
        """

        def append(connection: sqlite3.Connection) -> int:
            before = connection.total_changes
            connection.executemany(_ADD, rows)
            return connection.total_changes - before

        return self._file.transact(append)

    def rows(self) -> Iterator[Row]:
        """All rows in the order of time, then id. Rows added meanwhile are seen if they come later in that order.

        Read a page at a time, each on its own: a reader that takes its time holds up neither writers nor the
        folding of the write-ahead log into the file.
        """
        at, event_id = float("-inf"), ""
        while True:
            page = self._page(at, event_id)
            if not page:
                return
            yield from page
            event_id, at, _ = page[-1]

    def bodies(self, since: float = -inf, until: float = inf) -> Iterator[str]:
        """See `ScannedLog`. A page at a time, each on its own, as for `rows`."""
        last = 0
        while page := self._file.run(_scanned, last, since, until):
            yield from (body for _, body in page)
            last = page[-1][0]

    def place(self, since: float) -> str:
        """See `ScannedLog`."""
        (row,) = self._file.run(lambda connection: connection.execute(_PLACE, (since,)).fetchone())
        return str(row)

    def after(self, place: str, limit: int) -> tuple[list[str], str]:
        """See `ScannedLog`. In a file that was made anew, from its start."""
        self._file.reopen_if_moved()
        page = self._file.run(_added, int(place or 0), limit)
        return [body for _, body in page], str(page[-1][0]) if page else place

    def close(self) -> None:
        """Let go of the file. It is opened again when the log is used again."""
        self._file.close()

    def _page(self, at: float, event_id: str) -> list[Row]:
        return self._file.run(lambda connection: connection.execute(_PAGE, (at, event_id)).fetchall())


def _scanned(connection: sqlite3.Connection, *after: float) -> list[tuple[int, str]]:
    return connection.execute(_SCAN, after).fetchall()


def _added(connection: sqlite3.Connection, last: int, limit: int) -> list[tuple[int, str]]:
    page = connection.execute(_AFTER, (last, limit)).fetchall()
    if not page and connection.execute(_LAST).fetchone()[0] < last:  # another file
        page = connection.execute(_AFTER, (0, limit)).fetchall()
    return page


class MemoryEventLog:
    """Events in this process, gone with it."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._lock = new_lock()

    def extend(self, rows: Iterable[Row]) -> int:
        """Append rows of (event id, seconds, JSON); a known id is passed over. Returns how many were new."""
        new = list(rows)
        with self._lock:
            before = len(self._rows)
            for row in new:
                self._rows.setdefault(row[0], row)
            return len(self._rows) - before

    def rows(self) -> Iterator[Row]:
        """All rows so far, in the order of time, then id."""
        with self._lock:
            rows = list(self._rows.values())
        yield from sorted(rows, key=lambda row: (row[1], row[0]))

    def bodies(self, since: float = -inf, until: float = inf) -> Iterator[str]:
        """See `ScannedLog`."""
        return (body for _, at, body in self.rows() if since <= at < until)

    def place(self, since: float) -> str:
        """See `ScannedLog`."""
        with self._lock:
            times = [at for _, at, _ in self._rows.values()]
        return str(next((number for number, at in enumerate(times) if at >= since), len(times)))

    def after(self, place: str, limit: int) -> tuple[list[str], str]:
        """See `ScannedLog`."""
        first = int(place or 0)
        with self._lock:
            page = [body for _, _, body in islice(self._rows.values(), first, first + limit)]
        return page, str(first + len(page))

    def close(self) -> None:
        """Nothing to let go of."""
