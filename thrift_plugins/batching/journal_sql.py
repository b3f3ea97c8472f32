"""What the SQLite journal asks its tables, many keys at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from thrift_plugins.batching.client import Address
from thrift_plugins.batching.journal import Queued
from thrift_plugins.batching.packs import Packs, in_packs
from thrift_plugins.batching.pending import Pending
from thrift_plugins.batching.records import UNFINISHED
from thrift_plugins.batching.records_sqlite import LATER_COLUMNS, NO_ANSWER, OPEN, PLACES, spans_in
from thrift_plugins.errors import StoreCorrupt
from thrift_plugins.types import Processing

_AT_ONCE: Final = 500
_MARKS: Final = ", ".join("?" * _AT_ONCE)


class Known(NamedTuple):
    """A line's row, without what is its batch's."""

    id: int
    state: int
    attempt: int
    status: int
    code: str
    processing: Processing
    answer: int
    stops: int
    deadline: float | None
    booked: str | None


OpenLine: TypeAlias = tuple[int, bytes, int, float | None, int]
"""Number, key, bytes of the prompt, deadline and attempt of a line that is not answered."""

OPEN_LINES: Final = (
    f"SELECT id, key, size, deadline, attempt FROM lines WHERE id BETWEEN ? AND ? AND state = {OPEN} ORDER BY id"  # noqa: S608
)


def add_columns(c: sqlite3.Connection) -> None:
    """Make the lines of a journal of an earlier version like those of this one."""
    known = {name for _, name, *_ in c.execute("PRAGMA table_info(lines)")}
    for column, added in LATER_COLUMNS.items():
        if column not in known:
            c.execute(added)
    c.execute("CREATE INDEX IF NOT EXISTS lines_booked ON lines (booked) WHERE booked > ''")


def known_in(c: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Known]:
    """The rows of those keys that there are."""
    query = f"SELECT key, {', '.join(Known._fields)} FROM lines WHERE key IN ({_MARKS})"  # noqa: S608  marks and names alone
    return {row[0]: Known(*row[1:]) for chunk in _chunks(keys) for row in c.execute(query, _padded(chunk))}


def numbers_of(c: sqlite3.Connection, keys: Sequence[bytes], *states: int) -> Iterator[int]:
    """The ids of lines that are in one of some states."""
    query = f"SELECT id, state FROM lines WHERE key IN ({_MARKS})"  # noqa: S608  marks alone
    rows = (row for chunk in _chunks(keys) for row in c.execute(query, _padded(chunk)))
    return (number for number, state in rows if state in states)


def stopped_in(c: sqlite3.Connection, keys: Sequence[bytes]) -> set[bytes]:
    """Those that nobody has asked since the journal was stopped last."""
    stops = "(SELECT CAST(value AS INTEGER) FROM facts WHERE name = 'stops')"
    query = f"SELECT key FROM lines WHERE key IN ({_MARKS}) AND stops < {stops}"  # noqa: S608  marks alone
    return {key for chunk in _chunks(keys) for (key,) in c.execute(query, _padded(chunk))}


def answered_in(c: sqlite3.Connection, pack: int, keys: Sequence[bytes]) -> set[bytes]:
    """Those of at most `_AT_ONCE` lines whose answer is in a pack."""
    within = pack * PLACES, (pack + 1) * PLACES - 1
    query = f"SELECT key FROM lines WHERE key IN ({_MARKS}) AND answer BETWEEN ? AND ?"  # noqa: S608  marks alone
    return {key for (key,) in c.execute(query, [*_padded(keys), *within])}


def _next_numbers(c: sqlite3.Connection, count: int) -> int:
    """The first of some numbers that no line has had: a batch or a pack may still know one by it."""
    query = (
        "INSERT INTO facts VALUES ('lines', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value RETURNING value"
    )
    return int(c.execute(query, (count,)).fetchone()[0]) - count + 1


def insert_lines(
    c: sqlite3.Connection, packs: Packs, new: Sequence[Pending], attempts: Mapping[bytes, int], stops: int
) -> None:
    """Lines that are to be sent, with how often each was given to a batch before."""
    first = _next_numbers(c, len(new))
    c.executemany(
        "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 200, '', 'batch', ?, -1, -1, ?, NULL)",
        [
            (
                number, one.key, one.address.model, one.address.url, len(one.body), one.deadline, OPEN,
                attempts.get(one.key, 0), NO_ANSWER, stops,
            )
            for number, one in enumerate(new, first)
        ],
    )  # fmt: skip
    for bodies in in_packs((one.body, len(one.body)) for one in new):
        last = first + len(bodies) - 1
        c.execute("INSERT INTO prompts VALUES (?, ?, ?)", (first, last, packs.pack(bodies)))
        first = last + 1


def ask_again(c: sqlite3.Connection, asked: Sequence[tuple[Known, Pending]], stops: int) -> dict[bytes, float]:
    """Note that lines that are under way were asked again. Gives by when they are wanted, where they have a deadline."""
    changed = [
        (max(row.stops, stops), row.deadline if one.deadline is None else one.deadline, row.id)
        for row, one in asked
        if row.stops < stops or one.deadline not in (None, row.deadline)
    ]
    c.executemany("UPDATE lines SET stops = ?, deadline = ? WHERE id = ?", changed)
    wanted = ((one.key, row.deadline if one.deadline is None else one.deadline) for row, one in asked)
    return {key: deadline for key, deadline in wanted if deadline is not None}


def prompts_beside(c: sqlite3.Connection, packs: Packs, number: int) -> tuple[range, list[bytes] | None]:
    """The numbers of the lines that a line's prompt is packed with, and their prompts, None where these cannot be read."""
    query = "SELECT first, last, texts FROM prompts WHERE first <= ? ORDER BY first DESC LIMIT 1"
    first, last, texts = c.execute(query, (number,)).fetchone() or (number, number, b"")
    beside = range(first, last + 1)
    return (beside, unpacked(packs, texts)) if number in beside else (range(number, number + 1), None)


def answers_in(c: sqlite3.Connection, packs: Packs, pack: int) -> list[bytes] | None:
    """The answers of a pack, None where they cannot be read."""
    row = c.execute("SELECT texts FROM answers WHERE id = ?", (pack,)).fetchone()
    return unpacked(packs, row[0]) if row else None


def unpacked(packs: Packs, texts: bytes) -> list[bytes] | None:
    """What was packed, None where it cannot be read."""
    try:
        return packs.unpack(texts)
    except StoreCorrupt:
        return None


def queued_in(c: sqlite3.Connection) -> list[Queued]:
    """Every line that waits to be sent. Whoever asked them is gone."""
    members = c.execute(f"SELECT members FROM batches WHERE state IN {UNFINISHED}").fetchall()  # noqa: S608  words of ours
    taken = {number for (one,) in members for first, last in spans_in(one) for number in range(first, last + 1)}
    rows = c.execute("SELECT id, key, model, url, size, deadline FROM lines WHERE state = ? ORDER BY id", (OPEN,))
    return [
        Queued(key, Address(model, url), size, deadline, wanted=False)
        for number, key, model, url, size, deadline in rows
        if number not in taken
    ]


def open_in(c: sqlite3.Connection, batch: int) -> list[OpenLine]:
    """The lines of a batch that are not answered."""
    (members,) = c.execute("SELECT members FROM batches WHERE id = ?", (batch,)).fetchone()
    return [row for span in spans_in(members) for row in c.execute(OPEN_LINES, span)]


def drop_prompts(c: sqlite3.Connection, packs: Packs, first: int, last: int, *, wholly: bool) -> None:
    """Drop the prompts of answered lines: packs in which all are, and `wholly` those in the others too."""
    found = c.execute(
        "SELECT first, last FROM prompts WHERE last >= ? AND first BETWEEN"
        " (SELECT coalesce(max(first), 0) FROM prompts WHERE first <= ?) AND ?",
        (first, first, last),
    ).fetchall()
    for pack in found:
        waiting = {number for number, *_ in c.execute(OPEN_LINES, pack)}
        if not waiting:
            c.execute("DELETE FROM prompts WHERE first = ?", (pack[0],))
        elif wholly and len(waiting) <= pack[1] - pack[0]:
            (texts,) = c.execute("SELECT texts FROM prompts WHERE first = ?", (pack[0],)).fetchone()
            prompts = unpacked(packs, texts)
            if prompts is not None:
                kept = [text if number in waiting else b"" for number, text in enumerate(prompts, pack[0])]
                c.execute("UPDATE prompts SET texts = ? WHERE first = ?", (packs.pack(kept), pack[0]))


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _padded(keys: Sequence[bytes]) -> list[bytes]:
    """As many keys as the statement has marks for, so that it is always the same one."""
    return [*keys, *[b""] * (_AT_ONCE - len(keys))]
