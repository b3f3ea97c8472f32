"""Accounts in a SQLite file: no server, several processes, survives kill -9."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import accounts_rules as rules
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_rules import TELL, Lease, Line
from thrift_plugins.stores.accounts_sheet import Sheet
from thrift_plugins.stores.base import Clock
from thrift_plugins.stores.sqlite_file import SQLiteFile

T = TypeVar("T")

# Milliseconds that a call waits for other processes' writes: in a thread, and on the app's event loop. A turn takes
# a twentieth of a millisecond, but SQLite gives turns by chance: among sixteen processes some wait for long.
_PATIENT: Final = 5000
_INLINE: Final = 5
_TEND_EVERY: Final = 256
"""Reservations between two looks at the log's size and at accounts that nobody will ask for again."""
_FORGOTTEN_AT_ONCE: Final = 512
_LOOK_DUE_S: Final = 1.0
"""Seconds between two looks for leases whose time is over, where nobody needs their room."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS accounts(account TEXT PRIMARY KEY, sheet TEXT NOT NULL, keep REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS leases(lease TEXT PRIMARY KEY, until REAL NOT NULL, state TEXT NOT NULL, lines TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS orphans(number INTEGER PRIMARY KEY AUTOINCREMENT, lease TEXT NOT NULL, account TEXT NOT NULL, charged INTEGER NOT NULL, at REAL NOT NULL)",
)
_LEASE: Final = "SELECT state, until, lines FROM leases WHERE lease = ?"
_KEEP_LEASE: Final = "INSERT OR REPLACE INTO leases(lease, until, state, lines) VALUES (?, ?, ?, ?)"
_DROP_LEASE: Final = "DELETE FROM leases WHERE lease = ?"
# No index on `until`: it would cost every reservation two pages, and the look every second reads few open leases.
_DUE: Final = "SELECT lease, state, until, lines FROM leases WHERE until <= ? ORDER BY until LIMIT ?"
_SHEET: Final = "SELECT sheet FROM accounts WHERE account = ?"
_KEEP: Final = "INSERT OR REPLACE INTO accounts(account, sheet, keep) VALUES (?, ?, ?)"
_TELL: Final = "INSERT INTO orphans(lease, account, charged, at) VALUES (?, ?, ?, ?)"
_TELL_LAST: Final = "DELETE FROM orphans WHERE number <= (SELECT max(number) FROM orphans) - ?"
_TOLD: Final = "SELECT number, lease, account, charged, at FROM orphans ORDER BY number LIMIT ?"
_STALE: Final = "SELECT account, sheet FROM accounts WHERE account > ? ORDER BY account LIMIT ?"


class _Tables:
    """`Pages` in a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._many = connection.executemany

    def sheets(self, accounts: Iterable[str]) -> dict[str, Sheet]:
        found: dict[str, Sheet] = {}
        for account in accounts:
            row = self._do(_SHEET, (account,)).fetchone()
            found[account] = Sheet.read(row[0]) if row else Sheet()
        return found

    def keep(self, sheets: Mapping[str, Sheet]) -> None:
        self._many(_KEEP, [(account, sheet.text(), sheet.keep) for account, sheet in sheets.items()])

    def lease(self, name: str) -> Lease | None:
        row = self._do(_LEASE, (name,)).fetchone()
        return _lease(*row) if row else None

    def keep_lease(self, name: str, lease: Lease) -> None:
        lines = json.dumps([(*line.hold, line.number) for line in lease.lines])
        self._do(_KEEP_LEASE, (name, lease.until, lease.state, lines))

    def drop_lease(self, name: str) -> None:
        self._do(_DROP_LEASE, (name,))

    def due(self, now: float, limit: int) -> list[tuple[str, Lease]]:
        return [(name, _lease(*rest)) for name, *rest in self._do(_DUE, (now, limit)).fetchall()]

    def tell(self, orphans: Sequence[Orphan]) -> None:
        self._many(_TELL, orphans)
        self._do(_TELL_LAST, (TELL,))

    def told(self, limit: int) -> list[Orphan]:
        rows = self._do(_TOLD, (limit,)).fetchall()
        if rows:
            self._do("DELETE FROM orphans WHERE number <= ?", (rows[-1][0],))
        return [Orphan(*row[1:]) for row in rows]

    def forget(self, after: str, now: float) -> str:
        """Drop some accounts that nobody will ask for again. Where to go on."""
        rows = self._do(_STALE, (after, _FORGOTTEN_AT_ONCE)).fetchall()
        read = ((account, Sheet.read(text)) for account, text in rows)
        gone = [(account,) for account, sheet in read if sheet.keep <= now and not sheet.holds_any]
        self._many("DELETE FROM accounts WHERE account = ?", gone)
        return rows[-1][0] if len(rows) == _FORGOTTEN_AT_ONCE else ""


class SQLiteAccounts:
    """`Accounts` in a file, for threads, forks and several processes at once.

    What is written survives the process, killed or not; a machine that loses power may forget the last moments. The
    asynchronous methods run inline, and go to a thread where they would have to wait for another process.

    Args:
        path: a file of their own, best: other writers would make them wait.
        clock: seconds since the epoch.

    Raises:
        ConfigError: the path names no file.
        StoreCorrupt: the file is not ours or is damaged; it is left as it is.
        StoreUnavailable: the file cannot be made or opened.
    """

    kind = "sqlite"

    def __init__(self, path: str | Path, *, clock: Clock = time.time) -> None:
        self._file = SQLiteFile(path, _SCHEMA, busy_timeout=_PATIENT / 1000, checkpoints_apart=True)
        self._clock = clock
        self._reserved = 0
        self._looked = 0.0
        self._forgotten_to = ""

    def __repr__(self) -> str:
        return f"SQLiteAccounts({str(self._file.path)!r})"

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        return self._whole(self._reserving(lease, holds, ttl))

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._whole(self._settling(lease, amounts))

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._whole(lambda tables: rules.renew(tables, lease, self._clock() + ttl))

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._file.run(lambda connection: rules.standing(_Tables(connection), holds, self._clock()))

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`."""
        return self._whole(self._reaping(limit))

    def close(self) -> None:
        """Let go of the file. It is opened again when it is used again."""
        self._file.close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        return await self._awhole(self._reserving(lease, holds, ttl))

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle` without blocking the event loop."""
        return await self._awhole(self._settling(lease, amounts))

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew` without blocking the event loop."""
        return await self._awhole(lambda tables: rules.renew(tables, lease, self._clock() + ttl))

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing`: readers wait for nobody."""
        return self.standing(holds)

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap` without blocking the event loop."""
        return await self._awhole(self._reaping(limit))

    async def aclose(self) -> None:
        """`close`."""
        self.close()

    def _reserving(self, lease: str, holds: Sequence[Hold], ttl: float) -> Callable[[_Tables], Grant]:
        def reserve(tables: _Tables) -> Grant:
            now = self._clock()
            self._tend(tables, now)
            return rules.reserve(tables, lease, holds, ttl, now)

        return reserve

    def _settling(self, lease: str, amounts: Sequence[int]) -> Callable[[_Tables], tuple[Standing, ...]]:
        return lambda tables: rules.settle(tables, lease, amounts, self._clock())

    def _reaping(self, limit: int) -> Callable[[_Tables], list[Orphan]]:
        def reap(tables: _Tables) -> list[Orphan]:
            now = self._clock()
            self._forgotten_to = tables.forget(self._forgotten_to, now)
            return rules.reap(tables, now, limit)

        return reap

    def _tend(self, tables: _Tables, now: float) -> None:
        """What a reservation does for others now and then."""
        self._reserved += 1
        if self._reserved % _TEND_EVERY == 0:
            self._forgotten_to = tables.forget(self._forgotten_to, now)
            self._file.checkpoint_soon(may_wait=True)
        if not 0 <= now - self._looked < _LOOK_DUE_S:
            self._looked = now
            rules.close_due(tables, now, rules.REAPED_ON_THE_WAY)

    def _whole(self, work: Callable[[_Tables], T], patience: int = _PATIENT) -> T:
        return self._file.transact(lambda connection: work(_Tables(connection)), patience=patience)

    async def _awhole(self, work: Callable[[_Tables], T]) -> T:
        try:
            return self._whole(work, _INLINE)
        except StoreUnavailable:
            return await asyncio.to_thread(self._whole, work)


def _lease(state: str, until: float, lines: str) -> Lease:
    read = [Line(Hold(*hold), number) for *hold, number in json.loads(lines)]
    return Lease("open" if state == "open" else "reaped", until, tuple(read))
