"""The SQLite file of a journal, for whoever looks: the process that works on it, and people."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from thrift_plugins.batching.client import Intent
from thrift_plugins.batching.records import UNFINISHED, Incident, Sending, check_account
from thrift_plugins.stores.sqlite_file import SQLiteFile

OPEN, ANSWERED, ERRORED = range(2, 5)
"""How a line stands. Not 0 and 1, which SQLite keeps in no byte: a row that grows, when its line is answered, splits its page."""

NO_ANSWER: Final = 1 << 46
PLACES: Final = 1 << 16
"""Where a line's answer is: the number of its pack, times this, and its place in it. As wide before it is known, see above."""

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS lines (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, model TEXT NOT NULL, url TEXT NOT NULL, size INTEGER NOT NULL,
        deadline REAL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL, spoilt INTEGER NOT NULL,
        status INTEGER NOT NULL, code TEXT NOT NULL, processing TEXT NOT NULL, answer INTEGER NOT NULL,
        failed_in INTEGER NOT NULL DEFAULT -1, spoilt_in INTEGER NOT NULL DEFAULT -1, stops INTEGER NOT NULL DEFAULT 0,
        booked TEXT)""",
    "CREATE TABLE IF NOT EXISTS prompts (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, texts BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, done_at REAL NOT NULL, texts BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS batches (
        id INTEGER PRIMARY KEY, intent TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, model TEXT NOT NULL, url TEXT NOT NULL,
        count INTEGER NOT NULL, tokens INTEGER NOT NULL, made_at REAL NOT NULL, deadline REAL, members BLOB, state TEXT NOT NULL,
        upload TEXT NOT NULL DEFAULT '', remote TEXT NOT NULL DEFAULT '', sent_at REAL, ended TEXT NOT NULL DEFAULT '',
        done_at REAL, answered INTEGER NOT NULL DEFAULT 0, input_tokens INTEGER NOT NULL DEFAULT 0,
        cache_read INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX IF NOT EXISTS batches_state ON batches (state)",
    """CREATE TABLE IF NOT EXISTS incidents (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, batch TEXT NOT NULL, lines INTEGER NOT NULL,
        nano INTEGER, told TEXT NOT NULL)""",
)


LATER_COLUMNS: Final = {
    "failed_in": "ALTER TABLE lines ADD COLUMN failed_in INTEGER NOT NULL DEFAULT -1",
    "spoilt_in": "ALTER TABLE lines ADD COLUMN spoilt_in INTEGER NOT NULL DEFAULT -1",
    "stops": "ALTER TABLE lines ADD COLUMN stops INTEGER NOT NULL DEFAULT 0",
    "booked": "ALTER TABLE lines ADD COLUMN booked TEXT",
}
"""Those of `lines` that a journal made before there were any does not have: in which attempt a failure was counted last, how often
the journal had been stopped when the line was asked last, and by what call its cost is booked, NULL where it is not."""

_CACHE_KB: Final = 65_536


class SQLiteRecords:
    """A journal's file.

    Args:
        path: the file, made for its owner alone.
        account: whose it must be, "" for anybody's.

    Raises:
        ConfigError: it is another account's.
        StoreCorrupt: the file is not ours, or damaged.
        StoreUnavailable: it cannot be made or opened.
    """

    def __init__(self, path: str | Path, account: str = "") -> None:
        self._file = SQLiteFile(path, SCHEMA, busy_timeout=30.0, cache_kb=_CACHE_KB)
        self.path = self._file.path
        try:
            check_account(str(self.path), self.facts().get("account", ""), account)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def facts(self) -> dict[str, str]:
        """See `Records`."""
        return dict(self._file.run(lambda c: c.execute("SELECT name, value FROM facts").fetchall()))

    def unfinished(self) -> list[Sending]:
        """Batches that were begun, here or by a process before."""
        rows = self._file.run(
            lambda c: c.execute(
                f"SELECT {_COLUMNS} FROM batches WHERE state IN {UNFINISHED}"  # noqa: S608
            ).fetchall()
        )
        return [_sending(row) for row in rows]

    def strays(self, since: float) -> list[Sending]:
        """Batches that were given up as absent after `since`, and may turn up."""
        rows = self._file.run(
            lambda c: c.execute(
                f"SELECT {_COLUMNS} FROM batches WHERE state = 'absent' AND done_at >= ?",  # noqa: S608  names of ours
                (since,),
            ).fetchall()
        )
        return [_sending(row) for row in rows]

    def note(self, incident: Incident) -> None:
        """Keep what a person should know of."""
        self._file.transact(
            lambda c: c.execute(
                "INSERT INTO incidents (at, kind, batch, lines, nano, told) VALUES (?, ?, ?, ?, ?, ?)", incident
            )
        )

    def incidents(self) -> list[Incident]:
        """Everything that was noted, oldest first."""
        rows = self._file.run(
            lambda c: c.execute("SELECT at, kind, batch, lines, nano, told FROM incidents ORDER BY id").fetchall()
        )
        return [Incident(*row) for row in rows]

    def stop(self) -> None:
        """See `Records`."""
        self._file.transact(
            lambda c: c.execute("INSERT INTO facts VALUES ('stops', 1) ON CONFLICT DO UPDATE SET value = value + 1")
        )

    def stops(self) -> int:
        """See `Records`."""
        row = self._file.run(lambda c: c.execute("SELECT value FROM facts WHERE name = 'stops'").fetchone())
        return int(row[0]) if row else 0

    def counts(self) -> dict[str, int]:
        """How many lines are queued, sent, answered and in error."""
        def work(c: sqlite3.Connection) -> dict[str, int]:
            c.execute("BEGIN")  # all of it as of one moment
            rows = dict(c.execute("SELECT state, count(*) FROM lines GROUP BY state").fetchall())
            sent = sum(
                c.execute("SELECT count(*) FROM lines WHERE id BETWEEN ? AND ? AND state = ?", (*span, OPEN)).fetchone()[0]
                for (members,) in c.execute("SELECT members FROM batches WHERE state IN ('sending', 'sent')").fetchall()
                for span in spans_in(members)
            )
            c.execute("COMMIT")
            queued = rows.get(OPEN, 0) - sent
            return {"queued": queued, "sent": sent, "answered": rows.get(ANSWERED, 0), "errored": rows.get(ERRORED, 0)}

        return self._file.run(work)

    def batches(self) -> list[dict[str, Any]]:
        """Every batch, as a table for people, oldest first."""
        rows = self._file.run(lambda c: c.execute(f"SELECT {_TOLD} FROM batches ORDER BY id").fetchall())  # noqa: S608  names of ours
        names = _TOLD.split(", ")
        return [dict(zip(names, row, strict=True)) for row in rows]


_TOLD: Final = (
    "intent, model, url, count, made_at, deadline, state, remote, ended, sent_at, done_at, answered, input_tokens, cache_read,"
    " output_tokens"
)
_COLUMNS: Final = "id, intent, digest, model, url, count, made_at, tokens, deadline, state, upload, remote, sent_at"


def spans_of(ids: Iterable[int]) -> bytes:
    """Numbers of lines as first and last of each unbroken row of them."""
    spans = array("q")
    for number in sorted(ids):
        if spans and spans[-1] == number - 1:
            spans[-1] = number
        else:
            spans.extend((number, number))
    return spans.tobytes()


def spans_in(members: bytes) -> Iterator[tuple[int, int]]:
    """First and last of each."""
    ends = iter(array("q", members))
    return zip(ends, ends, strict=True)


def _sending(row: tuple[Any, ...]) -> Sending:
    number, intent, digest, model, url, count, made_at, tokens, deadline, state, upload, remote, sent_at = row
    return Sending(
        number, Intent(intent, digest, model, url, count, made_at), tokens, deadline, state, upload, remote, sent_at
    )
