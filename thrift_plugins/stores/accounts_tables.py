"""The tables of accounts in a SQLite file, and what is done to them in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from thrift_plugins.stores.accounts import AGAIN, Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_lines import lines_text, read_lines
from thrift_plugins.stores.accounts_rules import TELL, Lease
from thrift_plugins.stores.accounts_sheet import Sheet, moment

_Windows: TypeAlias = dict[int, tuple[int, int]]

SCHEMA: Final = (
    # A row for each window of an account; what concerns the whole account, its floor and keep, is the most of its rows.
    "CREATE TABLE IF NOT EXISTS accounts(account TEXT, number INTEGER, used INTEGER NOT NULL, held INTEGER NOT NULL, floor INTEGER NOT NULL, keep REAL NOT NULL, PRIMARY KEY(account, number)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS leases(lease TEXT PRIMARY KEY, until REAL NOT NULL, state TEXT NOT NULL, lines TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS paid(lease TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS paid_until ON paid(until)",
    "CREATE TABLE IF NOT EXISTS orphans(number INTEGER PRIMARY KEY AUTOINCREMENT, lease TEXT NOT NULL, account TEXT NOT NULL, charged INTEGER NOT NULL, at REAL NOT NULL)",
)
_FORGOTTEN_AT_ONCE: Final = 512
_MOST_AT_ONCE: Final = 16
"""Holds that one statement reads; more are for the rules, like everything that is not usual."""

_LEASE: Final = "SELECT state, until, lines FROM leases WHERE lease = ?"
_OPEN_LEASE: Final = "INSERT OR IGNORE INTO leases(lease, until, state, lines) VALUES (?, ?, 'open', ?)"
_KEEP_LEASE: Final = "INSERT OR REPLACE INTO leases(lease, until, state, lines) VALUES (?, ?, ?, ?)"
_DROP_LEASE: Final = "DELETE FROM leases WHERE lease = ?"
# No index on `until`: it would cost every reservation two pages, and the look every second reads few open leases.
_DUE: Final = "SELECT lease, state, until, lines FROM leases WHERE until <= ? ORDER BY until LIMIT ?"
_PAID: Final = "SELECT 1 FROM paid WHERE lease = ? AND until > ?"
_KEEP_PAID: Final = "INSERT OR REPLACE INTO paid(lease, until) VALUES (?, ?)"
_FORGET_PAID: Final = "DELETE FROM paid WHERE lease IN (SELECT lease FROM paid WHERE until <= ? LIMIT ?)"
_SHEET: Final = "SELECT number, used, held, floor, keep FROM accounts WHERE account = ?"
_KEEP: Final = "INSERT OR REPLACE INTO accounts(account, number, used, held, floor, keep) VALUES (?, ?, ?, ?, ?, ?)"
_DROP: Final = "DELETE FROM accounts WHERE account = ? AND number = ?"
_WINDOW: Final = "SELECT used, held FROM accounts WHERE account = ? AND number = ?"
_HOLD: Final = "UPDATE accounts SET held = ?, keep = ? WHERE account = ? AND number = ?"
_SETTLE: Final = "UPDATE accounts SET used = ?, held = ? WHERE account = ? AND number = ?"
_TELL: Final = "INSERT INTO orphans(lease, account, charged, at) VALUES (?, ?, ?, ?)"
_TELL_LAST: Final = "DELETE FROM orphans WHERE number <= (SELECT max(number) FROM orphans) - ?"
_TOLD: Final = "SELECT number, lease, account, charged, at FROM orphans ORDER BY number LIMIT ?"
_STALE: Final = (
    "SELECT account, max(keep) <= ? AND NOT max(held <> 0) FROM accounts WHERE account > ? GROUP BY account LIMIT ?"
)


class Tables:
    """`Pages` in a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._many = connection.executemany
        self._read: dict[str, tuple[int, float, _Windows]] = {}

    def sheets(self, accounts: Iterable[str]) -> dict[str, Sheet]:
        found: dict[str, Sheet] = {}
        for account in accounts:
            rows = self._do(_SHEET, (account,)).fetchall()
            floor = max((row[3] for row in rows), default=-1)
            keep = max((row[4] for row in rows), default=0.0)
            windows = {row[0]: (row[1], row[2]) for row in rows}
            self._read[account] = floor, keep, windows
            found[account] = Sheet(floor, keep, dict(windows))
        return found

    def keep(self, sheets: Mapping[str, Sheet]) -> None:
        for account, sheet in sheets.items():
            floor, keep, before = self._read[account]
            changed = {number for number, line in sheet.lines.items() if before.get(number) != line}
            if (floor, keep) != (sheet.floor, sheet.keep):
                changed.add(max(sheet.lines))
            self._many(_DROP, [(account, number) for number in before.keys() - sheet.lines.keys()])
            self._many(_KEEP, [(account, each, *sheet.lines[each], sheet.floor, sheet.keep) for each in changed])

    def lease(self, name: str) -> Lease | None:
        row = self._do(_LEASE, (name,)).fetchone()
        return _lease(*row) if row else None

    def keep_lease(self, name: str, lease: Lease) -> None:
        lines = lines_text([line.hold for line in lease.lines], [line.number for line in lease.lines])
        self._do(_KEEP_LEASE, (name, lease.until, lease.state, lines))

    def drop_lease(self, name: str) -> None:
        self._do(_DROP_LEASE, (name,))

    def paid(self, name: str, now: float) -> bool:
        return self._do(_PAID, (name, now)).fetchone() is not None

    def keep_paid(self, name: str, until: float) -> None:
        self._do(_KEEP_PAID, (name, until))

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
        """Drop some accounts that nobody will ask for again, and paid leases that nobody has. Where to go on."""
        self._do(_FORGET_PAID, (now, 2 * _FORGOTTEN_AT_ONCE))
        rows = self._do(_STALE, (now, after, _FORGOTTEN_AT_ONCE)).fetchall()
        self._many("DELETE FROM accounts WHERE account = ?", [(account,) for account, stale in rows if stale])
        return rows[-1][0] if len(rows) == _FORGOTTEN_AT_ONCE else ""

    def quick_reserve(self, name: str, holds: Sequence[Hold], ttl: float, now: float) -> Grant | None:
        """`rules.reserve` for a new lease that fits, in windows that are in use. None for any other: nothing is done."""
        if name.startswith(AGAIN):
            return None
        moments = [moment(hold.window, hold.rolling, now) for hold in holds]
        rows = self._windows([(hold.account, at.number, hold.rolling) for hold, at in zip(holds, moments, strict=True)])
        if rows is None:
            return None
        standings: list[Standing] = []
        changes: list[tuple[int, float, str, int]] = []
        for hold, at, (used, held) in zip(holds, moments, rows, strict=True):
            account, limit, _, _, amount, hard, _, _ = hold
            if hard and amount > limit - used - held:
                return None
            standings.append(Standing(account, limit, used, held + amount, at.ends))
            changes.append((held + amount, at.keep, account, at.number))
        lines = lines_text(holds, [at.number for at in moments])
        if self._do(_OPEN_LEASE, (name, now + ttl, lines)).rowcount == 0:
            return None
        self._many(_HOLD, changes)
        return Grant(name, True, tuple(standings), -1)

    def quick_settle(self, name: str, amounts: Sequence[int], now: float) -> tuple[Standing, ...] | None:
        """`rules.settle` in the window of this moment. None for any other: nothing is done."""
        if name.startswith(AGAIN):
            return None
        row = self._do(_LEASE, (name,)).fetchone()
        if row is None or row[0] != "open":
            return None if row else ()
        lines = read_lines(row[2])
        rows = self._windows([(hold.account, number, hold.rolling) for hold, number in lines])
        if rows is None or len(amounts) != len(lines):
            return None
        standings: list[Standing] = []
        changes: list[tuple[int, int, str, int]] = []
        for (hold, number), amount, (used, held) in zip(lines, amounts, rows, strict=True):
            at = moment(hold.window, hold.rolling, now)
            if at.number != number:
                return None
            standings.append(Standing(hold.account, hold.limit, used + amount, held - hold.amount, at.ends))
            changes.append((used + amount, held - hold.amount, hold.account, number))
        self._do(_DROP_LEASE, (name,))
        self._many(_SETTLE, changes)
        return tuple(standings)

    def _windows(self, places: Sequence[tuple[str, int, float]]) -> list[tuple[int, int]] | None:
        """Used and held in each place; None if one is not there, is asked for twice, or is a part of a rolling window."""
        count = len(places)
        words: list[str | int] = []
        for account, number, rolling in places:
            if rolling:
                return None
            words += (account, number)
        if not 0 < count <= _MOST_AT_ONCE or len(set(places)) < count:
            return None
        rows = self._do(_reading(count), words).fetchall()
        return rows if len(rows) == count else None


@lru_cache(maxsize=_MOST_AT_ONCE)
def _reading(count: int) -> str:
    return " UNION ALL ".join([_WINDOW] * count)


def _lease(state: str, until: float, lines: str) -> Lease:
    return Lease("open" if state == "open" else "reaped", until, read_lines(lines))
