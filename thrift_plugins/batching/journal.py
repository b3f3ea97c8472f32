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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import zstandard

from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.pending import Answer, Pending
from thrift_plugins.batching.records import ANSWERED, ERRORED, QUEUED, SENT, Records, Sending
from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.encrypt import Cipher
from thrift_plugins.stores.locks import FileLocks
from thrift_plugins.types import NO_USAGE, Processing, Usage

_PACKED, _PLAIN = b"\x01", b"\x00"
_WORTH_PACKING = 1024
_AT_ONCE = 500
_MARKS: Final = ", ".join("?" * _AT_ONCE)

_held: set[Path] = set()
"""Journals that this process works on: the kernel's locks tell processes apart, not the executors in one."""


class Line(NamedTuple):
    """A line as the journal has it."""

    key: bytes
    attempt: int
    body: bytes


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
        self._cipher = Cipher(key) if key is not None else None
        self._zip, self._unzip = zstandard.ZstdCompressor(level=1), zstandard.ZstdDecompressor()
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
        facts = {"account": account, "encrypted": "yes" if self._cipher else "no"}
        known = self.facts()
        if known.get("encrypted", facts["encrypted"]) != facts["encrypted"]:
            how = (
                "is encrypted, and needs its key"
                if known["encrypted"] == "yes"
                else "is not encrypted, and cannot become so"
            )
            raise ConfigError(f"the journal {self.path} {how}")
        if self._cipher and "check" in known and self._cipher.decrypt(bytes.fromhex(known["check"])) is None:
            raise ConfigError(f"the journal {self.path} is encrypted with another key")
        if self._cipher and "check" not in known:
            facts["check"] = self._cipher.encrypt(b"thrift").hex()
        self._file.transact(lambda c: c.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", list(facts.items())))

    def _retain(self, before: float) -> None:
        self._file.transact(
            lambda c: c.execute("DELETE FROM lines WHERE state >= ? AND done_at < ?", (ANSWERED, before))
        )

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

        def work(c: sqlite3.Connection) -> tuple[list[tuple[Pending, Answer]], list[Pending]]:
            known: dict[bytes, tuple[Any, ...]] = {}
            for keys in _chunks([one.key for one in asked]):
                rows = c.execute(
                    f"SELECT key, state, status, answer, code, processing FROM lines WHERE key IN ({_MARKS})",  # noqa: S608  marks alone
                    _padded(keys),
                )
                known.update((row[0], row[1:]) for row in rows)
            answered: list[tuple[Pending, Answer]] = []
            new: dict[bytes, Pending] = {}
            again: dict[bytes, Pending] = {}
            for one in asked:
                row = known.get(one.key)
                if row is None:
                    new.setdefault(one.key, one)
                elif row[0] == ANSWERED:
                    answered.append((one, self._answer(row[1:])))
                elif row[0] == ERRORED:
                    again.setdefault(one.key, one)
            c.executemany(
                "INSERT INTO lines (key, model, url, state, deadline, body) VALUES (?, ?, ?, 0, ?, ?)",
                [
                    (one.key, one.address.model, one.address.url, one.deadline, self._pack(one.body))
                    for one in new.values()
                ],
            )
            c.executemany(
                "UPDATE lines SET state = 0, batch = 0, failures = 0, deadline = ?, body = ? WHERE key = ?",
                [(one.deadline, self._pack(one.body), one.key) for one in again.values()],
            )
            return answered, [*new.values(), *again.values()]

        return self._file.transact(work)

    def queued(self) -> list[tuple[bytes, Address, int, float | None]]:
        """Key, address, bytes and deadline of every line that waits to be sent."""
        rows = self._file.run(
            lambda c: c.execute(
                "SELECT key, model, url, length(body), deadline FROM lines WHERE state = ? AND batch = 0 ORDER BY id",
                (QUEUED,),
            ).fetchall()
        )
        return [(key, Address(model, url), size, deadline) for key, model, url, size, deadline in rows]

    def lines(self, sending: Sending) -> Iterator[Line]:
        """The lines of a batch that are not answered, with their prompts."""
        rows = self._file.run(
            lambda c: c.execute(
                "SELECT key, attempt, body FROM lines WHERE batch = ? AND state < 2 ORDER BY id", (sending.row,)
            ).fetchall()
        )
        return (Line(key, attempt, self._unpack(body)) for key, attempt, body in rows)

    def line(self, key: bytes) -> Line | None:
        """A line that is not answered."""
        row = self._file.run(
            lambda c: c.execute("SELECT key, attempt, body FROM lines WHERE key = ? AND state < 2", (key,)).fetchone()
        )
        return Line(row[0], row[1], self._unpack(row[2])) if row else None

    # Batches ------------------------------------------------------------------------------------------------------

    def plan(self, intent: Intent, keys: Sequence[bytes], tokens: int, deadline: float | None) -> Sending:
        """Commit what is about to be sent, to the disk itself: it must outlive a loss of power."""

        def work(c: sqlite3.Connection) -> int:
            row = c.execute(
                "INSERT INTO batches (intent, digest, model, url, count, tokens, made_at, deadline, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'planned')",
                (intent.id, intent.digest, intent.model, intent.url, intent.count, tokens, intent.made_at, deadline),
            ).lastrowid
            c.executemany("UPDATE lines SET batch = ? WHERE key = ?", [(row, key) for key in keys])
            return row or 0

        row = self._file.transact(work)
        return Sending(row, intent, tokens, deadline, "planned", "", "", None)

    def sending(self, batch: Sending, upload: str, at: float) -> Sending:
        """Commit that the create goes out now."""

        def work(c: sqlite3.Connection) -> None:
            c.execute(
                "UPDATE batches SET state = 'sending', upload = ?, sent_at = ? WHERE id = ?", (upload, at, batch.row)
            )
            c.execute("UPDATE lines SET state = ? WHERE batch = ? AND state = ?", (SENT, batch.row, QUEUED))

        self._durably(work)
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
            keys = [
                key
                for (key,) in c.execute("SELECT key FROM lines WHERE batch = ? AND state < 2 ORDER BY id", (batch.row,))
            ]
            c.execute(
                "UPDATE lines SET state = ?, batch = 0, attempt = attempt + 1 WHERE batch = ? AND state < 2",
                (QUEUED, batch.row),
            )
            c.execute("UPDATE batches SET state = ?, ended = ?, done_at = ? WHERE id = ?", (state, how, at, batch.row))
            return keys

        return self._file.transact(work)

    # Answers ------------------------------------------------------------------------------------------------------

    def take(
        self, batch: Sending | None, answers: Sequence[tuple[bytes, Answer]], at: float, usage: Usage = NO_USAGE
    ) -> set[bytes]:
        """Keep answers, one for a line. Gives the keys of those lines that had none yet.

        Args:
            usage: what the answers have used together.
        """

        def work(c: sqlite3.Connection) -> set[bytes]:
            keys = [key for key, _ in answers]
            rows = c.execute(f"SELECT key FROM lines WHERE key IN ({_MARKS}) AND state < 2", _padded(keys))  # noqa: S608  marks alone
            first = {key for (key,) in rows}
            c.executemany(
                "UPDATE lines SET state = ?, status = ?, answer = ?, code = ?, processing = ?, done_at = ?, body = NULL"
                " WHERE key = ?",
                [
                    (
                        ERRORED if answer.code else ANSWERED, answer.status, self._pack(answer.body), answer.code,
                        answer.processing, at, key,
                    )
                    for key, answer in answers
                    if key in first
                ],
            )  # fmt: skip
            if batch is not None:
                c.execute(
                    "UPDATE batches SET answered = answered + ?, input_tokens = input_tokens + ?, cache_read = cache_read + ?,"
                    " output_tokens = output_tokens + ? WHERE id = ?",
                    (len(first), usage.input_tokens, usage.cache_read, usage.output_tokens, batch.row),
                )
            return first

        return self._file.transact(work)

    def failures(self, keys: Iterable[bytes]) -> list[tuple[bytes, int]]:
        """Note that lines failed, and give how often each has by now."""

        def work(c: sqlite3.Connection) -> list[tuple[bytes, int]]:
            told = []
            for key in keys:
                row = c.execute(
                    "UPDATE lines SET failures = failures + 1 WHERE key = ? AND state < 2 RETURNING failures", (key,)
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

    # Bytes ----------------------------------------------------------------------------------------------------------

    def _pack(self, data: bytes) -> bytes:
        packed = _PACKED + self._zip.compress(data) if len(data) >= _WORTH_PACKING else _PLAIN + data
        return self._cipher.encrypt(packed) if self._cipher else packed

    def _unpack(self, data: bytes | None) -> bytes:
        if data is None:
            return b""
        if self._cipher:
            data = self._cipher.decrypt(data) or _PLAIN
        return self._unzip.decompress(data[1:]) if data[:1] == _PACKED else data[1:]

    def _answer(self, row: tuple[int, bytes, str, Processing]) -> Answer:
        status, answer, code, processing = row
        return Answer(status, self._unpack(answer), code, processing)


def _chunks(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _padded(keys: Sequence[bytes]) -> list[bytes]:
    """As many keys as the statement has marks for, so that it is always the same one."""
    return [*keys, *[b""] * (_AT_ONCE - len(keys))]
