"""A journal in a SQLite file, for one process at a time. The file is its owner's alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.damage import Damaged, no_answer
from thrift_plugins.batching.journal import Line, Queued, belonging
from thrift_plugins.batching.journal_sql import (
    Known,
    OpenLine,
    add_columns,
    answered_in,
    answers_in,
    ask_again,
    drop_prompts,
    insert_lines,
    known_in,
    numbers_of,
    open_in,
    prompts_beside,
    queued_in,
    stopped_in,
)
from thrift_plugins.batching.packs import Packs
from thrift_plugins.batching.pending import Answer, Pending
from thrift_plugins.batching.records import Sending
from thrift_plugins.batching.records_sqlite import (
    ANSWERED,
    ERRORED,
    OPEN,
    PLACES,
    SQLiteRecords,
    spans_in,
    spans_of,
)
from thrift_plugins.batching.usage import usage_of
from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.locks import FileLocks

_held: set[Path] = set()
"""Journals that this process works on: the kernel's locks tell processes apart, not the executors in one."""
_FAILED: Final = (
    "UPDATE lines SET failures = failures + (failed_in <> attempt), failed_in = attempt WHERE key = ? AND state = ? RETURNING failures"
)
_SPOILT: Final = (
    "UPDATE lines SET spoilt = spoilt + (spoilt_in <> attempt), spoilt_in = attempt WHERE key = ? AND state = ? RETURNING spoilt"
)
_OLD: Final = "SELECT id FROM answers WHERE done_at < ?"


class SQLiteJournal(SQLiteRecords):
    """See `Journal`.

    Args:
        path: the file, made for its owner alone.
        account: whose; see `BatchClient.account`.
        key: encrypts prompts and answers (extra `encryption`).
        retention: seconds that answers are kept.
        now: seconds since the epoch.

    Raises:
        ConfigError: it is another account's, another process or executor works on it, or the key is not the right one.
        StoreCorrupt: the file is not ours, or damaged.
        StoreUnavailable: it cannot be made or opened.
    """

    shared = False

    def __init__(
        self,
        path: str | Path,
        account: str,
        *,
        key: str | bytes | None = None,
        retention: float,
        now: float,
    ) -> None:
        super().__init__(path, account)
        self._file.stays = True  # in a new one, all that was sent would be paid again
        self._packs = Packs(key)
        self._lock: FileLocks | None = None
        self._token: str | None = None
        self._fresh: list[Queued] | None = None
        self._moved: dict[bytes, float] = {}
        self._hold()
        try:
            self._belong(account)
            self._file.transact(add_columns)
            self._retain(now - retention)
        except BaseException:
            self.close()
            raise

    def _hold(self) -> None:
        own = self._own = self.path.resolve()  # one file, whatever links lead to it
        lock = FileLocks(own.with_name(f"{own.name}.lock"))
        token = None if own in _held else lock.take(0)
        if token is None:
            raise ConfigError(
                f"the journal {self.path} is in use by another process or executor; two would pay for the same lines twice: "
                "wait for it, or give this one a journal of its own"
            )
        self._lock, self._token = lock, token
        _held.add(own)

    def _belong(self, account: str) -> None:
        facts = belonging(str(self.path), self.facts(), account, self._packs)
        self._file.transact(lambda c: c.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", list(facts.items())))

    def _retain(self, before: float) -> None:
        def work(c: sqlite3.Connection) -> None:
            c.execute(f"DELETE FROM lines WHERE state <> ? AND answer / {PLACES} IN ({_OLD})", (OPEN, before))  # noqa: S608
            c.execute("DELETE FROM answers WHERE done_at < ?", (before,))
            for (first,) in c.execute("SELECT first FROM prompts").fetchall():  # what a kill has left
                drop_prompts(c, self._packs, first, first, wholly=False)

        self._file.transact(work)

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None and self._token is not None:
            _held.discard(self._own)
            self._lock.leave(self._token)
            self._token = None
        super().close()

    def lead(self) -> bool:
        """See `Journal`: nobody else has it."""
        return True

    def news(self, wanted: Container[bytes]) -> list[tuple[bytes, Answer]]:  # noqa: ARG002
        """See `Journal`: nobody else has it."""
        return []

    # Lines --------------------------------------------------------------------------------------------------------

    def admit(self, asked: Sequence[Pending], stops: int = 0) -> list[tuple[Pending, Answer]]:
        """See `Journal`."""

        def work(c: sqlite3.Connection) -> tuple[list[tuple[Pending, Known]], list[Pending], dict[bytes, float]]:
            known = known_in(c, [one.key for one in asked])
            answered: list[tuple[Pending, Known]] = []
            new: dict[bytes, Pending] = {}
            again: list[tuple[Known, Pending]] = []
            for one in asked:
                row = known.get(one.key)
                if row is None or row.state == ERRORED:
                    new.setdefault(one.key, one)
                elif row.state == ANSWERED:
                    answered.append((one, row))
                else:
                    again.append((row, one))
            if new:
                c.executemany("DELETE FROM lines WHERE key = ?", [(key,) for key in new if key in known])
                attempts = {key: known[key].attempt + 1 for key in new if key in known}
                insert_lines(c, self._packs, list(new.values()), attempts, stops)
            return answered, list(new.values()), ask_again(c, again, stops)

        answered, new, moved = self._file.transact(work)
        self._moved.update(moved)
        if self._fresh is not None:
            self._fresh.extend(Queued(one.key, one.address, len(one.body), one.deadline) for one in new)
        return self._with_answers(answered)

    def stopped(self, keys: Sequence[bytes]) -> set[bytes]:
        """See `Journal`."""
        return self._file.run(stopped_in, keys)

    def _with_answers(self, answered: Sequence[tuple[Pending, Known]]) -> list[tuple[Pending, Answer]]:
        told = []
        pack = -1
        texts: list[bytes] | None = None
        for one, row in sorted(answered, key=lambda each: each[1].answer):
            number, place = divmod(row.answer, PLACES)
            if number != pack:
                pack, texts = number, self._file.run(answers_in, self._packs, number)
            if texts is None:
                told.append((one, no_answer(self.path)))
            else:
                told.append((one, Answer(row.status, texts[place], row.code, row.processing, None if row.booked is None else "")))
        return told

    def fresh(self) -> list[Queued]:
        """See `Journal`."""
        fresh, self._fresh = self._fresh, []
        return fresh if fresh is not None else self._file.run(queued_in)

    def moved(self) -> dict[bytes, float]:
        """See `Journal`."""
        moved, self._moved = self._moved, {}
        return moved

    def members(self, batch: Sending) -> list[Queued]:
        """See `Journal`. They are asked for when a batch is taken over: whoever asked its lines is gone."""
        address = Address(batch.intent.model, batch.intent.url)
        return [Queued(key, address, size, deadline, wanted=False) for _, key, size, deadline, _ in self._open(batch)]

    def lines(self, batch: Sending) -> Iterator[Line]:
        """See `Journal`."""
        pack = range(0)
        texts: list[bytes] | None = None
        damaged: list[bytes] = []
        for number, key, _, _, attempt in self._open(batch):
            if number not in pack:
                pack, texts = self._file.run(prompts_beside, self._packs, number)
            if texts is None:
                damaged.append(key)
            else:
                yield Line(key, attempt, texts[number - pack.start])
        if damaged:
            raise Damaged(self.path, damaged)

    def line(self, key: bytes) -> Line | None:
        """See `Journal`."""
        row = self._file.run(lambda c: known_in(c, [key]).get(key))
        if row is None or row.state != OPEN:
            return None
        pack, texts = self._file.run(prompts_beside, self._packs, row.id)
        if texts is None:
            raise Damaged(self.path, [key])
        return Line(key, row.attempt, texts[row.id - pack.start])

    def waits(self, key: bytes) -> bool:
        """See `Journal`."""
        row = self._file.run(lambda c: known_in(c, [key]).get(key))
        return row is not None and row.state == OPEN

    def at_once(self, keys: Sequence[bytes]) -> set[bytes]:
        """See `Journal`."""
        rows = self._file.run(known_in, keys)
        return {key for key, row in rows.items() if row.state == ANSWERED and row.processing != "batch"}

    def _open(self, batch: Sending) -> list[OpenLine]:
        return self._file.run(lambda c: open_in(c, batch.row))

    # Batches ------------------------------------------------------------------------------------------------------

    def plan(self, intent: Intent, keys: Sequence[bytes], tokens: int, deadline: float | None) -> Sending:
        """See `Journal`."""

        def work(c: sqlite3.Connection) -> tuple[int, int]:
            numbers = list(numbers_of(c, keys, OPEN))
            row = c.execute(
                "INSERT INTO batches (intent, digest, model, url, count, tokens, made_at, deadline, members, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')",
                (
                    intent.id, intent.digest, intent.model, intent.url, len(numbers), tokens, intent.made_at, deadline,
                    spans_of(numbers),
                ),
            ).lastrowid  # fmt: skip
            return row or 0, len(numbers)

        row, count = self._file.transact(work)
        return Sending(row, replace(intent, count=count), tokens, deadline, "planned", "", "", None)

    def sending(self, batch: Sending, upload: str, at: float) -> Sending:
        """See `Journal`."""
        self._durably(
            lambda c: c.execute(
                "UPDATE batches SET state = 'sending', upload = ?, sent_at = ? WHERE id = ?", (upload, at, batch.row)
            )
        )
        return Sending(batch.row, batch.intent, batch.tokens, batch.deadline, "sending", upload, "", at)

    def sent(self, batch: Sending, remote: str) -> Sending:
        """See `Journal`."""
        self._file.transact(
            lambda c: c.execute("UPDATE batches SET state = 'sent', remote = ? WHERE id = ?", (remote, batch.row))
        )
        return Sending(
            batch.row, batch.intent, batch.tokens, batch.deadline, "sent", batch.upload, remote, batch.sent_at
        )

    def _durably(self, work: Any) -> None:
        def flushed(c: sqlite3.Connection) -> None:
            c.execute("PRAGMA synchronous=FULL")
            try:
                c.execute("BEGIN IMMEDIATE")
                work(c)
                c.execute("COMMIT")
            finally:
                if not c.in_transaction:
                    c.execute("PRAGMA synchronous=NORMAL")

        self._file.reopen_if_moved()
        self._file.run(flushed)

    def adopted(self, batch: Sending, remote: str, at: float) -> None:
        """See `Journal`."""
        self._file.transact(
            lambda c: c.execute(
                "UPDATE batches SET state = 'done', remote = ?, ended = 'stray', done_at = ? WHERE id = ?",
                (remote, at, batch.row),
            )
        )

    def ours(self, remote: str) -> bool:
        """See `Journal`."""
        row = self._file.run(
            lambda c: c.execute("SELECT 1 FROM batches WHERE remote = ? AND state <> 'absent'", (remote,)).fetchone()
        )
        return row is not None

    def knows(self, key: bytes) -> bool:
        """See `Journal`."""
        return self._file.run(lambda c: c.execute("SELECT 1 FROM lines WHERE key = ?", (key,)).fetchone()) is not None

    def forget(self, batch: Sending, state: str, at: float) -> list[bytes]:
        """See `Journal`."""
        return self._end(batch, state, "", at, begun=state != "refused")

    def ended(self, batch: Sending, how: str, at: float, *, begun: bool = True) -> list[bytes]:
        """See `Journal`."""
        return self._end(batch, "done", how, at, begun=begun)

    def _end(self, batch: Sending, state: str, how: str, at: float, *, begun: bool) -> list[bytes]:
        def work(c: sqlite3.Connection) -> list[bytes]:
            (members,) = c.execute("SELECT members FROM batches WHERE id = ?", (batch.row,)).fetchone()
            keys: list[bytes] = []
            for span in spans_in(members):
                left = c.execute("SELECT key FROM lines WHERE id BETWEEN ? AND ? AND state = ? ORDER BY id", (*span, OPEN))
                keys.extend(key for (key,) in left)
                if begun:
                    c.execute("UPDATE lines SET attempt = attempt + 1 WHERE id BETWEEN ? AND ? AND state = ?", (*span, OPEN))
                drop_prompts(c, self._packs, *span, wholly=True)
            c.execute(
                "UPDATE batches SET state = ?, ended = ?, done_at = ?, members = x'' WHERE id = ?",
                (state, how, at, batch.row),
            )
            return keys

        return self._file.transact(work)

    # Answers ------------------------------------------------------------------------------------------------------

    def take(
        self, batch: Sending | None, answers: Sequence[tuple[bytes, Answer]], at: float, *, stopped: bool = False
    ) -> set[bytes]:
        """See `Journal`."""

        def work(c: sqlite3.Connection) -> set[bytes]:
            nonlocal answers
            if stopped:
                gone = stopped_in(c, [key for key, _ in answers])
                answers = [told for told in answers if told[0] in gone]
            texts = self._packs.pack([answer.body for _, answer in answers])
            pack = c.execute("INSERT INTO answers (done_at, texts) VALUES (?, ?)", (at, texts)).lastrowid or 0
            taken = c.executemany(
                "UPDATE lines SET state = ?, status = ?, code = ?, processing = ?, answer = ? WHERE key = ? AND state = ?",
                [
                    (ERRORED if code else ANSWERED, status, code, processing, pack * PLACES + place, key, OPEN)
                    for place, (key, (status, _, code, processing, _)) in enumerate(answers)
                ],
            ).rowcount
            keys = [key for key, _ in answers]
            first = set(keys) if taken == len(keys) else answered_in(c, pack, keys)
            if not first:
                c.execute("DELETE FROM answers WHERE id = ?", (pack,))
            if batch is not None:
                usage = usage_of(answer.body for key, answer in answers if not answer.code and key in first)
                c.execute(
                    "UPDATE batches SET answered = answered + ?, input_tokens = input_tokens + ?, cache_read = cache_read + ?,"
                    " output_tokens = output_tokens + ? WHERE id = ?",
                    (len(first), usage.input_tokens, usage.cache_read, usage.output_tokens, batch.row),
                )
            else:  # no end of a batch will drop them
                for number in numbers_of(c, list(first), ANSWERED, ERRORED):
                    drop_prompts(c, self._packs, number, number, wholly=False)
            return first

        return self._file.transact(work)

    def book(self, calls: Mapping[bytes, str]) -> None:
        """See `Journal`."""
        rows = [(call, key) for key, call in calls.items()]
        if rows:
            self._file.transact(lambda c: c.executemany("UPDATE lines SET booked = ? WHERE key = ?", rows))

    def paid(self, call: str) -> bool:
        """See `Journal`."""
        query = "SELECT 1 FROM lines WHERE booked = ? AND booked > ''"
        return self._file.run(lambda c: c.execute(query, (call,)).fetchone()) is not None

    def failures(self, keys: Iterable[bytes], *, whole: bool = False) -> list[tuple[bytes, int]]:
        """See `Journal`."""
        query = _SPOILT if whole else _FAILED

        def work(c: sqlite3.Connection) -> list[tuple[bytes, int]]:
            told = []
            for key in keys:
                row = c.execute(query, (key, OPEN)).fetchone()
                if row:
                    told.append((key, row[0]))
            return told

        return self._file.transact(work)

    def attempts(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """See `Journal`."""

        def work(c: sqlite3.Connection) -> dict[bytes, int]:
            rows = (c.execute("SELECT key, attempt FROM lines WHERE key = ?", (key,)).fetchone() for key in keys)
            return {row[0]: row[1] for row in rows if row}

        return self._file.run(work)
