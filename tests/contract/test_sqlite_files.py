"""What only a file can do or suffer: processes, forks, kills, damage; and the event logs."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thrift_plugins.errors import ConfigError, StoreCorrupt, StoreUnavailable
from thrift_plugins.stores import (
    EventLog,
    MemoryEventLog,
    MemoryStore,
    SQLiteEventLog,
    SQLiteStore,
    Store,
    sqlite_file,
)
from thrift_plugins.stores.base import MARK_TTL
from thrift_plugins.stores.breaker import Breaker
from thrift_plugins.stores.sqlite_file import SQLiteFile

SECRET = "a secret of enough bytes"
K = "{t1}:0a1b"


def _alter(path: Path, change: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(change)
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answers SET value = x'00' || value",
        "UPDATE answers SET value = substr(value, 1, 20)",
        "UPDATE answers SET value = x''",
        "UPDATE answers SET value = 'text'",
        "UPDATE answers SET value = 7",
        "UPDATE answers SET value = CAST(x'ff00ff' AS TEXT)",
        "UPDATE answers SET value = (SELECT value FROM answers WHERE key = 'other')",
    ],
)
def test_damage_in_sqlite_is_a_miss(tmp_path: Path, change: str) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    store.put(K, b"x")
    store.put("other", b"y")
    _alter(tmp_path / "c.db", change + f" WHERE key = '{K}'")
    assert store.get(K) is None
    assert store.damaged == 1
    assert store.get(K) is None
    assert store.damaged == 1, "it was dropped"
    assert store.get("other") == b"y"
    store.close()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "made" / "here" / "c.db"
    store = SQLiteStore(path)
    store.put(K, b"x")
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"c.db", "c.db-wal", "c.db-shm", "c.db.key"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    store.close()


def test_two_stores_over_one_file(tmp_path: Path) -> None:
    one, two = SQLiteStore(tmp_path / "c.db"), SQLiteStore(tmp_path / "c.db")
    one.put(K, b"x")
    assert two.get(K) == b"x"
    two.delete(K)
    assert one.get(K) is None
    one.close()
    two.put(K, b"y")
    assert one.get(K) == b"y", "a closed store opens again"
    one.close()
    two.close()


def test_stores_over_one_file_are_one_space(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "c.db")
    one, two = SQLiteStore(tmp_path / "c.db"), SQLiteStore(tmp_path / "link.db", secret=SECRET)
    other = SQLiteStore(tmp_path / "other.db")
    assert one.space == two.space != other.space
    for store in (one, two, other):
        store.close()


def test_nothing_is_in_clear_in_an_encrypted_file(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db", encryption_key=SECRET)
    store.put(K, b"the secret answer", tags=("customer:acme",))
    store.publish("customer:acme", b"the secret record")
    store.forget("customer:umbrella")
    store.put("{t1}:2", b"the secret answer", tags=("customer:acme",), asked=0)
    assert store.get("{t1}:2") == b"the secret answer"
    assert [entry.tags for entry in store.scan()] == [("customer:acme",)] * 2
    assert [data for _, data in store.since("customer:acme", "", 9)] == [b"the secret record"]
    found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"{t1}:" in found
    for hidden in (b"secret answer", b"secret record", b"acme", b"umbrella"):
        assert hidden not in found
    store.close()
    plain = SQLiteStore(tmp_path / "c.db")
    assert plain.get(K) is None
    assert plain.since("customer:acme", "", 9) == []
    assert plain.damaged == 2
    plain.close()


def _old_file(path: Path) -> None:
    """As version 1 left it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA application_id=0x54485246")
    connection.execute("PRAGMA user_version=1")
    connection.execute(
        "CREATE TABLE entries(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, expires REAL NOT NULL, value BLOB NOT NULL)"
    )
    connection.execute("CREATE TABLE events(event_id TEXT PRIMARY KEY, at REAL NOT NULL, body TEXT NOT NULL)")
    connection.execute("INSERT INTO entries VALUES (1, ?, 9e9, zeroblob(500))", (K,))
    connection.execute("INSERT INTO events VALUES ('a', 1.0, '{}')")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def test_a_file_of_version_1_is_taken_over(tmp_path: Path) -> None:
    _old_file(tmp_path / "c.db")
    old = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    assert old.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    store, log = SQLiteStore(tmp_path / "c.db"), SQLiteEventLog(tmp_path / "c.db")
    assert store.get(K) is None
    assert store.damaged == 0
    assert store.put(K, b"x")
    assert store.get(K) == b"x"
    assert list(log.rows()) == [("a", 1.0, "{}")]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):  # what a process of version 1 sees: a miss
        old.execute("SELECT value FROM entries WHERE key = ?", (K,))
    old.close()
    store.close()
    log.close()


def test_expired_marks_are_swept(tmp_path: Path) -> None:
    now = 10_000.0
    store = SQLiteStore(tmp_path / "c.db", clock=lambda: now)
    for number in range(20):
        store.delete(f"{{a}}:{number}")
    now += MARK_TTL + 1
    store.delete("{a}:last")
    for number in range(64):
        store.put(f"{{a}}:{number}", b"x")
    assert store._file.run(lambda connection: connection.execute("SELECT count(*) FROM marks").fetchone()) == (1,)
    store.close()


def test_forgetting_goes_through_many_entries_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thrift_plugins.stores.sqlite_entries.STEP", 100)
    store = SQLiteStore(tmp_path / "c.db")
    for number in range(1_000):
        store.put(f"{{t{number % 2}}}:{number}", b"x", tags=(f"tag{number % 3}", "all"))
    assert store.forget("tag0", "{t1}:") == 167
    store.clear("{t0}:")
    assert store.forget("all") == 333
    assert list(store.scan()) == []
    store.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_the_feed_in_a_file_is_bounded(tmp_path: Path, restarted: bool) -> None:
    now = 1e9
    store = SQLiteStore(tmp_path / "c.db", max_bytes=4096 * 50, clock=lambda: now)
    for number in range(600):
        store.publish("c", str(number).encode(), 100 if number < 300 else None)
        now += 1
        if restarted and number == 400:
            for file in tmp_path.glob("c.db*"):
                if file.suffix != ".key":
                    file.unlink()
            for _ in range(64):
                store.put(K, b"x")
    records = store.since("c", "", 10_000)
    assert records[-1][1] == b"599"
    assert len(records) <= 50 + 256
    cursors = [int(cursor) for cursor, _ in records]
    assert cursors == sorted(set(cursors))
    assert cursors[-1] >= 1_000_000_599 * 1_000_000, "a reader of the file before goes on where it was"
    store.close()


def test_a_damaged_record_does_not_hide_those_after_it(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    for number in range(10):
        store.publish("c", str(number).encode())
    _alter(tmp_path / "c.db", "UPDATE feed SET value = x'00' WHERE id IN (SELECT id FROM feed ORDER BY id LIMIT 5)")
    assert [data for _, data in store.since("c", "", 3)] == [b"5", b"6", b"7"]
    assert store.damaged == 5
    store.close()


@pytest.mark.parametrize("name", ["", ":memory:", "."])
def test_no_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="MemoryStore"):
        SQLiteStore(name)


def _foreign(path: Path, kind: str) -> None:
    match kind:
        case "text":
            path.write_text("not a database, but somebody's notes\n" * 100)
        case "another application":
            _alter(path, "CREATE TABLE theirs(x)")
        case "damaged":
            SQLiteStore(path).close()
            raw = bytearray(path.read_bytes())
            raw[100:] = b"\x5a" * (len(raw) - 100)
            path.write_bytes(raw)
        case _:
            SQLiteStore(path).close()
            _alter(path, "PRAGMA user_version = 99")


@pytest.mark.parametrize("kind", ["text", "another application", "damaged", "later version"])
@pytest.mark.parametrize("opener", [SQLiteStore, SQLiteEventLog])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, kind: str, opener: Callable[[Path], object]) -> None:
    path = tmp_path / "c.db"
    _foreign(path, kind)
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match=r"c\.db .*left untouched; choose another path"):
        opener(path)
    assert path.read_bytes() == before


def test_an_empty_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "c.db").touch()
    store = SQLiteStore(tmp_path / "c.db")
    store.put(K, b"x")
    assert store.get(K) == b"x"
    store.close()


def test_a_folder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        SQLiteStore(tmp_path)


def test_a_bad_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.db.key").write_text("short")
    with pytest.raises(StoreCorrupt, match=r"c\.db\.key"):
        SQLiteStore(tmp_path / "c.db")


def test_size_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    bound = 1024 * 1024
    store = SQLiteStore(tmp_path / "c.db", max_bytes=bound)
    for number in range(3_000):
        store.put(f"{number:06}", os.urandom(1_200))
    store.close()
    assert (tmp_path / "c.db").stat().st_size < 1.3 * bound
    assert store.get("002999") is not None
    assert store.get("000000") is None
    store.close()


def test_the_expired_are_swept(tmp_path: Path) -> None:
    now = 1_000.0
    store = SQLiteStore(tmp_path / "c.db", clock=lambda: now)
    for number in range(200):
        store.put(f"old{number}", b"x", 10)
    now += 20
    for number in range(400):
        store.put(f"new{number}", b"x")
    store.close()
    connection = sqlite3.connect(tmp_path / "c.db")
    assert connection.execute("SELECT count(*) FROM answers WHERE key LIKE 'old%'").fetchone() == (0,)
    connection.close()


def test_a_busy_file_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    store.put(K, b"x")
    other = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(6):
        with pytest.raises(StoreUnavailable):
            store.put(K, b"y")
        assert store.get(K) == b"x"
    other.execute("ROLLBACK")
    other.close()
    store.close()


def test_an_event_loop_waits_less_for_other_writers(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")

    def patience() -> int:
        return int(store._file.run(lambda connection: connection.execute("PRAGMA busy_timeout").fetchone()[0]))

    for write in (store.aput(K, b"x"), store.adelete(K), store.aput(K, b"x", 0)):
        store.put(K, b"x")
        assert patience() == 50
        asyncio.run(write)
        assert patience() == 5
    store.close()


def test_damage_that_comes_later_is_unavailable(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    for number in range(200):
        store.put(str(number), os.urandom(1_200))
    store.close()
    raw = bytearray((tmp_path / "c.db").read_bytes())
    raw[8192:] = os.urandom(len(raw) - 8192)
    (tmp_path / "c.db").write_bytes(raw)
    outcomes = {_outcome(store, str(number)) for number in range(200)}
    assert outcomes <= {None, "unavailable"}
    assert "unavailable" in outcomes
    with pytest.raises(StoreUnavailable):
        store.put("new", b"x")


def test_a_file_that_is_taken_away_is_unavailable(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    store.close()
    (tmp_path / "c.db").unlink()
    with pytest.raises(StoreUnavailable):
        store.get(K)
    assert not (tmp_path / "c.db").exists()


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_store_leaves_a_file_that_is_gone(tmp_path: Path, how: str) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    store.put(K, b"x")
    _take_away(tmp_path, how)
    for _ in range(64):
        store.put(K, b"y")
    store.put("new", b"z")
    assert SQLiteStore(tmp_path / "c.db").get("new") == b"z"
    store.close()


def _take_away(folder: Path, how: str) -> None:
    (folder / "elsewhere").mkdir()
    for file in [each for each in folder.glob("*.db*") if each.suffix != ".key"]:
        if how == "moved":
            file.rename(folder / "elsewhere" / file.name)
        else:
            file.unlink()


def test_the_log_is_bounded_however_busy_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_CHECKPOINT_BYTES", 2**17)
    monkeypatch.setattr(sqlite_file, "_CROWDED_BYTES", 2**20)
    store, log, largest = SQLiteStore(tmp_path / "thrift.db"), tmp_path / "thrift.db-wal", 0
    for number in range(3000):
        store.put(f"k{number}", os.urandom(2000), 60)
        largest = max(largest, log.stat().st_size)
    assert largest < 2**21
    store.close()


def test_no_thread_for_a_checkpoint_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SQLiteFile(tmp_path / "c.db", ["CREATE TABLE IF NOT EXISTS t(x)"], busy_timeout=1, checkpoints_apart=True)
    log = tmp_path / "c.db-wal"
    file.run(lambda connection: connection.execute("INSERT INTO t VALUES (zeroblob(9000000))"))
    assert log.stat().st_size > 8 * 1024 * 1024

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        file.checkpoint_soon(may_wait=False)
    assert (tmp_path / "c.db").stat().st_size < 1024 * 1024
    before = set(threading.enumerate())
    file.checkpoint_soon(may_wait=False)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert (tmp_path / "c.db").stat().st_size > 8 * 1024 * 1024, "the next try is not shut out by the one that failed"
    file.close()


def _outcome(store: Store, key: str) -> bytes | str | None:
    try:
        return store.get(key)
    except StoreUnavailable:
        return "unavailable"


_WRITER = """
import sys
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import SQLiteEventLog, SQLiteStore
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store, log = SQLiteStore(path), SQLiteEventLog(path)
number = 0
while number != count:
    try:
        store.put(f"{{{name}}}:{number}", f"{name} {number}".encode() * 20)
    except StoreUnavailable:
        pass
    log.extend([(f"{name}-{number}", float(number), "{}")])
    number += 1
    print(number, flush=True)
"""


def _writer(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_several_processes_share_a_new_file(tmp_path: Path) -> None:
    writers = [_writer(tmp_path / "c.db", f"w{name}", 60) for name in range(4)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0] * 4
    store, log = SQLiteStore(tmp_path / "c.db"), SQLiteEventLog(tmp_path / "c.db")
    assert len(list(log.rows())) == 240
    found = [store.get(f"{{w{name}}}:{number}") for name in range(4) for number in range(60)]
    assert store.damaged == 0, "they agree on the secret"
    assert sum(value is not None for value in found) > 120
    store.close()
    log.close()


def test_a_file_that_is_opened_twice_keeps_its_log_while_other_processes_come_and_go(tmp_path: Path) -> None:
    """A process that looks at a file past SQLite drops its own locks on it, and whoever closes it last deletes its log."""
    path = tmp_path / "c.db"
    first = SQLiteStore(path)
    first.put(K, b"x")
    second = SQLiteStore(path)
    other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM answers').fetchone()); c.close()"
    ask = [sys.executable, "-c", other, str(path)]
    assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout == "(1,)\n"
    assert path.with_name("c.db-wal").exists()
    first.put("another", b"y")
    assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout == "(2,)\n"
    second.close()
    first.close()


def test_kill_9_of_a_writer_leaves_a_readable_file(tmp_path: Path) -> None:
    for attempt in range(3):
        writer = _writer(tmp_path / "c.db", f"w{attempt}", -1)
        assert writer.stdout is not None
        acknowledged = 0
        while acknowledged < 50:
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        store, log = SQLiteStore(tmp_path / "c.db"), SQLiteEventLog(tmp_path / "c.db")
        kept = {event_id for event_id, _, _ in log.rows()}
        assert {f"w{attempt}-{number}" for number in range(acknowledged)} <= kept
        for number in range(acknowledged):
            assert store.get(f"{{w{attempt}}}:{number}") == f"w{attempt} {number}".encode() * 20
        assert store.damaged == 0
        store.close()
        log.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_its_own_connections(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "c.db")
    store.put("before", b"x")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            store.put("child", b"from the child")
            status = 0 if store.get("before") == b"x" else 2
        finally:
            os._exit(status)
    store.put("parent", b"from the parent")
    store.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [store.get(key) for key in ("before", "child", "parent")] == [b"x", b"from the child", b"from the parent"]
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_wait_for_its_parents_threads(tmp_path: Path) -> None:
    breaker, log, memory, file = Breaker(), MemoryEventLog(), MemoryStore(), SQLiteStore(tmp_path / "c.db")
    memory.put("before", b"x")
    with breaker._lock, log._lock, memory._lock, file._lock:  # as another thread may, just then
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(10)
                breaker.failure()
                log.extend([("a", 1.0, "{}")])
                memory.put(K, b"x")
                file.put(K, b"x")
                status = 0 if memory.get("before") == memory.get(K) == file.get(K) == b"x" else 2
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    file.close()


# Event logs


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    opened: EventLog = MemoryEventLog() if request.param == "memory" else SQLiteEventLog(tmp_path / "events.db")
    yield opened
    opened.close()


def test_events_come_back_once_in_order(log: EventLog) -> None:
    assert log.extend([("b", 2.0, "{}"), ("a", 2.0, "{}"), ("c", 1.0, '{"n":1}')]) == 3
    assert log.extend([("a", 9.0, "other"), ("d", 3.0, "{}"), ("d", 4.0, "{}")]) == 1
    assert list(log.rows()) == [("c", 1.0, '{"n":1}'), ("a", 2.0, "{}"), ("b", 2.0, "{}"), ("d", 3.0, "{}")]
    assert log.extend([]) == 0


def test_a_batch_that_breaks_is_not_kept(log: EventLog) -> None:
    def breaking() -> Iterator[tuple[str, float, str]]:
        yield ("a", 1.0, "{}")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        log.extend(breaking())
    assert list(log.rows()) == []
    assert log.extend([("a", 1.0, "{}")]) == 1


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_no_event_goes_into_a_file_that_is_gone(tmp_path: Path, how: str) -> None:
    log = SQLiteEventLog(tmp_path / "events.db")
    log.extend([("a", 1.0, "{}")])
    _take_away(tmp_path, how)
    assert log.extend([("b", 2.0, "{}")]) == 1
    other = SQLiteEventLog(tmp_path / "events.db")
    assert [row[0] for row in other.rows()] == [row[0] for row in log.rows()] == ["b"]
    other.close()
    log.close()
    if how == "moved":
        assert [row[0] for row in SQLiteEventLog(tmp_path / "elsewhere" / "events.db").rows()] == ["a"]


def test_events_wait_while_a_foreign_file_is_in_their_place(tmp_path: Path) -> None:
    log = SQLiteEventLog(tmp_path / "events.db")
    _take_away(tmp_path, "moved")
    (tmp_path / "events.db").write_text("somebody's notes")
    with pytest.raises(StoreCorrupt, match="left untouched"):
        log.extend([("a", 1.0, "{}")])
    (tmp_path / "events.db").unlink()
    assert log.extend([("a", 1.0, "{}")]) == 1
    log.close()


def test_rows_stream_while_others_write(tmp_path: Path) -> None:
    log = SQLiteEventLog(tmp_path / "events.db")
    log.extend((f"{number:05}", float(number // 7), "{}") for number in range(2_500))
    seen: list[str] = []
    for event_id, _, _ in log.rows():
        if len(seen) % 500 == 0:
            log.extend([(f"late{len(seen)}", 1e9 + len(seen), "{}")])
        seen.append(event_id)
    assert seen[:2_500] == [f"{number:05}" for number in range(2_500)]
    assert len(seen) == len(set(seen)) == 2_500 + len([name for name in seen if name.startswith("late")])
    log.close()
