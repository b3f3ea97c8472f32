"""What every store promises, on each of them, from synchronous and asynchronous code."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from tests.redis_server import RedisServer

from thrift_plugins.errors import ConfigError, StoreCorrupt, StoreUnavailable
from thrift_plugins.stores import (
    EventLog,
    MemoryEventLog,
    MemoryStore,
    RedisStore,
    SQLiteEventLog,
    SQLiteStore,
    Store,
    home,
    open_event_log,
    open_store,
)

SECRET = "a secret of enough bytes"
K = "{t1}:0a1b"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Calls:
    """A store's methods, called the one way or the other."""

    def __init__(self, store: Store, runner: asyncio.Runner | None) -> None:
        self.store, self._runner = store, runner

    def _call(self, name: str, *values: object) -> bytes | None:
        if self._runner is None:
            return getattr(self.store, name)(*values)
        return self._runner.run(getattr(self.store, f"a{name}")(*values))

    def get(self, key: str) -> bytes | None:
        return self._call("get", key)

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._call("put", key, value, ttl)

    def delete(self, key: str) -> None:
        self._call("delete", key)

    def clear(self, prefix: str = "") -> None:
        self._call("clear", prefix)

    def close(self) -> None:
        self._call("close")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened: Store
    match request.param:
        case "memory":
            opened = MemoryStore(clock=clock)
        case "sqlite":
            opened = SQLiteStore(tmp_path / "cache.db", clock=clock)
        case _:
            server: RedisServer = request.getfixturevalue("server")
            server.ask("FLUSHALL")
            # A loaded machine may need more than the default; waiting is not what is tested here.
            opened = RedisStore(server.url, secret=SECRET, clock=clock, timeout=5)
    yield opened
    opened.close()


@pytest.fixture(params=["sync", "async"])
def calls(request: pytest.FixtureRequest, store: Store) -> Iterator[Calls]:
    if request.param == "sync":
        yield Calls(store, None)
    else:
        with asyncio.Runner() as runner:
            yield Calls(store, runner)


def test_a_value_comes_back(calls: Calls) -> None:
    assert calls.get(K) is None
    calls.put(K, b"value")
    assert calls.get(K) == b"value"
    assert calls.store.damaged == 0


@pytest.mark.parametrize("value", [b"", bytes(range(256)), b"\x00" * 10, os.urandom(1_000_000)], ids=len)
def test_any_bytes(calls: Calls, value: bytes) -> None:
    calls.put(K, value)
    assert calls.get(K) == value


def test_overwrite(calls: Calls) -> None:
    calls.put(K, b"one", 10)
    calls.put(K, b"two")
    assert calls.get(K) == b"two"


def test_delete(calls: Calls) -> None:
    calls.put(K, b"x")
    calls.delete(K)
    calls.delete(K)
    assert calls.get(K) is None


def test_expiry_by_the_clock(calls: Calls, clock: Clock) -> None:
    calls.put(K, b"x", 60)
    clock.now += 59
    assert calls.get(K) == b"x"
    clock.now += 1
    assert calls.get(K) is None
    assert calls.store.damaged == 0


@pytest.mark.parametrize("ttl", [0, -1, float("nan")])
def test_no_time_to_live_is_none_kept(calls: Calls, ttl: float) -> None:
    calls.put(K, b"old")
    calls.put(K, b"new", ttl)
    assert calls.get(K) is None


@pytest.mark.parametrize("ttl", [1e-9, 1e18, float("inf")])
def test_odd_times_to_live_are_no_error(calls: Calls, ttl: float) -> None:
    calls.put(K, b"x", ttl)


def test_keys_do_not_cross(calls: Calls) -> None:
    keys = [f"{{t{tenant}}}:{digest}" for tenant in range(3) for digest in ("a", "A", "ab", "a*", "[a]", "a_", "a%")]
    for key in keys:
        calls.put(key, key.encode())
    assert [calls.get(key) for key in keys] == [key.encode() for key in keys]


@pytest.mark.parametrize("prefix", ["{a}:", "{a*", "{a[b]}:", "{a\\}:", "{a?}:", "{a%}:", "~", "{a_}:"])
def test_clear_takes_a_prefix_literally(calls: Calls, prefix: str) -> None:
    others = ["{a}:x", "{ab}:x", "{b}:{a}:", "zz", "{aa}:"]
    kept = [key for key in others if not key.startswith(prefix)]
    for key in (*others, f"{prefix}1", f"{prefix}2"):
        calls.put(key, b"x")
    calls.clear(prefix)
    assert [calls.get(f"{prefix}1"), calls.get(f"{prefix}2")] == [None, None]
    assert [calls.get(key) for key in kept] == [b"x"] * len(kept)


def test_clear_all(calls: Calls) -> None:
    for number in range(50):
        calls.put(f"{{t{number % 3}}}:{number}", b"x")
    calls.clear()
    assert all(calls.get(f"{{t{number % 3}}}:{number}") is None for number in range(50))


def test_closing_twice_is_fine(calls: Calls) -> None:
    calls.put(K, b"x")
    calls.close()
    calls.close()


def test_threads_share_a_store(store: Store) -> None:
    wrong: list[object] = []

    def work(name: int) -> None:
        for number in range(50):
            key = f"{{t{name}}}:{number}"
            try:
                store.put(key, key.encode())
                if store.get(key) not in (key.encode(), None):
                    wrong.append(key)
            except StoreUnavailable:
                pass
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Damage


def _alter(path: Path, change: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(change)
    connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET value = x'00' || value",
        "UPDATE entries SET value = substr(value, 1, 20)",
        "UPDATE entries SET value = x''",
        "UPDATE entries SET value = 'text'",
        "UPDATE entries SET value = 7",
        "UPDATE entries SET value = (SELECT value FROM entries WHERE key = 'other')",
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


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("how", ["garbage", "moved", "list", "hash", "other secret"])
def test_damage_in_redis_is_a_miss(server: RedisServer, how: str, mode: str) -> None:
    server.ask("FLUSHALL")
    client = redis.Redis(port=server.port)
    store = RedisStore(server.url, secret=SECRET, timeout=5)
    store.put("other", b"y")
    match how:
        case "garbage":
            client.set(f"tp1:{K}", b"\xff" * 100)
        case "moved":
            client.copy("tp1:other", f"tp1:{K}")
        case "list":
            client.rpush(f"tp1:{K}", "x")
        case "hash":
            client.hset(f"tp1:{K}", "a", "b")
        case _:
            RedisStore(server.url, secret="z" * 16, client=client).put(K, b"forged")
    with asyncio.Runner() as runner:
        calls = Calls(store, runner if mode == "async" else None)
        assert calls.get(K) is None
        assert store.damaged == 1
        assert client.exists(f"tp1:{K}") == 0
        assert calls.get("other") == b"y"
    store.close()
    client.close()


# Memory


def test_memory_is_bounded_and_forgets_the_least_recently_used() -> None:
    store = MemoryStore(max_bytes=10_000)
    for number in range(5):
        store.put(str(number), b"x" * 1_500)
    store.get("0")
    store.put("5", b"x" * 1_500)
    assert store.get("0") is not None
    assert store.get("1") is None
    store.put("huge", b"x" * 20_000)
    assert store.get("huge") is None
    assert store.get("0") is not None


# SQLite


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
        store.put(f"{number:06}", b"x" * 1_200)
    store.close()
    assert (tmp_path / "c.db").stat().st_size < 1.3 * bound
    assert store.get("002999") is not None
    assert store.get("000000") is None
    store.close()


def test_the_expired_are_swept(tmp_path: Path, clock: Clock) -> None:
    store = SQLiteStore(tmp_path / "c.db", clock=clock)
    for number in range(200):
        store.put(f"old{number}", b"x", 10)
    clock.now += 20
    for number in range(400):
        store.put(f"new{number}", b"x")
    store.close()
    connection = sqlite3.connect(tmp_path / "c.db")
    assert connection.execute("SELECT count(*) FROM entries WHERE key LIKE 'old%'").fetchone() == (0,)
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


# Redis


@pytest.mark.parametrize("secret", [None, "", b""])
def test_redis_needs_a_secret(secret: str | bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRIFT_SECRET", raising=False)
    for make in (RedisStore, open_store):
        with pytest.raises(ConfigError, match=r"THRIFT_SECRET .*secrets\.token_hex\(32\)"):
            make("redis://127.0.0.1:1", secret=secret)


@pytest.mark.parametrize("url", ["redis://u:hunter2@127.0.0.1:1/0", "redis://u:hun/hunter2@127.0.0.1:1"])
def test_the_password_is_never_shown(url: str) -> None:
    try:
        store = RedisStore(url, secret=SECRET)
        shown = repr(store)
        store.get(K)
    except (ConfigError, StoreUnavailable) as error:
        shown = f"{error!r} {error} {error.__cause__!r}"
    assert "hunter2" not in shown
    assert "'hun'" not in shown


def test_a_client_that_decodes_is_refused(server: RedisServer) -> None:
    with pytest.raises(ConfigError, match="decode_responses"):
        RedisStore(f"{server.url}?decode_responses=true", secret=SECRET)


def test_event_loops_come_and_go(server: RedisServer) -> None:
    store = RedisStore(server.url, secret=SECRET, timeout=5)

    async def use(number: int) -> bytes | None:
        await asyncio.gather(*(store.aput(f"k{n}", str(number).encode()) for n in range(40)))
        return await store.aget("k7")

    for number in range(3):
        assert asyncio.run(use(number)) == str(number).encode()
        assert len(store._lanes) == 0, "the loop closed its connections when it shut down"
    store.close()


def test_connections_per_loop_are_bounded(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        assert _connections_at_once(server, 300) <= 20


def _connections_at_once(server: RedisServer, tasks: int) -> int:
    store = RedisStore(server.url, secret=SECRET, timeout=5)

    async def use() -> bytes:
        await asyncio.gather(*(store.aget(f"k{n}") for n in range(tasks)))
        clients = await asyncio.to_thread(server.ask, "CLIENT", "LIST")
        await store.aclose()
        return clients

    return asyncio.run(use()).count(b" addr=")


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


def test_rows_stream_while_others_write(tmp_path: Path) -> None:
    log = SQLiteEventLog(tmp_path / "events.db")
    log.extend((f"{number:05}", float(number // 7), "{}") for number in range(2_500))
    seen = []
    for event_id, _, _ in log.rows():
        if len(seen) % 500 == 0:
            log.extend([(f"late{len(seen)}", 1e9 + len(seen), "{}")])
        seen.append(event_id)
    assert seen[:2_500] == [f"{number:05}" for number in range(2_500)]
    assert len(seen) == len(set(seen)) == 2_500 + len([name for name in seen if name.startswith("late")])
    log.close()


# Opening


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRIFT_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    for url, kind in {
        "memory:": MemoryStore,
        "cache.db": SQLiteStore,
        "sqlite:///cache.db": SQLiteStore,
        f"sqlite:///{tmp_path}/absolute.db": SQLiteStore,
        "redis://127.0.0.1:1": RedisStore,
        "rediss://127.0.0.1:1": RedisStore,
        "valkey://127.0.0.1:1": RedisStore,
    }.items():
        store = open_store(url)
        assert type(store) is kind
        store.close()
    assert {"cache.db", "absolute.db"} <= {file.name for file in tmp_path.iterdir()}
    assert isinstance(open_event_log("memory:"), MemoryEventLog)
    log = open_event_log("sqlite:///cache.db")
    assert log.extend([("a", 1.0, "{}")]) == 1
    log.close()


@pytest.mark.parametrize("url", ["postgres://u:hunter2@h", "mongodb:x", "sqlite:cache.db", "sqlite:///"])
@pytest.mark.parametrize("opener", [open_store, open_event_log])
def test_unknown_urls_are_refused_by_name(url: str, opener: Callable[[str], object]) -> None:
    with pytest.raises(ConfigError, match="sqlite:///") as caught:
        opener(url)
    assert "hunter2" not in str(caught.value)


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THRIFT_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert home() == tmp_path / "thrift-plugins"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == Path.home() / ".local/share/thrift-plugins"
    monkeypatch.setenv("THRIFT_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"


def test_importing_stores_loads_no_driver() -> None:
    code = "import sys, thrift_plugins.stores; print({'redis', 'sqlite3', 'asyncio'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert ran.stdout.strip() == "set()"
