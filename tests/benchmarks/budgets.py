"""What a budget costs a call, and what it lets through: `python -m tests.benchmarks.budgets [--json FILE]`.

Times are over one GET of redis-py's. The peers keep their books as the field does: read, then add after the call; and
add up in the process, with a flush now and then.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

from redis import Redis

from tests.benchmarks.harness import arguments, interleaved, report
from tests.redis_server import RedisServer
from thrift_plugins.stores import RedisAccounts, SQLiteAccounts
from thrift_plugins.stores.accounts import Accounts, Hold

TARGETS = {
    "reserve_settle_x_get": 2.7,
    "reserve_settle_x_get_sqlite": 1.0,
    "herd_paid": 1,
    "overspend_nano": 0,
    "leases_left": 0,
}
LIMIT = 1_000_000_000
MOST = 4_000_000
THREADS = 16
FLUSH_EVERY = 20


def holds(amount: int, limit: int = 2**50) -> list[Hold]:
    """Of three scopes."""
    return [
        Hold(f"{{0123456789abcdef}}:b:{name}", limit, "day", 0.0, amount, True, "charge")
        for name in ("app", "tenant", "user")
    ]


def turn(accounts: Accounts) -> Callable[[], object]:
    """Reserve and settle once."""
    numbers = count()

    def once() -> None:
        lease = f"0193b3a0-0000-7000-8000-{next(numbers):012d}/1"
        accounts.reserve(lease, holds(2_000_000), 900)
        accounts.settle(lease, (1_000_000, 1_000_000, 1_000_000))

    return once


def spent(allowed: Callable[[int], bool], book: Callable[[int], None]) -> int:
    """What sixteen threads pay until nobody is allowed to any more."""

    def spend(seed: int) -> int:
        chance, total = random.Random(seed), 0
        for _ in range(LIMIT // MOST // 4):
            cost = chance.randint(1, MOST)
            if allowed(cost):
                total += cost
                book(cost)
        return total

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(spend, range(THREADS)))


def ours(accounts: Accounts) -> tuple[int, float, int]:
    """Paid beyond the limit, share of it that was usable, leases left."""
    numbers = count()

    def spend(seed: int) -> int:
        chance, total = random.Random(seed), 0
        for _ in range(LIMIT // MOST):
            cost = chance.randint(1, MOST)
            lease = f"spend/{next(numbers)}"
            if accounts.reserve(lease, holds(cost, LIMIT), 60).granted:
                total += cost
                accounts.settle(lease, [cost] * 3)
        return total

    with ThreadPoolExecutor(THREADS) as pool:
        total = sum(pool.map(spend, range(THREADS)))
    return max(0, total - LIMIT), total / LIMIT, sum(each.held > 0 for each in accounts.standing(holds(0, LIMIT)))


def checked_then_added(client: Redis) -> int:
    """GET, and INCRBY after the call: paid beyond the limit."""
    client.delete("peer")
    total = spent(
        lambda cost: int(client.get("peer") or 0) + cost <= LIMIT, lambda cost: client.incrby("peer", cost) and None
    )
    return max(0, total - LIMIT)


def flushed_now_and_then(client: Redis) -> int:
    """A counter in each process, written after every twentieth call: paid beyond the limit."""
    client.delete("peer")
    waiting: list[int] = []

    def book(cost: int) -> None:
        waiting.append(cost)
        if len(waiting) >= FLUSH_EVERY:
            total, waiting[:] = sum(waiting), []
            client.incrby("peer", total)

    total = spent(lambda cost: int(client.get("peer") or 0) + cost <= LIMIT, book)
    return max(0, total - LIMIT)


def main() -> None:
    """Measure and report."""
    told = arguments(__doc__ or "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(RedisServer(folder))
        client = stack.enter_context(closing(Redis(port=server.port)))
        client.set("key", b"x" * 200)
        redis = stack.enter_context(closing(RedisAccounts(server.url, timeout=5)))
        sqlite = stack.enter_context(closing(SQLiteAccounts(folder / "budgets.db")))
        seconds = interleaved(
            {"get": lambda: client.get("key"), "redis": turn(redis), "sqlite": turn(sqlite)}, rounds=30, calls=200
        )
        client.flushall()
        with ThreadPoolExecutor(200) as pool:
            herd = sum(pool.map(lambda number: redis.reserve(f"herd/{number}", holds(1, 1), 60).granted, range(200)))
        client.flushall()
        overspend, usable, left = ours(redis)
        figures: dict[str, float | int | str | None] = {
            "get_us": seconds["get"] * 1e6,
            "reserve_settle_x_get": seconds["redis"] / seconds["get"],
            "reserve_settle_x_get_sqlite": seconds["sqlite"] / seconds["get"],
            "herd_paid": herd,
            "overspend_nano": overspend,
            "usable_share": usable,
            "leases_left": left,
            "peer_check_then_add_overspend_nano": checked_then_added(client),
            "peer_flush_overspend_nano": flushed_now_and_then(client),
        }
    report("budgets", figures, TARGETS, told.json)


if __name__ == "__main__":
    main()
