"""The table of entries in a SQLite file, and the marks left where some were forgotten: what is done on one connection.

Ids grow with every write, so the order of ids is the order of age, and no index is kept for age or expiry. A key is found
by a digest of 64 bits: the index is a fifth of one over the keys, and with it a put changes two pages. Two keys with one
digest would only displace each other, as the seal binds a value to its whole key. Measured at 1,000,000 entries: one
table in the order of digests reads 15 % faster, but takes twice as long to write and a tenth more space.

Marks are numbered by the microsecond in which they were left, later ones always higher, so that what was forgotten since
a moment is the end of the table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from thrift_plugins.stores.base import MARK_TTL

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS answers(
        id INTEGER PRIMARY KEY, digest INTEGER NOT NULL UNIQUE, expires REAL NOT NULL,
        tags BLOB NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS marks(id INTEGER PRIMARY KEY, name BLOB NOT NULL)",
)

# The casts: a damaged value of another type must come back as bytes that do not open, not as a decoding error.
_GET: Final = "SELECT CAST(value AS BLOB) FROM answers WHERE digest = ?"
_PUT: Final = "INSERT OR REPLACE INTO answers(digest, expires, tags, key, value) VALUES (?, ?, ?, ?, ?)"
_PUT_UNMARKED: Final = """INSERT OR REPLACE INTO answers(digest, expires, tags, key, value)
    SELECT ?, ?, ?, ?, ? WHERE coalesce((SELECT max(id) FROM marks), 0) < ?"""
_DELETE: Final = "DELETE FROM answers WHERE digest = ?"
_MARK: Final = "INSERT INTO marks(id, name) VALUES (max(coalesce((SELECT max(id) FROM marks), 0) + 1, ?), ?)"
_UNMARK: Final = "DELETE FROM marks WHERE id < ?"
_ENDS: Final = "SELECT (SELECT min(id) FROM answers), (SELECT max(id) FROM answers)"
_TAGGED: Final = "SELECT id FROM answers WHERE id BETWEEN ? AND ? AND instr(tags, ?) AND substr(key, 1, ?) = ?"
_UNDER: Final = "SELECT id FROM answers WHERE id BETWEEN ? AND ? AND substr(key, 1, ?) = ?"
_REMOVE: Final = "DELETE FROM answers WHERE id = ?"
_CLEAR: Final = "DELETE FROM answers WHERE id IN (SELECT id FROM answers ORDER BY id LIMIT 2000)"
_PAGE: Final = """SELECT id, CAST(key AS BLOB), CAST(value AS BLOB) FROM answers
    WHERE id > ? AND substr(key, 1, ?) = ? ORDER BY id LIMIT 500"""
_USED: Final = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_OLDEST: Final = "SELECT id, length(key) + length(value) FROM answers ORDER BY id LIMIT 512"
_NEXT: Final = "SELECT id, expires FROM answers WHERE id > ? ORDER BY id LIMIT ?"
_EXPIRE: Final = "DELETE FROM answers WHERE id BETWEEN ? AND ? AND expires <= ?"

STEP: Final = 5000
"""Ids that are looked through at once: a few milliseconds."""
_SWEEP: Final = 128


class Row(NamedTuple):
    """An entry as it is written.

    Attributes:
        tags: digests of its tags, one after the other.
    """

    digest: int
    expires: float
    tags: bytes
    key: str
    value: bytes


def get(connection: sqlite3.Connection, digest: int) -> object:
    """The sealed value, or None."""
    row = connection.execute(_GET, (digest,)).fetchone()
    return None if row is None else row[0]


def put(connection: sqlite3.Connection, row: Row) -> None:
    """Write an entry."""
    connection.execute(_PUT, row)


def put_unless_any_mark(connection: sqlite3.Connection, row: Row, asked: float) -> bool:
    """Write an entry if nothing at all was forgotten since it was asked for. Whether it was written."""
    return connection.execute(_PUT_UNMARKED, (*row, _micros(asked))).rowcount > 0


def put_unless_marked(connection: sqlite3.Connection, row: Row, asked: float, names: Collection[bytes]) -> bool:
    """Write an entry if none of these names was marked since it was asked for. Whether it was written."""
    connection.execute("BEGIN IMMEDIATE")
    lately = connection.execute("SELECT name FROM marks WHERE id >= ?", (_micros(asked),))
    marked = any(name in names for (name,) in lately)
    if not marked:
        connection.execute(_PUT, row)
    connection.execute("COMMIT")
    return not marked


def delete(connection: sqlite3.Connection, digest: int) -> None:
    """Remove an entry without a trace."""
    connection.execute(_DELETE, (digest,))


def forget(connection: sqlite3.Connection, digest: int, name: bytes, now: float) -> None:
    """Remove an entry and leave a mark, in one step."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_MARK, (_micros(now), name))
    connection.execute(_DELETE, (digest,))
    connection.execute("COMMIT")


def mark(connection: sqlite3.Connection, name: bytes, now: float) -> None:
    """Leave a mark."""
    connection.execute(_MARK, (_micros(now), name))


def clear_some(connection: sqlite3.Connection) -> bool:
    """Remove a bounded number of entries. Whether there were any."""
    return connection.execute(_CLEAR).rowcount > 0


def steps(connection: sqlite3.Connection) -> Iterator[int]:
    """The first ids of the steps in which all entries are looked through."""
    first, last = connection.execute(_ENDS).fetchone()
    return iter(() if first is None else range(first, last + 1, STEP))


def tagged(connection: sqlite3.Connection, start: int, tag: bytes, prefix: str) -> list[int]:
    """The ids within a step of the entries with a tag and whose key starts with a prefix.

    Digests are compared without regard to where one begins: one entry in 2^60 may be forgotten without need.
    """
    found = connection.execute(_TAGGED, (start, start + STEP - 1, tag, len(prefix), prefix))
    return [entry_id for (entry_id,) in found]


def under(connection: sqlite3.Connection, start: int, prefix: str) -> list[int]:
    """The ids within a step of the entries whose key starts with a prefix."""
    found = connection.execute(_UNDER, (start, start + STEP - 1, len(prefix), prefix))
    return [entry_id for (entry_id,) in found]


def remove(connection: sqlite3.Connection, ids: Sequence[int]) -> int:
    """Remove entries by id. How many were still there."""
    connection.execute("BEGIN IMMEDIATE")
    removed = connection.executemany(_REMOVE, ((entry_id,) for entry_id in ids)).rowcount
    connection.execute("COMMIT")
    return removed


def page(connection: sqlite3.Connection, after: int, prefix: str) -> list[tuple[int, bytes, bytes]]:
    """The next entries after an id whose key starts with a prefix: id, key, sealed value."""
    return connection.execute(_PAGE, (after, len(prefix), prefix)).fetchall()


def sweep(connection: sqlite3.Connection, after: int, now: float) -> int:
    """Remove the expired among the next few entries after an id. The id to go on from."""
    seen = connection.execute(_NEXT, (after, _SWEEP)).fetchall()
    # Looked at first: a delete that finds nothing would still wait for the one writer's place.
    if any(expires <= now for _, expires in seen):
        connection.execute(_EXPIRE, (seen[0][0], seen[-1][0], now))
    old_mark = _micros(now - MARK_TTL)
    if connection.execute("SELECT 1 FROM marks WHERE id < ?", (old_mark,)).fetchone():
        connection.execute(_UNMARK, (old_mark,))
    return seen[-1][0] if len(seen) == _SWEEP else 0


def evict(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Remove the oldest entries until the file's used pages fit, a bounded number at a time."""
    excess = connection.execute(_USED).fetchone()[0] - max_bytes
    if excess <= 0:
        return
    last = None
    for entry_id, size in connection.execute(_OLDEST).fetchall():
        last, excess = entry_id, excess - size
        if excess <= 0:
            break
    if last is not None:
        connection.execute("DELETE FROM answers WHERE id <= ?", (last,))


def _micros(seconds: float) -> int:
    return int(seconds * 1e6)
