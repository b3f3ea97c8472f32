"""What was asked, what was sent, and what came back: a SQLite file that survives the process.

Whatever may cost money is committed here before it is done, so that a process that starts again knows what it may have
bought. Each line is known by the hash of its content; its prompt is kept until it is answered, its answer for `retention`.
Prompts and answers are encrypted where a key is given. The file is its owner's alone.

A batch goes through these states, each committed:

    planned    lines are chosen; nothing is sent
    sending    the create is about to go out, or has: only the provider knows
    sent       the provider's id is known
    done       its results are read
    absent     it was not to be found within the grace; its lines are queued again, and a stray may still turn up
    refused    the provider made nothing
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.packs import Packs, in_packs
from thrift_plugins.batching.pending import Answer, Pending
from thrift_plugins.batching.records import (
    ANSWERED,
    ERRORED,
    NO_ANSWER,
    OPEN,
    PLACES,
    Records,
    Sending,
    spans_in,
    spans_of,
)
from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.locks import FileLocks
from thrift_plugins.types import NO_USAGE, Processing, Usage

_AT_ONCE = 500
_MARKS: Final = ", ".join("?" * _AT_ONCE)

_held: set[Path] = set()
"""Journals that this process works on: the kernel's locks tell processes apart, not the executors in one."""


class Line(NamedTuple):
    """A line as the journal has it."""

    key: bytes
    attempt: int
    body: bytes


class Queued(NamedTuple):
    """A line that is not answered, without its prompt.

    Attributes:
        size: bytes of its prompt.
        deadline: seconds since the epoch, None where it may wait.
    """

    key: bytes
    address: Address
    size: int
    deadline: float | None


class Journal(Records):
    """The journal of one account's batches, held by one process.

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
        self._packs = Packs(key)
        self._lock: FileLocks | None = None
        self._token: str | None = None
        self._hold()
        try:
            self._belong(account)
            self._retain(now - retention)
        except BaseException:
            self.close()
            raise

    def _hold(self) -> None:
        lock = FileLocks(self.path.with_name(f"{self.path.name}.lock"))
        token = None if self.path in _held else lock.take(0)
        if token is None:
            raise ConfigError(
                f"the journal {self.path} is in use by another process or executor; two would pay for the same lines twice: "
                "wait for it, or give this one a journal of its own"
            )
        self._lock, self._token = lock, token
        _held.add(self.path)

    def _belong(self, account: str) -> None:
        cipher = self._packs.cipher
        facts = {"account": account, "encrypted": "yes" if cipher else "no"}
        known = self.facts()
        if known.get("encrypted", facts["encrypted"]) != facts["encrypted"]:
            how = (
                "is encrypted, and needs its key"
                if known["encrypted"] == "yes"
                else "is not encrypted, and cannot become so"
            )
            raise ConfigError(f"the journal {self.path} {how}")
        if cipher and "check" in known and cipher.decrypt(bytes.fromhex(known["check"])) is None:
            raise ConfigError(f"the journal {self.path} is encrypted with another key")
        if cipher and "check" not in known:
            facts["check"] = cipher.encrypt(b"thrift").hex()
        self._file.transact(lambda c: c.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", list(facts.items())))

    def _retain(self, before: float) -> None:
        def work(c: sqlite3.Connection) -> None:
            old = "SELECT id FROM answers WHERE done_at < ?"
            c.execute(f"DELETE FROM lines WHERE state <> ? AND answer / {PLACES} IN ({old})", (OPEN, before))  # noqa: S608
            c.execute("DELETE FROM answers WHERE done_at < ?", (before,))

        self._file.transact(work)

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None and self._token is not None:
            _held.discard(self.path)
            self._lock.leave(self._token)
            self._token = None
        super().close()

    # Lines --------------------------------------------------------------------------------------------------------

    def admit(self, asked: Sequence[Pending]) -> tuple[list[tuple[Pending, Answer]], list[Pending]]:
        """Take requests in: those that are answered already, and those that are to be sent.

        The others are under way. One that ended in an error is asked anew.
        """

        def work(c: sqlite3.Connection) -> tuple[list[tuple[Pending, _Known]], list[Pending]]:
            known = _known(c, [one.key for one in asked])
            answered: list[tuple[Pending, _Known]] = []
            new: dict[bytes, Pending] = {}
            for one in asked:
                row = known.get(one.key)
                if row is None or row.state == ERRORED:
                    new.setdefault(one.key, one)
                elif row.state == ANSWERED:
                    answered.append((one, row))
            if new:
                c.executemany("DELETE FROM lines WHERE key = ?", [(key,) for key in new if key in known])
                self._insert(c, list(new.values()), {key: known[key].attempt + 1 for key in new if key in known})
            return answered, list(new.values())

        answered, new = self._file.transact(work)
        return self._with_answers(answered), new

    def _insert(self, c: sqlite3.Connection, new: Sequence[Pending], attempts: Mapping[bytes, int]) -> None:
        first = _next(c, len(new))
        c.executemany(
            "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 200, '', 'batch', ?)",
            [
                (
                    number, one.key, one.address.model, one.address.url, len(one.body), one.deadline, OPEN,
                    attempts.get(one.key, 0), NO_ANSWER,
                )
                for number, one in enumerate(new, first)
            ],
        )  # fmt: skip
        for bodies in in_packs((one.body, len(one.body)) for one in new):
            last = first + len(bodies) - 1
            c.execute("INSERT INTO prompts VALUES (?, ?, ?)", (first, last, self._packs.pack(bodies)))
            first = last + 1

    def _with_answers(self, answered: Sequence[tuple[Pending, _Known]]) -> list[tuple[Pending, Answer]]:
        told = []
        pack, texts = -1, list[bytes]()
        for one, row in sorted(answered, key=lambda each: each[1].answer):
            number, place = divmod(row.answer, PLACES)
            if number != pack:
                pack, texts = number, self._packs.unpack(self._value("SELECT texts FROM answers WHERE id = ?", number))
            told.append((one, Answer(row.status, texts[place], row.code, row.processing)))
        return told

    def _value(self, query: str, *given: int) -> Any:
        return self._file.run(lambda c: c.execute(query, given).fetchone())[0]

    def queued(self) -> list[Queued]:
        """Every line that waits to be sent."""

        def work(c: sqlite3.Connection) -> list[Queued]:
            members = c.execute(f"SELECT members FROM batches WHERE state IN {_UNFINISHED}").fetchall()  # noqa: S608
            taken = {number for (one,) in members for first, last in spans_in(one) for number in range(first, last + 1)}
            rows = c.execute(
                "SELECT id, key, model, url, size, deadline FROM lines WHERE state = ? ORDER BY id", (OPEN,)
            )
            return [
                Queued(key, Address(model, url), size, deadline)
                for number, key, model, url, size, deadline in rows
                if number not in taken
            ]

        return self._file.run(work)

    def members(self, batch: Sending) -> list[Queued]:
        """The lines of a batch that are not answered."""
        address = Address(batch.intent.model, batch.intent.url)
        return [Queued(key, address, size, deadline) for _, key, size, deadline, _ in self._open(batch)]

    def lines(self, batch: Sending) -> Iterator[Line]:
        """The same with their prompts."""
        pack, texts = range(0), list[bytes]()
        for number, key, _, _, attempt in self._open(batch):
            if number not in pack:
                pack, texts = self._prompts(number)
            yield Line(key, attempt, texts[number - pack.start])

    def line(self, key: bytes) -> Line | None:
        """A line that is not answered, with its prompt."""
        row = self._file.run(lambda c: _known(c, [key]).get(key))
        if row is None or row.state != OPEN:
            return None
        pack, texts = self._prompts(row.id)
        return Line(key, row.attempt, texts[row.id - pack.start])

    def waits(self, key: bytes) -> bool:
        """Whether a line is not answered."""
        row = self._file.run(lambda c: _known(c, [key]).get(key))
        return row is not None and row.state == OPEN

    def _open(self, batch: Sending) -> list[tuple[int, bytes, int, float | None, int]]:
        """As `_OPEN` has them."""

        def work(c: sqlite3.Connection) -> list[tuple[int, bytes, int, float | None, int]]:
            (members,) = c.execute("SELECT members FROM batches WHERE id = ?", (batch.row,)).fetchone()
            return [row for span in spans_in(members) for row in c.execute(_OPEN, span)]

        return self._file.run(work)

    def _prompts(self, number: int) -> tuple[range, list[bytes]]:
        """The pack that a line's prompt is in, and the numbers of its lines."""
        query = "SELECT first, last, texts FROM prompts WHERE first <= ? ORDER BY first DESC LIMIT 1"
        first, last, texts = self._file.run(lambda c: c.execute(query, (number,)).fetchone())
        return range(first, last + 1), self._packs.unpack(texts)

    # Batches ------------------------------------------------------------------------------------------------------

    def plan(self, intent: Intent, keys: Sequence[bytes], tokens: int, deadline: float | None) -> Sending:
        """Commit which lines are about to be sent."""

        def work(c: sqlite3.Connection) -> int:
            row = c.execute(
                "INSERT INTO batches (intent, digest, model, url, count, tokens, made_at, deadline, members, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned')",
                (
                    intent.id, intent.digest, intent.model, intent.url, intent.count, tokens, intent.made_at, deadline,
                    spans_of(_numbers(c, keys)),
                ),
            ).lastrowid  # fmt: skip
            return row or 0

        row = self._file.transact(work)
        return Sending(row, intent, tokens, deadline, "planned", "", "", None)

    def sending(self, batch: Sending, upload: str, at: float) -> Sending:
        """Commit that the create goes out now, to the disk itself: it must outlive a loss of power."""
        self._durably(
            lambda c: c.execute(
                "UPDATE batches SET state = 'sending', upload = ?, sent_at = ? WHERE id = ?", (upload, at, batch.row)
            )
        )
        return Sending(batch.row, batch.intent, batch.tokens, batch.deadline, "sending", upload, "", at)

    def sent(self, batch: Sending, remote: str) -> Sending:
        """Commit the provider's id."""
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

        self._file.run(flushed)

    def adopted(self, batch: Sending, remote: str, at: float) -> None:
        """A batch that was given up has turned up, and is read."""
        self._file.transact(
            lambda c: c.execute(
                "UPDATE batches SET state = 'done', remote = ?, ended = 'stray', done_at = ? WHERE id = ?",
                (remote, at, batch.row),
            )
        )

    def ours(self, remote: str) -> bool:
        """Whether a provider's batch is one that the journal knows by its id."""
        row = self._file.run(
            lambda c: c.execute("SELECT 1 FROM batches WHERE remote = ? AND state <> 'absent'", (remote,)).fetchone()
        )
        return row is not None

    def knows(self, key: bytes) -> bool:
        """Whether a line was ever asked here."""
        return self._file.run(lambda c: c.execute("SELECT 1 FROM lines WHERE key = ?", (key,)).fetchone()) is not None

    def forget(self, batch: Sending, state: str, at: float) -> list[bytes]:
        """Give a batch up as absent, refused or only planned, and queue its lines again; gives their keys."""
        return self._end(batch, state, "", at)

    def ended(self, batch: Sending, how: str, at: float) -> list[bytes]:
        """A batch's results are read. Gives the keys of those of its lines that have none, which are queued again."""
        return self._end(batch, "done", how, at)

    def _end(self, batch: Sending, state: str, how: str, at: float) -> list[bytes]:
        def work(c: sqlite3.Connection) -> list[bytes]:
            (members,) = c.execute("SELECT members FROM batches WHERE id = ?", (batch.row,)).fetchone()
            keys: list[bytes] = []
            for span in spans_in(members):
                left = c.execute("SELECT key FROM lines WHERE id BETWEEN ? AND ? AND state = ? ORDER BY id", (*span, OPEN))
                keys.extend(key for (key,) in left)
                c.execute(
                    "UPDATE lines SET attempt = attempt + 1 WHERE id BETWEEN ? AND ? AND state = ?", (*span, OPEN)
                )
                self._drop_prompts(c, *span, wholly=True)
            c.execute(
                "UPDATE batches SET state = ?, ended = ?, done_at = ?, members = x'' WHERE id = ?",
                (state, how, at, batch.row),
            )
            return keys

        return self._file.transact(work)

    def _drop_prompts(self, c: sqlite3.Connection, first: int, last: int, *, wholly: bool) -> None:
        """Drop the prompts of answered lines: packs in which all are, and `wholly` those in the others too."""
        found = c.execute(
            "SELECT first, last FROM prompts WHERE last >= ? AND first BETWEEN"
            " (SELECT coalesce(max(first), 0) FROM prompts WHERE first <= ?) AND ?",
            (first, first, last),
        ).fetchall()
        for pack in found:
            waiting = {number for number, *_ in c.execute(_OPEN, pack)}
            if not waiting:
                c.execute("DELETE FROM prompts WHERE first = ?", (pack[0],))
            elif wholly and len(waiting) <= pack[1] - pack[0]:
                (texts,) = c.execute("SELECT texts FROM prompts WHERE first = ?", (pack[0],)).fetchone()
                kept = [
                    text if number in waiting else b"" for number, text in enumerate(self._packs.unpack(texts), pack[0])
                ]
                c.execute("UPDATE prompts SET texts = ? WHERE first = ?", (self._packs.pack(kept), pack[0]))

    # Answers ------------------------------------------------------------------------------------------------------

    def take(
        self, batch: Sending | None, answers: Sequence[tuple[bytes, Answer]], at: float, usage: Usage = NO_USAGE
    ) -> set[bytes]:
        """Keep answers, one for a line. Gives the keys of those lines that had none yet.

        Args:
            usage: what the answers have used together.
        """

        def work(c: sqlite3.Connection) -> set[bytes]:
            texts = self._packs.pack([answer.body for _, answer in answers])
            pack = c.execute("INSERT INTO answers (done_at, texts) VALUES (?, ?)", (at, texts)).lastrowid or 0
            taken = c.executemany(
                "UPDATE lines SET state = ?, status = ?, code = ?, processing = ?, answer = ? WHERE key = ? AND state = ?",
                [
                    (ERRORED if code else ANSWERED, status, code, processing, pack * PLACES + place, key, OPEN)
                    for place, (key, (status, _, code, processing)) in enumerate(answers)
                ],
            ).rowcount
            keys = [key for key, _ in answers]
            first = set(keys) if taken == len(keys) else _answered_in(c, pack, keys)
            if not first:
                c.execute("DELETE FROM answers WHERE id = ?", (pack,))
            if batch is not None:
                c.execute(
                    "UPDATE batches SET answered = answered + ?, input_tokens = input_tokens + ?, cache_read = cache_read + ?,"
                    " output_tokens = output_tokens + ? WHERE id = ?",
                    (len(first), usage.input_tokens, usage.cache_read, usage.output_tokens, batch.row),
                )
            else:  # no end of a batch will drop them
                for number in _numbers(c, list(first)):
                    self._drop_prompts(c, number, number, wholly=False)
            return first

        return self._file.transact(work)

    def failures(self, keys: Iterable[bytes]) -> list[tuple[bytes, int]]:
        """Note that lines failed, and give how often each has by now."""

        def work(c: sqlite3.Connection) -> list[tuple[bytes, int]]:
            told = []
            for key in keys:
                row = c.execute(
                    "UPDATE lines SET failures = failures + 1 WHERE key = ? AND state = ? RETURNING failures", (key, OPEN)
                ).fetchone()
                if row:
                    told.append((key, row[0]))
            return told

        return self._file.transact(work)

    def attempts(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """How often each line was given to a batch before."""

        def work(c: sqlite3.Connection) -> dict[bytes, int]:
            rows = (c.execute("SELECT key, attempt FROM lines WHERE key = ?", (key,)).fetchone() for key in keys)
            return {row[0]: row[1] for row in rows if row}

        return self._file.run(work)


class _Known(NamedTuple):
    """A line's row, without what is its batch's."""

    id: int
    state: int
    attempt: int
    status: int
    code: str
    processing: Processing
    answer: int


_OPEN: Final = (
    f"SELECT id, key, size, deadline, attempt FROM lines WHERE id BETWEEN ? AND ? AND state = {OPEN} ORDER BY id"  # noqa: S608
)
_UNFINISHED: Final = "('planned', 'sending', 'sent')"


def _known(c: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, _Known]:
    """The rows of those keys that there are."""
    query = f"SELECT key, id, state, attempt, status, code, processing, answer FROM lines WHERE key IN ({_MARKS})"  # noqa: S608  marks alone
    return {row[0]: _Known(*row[1:]) for chunk in _chunks(keys) for row in c.execute(query, _padded(chunk))}


def _numbers(c: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[int]:
    """The ids of lines."""
    query = f"SELECT id FROM lines WHERE key IN ({_MARKS})"  # noqa: S608  marks alone
    return (number for chunk in _chunks(keys) for (number,) in c.execute(query, _padded(chunk)))


def _answered_in(c: sqlite3.Connection, pack: int, keys: Sequence[bytes]) -> set[bytes]:
    """Those of at most `_AT_ONCE` lines whose answer is in a pack."""
    within = pack * PLACES, (pack + 1) * PLACES - 1
    query = f"SELECT key FROM lines WHERE key IN ({_MARKS}) AND answer BETWEEN ? AND ?"  # noqa: S608  marks alone
    return {key for (key,) in c.execute(query, [*_padded(keys), *within])}


def _next(c: sqlite3.Connection, count: int) -> int:
    """The first of some numbers that no line has had: a batch or a pack may still know one by it."""
    query = "INSERT INTO facts VALUES ('lines', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value RETURNING value"
    return int(c.execute(query, (count,)).fetchone()[0]) - count + 1


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _padded(keys: Sequence[bytes]) -> list[bytes]:
    """As many keys as the statement has marks for, so that it is always the same one."""
    return [*keys, *[b""] * (_AT_ONCE - len(keys))]
