"""Sixteen processes spend from the same accounts, some of them are killed in the middle, and nothing is overspent."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.accounts_worker import ACCOUNTS, TTL, holds, opened
from tests.calls_worker import LEASE, LEAST, accounts, budgets
from tests.forks import Forks
from tests.redis_server import RedisServer
from thrift_plugins.stores.accounts import Hold
from thrift_plugins.types import Request

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
PROCESSES = 16 if SCALE > 1 else 6
CALLS = int(1_600 * SCALE)
LIMIT = 1_000_000_000
SPEED = 900.0
"""The clock of accounts in a file runs so much faster: an hour passes in four seconds."""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        yield stack.enter_context(RedisServer(tmp_path)).url if request.param == "redis" else str(tmp_path / "b.db")


def speed(url: str) -> float:
    """A server has the world's clock."""
    return 1.0 if url.startswith("redis") else SPEED


class Spenders(Forks):
    """Processes that begin together: `module` with the URL, calls of each, number, limit, log, and what else it wants."""

    def __init__(self, module: str, url: str, folder: Path, *more: str, calls: int, limit: int) -> None:
        self.logs = [folder / f"{number}.log" for number in range(PROCESSES)]
        numbered = enumerate(self.logs)
        super().__init__(module, [[url, str(calls), str(number), str(limit), str(log), *more] for number, log in numbered])

    def kill(self, numbers: range) -> None:
        """kill -9."""
        for number in numbers:
            self.processes[number].kill()

    def told(self) -> list[str]:
        """What they said, when all have ended."""
        return [line for process in self.processes for line in process.communicate().split()]

    def paid(self) -> list[tuple[str, str, int]]:
        """What a provider would bill: lease, window, amount."""
        rows = (line.split() for log in self.logs for line in log.read_text().splitlines() if line.count(" ") == 2)
        return [(lease, window, int(amount)) for lease, window, amount in rows]


def test_nothing_is_overspent(url: str, tmp_path: Path):
    with Spenders(
        "tests.accounts_worker", url, tmp_path, str(speed(url)), calls=CALLS // PROCESSES, limit=LIMIT
    ) as spenders:
        time.sleep(0.3)
        spenders.kill(range(PROCESSES // 4))
        assert "unavailable" not in spenders.told()
        paid = spenders.paid()
    bills = Counter[str]()
    for _, window, amount in paid:
        bills[window] += amount
    assert bills.total() <= LIMIT
    assert max(bills.values()) <= LIMIT // 5
    with closing(opened(url, speed(url))) as accounts:
        give_up = time.monotonic() + 3 * TTL
        while any(standing.held for standing in accounts.standing(holds(0, LIMIT))[:2]) and time.monotonic() < give_up:
            accounts.reap()
            time.sleep(0.05)
        orphans = accounts.reap()
        app, tenant, _ = accounts.standing(holds(0, LIMIT))
    assert app.held == tenant.held == 0, "nothing is left after the drain"
    assert bills.total() <= app.used <= LIMIT
    assert app.used - bills.total() <= PROCESSES * 5 * LIMIT // (16 * (CALLS // PROCESSES)), f"orphans: {orphans}"


def test_nothing_is_overspent_by_calls(url: str, tmp_path: Path):
    """The whole way: wrapped models, answers lost, streams left, tasks cancelled, processes killed."""
    calls = CALLS // 2
    limit = calls * 10_000  # nano-dollars; less than what those want that live
    with Spenders("tests.calls_worker", url, tmp_path, calls=calls // PROCESSES, limit=limit) as spenders:
        time.sleep(0.3)
        spenders.kill(range(PROCESSES // 4))
        told = spenders.told()
        billed = sum(int(line) for log in spenders.logs for line in log.read_text().split("\n")[:-1])
    asked = [budget for budget in budgets(limit) if budget.name == "all"]
    hold = Hold(asked[0].account(Request(id="", at=0.0, model="", messages=())), limit, "total", 0.0, 0, True, "charge")
    with closing(accounts(url)) as books:
        give_up = time.monotonic() + 3 * LEASE
        while books.standing([hold])[0].held and time.monotonic() < give_up:
            books.reap()
            time.sleep(0.05)
        [standing] = books.standing([hold])
    assert sum(map(int, told[1::2])) > 0, "they wanted more than there was"
    assert standing.held == 0, "nothing is left after the drain"
    assert billed <= standing.used <= limit
    assert limit - standing.used <= max(limit // 200, LEAST)


def test_a_budget_is_used_to_its_end(url: str):
    """Refused is only what would not fit."""
    limit, amount = 1_000_000, 777
    with closing(opened(url, 1.0)) as accounts:

        def spend(worker: int) -> None:
            for number in range(int(30 * max(1, SCALE)) + limit // amount // 8):
                lease = f"{worker}/{number}"
                if accounts.reserve(lease, holds(amount, limit)[:2], 60).granted:
                    accounts.settle(lease, [amount] * 2)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(spend, range(8)))
        assert accounts.standing(holds(0, limit))[0].used == limit // amount * amount


def test_a_herd_of_two_hundred_is_granted_one(url: str):
    with ExitStack() as stack:
        several = [stack.enter_context(closing(opened(url, 1.0))) for _ in range(8)]

        def ask(number: int) -> bool:
            return several[number % 8].reserve(f"a/{number}", holds(1000, 1000)[:2], 60).granted

        with ThreadPoolExecutor(40) as pool:
            assert sum(pool.map(ask, range(200))) == 1


def test_a_forked_child_has_connections_of_its_own(url: str):
    with closing(opened(url, 1.0)) as accounts:
        accounts.reserve("parent/1", holds(10, 1000), 60)
        child = os.fork()
        if child == 0:
            try:
                accounts.reserve("child/1", holds(20, 1000), 60)
                accounts.settle("child/1", [20] * 3)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        accounts.settle("parent/1", [10] * 3)
        assert [standing.used for standing in accounts.standing(holds(0, 1000))] == [30] * len(ACCOUNTS)
