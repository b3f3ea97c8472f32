"""The feed of records in a SQLite file, for every process to follow: what is done on one connection.

Records are numbered by the microsecond in which they were added, later ones always higher: a file that was deleted and
made anew goes on where a reader left off. SQLite has one writer at a time, so numbers appear in their order.
"""

from __future__ import annotations

import sqlite3
from typing import Final

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS feed(
        id INTEGER PRIMARY KEY, channel BLOB NOT NULL, expires REAL NOT NULL, value BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS feed_by_channel ON feed(channel)",
)
_ADD: Final = """INSERT INTO feed(id, channel, expires, value)
    VALUES (max(coalesce((SELECT max(id) FROM feed), 0) + 1, ?), ?, ?, ?)"""
_AFTER: Final = "SELECT id, CAST(value AS BLOB) FROM feed WHERE channel = ? AND id > ? ORDER BY id LIMIT ?"
_COUNT: Final = "SELECT count(*) FROM feed"
_TRIM: Final = "DELETE FROM feed WHERE id IN (SELECT id FROM feed ORDER BY id LIMIT ?)"
_NEXT: Final = "SELECT id, expires FROM feed ORDER BY id LIMIT 512"
_EXPIRE: Final = "DELETE FROM feed WHERE id <= ? AND expires <= ?"


def publish(connection: sqlite3.Connection, channel: bytes, sealed: bytes, now: float, expires: float) -> None:
    """Add a record."""
    connection.execute(_ADD, (int(now * 1e6), channel, expires, sealed))


def after(connection: sqlite3.Connection, channel: bytes, cursor: int, limit: int) -> list[tuple[int, bytes]]:
    """The next records of a channel: number, sealed data."""
    return connection.execute(_AFTER, (channel, cursor, limit)).fetchall()


def trim(connection: sqlite3.Connection, max_rows: int, now: float) -> None:
    """Remove the oldest records, those that have expired and those above the bound."""
    oldest = connection.execute(_NEXT).fetchall()
    if any(expires <= now for _, expires in oldest):
        connection.execute(_EXPIRE, (oldest[-1][0], now))
    excess = connection.execute(_COUNT).fetchone()[0] - max_rows
    if excess > 0:
        connection.execute(_TRIM, (excess,))
