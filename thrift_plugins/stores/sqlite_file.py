"""A SQLite file of ours: made safely, told from others' files, and shared by threads, processes and forks."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import TypeAlias, TypeVar, TypeVarTuple
from weakref import WeakSet

from thrift_plugins.errors import ConfigError, StoreCorrupt, StoreUnavailable
from thrift_plugins.finalizing import living
from thrift_plugins.forks import new_lock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Identity: TypeAlias = tuple[int, int]

APPLICATION_ID = 0x54485246
"""`THRF`, in the header of every file of ours."""
SCHEMA_VERSION = 2
# What versions before this one kept and this one cannot read: dropped when a file of theirs is opened first.
_SUPERSEDED = ("DROP TABLE IF EXISTS entries",)

# A put dirties one page of the table and one of its index, and the log takes both whole: small pages write less, an
# eighth of a put's time against 4,096 bytes, and read as fast at 1,000,000 entries. Answers of 2 kB still fit one.
_PAGE_BYTES = 2048
_PREPARE_WAIT_S = 5.0
_WAL_LIMIT_BYTES = 16 * 1024 * 1024
_CHECKPOINT_BYTES = 8 * 1024 * 1024
_CROWDED_BYTES = 8 * _CHECKPOINT_BYTES
_SECRET_BYTES = 32
_HEADER = b"SQLite format 3\x00"
_ID_AT = slice(68, 72)
_UNTOUCHED = "it was left untouched; choose another path, or move that file away"


class _Connection(sqlite3.Connection):
    """A connection that knows how long it waits for other writers, in milliseconds: asking SQLite would cost a put a tenth."""

    patience: int


class SQLiteFile:
    """Connections to one file. Each is used by one thread at a time, and kept for the next.

    Closed, it opens again when it is used. Where the path leads to another file or none, `transact` goes on with the file
    there, made anew if need be; `run` does so after `reopen_if_moved`.

    Args:
        path: made if it is not there, readable by its owner alone.
        schema: `CREATE ... IF NOT EXISTS` statements.
        busy_timeout: seconds to wait for another writer, where `run` is not told otherwise.
        cache_kb: pages that each connection may keep in memory; None for SQLite's own measure.
        stays: whether a file that is not there any more is an error, because what is in it is nowhere else.
        checkpoints_apart: whether the user calls `checkpoint_soon` now and then, so that no write has to do it.

    Raises:
        ConfigError: the path names no file.
        StoreCorrupt: the file is not ours, is damaged, or was made by a later version.
        StoreUnavailable: it cannot be made or opened.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Sequence[str],
        *,
        busy_timeout: float,
        cache_kb: int | None = None,
        stays: bool = False,
        checkpoints_apart: bool = False,
    ) -> None:
        if str(path) in ("", ".", ":memory:"):
            raise ConfigError(f"{str(path)!r} is no file; for a store in memory use MemoryStore or the URL 'memory:'")
        self.path = Path(path).expanduser().absolute()
        self._busy_timeout = busy_timeout
        self._cache_kb, self.stays = cache_kb, stays
        self._checkpoints_apart = checkpoints_apart
        self._idle: deque[_Connection] = deque()
        self._checkpointing = Lock()
        self._schema = tuple(schema)
        self.identity: _Identity | None = None
        self._make()

    def run(self, work: Callable[[sqlite3.Connection, *Ts], T], *given: *Ts, patience: int | None = None) -> T:
        """What `work` returns, given a connection in autocommit mode and what else it wants.

        Args:
            patience: milliseconds to wait for another writer, from now on and for whoever uses this connection next.

        Raises:
            StoreUnavailable: SQLite did not do it.
        """
        connection = None
        idle = self._idle
        try:
            try:
                connection = idle.pop()
            except IndexError:
                connection = self._connect(self._busy_timeout)
            if patience is not None and patience != connection.patience:
                connection.execute(f"PRAGMA busy_timeout={patience:d}")
                connection.patience = patience
            result = work(connection, *given)
        except sqlite3.Error as error:
            _discard(connection)
            raise StoreUnavailable(f"{self.path}: {error}") from error
        except BaseException:
            _discard(connection)
            raise
        idle.append(connection)
        if idle is not self._idle:  # closed meanwhile: the file may be another one by now
            _empty(idle)
        return result

    def transact(self, work: Callable[[sqlite3.Connection], T], *, patience: int | None = None) -> T:
        """`run`, all or nothing, and not into a file that nobody will find.

        Args:
            patience: as for `run`.

        Raises:
            StoreCorrupt: another file, not ours, is there now.
            StoreUnavailable: SQLite did not do it.
        """
        self.reopen_if_moved()

        def whole(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        return self.run(whole, patience=patience)

    def reopen_if_moved(self) -> None:
        """Leave a file that was moved or deleted: connections would go on writing to it without an error.

        Raises:
            StoreCorrupt: another file, not ours, is there now; or any other, or none, where the file is to stay.
            StoreUnavailable: it cannot be made or opened.
        """
        if _identity(self.path) != self.identity:
            if self.stays:
                raise StoreCorrupt(f"{self.path} is gone, or another file is in its place: put it back before it is used again")
            self.close()
            self._make()

    def checkpoint_soon(self, *, may_wait: bool) -> None:
        """Move the write-ahead log into the file once it is large, in a thread of its own.

        SQLite would do it inside somebody's put, which then waits for the disk: 13 to 40 ms where 0.03 are usual. The
        log begins anew only where nobody writes at the end of the move: who writes without a pause, and lets the log grow
        very large, has to make one.
        """
        try:
            size = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:  # no log, nothing to move
            return
        crowded = may_wait and size >= _CROWDED_BYTES
        if size < _CHECKPOINT_BYTES or not self._checkpointing.acquire(timeout=1.0 if crowded else 0.0):
            return
        if crowded:
            self._checkpoint()
            return
        try:
            Thread(target=self._checkpoint, name="thrift-checkpoint", daemon=True).start()
        except RuntimeError:  # no thread can be had: the log grows until one can
            self._checkpointing.release()

    def _checkpoint(self) -> None:
        try:
            with suppress(StoreUnavailable):
                self.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())
        finally:
            self._checkpointing.release()

    def close(self) -> None:
        """Close the connections: now those that nobody is using, the others as soon as they come back."""
        idle, self._idle = self._idle, deque()
        _empty(idle)

    def __del__(self) -> None:
        with suppress(AttributeError):  # one that was never made whole has nothing to close
            self.close()

    def abandon(self) -> None:
        """In a forked child: forget inherited connections without closing them."""
        _inherited.append(self._idle)
        self._idle = deque()
        self._checkpointing = Lock()

    def _connect(self, wait: float) -> _Connection:
        # mode=rw: a file is made by `_made` alone, which sees to its permissions and its schema.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,
            factory=_Connection,
        )
        connection.patience = int(wait * 1000)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            if self._cache_kb is not None:
                connection.execute(f"PRAGMA cache_size={-self._cache_kb:d}")
            if self._checkpoints_apart:
                connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make(self) -> None:
        """Make the file at the path, if it is not there.

        Where this process has it open already, it is not to be looked at but by SQLite: to close a file drops all locks that the
        process has on it, also those of other connections, whose log another process would then delete under them.
        """
        with _making:
            try:
                is_open = self._is_open()
                if not is_open:
                    _make_private(self.path)
                    _refuse_foreign(self.path)
                self._prepare(known=is_open)
            except (OSError, sqlite3.Error) as error:
                raise self._explained(error) from error
            self.identity = _identity(self.path)
            _open_files.add(self)

    def _is_open(self) -> bool:
        identity = _identity(self.path)
        return identity is not None and any(file.identity == identity for file in living(_open_files))

    def _prepare(self, *, known: bool) -> None:
        connection = self._connect(_PREPARE_WAIT_S)
        try:
            if known and connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
                raise StoreCorrupt(f"{self.path} is a SQLite file of another application; {_UNTOUCHED}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise StoreCorrupt(f"{self.path} was made by a later version of thrift-plugins; {_UNTOUCHED}")
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            # The identity is written before the switch to WAL, so that it is in the file itself from the start and
            # `_refuse_foreign` can tell a file of ours without opening, and so perhaps recovering, somebody else's.
            connection.execute("BEGIN IMMEDIATE")
            if version == 0:
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            if version < SCHEMA_VERSION:
                for statement in _SUPERSEDED:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            for statement in self._schema:
                connection.execute(statement)
            connection.execute("COMMIT")
            _switch_to_wal(connection)
        finally:
            connection.close()

    def _explained(self, error: OSError | sqlite3.Error) -> StoreCorrupt | StoreUnavailable:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreCorrupt(f"{self.path} is damaged ({error}); {_UNTOUCHED}")
        return StoreUnavailable(f"{self.path} cannot be opened: {error}")


def shared_secret(path: Path) -> bytes:
    """The random secret kept in a file for its owner alone, made by whichever process comes first.

    Raises:
        StoreCorrupt: the file holds something else.
        StoreUnavailable: it cannot be made or read.
    """
    try:
        if not path.exists():
            _publish_secret(path)
        secret = path.read_bytes()
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be made or read: {error}") from error
    if len(secret) != _SECRET_BYTES:
        raise StoreCorrupt(f"{path} does not hold a key of {_SECRET_BYTES} bytes; {_UNTOUCHED}")
    return secret


def _publish_secret(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, does not replace the secret of a process that was faster.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _identity(path: Path) -> _Identity | None:
    """Which file the path leads to, None where to none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _make_private(path: Path) -> None:
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _refuse_foreign(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if not header.startswith(_HEADER):
        raise StoreCorrupt(f"{path} is not a SQLite file; {_UNTOUCHED}")
    if int.from_bytes(header[_ID_AT], "big") != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a SQLite file of another application; {_UNTOUCHED}")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Several processes may try at once, and SQLite refuses all but one of them without waiting."""
    give_up = time.monotonic() + _PREPARE_WAIT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError(f"no write-ahead log on this file system (journal mode {mode!r})")
        return


def _empty(idle: deque[_Connection]) -> None:
    with suppress(IndexError):
        while True:
            _discard(idle.pop())


def _discard(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()


# SQLite must not be carried across a fork: the child would believe that it holds its parent's file locks, and the
# parent, seeing no lock of the child's, would drop a log that the child still writes to.
_open_files: WeakSet[SQLiteFile] = WeakSet()
_making = new_lock()
"""One file at a time is made, so that each knows which are open."""
_inherited: list[deque[_Connection]] = []


def _before_fork() -> None:
    for file in living(_open_files):
        file.close()


def _after_fork_in_child() -> None:
    for file in list(_open_files):
        file.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
