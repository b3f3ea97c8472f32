"""Redis in every kind of trouble: a caller sees a hit, a miss or `StoreUnavailable`, and hits come back afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import RedisStore
from thrift_plugins.stores.breaker import Breaker

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
SECRET = "a secret of enough bytes"
KEY, VALUE = "{t1}:0a1b", b"an answer" * 100
HANG_GUARD_S = 20


class Proxy:
    """A TCP proxy that delays replies, or resets the connection in the middle of one."""

    def __init__(self, port: int) -> None:
        self.delay: Callable[[], float] = lambda: 0.0
        self.reset_after: int | None = None
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(near)
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._sockets.append(far)
            for work in (self._forward, self._reply):
                self._threads.append(threading.Thread(target=work, args=(near, far)))
                self._threads[-1].start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _reply(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                time.sleep(self.delay())
                if self.reset_after is None:
                    near.sendall(data)
                    continue
                near.sendall(data[: self.reset_after])
                # No lingering: the close is a reset.
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                near.shutdown(socket.SHUT_RD)
                near.close()
                return


class Trouble:
    """One kind of it: how it starts and ends."""

    def __init__(self, start: Callable[[RedisServer, Proxy], None], end: Callable[[RedisServer, Proxy], None]) -> None:
        self.start, self.end = start, end


def _refuse(server: RedisServer, _proxy: Proxy) -> None:
    server.kill()


def _restart(server: RedisServer, _proxy: Proxy) -> None:
    server.start()


def _make_loading(server: RedisServer, _proxy: Proxy) -> None:
    for number in range(1_500):
        server.ask("SET", f"filler{number}", "x")
    server.ask("SAVE")
    server.kill()
    server.start("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    assert b"LOADING" in server.ask("GET", "x")


def _done_loading(server: RedisServer, _proxy: Proxy) -> None:
    server.kill()
    server.start()


def _fill_memory(server: RedisServer, _proxy: Proxy) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", "1")


def _wrong_type(server: RedisServer, _proxy: Proxy) -> None:
    server.ask("DEL", f"tp1:{KEY}")
    server.ask("RPUSH", f"tp1:{KEY}", "theirs")


def _set(name: str, value: object) -> Callable[[RedisServer, Proxy], None]:
    return lambda _server, proxy: setattr(proxy, name, value)


def _ask(*words: str) -> Callable[[RedisServer, Proxy], None]:
    def ask(server: RedisServer, _proxy: Proxy) -> None:
        server.ask(*words)

    return ask


TROUBLES = {
    "refused": Trouble(_refuse, _restart),
    "frozen": Trouble(lambda server, _: server.freeze(), lambda server, _: server.thaw()),
    "reset mid-reply": Trouble(_set("reset_after", 3), _set("reset_after", None)),
    "reset before a reply": Trouble(_set("reset_after", 0), _set("reset_after", None)),
    "slow": Trouble(_set("delay", lambda: 0.2), _set("delay", lambda: 0.0)),
    "out of memory": Trouble(_fill_memory, _ask("CONFIG", "SET", "maxmemory", "0")),
    "read-only replica": Trouble(_ask("REPLICAOF", "127.0.0.1", "1"), _ask("REPLICAOF", "NO", "ONE")),
    "loading": Trouble(_make_loading, _done_loading),
    "wrong type": Trouble(_wrong_type, _ask("PING")),
}

ON_THE_WIRE = {"reset mid-reply", "reset before a reply", "slow"}
SILENT = {"refused", "frozen", "loading"} | ON_THE_WIRE


class Users:
    """Gets and puts of one store, synchronous or from many tasks of one loop."""

    def __init__(self, store: RedisStore, runner: asyncio.Runner | None) -> None:
        self._store, self._runner = store, runner
        self.refused = 0

    def use(self, operation: str, times: int) -> list[bytes | None]:
        """What came back; `refused` counts the rest. Any other exception fails the test."""
        if self._runner is not None:
            return self._runner.run(asyncio.wait_for(self._all(operation, times), HANG_GUARD_S))
        answers: list[bytes | None] = []
        for _ in range(times):
            try:
                if operation == "get":
                    answers.append(self._store.get(KEY))
                else:
                    self._store.put(KEY, VALUE)
                    answers.append(None)
            except StoreUnavailable:
                self.refused += 1
        return answers

    async def _all(self, operation: str, times: int) -> list[bytes | None]:
        store = self._store
        calls = [store.aget(KEY) if operation == "get" else store.aput(KEY, VALUE) for _ in range(times)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        others = [each for each in outcomes if isinstance(each, BaseException) and type(each) is not StoreUnavailable]
        assert others == []
        self.refused += sum(isinstance(each, StoreUnavailable) for each in outcomes)
        return [each for each in outcomes if not isinstance(each, BaseException)]

    def until_hit(self) -> None:
        give_up = time.monotonic() + HANG_GUARD_S
        while time.monotonic() < give_up:
            self.use("put", 1)
            if self.use("get", 1) == [VALUE]:
                return
            time.sleep(0.01)
        raise AssertionError("hits do not come back")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    running = Proxy(server.port)
    yield running
    running.close()


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def users_of(port: int, mode: str, *, password: str = "") -> Iterator[Users]:
    login = f":{password}@" if password else ""
    store = RedisStore(f"redis://{login}127.0.0.1:{port}", secret=SECRET)
    store._breaker = Breaker(cooldown=0.05)
    if mode == "sync":
        yield Users(store, None)
    else:
        with asyncio.Runner() as runner:
            yield Users(store, runner)
    store.close()


@pytest.mark.parametrize("operation", ["get", "put"])
@pytest.mark.parametrize("kind", TROUBLES)
def test_trouble_is_a_miss_or_unavailable_and_passes(
    server: RedisServer, proxy: Proxy, kind: str, operation: str, mode: str
) -> None:
    trouble = TROUBLES[kind]
    with users_of(proxy.port if kind in ON_THE_WIRE else server.port, mode) as users:
        users.until_hit()
        trouble.start(server, proxy)
        answers = users.use(operation, 12)
        assert set(answers) <= {None, VALUE}
        assert len(answers) + users.refused >= 12
        if kind in SILENT:
            assert answers == []
        trouble.end(server, proxy)
        users.until_hit()


@pytest.mark.parametrize("kind", ["out of memory", "read-only replica"])
def test_hits_go_on_where_only_writes_are_refused(server: RedisServer, proxy: Proxy, kind: str, mode: str) -> None:
    with users_of(server.port, mode) as users:
        users.until_hit()
        refused_before = users.refused
        TROUBLES[kind].start(server, proxy)
        assert users.use("put", 8) == []
        assert users.refused - refused_before == 8
        assert users.use("get", 8) == [VALUE] * 8


@pytest.mark.parametrize("operation", ["get", "put"])
@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password(server: RedisServer, operation: str, password: str, mode: str) -> None:
    server.ask("CONFIG", "SET", "requirepass", "right")
    with users_of(server.port, mode, password=password) as users:
        assert users.use(operation, 8) == []
        assert users.refused == 8
    with users_of(server.port, mode, password="right") as users:
        users.until_hit()


@pytest.mark.parametrize("operation", ["get", "put"])
def test_kill_9_under_load(server: RedisServer, operation: str, mode: str) -> None:
    with users_of(server.port, mode) as users:
        users.until_hit()
        killer = threading.Timer(0.05, server.kill)
        killer.start()
        answers = users.use(operation, 1_500)
        killer.join()
        answers += users.use(operation, 5)
        assert set(answers) <= {None, VALUE}
        assert users.refused >= 5
        server.start()
        users.until_hit()


def test_the_breaker_spares_a_dead_server(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore(server.url, secret=SECRET)
    tried = 0

    def silent(_key: str) -> bytes:
        nonlocal tried
        tried += 1
        raise TimeoutError

    now = 0.0
    store._breaker = Breaker(clock=lambda: now)
    monkeypatch.setattr(store._client, "get", silent)
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            store.get(KEY)
    assert tried == 3
    now = 1.0
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            store.get(KEY)
    assert tried == 4, "one try after the cooldown"
    store.close()


def test_a_busy_event_loop_is_no_outage(server: RedisServer) -> None:
    store = RedisStore(server.url, secret=SECRET)

    async def stalled() -> bytes | None:
        await store.aput(KEY, VALUE)
        for _ in range(2):
            calls = [asyncio.create_task(store.aget(KEY)) for _ in range(16)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.2)  # noqa: ASYNC251 - holding up the loop is the point
            await asyncio.gather(*calls, return_exceptions=True)
        assert not store._breaker.is_open
        return await store.aget(KEY)

    assert asyncio.run(stalled()) == VALUE
    store.close()


def test_a_cancelled_call_never_gives_its_reply_to_another(server: RedisServer, proxy: Proxy) -> None:
    """Calls are cancelled while their replies are on the way; every reply that arrives must be the caller's own."""
    chance = random.Random(3)
    proxy.delay = lambda: chance.random() * 0.004
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}", secret=SECRET, timeout=5)
    counts = {"own": 0, "foreign": 0, "cancelled": 0, "refused": 0}

    async def one(number: int) -> None:
        try:
            async with asyncio.timeout(chance.random() * 0.03):
                value = await store.aget(f"k{number % 50}")
        except TimeoutError:
            counts["cancelled"] += 1
        except StoreUnavailable:
            counts["refused"] += 1
        else:
            counts["own" if value == str(number % 50).encode() else "foreign"] += 1

    async def storm() -> None:
        for number in range(50):
            await store.aput(f"k{number}", str(number).encode())
        for start in range(0, int(800 * SCALE), 80):
            await asyncio.gather(*(one(number) for number in range(start, start + 80)))
        assert await store.aget("k1") == b"1"

    asyncio.run(asyncio.wait_for(storm(), HANG_GUARD_S * max(1, SCALE)))
    store.close()
    assert counts["foreign"] == 0
    assert counts["refused"] == 0
    assert store.damaged == 0
    assert min(counts["own"], counts["cancelled"]) > 0


def test_cancellation_passes_through(server: RedisServer) -> None:
    store = RedisStore(server.url, secret=SECRET, timeout=5)

    async def cancel() -> None:
        await store.aput(KEY, VALUE)
        server.freeze()
        call = asyncio.create_task(store.aget(KEY))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.thaw()
        assert await store.aget(KEY) == VALUE

    asyncio.run(cancel())
    store.close()
