"""Trouble with the server that has the accounts: no call is granted twice, charged twice, or left reserved."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as AsyncRedis

from tests.redis_faults import TROUBLES, Proxy
from tests.redis_server import RedisServer
from tests.redis_sets import SentinelSet, until
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import RedisAccounts, SQLiteAccounts
from thrift_plugins.stores.accounts import Grant, Hold

HOLDS = [Hold("{t}:b:a", 100, "day", 0.0, 10, True, "charge"), Hold("{-}:b:b", 1000, "total", 0.0, 10, True, "charge")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def held(accounts: RedisAccounts) -> tuple[int, int]:
    """Held and used, as soon as the server can be asked."""
    found: list[tuple[int, int]] = []

    def asked() -> bool:
        with suppress(StoreUnavailable):
            standing = accounts.standing(HOLDS)[0]
            found.append((standing.held, standing.used))
        return bool(found)

    until(asked)
    return found[-1]


def reserved(accounts: RedisAccounts, lease: str) -> None:
    """As soon as the server can be asked."""

    def asked() -> bool:
        with suppress(StoreUnavailable):
            return accounts.reserve(lease, HOLDS, 60).granted
        return False

    until(asked)


@pytest.mark.parametrize("name", TROUBLES)
def test_every_trouble_is_an_outage_and_leaves_nothing(server: RedisServer, name: str):
    trouble, proxy = TROUBLES[name], Proxy(server.port)
    try:
        with closing(RedisAccounts(f"redis://127.0.0.1:{proxy.port}/0", timeout=0.05)) as accounts:
            reserved(accounts, "before/1")
            trouble.start(server, proxy)
            for number in range(3):
                with suppress(StoreUnavailable):
                    accounts.reserve(f"during/{number}", HOLDS, 60)
                    accounts.settle(f"during/{number}", [0, 0])
            with suppress(StoreUnavailable):
                accounts.settle("before/1", [4, 4])
            trouble.end(server, proxy)
            reserved(accounts, "after/1")
            with suppress(StoreUnavailable):
                accounts.settle("after/1", [1, 1])
            until(lambda: held(accounts)[0] == 0)
            assert held(accounts)[1] == 5, "charged once; also where the server has lost the lease"
    finally:
        proxy.close()


def test_a_frozen_server_takes_its_reservation_back(server: RedisServer):
    with closing(RedisAccounts(server.url)) as accounts:
        accounts.standing(HOLDS)
        server.freeze()
        with pytest.raises(StoreUnavailable):
            accounts.reserve("frozen/1", HOLDS, 600)
        server.thaw()
        reserved(accounts, "after/1")
        accounts.settle("after/1", [0, 0])
        until(lambda: held(accounts) == (0, 0))
        assert accounts.reserve("frozen/1", HOLDS, 600).granted is False, "it came too late, if it came"


async def test_a_cancelled_reservation_is_taken_back(server: RedisServer):
    accounts = RedisAccounts(server.url, timeout=5)
    await accounts.astanding(HOLDS)
    tasks = [asyncio.create_task(accounts.areserve(f"a/{number}", HOLDS, 600)) for number in range(5)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Grant):  # the driver swallows a cancellation while it connects
            await accounts.asettle(ended.lease, [0, 0])
    await accounts.areap()
    assert (await accounts.astanding(HOLDS))[0].held == 0
    await accounts.aclose()
    accounts.close()


class Cancelled(AsyncRedis):
    """A client whose calls are cancelled on their way, when it is told so."""

    now = False

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        if self.now:
            raise asyncio.CancelledError
        return await super().execute_command(*words, **options)


async def test_a_cancelled_reservation_that_comes_late_finds_itself_taken_back(server: RedisServer):
    """Whoever is cancelled while it reserves gives back at once what may not have come yet."""
    client = Cancelled(port=server.port)
    accounts = RedisAccounts(server.url, timeout=5, async_client=client)
    await accounts.astanding(HOLDS)
    client.now = True
    with pytest.raises(asyncio.CancelledError):
        await accounts.areserve("a/1", HOLDS, 600)
    client.now = False
    await accounts.asettle("a/1", [0, 0])
    with closing(RedisAccounts(server.url, timeout=5)) as late:
        assert not late.reserve("a/1", HOLDS, 600).granted
    assert (await accounts.astanding(HOLDS))[0].held == 0
    await client.aclose()
    accounts.close()


async def test_a_reservation_that_is_cancelled_while_a_file_is_busy_is_given_back(tmp_path: Path):
    accounts = SQLiteAccounts(tmp_path / "b.db")
    with closing(sqlite3.connect(tmp_path / "b.db", isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(accounts.areserve("a/1", HOLDS, 600))
        await asyncio.sleep(0.05)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        busy.execute("COMMIT")
    with pytest.raises(asyncio.CancelledError):
        await task
    await accounts.asettle("a/1", [0, 0])
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [(standing.used, standing.held) for standing in await accounts.astanding(HOLDS)] == [(0, 0), (0, 0)]
    accounts.close()


def test_a_failover_that_loses_a_lease_does_not_lose_the_charge(tmp_path: Path):
    with SentinelSet(tmp_path) as servers, closing(RedisAccounts(servers.url, timeout=1)) as accounts:
        reserved(accounts, "lost/1")
        servers.master.kill()
        until(lambda: b"role:master" in servers.replica.ask("INFO", "replication"))
        until(lambda: servers.replica.ask("FLUSHALL") == b"+OK\r\n")  # as if the last writes had not come so far
        with suppress(StoreUnavailable):
            accounts.settle("lost/1", [7, 7])
        until(lambda: held(accounts) == (0, 7))


def test_a_full_server_is_not_told_to_forget_what_was_spent(server: RedisServer):
    with closing(RedisAccounts(server.url, timeout=5)) as accounts:
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.ask("CONFIG", "SET", "maxmemory", "1kb")
        with pytest.raises(StoreUnavailable, match="volatile-lru"):
            accounts.reserve("full/1", HOLDS, 60)
        server.ask("CONFIG", "SET", "maxmemory", "0")
        assert accounts.reserve("full/2", HOLDS, 60).granted


def test_a_server_that_evicts_is_warned_of(server: RedisServer, caplog: pytest.LogCaptureFixture):
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with closing(RedisAccounts(server.url, timeout=5)) as accounts, caplog.at_level(logging.WARNING, "thrift_plugins"):
        accounts.reserve("a/1", HOLDS, 60)
        accounts.reserve("a/2", HOLDS, 60)
        assert [record.message.count("noeviction") for record in caplog.records] == [1]
        server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        assert accounts.risk() == "", "accounts have no expiry, and so nothing of theirs is volatile"
