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
from typing import Any

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
from thrift_plugins.stores.base import MARK_TTL, Claim, Records

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

    def _call(self, name: str, *values: object, **named: object) -> Any:
        if self._runner is None:
            return getattr(self.store, name)(*values, **named)
        return self._runner.run(getattr(self.store, f"a{name}")(*values, **named))

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._call("get", key)
        return found

    def put(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,
    ) -> bool:
        kept: bool = self._call("put", key, value, ttl, tags=tags, asked=asked, claim=claim)
        return kept

    def delete(self, key: str) -> None:
        self._call("delete", key)

    def forget(self, tag: str, prefix: str = "") -> int:
        count: int = self._call("forget", tag, prefix)
        return count

    def clear(self, prefix: str = "") -> None:
        self._call("clear", prefix)

    def claim(self, key: str) -> Claim:
        claim: Claim | None = self._call("claim", key)
        assert claim is not None
        return claim

    def release(self, claim: Claim) -> None:
        self._call("release", claim)

    def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        self._call("publish", channel, data, ttl)

    def since(self, channel: str, cursor: str = "", limit: int = 100) -> Records:
        records: Records = self._call("since", channel, cursor, limit)
        return records

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


# Tags, and what was forgotten while an answer was on its way


def test_forget_takes_all_with_a_tag(calls: Calls) -> None:
    calls.put("{a}:1", b"1", tags=("feature:faq", "doc:7"))
    calls.put("{a}:2", b"2", 60, tags=("feature:faq",))
    calls.put("{b}:1", b"3", tags=("feature:faq", "doc:8"))
    calls.put("{b}:2", b"4", tags=("feature:faq2",))
    calls.put("{b}:3", b"5")
    assert calls.forget("doc:9") == 0
    assert calls.forget("feature:faq", "{a}:") == 2
    assert [calls.get(key) for key in ("{a}:1", "{a}:2", "{b}:1", "{b}:2", "{b}:3")] == [None, None, b"3", b"4", b"5"]
    assert calls.forget("feature:faq") == 1
    assert [calls.get(key) for key in ("{b}:1", "{b}:2", "{b}:3")] == [None, b"4", b"5"]


@pytest.mark.parametrize("tag", ["", "*", "a:b", "\u4ed8\u6b3e", "with space", "x" * 300, "\x00"])
def test_any_tag(calls: Calls, tag: str) -> None:
    calls.put("{a}:1", b"1", tags=(tag, "other"))
    calls.put("{a}:2", b"2", tags=(tag + "more",))
    assert calls.forget(tag) == 1
    assert [calls.get("{a}:1"), calls.get("{a}:2")] == [None, b"2"]


def test_a_value_written_anew_has_its_new_tags_alone(calls: Calls) -> None:
    calls.put(K, b"old", tags=("one",))
    calls.put(K, b"new", tags=("two",))
    calls.forget("one")
    assert calls.get(K) == b"new"
    assert calls.forget("two") == 1


FORGETTING: dict[str, Callable[[Calls], object]] = {
    "delete": lambda calls: calls.delete("{a}:1"),
    "tag": lambda calls: calls.forget("doc:7"),
    "tag of the tenant": lambda calls: calls.forget("doc:7", "{a}:"),
    "tenant": lambda calls: calls.clear("{a}:"),
    "everything": lambda calls: calls.clear(),
}


@pytest.mark.parametrize("how", FORGETTING)
def test_an_answer_on_its_way_does_not_bring_back_what_was_forgotten(calls: Calls, clock: Clock, how: str) -> None:
    asked = clock.now
    clock.now += 1
    FORGETTING[how](calls)
    clock.now += 1
    assert calls.put("{a}:1", b"old", tags=("doc:7", "x"), asked=asked) is False
    assert calls.get("{a}:1") is None
    assert calls.put("{a}:1", b"new", tags=("doc:7",), asked=clock.now) is True
    assert calls.get("{a}:1") == b"new"


@pytest.mark.parametrize("how", FORGETTING)
def test_forgetting_in_the_very_moment_of_asking_counts(calls: Calls, clock: Clock, how: str) -> None:
    FORGETTING[how](calls)
    assert calls.put("{a}:1", b"old", tags=("doc:7",), asked=clock.now) is False


def test_answers_that_it_does_not_touch_are_kept(calls: Calls, clock: Clock) -> None:
    asked = clock.now
    calls.delete("{a}:1")
    calls.forget("doc:7", "{a}:")
    calls.forget("doc:8")
    calls.clear("{c}:")
    assert calls.put("{a}:2", b"x", tags=("doc:9",), asked=asked)
    assert calls.put("{b}:1", b"x", tags=("doc:7",), asked=asked)
    assert calls.put("no tenant", b"x", asked=asked)
    assert not calls.put("{b}:2", b"x", tags=("doc:8",), asked=asked)
    assert not calls.put("{c}:2", b"x", asked=asked)


def test_a_forgotten_answer_does_not_take_away_a_later_one(calls: Calls, clock: Clock) -> None:
    asked = clock.now
    calls.delete(K)
    clock.now += 1
    calls.put(K, b"asked later", asked=clock.now)
    assert calls.put(K, b"on its way since before", asked=asked) is False
    assert calls.get(K) == b"asked later"


def test_put_says_what_is_not_kept(calls: Calls) -> None:
    assert calls.put(K, b"x", 60) is True
    assert calls.put(K, b"x", 0) is False


# Claims


def test_a_claim_keeps_its_value_once(calls: Calls) -> None:
    claim = calls.claim(K)
    assert claim.key == K
    assert calls.put(K, b"x", claim=claim) is True
    assert calls.get(K) == b"x"
    again = calls.claim(K)
    calls.release(again)
    calls.release(again)
    calls.release(claim)


def test_claims_of_keys_are_independent(calls: Calls) -> None:
    claims = [calls.claim(f"{{t}}:{number}") for number in range(20)]
    for claim in claims:
        calls.release(claim)


# The feed


def test_a_feed_gives_every_record_once_in_order(calls: Calls) -> None:
    assert calls.since("c") == []
    for number in range(10):
        calls.publish("c", str(number).encode())
        calls.publish("d", b"of another channel")
    first = calls.since("c", "", 4)
    assert [data for _, data in first] == [b"0", b"1", b"2", b"3"]
    rest = calls.since("c", first[-1][0], 100)
    assert [data for _, data in rest] == [str(number).encode() for number in range(4, 10)]
    assert calls.since("c", rest[-1][0]) == []
    calls.publish("c", b"later")
    assert [data for _, data in calls.since("c", rest[-1][0])] == [b"later"]


def test_records_expire(calls: Calls, clock: Clock) -> None:
    calls.publish("c", b"short", 10)
    calls.publish("c", b"long", 1_000)
    calls.publish("c", b"none", 0)
    clock.now += 20
    assert [data for _, data in calls.since("c")] == [b"long"]


def test_a_feed_of_any_bytes(calls: Calls) -> None:
    records = [b"", bytes(range(256)), os.urandom(50_000), b"x" * 50_000]
    for record in records:
        calls.publish("{a}:vectors", record, 60)
    assert [data for _, data in calls.since("{a}:vectors")] == records


# Looking through


def test_scan_shows_what_lives(store: Store, clock: Clock) -> None:
    clock.now = float(int(clock.now))
    store.put("{a}:1", b"1", 100, tags=("one", "two"))
    store.put("{a}:2", b"2")
    store.put("{a}:3", b"3", 10)
    store.put("{ab}:1", b"4", 100)
    store.publish("c", b"no entry")
    store.delete("{a}:9")
    wrote, clock.now = clock.now, clock.now + 50
    found = {entry.key: entry for entry in store.scan("{a}:")}
    assert set(found) == {"{a}:1", "{a}:2"}
    assert found["{a}:1"] == ("{a}:1", b"1", wrote + 100, ("one", "two"), wrote)
    assert found["{a}:2"].expires == float("inf")
    assert {entry.key for entry in store.scan()} == {"{a}:1", "{a}:2", "{ab}:1"}


def test_scan_goes_on_while_entries_come_and_go(store: Store) -> None:
    for number in range(1_200):
        store.put(f"{{a}}:{number}", b"x", 600)
    seen = set()
    for entry in store.scan():
        seen.add(entry.key)
        store.delete(entry.key)
        if len(seen) < 50:
            store.put(f"{{b}}:{len(seen)}", b"x", 600)
    assert {f"{{a}}:{number}" for number in range(1_200)} <= seen


def test_a_store_is_one_space(store: Store) -> None:
    assert store.space == store.space
    assert hash(store.space) is not None
    assert store.space != MemoryStore().space


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


def test_marks_last_an_hour_and_no_longer(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    for number in range(50):
        store.delete(f"{{a}}:{number}")
        clock.now += MARK_TTL / 10
    assert len(store._marks._left) <= 11
    assert not store.put("{a}:49", b"x", asked=clock.now - MARK_TTL / 2)
    store.close()


def test_the_feed_in_memory_is_bounded() -> None:
    store = MemoryStore(max_bytes=40_000)
    for number in range(1_000):
        store.publish(f"c{number % 3}", str(number).encode() + b"x" * 100)
    kept = [record for channel in ("c0", "c1", "c2") for record in store.since(channel, "", 1_000)]
    assert 20 < len(kept) < 40
    assert kept[-1][1].startswith(b"998")
    assert [data[:3] for _, data in store.since("c0", kept[0][0], 2)] != [kept[0][1][:3]]


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
