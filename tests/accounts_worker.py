"""One of several processes that spend: `python -m tests.accounts_worker URL CALLS SEED LIMIT LOG SPEED`.

It says "ready", waits for a line, and writes what it pays to its log before it settles: lease, window's end, amount. What
stands in the log is what a provider would bill, whatever became of the process.
"""

from __future__ import annotations

import os
import random
import sys
import time
from contextlib import closing
from pathlib import Path

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import RedisAccounts, SQLiteAccounts
from thrift_plugins.stores.accounts import Accounts, Hold

TTL = 5.0
START = 1_790_000_000.0
ACCOUNTS = ("{t}:b:app", "{t}:b:tenant", "{t}:b:hour")


def opened(url: str, speed: float) -> Accounts:
    """The accounts of a URL, with a clock that runs faster than the world's where they have no server's."""
    if url.startswith("redis"):
        return RedisAccounts(url, timeout=30)
    return SQLiteAccounts(url, clock=lambda: START + (time.time() - START) % 86_400 * speed)


def holds(amount: int, limit: int) -> list[Hold]:
    """Of three budgets; the hour's is a fifth of the others."""
    app, tenant, hour = ACCOUNTS
    return [
        Hold(app, limit, "total", 0.0, amount, True, "charge"),
        Hold(tenant, 2 * limit, "month", 0.0, amount, True, "charge"),
        Hold(hour, limit // 5, "hour", 0.0, amount, True, "charge"),
    ]


def main() -> None:
    """Spend."""
    url, calls, seed, limit, log, speed = sys.argv[1:]
    chance = random.Random(int(seed))
    most = max(2, 5 * int(limit) // (16 * int(calls)))  # all of them want more than there is
    with closing(opened(url, float(speed))) as accounts, Path(log).open("a", buffering=1) as paid:
        accounts.standing(holds(0, int(limit)))
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(int(calls)):
            amount = chance.randint(1, most)
            lease = f"{os.getpid()}/{number}"
            try:
                grant = accounts.reserve(lease, holds(amount, int(limit)), TTL * float(speed))
            except StoreUnavailable:
                print("unavailable", flush=True)
                continue
            if not grant.granted:
                continue
            # Answered in full, cut short, or cancelled before anything was sent.
            cost = chance.choice((amount, chance.randint(0, amount), 0))
            paid.write(f"{lease} {grant.standings[2].resets:.0f} {cost}\n")
            accounts.settle(lease, [cost] * 3)
    print("done", flush=True)


if __name__ == "__main__":
    main()
