"""Accounts in this process, gone with it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from thrift_plugins.forks import new_lock
from thrift_plugins.stores import accounts_rules as rules
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_checks import check_amounts, check_holds
from thrift_plugins.stores.accounts_rules import TELL, Lease
from thrift_plugins.stores.accounts_sheet import Sheet
from thrift_plugins.stores.base import Clock

_LOOK_EVERY: Final = 1024
"""Reservations between two looks for accounts that nobody will ask for again."""


class _Shelf:
    """`Pages` in dictionaries."""

    def __init__(self) -> None:
        self.accounts: dict[str, Sheet] = {}
        self._leases: dict[str, Lease] = {}
        self._due: list[tuple[float, str]] = []
        self._told: deque[Orphan] = deque(maxlen=TELL)

    def sheets(self, accounts: Iterable[str]) -> dict[str, Sheet]:
        return {account: self.accounts.get(account) or Sheet() for account in accounts}

    def keep(self, sheets: Mapping[str, Sheet]) -> None:
        self.accounts.update(sheets)

    def lease(self, name: str) -> Lease | None:
        return self._leases.get(name)

    def keep_lease(self, name: str, lease: Lease) -> None:
        self._leases[name] = lease
        heappush(self._due, (lease.until, name))
        self._clear_out()

    def drop_lease(self, name: str) -> None:
        del self._leases[name]
        self._clear_out()

    def _clear_out(self) -> None:
        """What is dropped and renewed stays behind in the heap, until it is most of it."""
        if len(self._due) > 2 * len(self._leases) + 64:
            self._due = sorted((lease.until, each) for each, lease in self._leases.items())

    def due(self, now: float, limit: int) -> list[tuple[str, Lease]]:
        found: list[tuple[str, Lease]] = []
        while self._due and self._due[0][0] <= now and len(found) < limit:
            until, name = heappop(self._due)
            lease = self._leases.get(name)
            if lease is not None and lease.until == until:
                found.append((name, lease))
        return found

    def tell(self, orphans: Sequence[Orphan]) -> None:
        self._told.extend(orphans)

    def told(self, limit: int) -> list[Orphan]:
        return [self._told.popleft() for _ in range(min(limit, len(self._told)))]

    def forget(self, now: float) -> None:
        """Drop accounts that nobody will ask for again."""
        gone = [name for name, sheet in self.accounts.items() if sheet.keep <= now and not sheet.holds_any]
        for name in gone:
            del self.accounts[name]


class MemoryAccounts:
    """`Accounts` of one process. A forked child goes on with a copy of its own.

    Args:
        clock: seconds since the epoch.
    """

    kind = "memory"

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._shelf = _Shelf()
        self._clock = clock
        self._reserved = 0
        self._lock = new_lock()

    def __repr__(self) -> str:
        return f"MemoryAccounts({len(self._shelf.accounts)} accounts)"

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        check_holds(holds)
        with self._lock:
            now = self._clock()
            self._reserved += 1
            if self._reserved % _LOOK_EVERY == 0:
                self._shelf.forget(now)
            rules.close_due(self._shelf, now, rules.REAPED_ON_THE_WAY)
            return rules.reserve(self._shelf, lease, holds, ttl, now)

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        check_amounts(amounts)
        with self._lock:
            return rules.settle(self._shelf, lease, amounts, self._clock())

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        with self._lock:
            return rules.renew(self._shelf, lease, self._clock() + ttl)

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        with self._lock:
            return rules.standing(self._shelf, holds, self._clock())

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`."""
        with self._lock:
            now = self._clock()
            self._shelf.forget(now)
            return rules.reap(self._shelf, now, limit)

    def close(self) -> None:
        """Nothing to let go of."""

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve`: there is nothing to wait for."""
        return self.reserve(lease, holds, ttl)

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle`."""
        return self.settle(lease, amounts)

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew`."""
        return self.renew(lease, ttl)

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing`."""
        return self.standing(holds)

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap`."""
        return self.reap(limit)

    async def aclose(self) -> None:
        """Nothing to let go of."""
