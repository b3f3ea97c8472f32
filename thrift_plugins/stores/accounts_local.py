"""What a process may spend while its accounts are down: its share of what was left when they were last seen."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeAlias

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores.accounts import Accounts, Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_memory import MemoryAccounts
from thrift_plugins.stores.base import Clock

Debt: TypeAlias = tuple[str, tuple[Hold, ...], tuple[int, ...]]
"""A lease that was settled here, with what it held and what it came to, and that the accounts do not know of yet."""

_REMEMBERED: Final = 10_000
_PAID_AT_ONCE: Final = 16
_PAYING_S: Final = 60.0
"""Seconds that a debt may be reserved for before it is settled. If it is not, it is charged all the same."""


class LocalSlices:
    """`Accounts` of one process, each with a share of what was left. Nothing is known of an account never seen: it has no room.

    What other processes have spent since an account was seen is not known, so an outage may cost so much beyond a
    limit, and no more: all processes together spend what was left once.

    Args:
        processes: how many may go on alone: each has one part in so many.
        clock: seconds since the epoch.
    """

    kind = "local"

    def __init__(self, *, processes: int = 16, clock: Clock = time.time) -> None:
        self._processes = processes
        self._clock = clock
        self._books = MemoryAccounts(clock=clock)
        self._seen: OrderedDict[str, Standing] = OrderedDict()
        self._open: dict[str, tuple[Hold, ...]] = {}
        self._owed: dict[str, tuple[tuple[Hold, ...], tuple[int, ...]]] = {}

    def watching(self, accounts: Accounts) -> Accounts:
        """The accounts, of which it is remembered how they stand, and which are told what was spent without them."""
        return _Watched(accounts, self)

    def remember(self, standings: Iterable[Standing]) -> None:
        """The accounts stood so, a moment ago."""
        for standing in standings:
            self._seen.pop(standing.account, None)  # in one step each: another thread may be forgetting the oldest
            self._seen[standing.account] = standing
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def take_debts(self, limit: int | None = None) -> Iterator[Debt]:
        """What the accounts are to be told of, each to one of those who ask, who tells them or owes it again."""
        for lease in list(islice(self._owed.copy(), limit)):
            owed = self._owed.pop(lease, None)
            if owed is not None:
                yield lease, *owed

    def owe(self, debt: Debt) -> None:
        """The accounts were not told of it."""
        lease, holds, amounts = debt
        self._owed[lease] = holds, amounts

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`: of this process's share."""
        shares = [hold._replace(limit=self._share(hold)) for hold in holds]
        grant = self._books.reserve(lease, shares, ttl)
        if grant.granted:
            self._open[lease] = tuple(holds)
        return grant

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        holds = self._open.pop(lease, None)
        if holds is not None:
            self._owed[lease] = holds, tuple(amounts)
        return self._books.settle(lease, amounts)

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._books.renew(lease, ttl)

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`: of this process's share."""
        return self._books.standing([hold._replace(limit=self._share(hold)) for hold in holds])

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`. What they were charged is owed to the accounts."""
        orphans = self._books.reap(limit)
        charged: dict[str, list[int]] = {}
        for orphan in orphans:
            charged.setdefault(orphan.lease, []).append(orphan.charged)
        for lease, amounts in charged.items():
            holds = self._open.pop(lease, None)
            if holds is not None and len(holds) == len(amounts):
                self._owed[lease] = holds, tuple(amounts)
        return orphans

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

    def _share(self, hold: Hold) -> int:
        """Of what was left. A window that began since then was whole; and a single call is this process's alone."""
        if hold.window == "call" and not hold.rolling:
            return hold.limit
        seen = self._seen.get(hold.account)
        if seen is None:
            return 0
        left = hold.limit if seen.resets <= self._clock() and not hold.rolling else seen.left
        return max(0, left) // self._processes


class _Watched:
    """Accounts that slices are made of."""

    def __init__(self, accounts: Accounts, slices: LocalSlices) -> None:
        self._accounts = accounts
        self._slices = slices
        self.kind = accounts.kind

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        self._pay(_PAID_AT_ONCE)
        grant = self._accounts.reserve(lease, holds, ttl)
        self._slices.remember(grant.standings)
        return grant

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        standings = self._accounts.settle(lease, amounts)
        self._slices.remember(standings)
        return standings

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._accounts.renew(lease, ttl)

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        standings = self._accounts.standing(holds)
        self._slices.remember(standings)
        return standings

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`."""
        return self._accounts.reap(limit)

    def close(self) -> None:
        """See `Accounts`. What was spent without them is told first, if they can be told."""
        with suppress(StoreUnavailable):
            self._pay()
        self._accounts.close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        await self._apay(_PAID_AT_ONCE)
        grant = await self._accounts.areserve(lease, holds, ttl)
        self._slices.remember(grant.standings)
        return grant

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle` without blocking the event loop."""
        standings = await self._accounts.asettle(lease, amounts)
        self._slices.remember(standings)
        return standings

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew` without blocking the event loop."""
        return await self._accounts.arenew(lease, ttl)

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing` without blocking the event loop."""
        standings = await self._accounts.astanding(holds)
        self._slices.remember(standings)
        return standings

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap` without blocking the event loop."""
        return await self._accounts.areap(limit)

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        with suppress(StoreUnavailable):
            await self._apay()
        await self._accounts.aclose()

    def _pay(self, limit: int | None = None) -> None:
        for debt in self._slices.take_debts(limit):
            lease, holds, amounts = debt
            try:
                self._accounts.reserve(lease, _charges(holds, amounts), _PAYING_S)
                self._accounts.settle(lease, amounts)
            except BaseException:
                self._slices.owe(debt)
                raise

    async def _apay(self, limit: int | None = None) -> None:
        for debt in self._slices.take_debts(limit):
            lease, holds, amounts = debt
            try:
                await self._accounts.areserve(lease, _charges(holds, amounts), _PAYING_S)
                await self._accounts.asettle(lease, amounts)
            except BaseException:
                self._slices.owe(debt)
                raise


def _charges(holds: Sequence[Hold], amounts: Sequence[int]) -> list[Hold]:
    """Holds of what is spent already, which nobody can refuse any more."""
    return [
        hold._replace(amount=amount, hard=False, orphans="charge") for hold, amount in zip(holds, amounts, strict=True)
    ]
