"""What a process may spend while its accounts are down: its share of what was left when they were last seen."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from thrift_plugins.stores.accounts import Accounts, Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_memory import MemoryAccounts
from thrift_plugins.stores.base import Clock

_REMEMBERED: Final = 10_000
_PAID_AT_ONCE: Final = 16


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
            self._seen[standing.account] = standing
            self._seen.move_to_end(standing.account)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def debts(self) -> list[tuple[str, tuple[Hold, ...], tuple[int, ...]]]:
        """Leases that were settled here, with what they came to, and that the accounts do not know of yet."""
        return [(lease, *owed) for lease, owed in list(self._owed.items())[:_PAID_AT_ONCE]]

    def paid(self, lease: str) -> None:
        """The accounts know of it."""
        self._owed.pop(lease, None)

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
        for owed, lines, amounts in self._slices.debts():
            self._accounts.reserve(owed, _charges(lines, amounts), ttl)
            self._accounts.settle(owed, amounts)
            self._slices.paid(owed)
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
        """See `Accounts`."""
        self._accounts.close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        for owed, lines, amounts in self._slices.debts():
            await self._accounts.areserve(owed, _charges(lines, amounts), ttl)
            await self._accounts.asettle(owed, amounts)
            self._slices.paid(owed)
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
        """See `Accounts`."""
        await self._accounts.aclose()


def _charges(holds: Sequence[Hold], amounts: Sequence[int]) -> list[Hold]:
    """Holds of what is spent already, which nobody can refuse any more."""
    return [
        hold._replace(amount=amount, hard=False, orphans="charge") for hold, amount in zip(holds, amounts, strict=True)
    ]
