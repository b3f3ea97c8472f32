"""A Redis store under load, from many tasks and threads, and what no single fault of the matrix shows."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_faults import Proxy
from tests.redis_server import RedisServer
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import RedisStore

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
SECRET = "a secret of enough bytes"
KEY, VALUE = "{t1}:0a1b", b"an answer" * 100
HANG_GUARD_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    running = Proxy(server.port)
    yield running
    running.close()


def until_hit(store: RedisStore) -> None:
    give_up = time.monotonic() + HANG_GUARD_S
    while time.monotonic() < give_up:
        try:
            store.put(KEY, VALUE)
            if store.get(KEY) == VALUE:
                return
        except StoreUnavailable:
            time.sleep(0.01)
    raise AssertionError("hits do not come back")


def outcomes(store: RedisStore, operation: str, times: int) -> list[object]:
    """What came of some calls, one after the other; any error but `StoreUnavailable` goes through."""
    found: list[object] = []
    for _ in range(times):
        try:
            found.append(store.get(KEY) if operation == "get" else store.put(KEY, VALUE))
        except StoreUnavailable as error:
            found.append(error)
    return found


async def aoutcomes(store: RedisStore, operation: str, times: int) -> list[object]:
    """The same, all at once."""
    calls = [store.aget(KEY) if operation == "get" else store.aput(KEY, VALUE) for _ in range(times)]
    found: list[object] = list(await asyncio.gather(*calls, return_exceptions=True))
    await store.aclose()
    return found


def refused(found: list[object]) -> int:
    assert {type(each) for each in found if isinstance(each, BaseException)} <= {StoreUnavailable}
    assert {each for each in found if not isinstance(each, BaseException)} <= {None, True, VALUE}
    return sum(isinstance(each, StoreUnavailable) for each in found)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("operation", ["get", "put"])
def test_kill_9_under_load(server: RedisServer, operation: str, mode: str) -> None:
    store = RedisStore(server.url, secret=SECRET)
    until_hit(store)
    killer = threading.Timer(0.03, server.kill)
    killer.start()
    if mode == "sync":
        found = outcomes(store, operation, 1_500)
    else:
        found = asyncio.run(asyncio.wait_for(aoutcomes(store, operation, 1_500), HANG_GUARD_S))
    refused(found)
    killer.join()
    assert refused(outcomes(store, operation, 5)) == 5
    server.start()
    until_hit(store)
    store.close()


def test_threads_in_an_outage(server: RedisServer) -> None:
    store = RedisStore(server.url, secret=SECRET)
    until_hit(store)
    server.freeze()
    found: list[list[object]] = []
    threads = [threading.Thread(target=lambda: found.append(outcomes(store, "get", 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.thaw()
    assert sum(refused(each) for each in found) == 400
    waited = [error for each in found for error in each if "not asked" not in str(error)]
    assert 1 <= len(waited) <= 8, "each thread waits once at most"
    until_hit(store)
    store.close()


def test_a_server_that_is_loading(server: RedisServer) -> None:
    for number in range(300):
        server.ask("SET", f"filler{number}", "x")
    server.ask("SAVE")
    store = RedisStore(server.url, secret=SECRET)
    until_hit(store)
    server.kill()
    server.start("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    assert b"LOADING" in server.ask("GET", "x")
    assert refused(outcomes(store, "get", 3)) == 3
    until_hit(store)
    store.close()


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_wrong_password(server: RedisServer, password: str) -> None:
    server.ask("CONFIG", "SET", "requirepass", "right")
    store = RedisStore(f"redis://:{password}@127.0.0.1:{server.port}", secret=SECRET)
    assert refused(outcomes(store, "get", 4)) == 4
    assert refused(asyncio.run(aoutcomes(store, "put", 4))) == 4
    store.close()
    store = RedisStore(f"redis://:right@127.0.0.1:{server.port}", secret=SECRET)
    until_hit(store)
    store.close()


def test_a_connection_that_was_closed_meanwhile_costs_no_answer(server: RedisServer) -> None:
    store = RedisStore(server.url, secret=SECRET)
    until_hit(store)
    for _ in range(20):
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert store.get(KEY) == VALUE
    store.close()


def test_a_client_pinned_to_resp3_works(server: RedisServer) -> None:
    store = RedisStore(f"{server.url}?protocol=3", secret=SECRET, timeout=5)
    claim = store.claim(KEY)
    assert claim is not None
    assert store.put(KEY, VALUE, 60, tags=("a",), asked=time.time(), claim=claim)
    assert [entry.key for entry in store.scan()] == [KEY]
    store.publish("{t1}:x", b"1")
    assert [data for _, data in store.since("{t1}:x", "", 5)] == [b"1"]
    assert store.forget("a") == 1
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
        assert not any(outage.lasts for outage in store._outages.values())
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
