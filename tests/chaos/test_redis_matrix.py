"""Every fault x every operation x both ways to call: what comes back is right or `StoreUnavailable`, and it passes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.redis_faults import TROUBLES, Proxy
from tests.redis_server import RedisServer
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores.redis import RedisStore

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
TIMES = max(3, int(6 * SCALE))
SECRET = "a secret of enough bytes"
KEY, VALUE, CHANNEL = "{t1}:0a1b", b"an answer" * 100, "{t1}:questions"
HANG_GUARD_S = 60


class User:
    """Does what a call does with a store, the one way or the other."""

    def __init__(self, store: RedisStore, mode: str) -> None:
        self.store, self._mode = store, mode
        self._flights = 0

    async def get(self) -> object:
        return await self._call("get", KEY)

    async def put(self) -> object:
        return await self._call("put", KEY, VALUE, 60, tags=("feature:x",), asked=time.time())

    async def flight(self) -> object:
        # A new key each time: a claim whose reply was lost lasts for a lease.
        self._flights += 1
        key = f"{KEY}:{self._flights}"
        claim = await self._call("claim", key)
        kept = await self._call("put", key, VALUE, 60, asked=time.time(), claim=claim)
        again = await self._call("claim", key)
        await self._call("release", again)
        return kept

    async def feed(self) -> object:
        await self._call("publish", CHANNEL, VALUE, 60)
        records = await self._call("since", CHANNEL, "", 5)
        return all(data == VALUE for _, data in records) and len(records) > 0

    async def _call(self, name: str, *given: object, **named: object) -> Any:
        if self._mode == "sync":
            return getattr(self.store, name)(*given, **named)
        return await getattr(self.store, f"a{name}")(*given, **named)


RIGHT: dict[str, set[object]] = {"get": {None, VALUE}, "put": {True}, "flight": {True}, "feed": {True}}
"""What an operation may come to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("matrix")) as running:
        yield running


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    server.ask("FLUSHALL")
    running = Proxy(server.port)
    yield running
    running.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("operation", RIGHT)
@pytest.mark.parametrize("kind", TROUBLES)
async def test_a_fault_is_a_miss_or_unavailable_and_passes(
    server: RedisServer, proxy: Proxy, kind: str, operation: str, mode: str
) -> None:
    trouble = TROUBLES[kind]
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    user = User(store, mode)
    await _until_right(user, operation)
    trouble.start(server, proxy)
    try:
        outcomes = [await _outcome(user, operation) for _ in range(TIMES)]
    finally:
        trouble.end(server, proxy)
    assert set(outcomes) <= RIGHT[operation] | {StoreUnavailable}
    if trouble.silent:
        assert set(outcomes) == {StoreUnavailable}
    await _until_right(user, operation)
    await store.aclose()
    store.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("kind", [kind for kind, trouble in TROUBLES.items() if trouble.silent])
async def test_a_call_waits_for_a_silent_server_once(server: RedisServer, proxy: Proxy, kind: str, mode: str) -> None:
    """The first failure is the last that any command of any call waits for, until the server is back."""
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    user = User(store, mode)
    await _until_right(user, "get")
    TROUBLES[kind].start(server, proxy)
    try:
        for operation in ("get", "flight", "put", "feed"):
            with pytest.raises(StoreUnavailable) as caught:
                await getattr(user, operation)()
            assert ("not asked" in str(caught.value)) is (operation != "get")
    finally:
        TROUBLES[kind].end(server, proxy)
    await _until_right(user, "put")
    await store.aclose()
    store.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("out of memory", "it is full"),
        ("read-only replica", "it is a replica"),
        ("no scripts", "may not run this command"),
    ],
)
async def test_hits_go_on_where_only_writes_are_refused(
    server: RedisServer, proxy: Proxy, kind: str, reason: str, mode: str
) -> None:
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}", secret=SECRET)
    user = User(store, mode)
    await _until_right(user, "put")
    TROUBLES[kind].start(server, proxy)
    try:
        for _ in range(TIMES):
            with pytest.raises(StoreUnavailable, match=reason):
                await user.put()
            assert await user.get() == VALUE
    finally:
        TROUBLES[kind].end(server, proxy)
    await store.aclose()
    store.close()


async def _outcome(user: User, operation: str) -> object:
    try:
        return await getattr(user, operation)()
    except StoreUnavailable:
        return StoreUnavailable


async def _until_right(user: User, operation: str) -> None:
    give_up = time.monotonic() + HANG_GUARD_S
    wanted = {True, VALUE}
    while time.monotonic() < give_up:
        if operation == "get":
            await _outcome(user, "put")
        if await _outcome(user, operation) in wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come back")
