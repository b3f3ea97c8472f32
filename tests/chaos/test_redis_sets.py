"""A cluster whose slots move and whose master dies, a Sentinel's failover, a connection with TLS: all on real servers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from tests.redis_sets import ClusterSet, SentinelSet, TLSServer, node_id, until
from thrift_plugins.cli.checks import State
from thrift_plugins.cli.checks.storage import store as examine
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.stores import RedisStore, open_store

SECRET = "a secret of enough bytes"
KEYS = [f"{{t{number}}}:a" for number in range(60)]


class Calls:
    """A store's methods, called the one way or the other."""

    def __init__(self, store: RedisStore, mode: str) -> None:
        self.store, self._runner = store, asyncio.Runner() if mode == "async" else None

    def __getattr__(self, name: str) -> Any:
        if self._runner is None:
            return getattr(self.store, name)
        runner = self._runner
        return lambda *given, **named: runner.run(getattr(self.store, f"a{name}")(*given, **named))

    def until_kept(self, key: str, value: bytes) -> None:
        until(lambda: self._kept(key, value))

    def _kept(self, key: str, value: bytes) -> bool:
        try:
            return bool(self.put(key, value, 60, asked=time.time())) and self.get(key) == value
        except StoreUnavailable:
            return False

    def end(self) -> None:
        if self._runner is not None:
            self._runner.run(self.store.aclose())
            self._runner.close()
        self.store.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSet]:
    with ClusterSet(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def calls(cluster: ClusterSet, mode: str) -> Iterator[Calls]:
    made = Calls(RedisStore(cluster.url, secret=SECRET, timeout=5), mode)
    made.clear()
    yield made
    made.end()


def test_everything_on_a_cluster(calls: Calls) -> None:
    before = time.time()
    assert all(calls.put(key, key.encode(), 60, tags=("doc:1",), asked=time.time()) for key in KEYS)
    assert [calls.get(key) for key in KEYS] == [key.encode() for key in KEYS]
    assert sorted(entry.key for entry in calls.store.scan()) == sorted(KEYS)
    claim = calls.claim(KEYS[0])
    assert calls.claim(KEYS[0]) is None
    assert calls.put(KEYS[0], b"new", 60, claim=claim)
    calls.publish("{t1}:questions", b"record", 60)
    assert [data for _, data in calls.since("{t1}:questions", "", 5)] == [b"record"]
    assert calls.forget("doc:1", "{t1}:") == 1
    assert calls.forget("doc:1") == len(KEYS) - 2, "one was forgotten, one was put again without the tag"
    assert not calls.put("{another}:a", b"late", 60, tags=("doc:1",), asked=before)
    assert calls.get("{another}:a") is None
    calls.clear()
    assert not calls.put("{another}:a", b"late", 60, asked=before)
    assert list(calls.store.scan()) == []


def test_slots_that_move(cluster: ClusterSet, calls: Calls) -> None:
    """Reads and writes while a slot is half here and half there, and after it has gone."""
    name = f"tp1:{KEYS[0]}"
    slot, source = str(key_slot(name.encode())), cluster.owner(name)
    target = next(master for master in cluster.masters if master is not source)
    calls.put(KEYS[0], b"value", 60)
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    assert calls.get(KEYS[0]) == b"value", "still at the source"
    source.ask("MIGRATE", "127.0.0.1", str(target.port), name, "0", "1000")
    assert calls.get(KEYS[0]) == b"value", "ASK"
    assert calls.put(KEYS[0], b"other", 60), "ASK"
    for master in cluster.masters:
        master.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id(target))
    assert calls.get(KEYS[0]) == b"other", "MOVED"
    for master in (source, target, *cluster.masters):  # and back, for the next test
        source.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(target))
        master.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id(source))
    assert calls.get(KEYS[0]) is None, "MOVED again, without its key"


def test_only_the_silent_part_of_a_cluster_is_left_alone(cluster: ClusterSet, mode: str) -> None:
    calls = Calls(RedisStore(cluster.url, secret=SECRET), mode)
    silent = cluster.masters[2]
    for key in KEYS:
        calls.until_kept(key, b"x")
    silent.freeze()
    try:
        for key in KEYS:
            if key_slot(f"tp1:{key}".encode()) // 1024 == 10923 // 1024:
                continue  # a sixteenth of the slots stands or falls together, and this one is two masters'
            if cluster.owner(f"tp1:{key}") is not silent:
                calls.until_kept(key, b"y")
            else:
                with pytest.raises(StoreUnavailable):
                    calls.get(key)
    finally:
        silent.thaw()
    until(lambda: all(b"cluster_state:ok" in master.ask("CLUSTER", "INFO") for master in cluster.masters))
    for key in KEYS:
        calls.until_kept(key, b"z")
    calls.end()


def test_a_replica_takes_over(tmp_path: Path, mode: str) -> None:
    with ClusterSet(tmp_path) as cluster:
        key = next(key for key in KEYS if cluster.owner(f"tp1:{key}") is cluster.masters[0])
        calls = Calls(RedisStore(cluster.url, secret=SECRET), mode)
        calls.until_kept(key, b"before")
        cluster.masters[0].kill()
        with pytest.raises(StoreUnavailable):
            calls.get(key)
        calls.until_kept(key, b"after")
        calls.end()


def test_a_plain_url_of_a_cluster_is_refused_with_the_way_out(cluster: ClusterSet) -> None:
    store = RedisStore(f"redis://127.0.0.1:{cluster.masters[0].port}", secret=SECRET, timeout=5)
    with pytest.raises(StoreUnavailable, match=r"redis\+cluster://"):
        list(map(store.get, KEYS))
    store.close()


def test_a_sentinel_names_the_master_and_the_next(tmp_path: Path, mode: str) -> None:
    with SentinelSet(tmp_path) as servers:
        calls = Calls(RedisStore(servers.url, secret=SECRET), mode)
        calls.until_kept(KEYS[0], b"before")
        servers.master.kill()
        with pytest.raises(StoreUnavailable):
            calls.get(KEYS[0])
        calls.until_kept(KEYS[0], b"after")
        assert b"role:master" in servers.replica.ask("INFO", "replication")
        calls.end()


def test_the_doctor_asks_every_server(cluster: ClusterSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRIFT_SECRET", SECRET)
    cluster.masters[0].ask("CONFIG", "SET", "maxmemory", "64mb", "maxmemory-policy", "noeviction")
    cluster.masters[1].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    found = [(finding.name, finding.what, finding.state) for finding in examine(Config(store=cluster.url))]
    cluster.masters[0].ask("CONFIG", "SET", "maxmemory", "0")
    cluster.masters[1].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert [name for name, _, _ in found] == ["write and read", "server", "memory", "memory", "memory"]
    assert sorted(state for name, _, state in found if name == "memory") == [State.note, State.ok, State.ok]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")
def test_tls(tmp_path: Path, mode: str) -> None:
    server = TLSServer(tmp_path)
    with ExitStack() as running:
        try:
            running.enter_context(server)
        except RuntimeError:
            pytest.skip("this server is built without TLS")
        with socket.create_connection(("127.0.0.1", server.port)):
            pass
        calls = Calls(RedisStore(server.url, secret=SECRET, timeout=5), mode)
        calls.until_kept(KEYS[0], b"x" * 100_000)
        calls.end()
        stranger = Calls(RedisStore(f"rediss://127.0.0.1:{server.tls_port}/0", secret=SECRET, timeout=5), mode)
        with pytest.raises(StoreUnavailable):
            stranger.get(KEYS[0])
        stranger.end()


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://127.0.0.1:1,localhost:2",
        "valkey+cluster://u:p@127.0.0.1",
        "rediss+cluster://[::1]:1?ssl_cert_reqs=none",
        "redis+sentinel://127.0.0.1,127.0.0.1:3/mymaster/2?sentinel_password=hunter2",
    ],
)
def test_urls_of_several_servers(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRIFT_SECRET", SECRET)
    store = open_store(url)
    assert type(store) is RedisStore
    assert "hunter2" not in repr(store)
    assert store.space == open_store(url).space
    store.close()


@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:1", "redis+cluster://", "redis+cluster://u:hunter2@:x"])
def test_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisStore(url, secret=SECRET)
    assert "hunter2" not in str(caught.value)
