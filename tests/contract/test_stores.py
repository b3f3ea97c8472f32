"""What every store promises, on each of them, from synchronous and asynchronous code."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio

from tests.redis_server import RedisServer
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.stores import (
    MemoryEventLog,
    MemoryStore,
    RedisStore,
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
            found: bytes | None = getattr(self.store, name)(*values)
        else:
            found = self._runner.run(getattr(self.store, f"a{name}")(*values))
        return found

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


def test_a_client_on_another_event_loop_is_unavailable(server: RedisServer) -> None:
    theirs = redis.asyncio.Redis(port=server.port)
    store = RedisStore(server.url, secret=SECRET, timeout=5, async_client=theirs)
    with asyncio.Runner() as own, asyncio.Runner() as other:
        own.run(store.aput(K, b"x"))
        with pytest.raises(StoreUnavailable):
            other.run(store.aget(K))
        assert not store._breaker.is_open
        assert own.run(store.aget(K)) == b"x"
        own.run(theirs.aclose())
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
