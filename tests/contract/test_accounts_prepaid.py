"""Budgets over all tenants on a cluster: paid for several calls ahead, never overspent, and given back where not used."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count

import pytest

from tests.redis_sets import ClusterSet, until
from thrift_plugins.stores import RedisAccounts
from thrift_plugins.stores.accounts import Hold, Standing
from thrift_plugins.stores.accounts_prepaid import LIFE_S, Prepaid

LIMIT = 1_000_000
BOOK = "tp1~b:{-}"


def holds(amount: int, tenant: str = "t", limit: int = LIMIT) -> list[Hold]:
    """A tenant's day, and the app's day and month."""
    return [
        Hold(f"{{{tenant}}}:b:day", limit, "day", 0.0, amount, True, "charge"),
        Hold("{-}:b:day", limit, "day", 0.0, amount, True, "charge"),
        Hold("{-}:b:month", 2 * limit, "month", 0.0, amount, True, "charge"),
    ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSet]:
    with ClusterSet(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(autouse=True)
def empty(cluster: ClusterSet) -> None:
    for master in cluster.masters:
        master.ask("FLUSHALL")
        master.ask("CONFIG", "RESETSTAT")


@pytest.fixture
def accounts(cluster: ClusterSet) -> Iterator[RedisAccounts]:
    with closing(RedisAccounts(cluster.url, timeout=5)) as made:
        yield made


def stand(accounts: RedisAccounts, tenant: str = "t") -> list[tuple[int, int]]:
    """Used and held."""
    return [(standing.used, standing.held) for standing in accounts.standing(holds(0, tenant))]


def asked(cluster: ClusterSet) -> int:
    """Scripts that the server of the common book has run."""
    found = re.search(rb"cmdstat_evalsha:calls=(\d+)", cluster.owner(BOOK).ask("INFO", "commandstats"))
    return int(found[1]) if found else 0


def other_slot(cluster: ClusterSet) -> str:
    """A tenant on another server than the common book."""
    names = (f"t{number}" for number in count())
    return next(name for name in names if cluster.owner(f"tp1~b:{{{name}}}") is not cluster.owner(BOOK))


def test_most_calls_ask_one_server(cluster: ClusterSet, accounts: RedisAccounts) -> None:
    tenant = other_slot(cluster)
    for number in range(100):
        assert accounts.reserve(f"a/{number}", holds(10, tenant), 60).granted
        accounts.settle(f"a/{number}", [7] * 3)
    assert asked(cluster) < 40, "of 200 that two round trips a call would be"
    accounts.end_advances()
    assert stand(accounts, tenant) == [(700, 0)] * 3


def test_nothing_is_overspent_and_all_of_it_is_usable(cluster: ClusterSet) -> None:
    several = [RedisAccounts(cluster.url, timeout=5) for _ in range(4)]

    def spend(seed: int) -> int:
        chance, total, own = random.Random(seed), 0, several[seed % 4]
        for number in range(120):
            cost = chance.randint(1, LIMIT // 400)
            lease = f"{seed}/{number}"
            if own.reserve(lease, holds(cost, f"t{seed % 3}", LIMIT), 60).granted:
                total += cost
                own.settle(lease, [cost] * 3)
        return total

    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(spend, range(8)))
    for own in several:
        own.end_advances()
    own = several[0]
    for number in range(40):  # what a moment ago was in the hands of others
        if own.reserve(f"last/{number}", holds(LIMIT // 400), 60).granted:
            total += LIMIT // 400
            own.settle(f"last/{number}", [LIMIT // 400] * 3)
        own.end_advances()
    _, day, month = stand(own)
    assert total == day[0] == month[0] <= LIMIT
    assert total >= 0.995 * LIMIT
    assert day[1] == month[1] == 0
    for each in several:
        each.close()


def test_what_nobody_takes_goes_back(accounts: RedisAccounts) -> None:
    for number in range(2):
        accounts.reserve(f"a/{number}", holds(10), 60)
        accounts.settle(f"a/{number}", [4] * 3)
    assert stand(accounts)[1][1] > 0, "paid ahead"
    until(lambda: stand(accounts) == [(8, 0)] * 3)


def test_a_long_call_keeps_what_it_needs_and_no_more(accounts: RedisAccounts) -> None:
    for number in range(3):
        accounts.reserve(f"a/{number}", holds(10), 60)
    accounts.settle("a/1", [4] * 3)
    until(lambda: stand(accounts)[1] == (0, 4 + 10 + 10))
    assert accounts.renew("a/2", 60)
    for number in (0, 2):
        accounts.settle(f"a/{number}", [12] * 3)
    until(lambda: stand(accounts) == [(28, 0)] * 3)


def test_a_process_that_dies_is_charged_what_it_had_paid_ahead(cluster: ClusterSet) -> None:
    dead = RedisAccounts(cluster.url, timeout=5)
    dead.tend = lambda: None  # type: ignore[method-assign]
    for number in range(2):
        dead.reserve(f"a/{number}", holds(10), 0.0)
    dead._steps.prepaid.renew()
    with closing(RedisAccounts(cluster.url, timeout=5)) as accounts:
        until(lambda: accounts.reap() is not None and stand(accounts)[1][1] == 0)
        used = stand(accounts)[1][0]
    assert 20 <= used <= 10 + 16 * 10
    dead.close()


def test_a_call_that_is_refused_gives_back_what_it_has_taken(accounts: RedisAccounts) -> None:
    for number in range(3):
        accounts.reserve(f"a/{number}", holds(10), 60)
    refused = accounts.reserve("b/0", [*holds(10, limit=LIMIT)[1:], holds(10, "poor", 5)[0]], 60)
    assert (refused.granted, refused.refused) == (False, 2)
    for number in range(3):
        accounts.settle(f"a/{number}", [1] * 3)
    accounts.end_advances()
    assert stand(accounts) == [(3, 0)] * 3


def test_a_call_is_reserved_and_settled_once(accounts: RedisAccounts) -> None:
    for _ in range(3):
        for number in range(3):
            assert accounts.reserve(f"a/{number}", holds(10), 60).granted
    for _ in range(3):
        for number in range(3):
            accounts.settle(f"a/{number}", [5] * 3)
    accounts.end_advances()
    assert stand(accounts) == [(15, 0)] * 3


def test_a_forked_child_pays_for_itself(accounts: RedisAccounts) -> None:
    for number in range(2):
        accounts.reserve(f"a/{number}", holds(10), 60)
    child = os.fork()
    if child == 0:
        try:
            for number in range(2):
                accounts.reserve(f"child/{number}", holds(20), 60)
                accounts.settle(f"child/{number}", [20] * 3)
            accounts.end_advances()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for number in range(2):
        accounts.settle(f"a/{number}", [10] * 3)
    accounts.end_advances()
    assert stand(accounts) == [(60, 0)] * 3


async def test_asynchronously(cluster: ClusterSet) -> None:
    accounts = RedisAccounts(cluster.url, timeout=5)

    async def call(number: int) -> None:
        assert (await accounts.areserve(f"a/{number}", holds(10), 60)).granted
        await asyncio.sleep(0)
        await accounts.asettle(f"a/{number}", [6] * 3)

    await call(0)
    await asyncio.gather(*map(call, range(1, 40)))
    await accounts.aclose()
    assert stand(accounts) == [(240, 0)] * 3
    accounts.close()


def test_windows_that_are_not_paid_ahead() -> None:
    day = holds(1)[1]
    assert Prepaid.serves([day])
    assert not Prepaid.serves([day, day._replace(rolling=60.0)])
    assert not Prepaid.serves([day._replace(window="run")])


def test_nobody_takes_from_yesterdays() -> None:
    prepaid, [_, *common] = Prepaid(), holds(10)
    stood = [Standing(hold.account, hold.limit, 0, 100, 1000.5) for hold in common]
    prepaid.opened("a/0", "a/0/ahead", common, [100, 100], stood, 1000.0)
    assert prepaid.take("a/1", common, 1000.4) is not None
    assert prepaid.take("a/2", common, 1000.5) is None
    assert LIFE_S > 0.5
