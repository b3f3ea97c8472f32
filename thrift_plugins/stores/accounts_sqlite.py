"""Accounts in a SQLite file: no server, several processes, survives kill -9."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import accounts_rules as rules
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_checks import check_amounts, check_holds
from thrift_plugins.stores.accounts_tables import SCHEMA, Tables
from thrift_plugins.stores.base import Clock
from thrift_plugins.stores.sqlite_file import SQLiteFile

T = TypeVar("T")

# Milliseconds that a call waits for other processes' writes: in a thread, and on the app's event loop. A turn takes
# a twentieth of a millisecond, but SQLite gives turns by chance: among sixteen processes some wait for long.
_PATIENT: Final = 5000
_INLINE: Final = 5
_TEND_EVERY: Final = 256
"""Reservations between two looks at the log's size and at accounts that nobody will ask for again."""
_LOOK_DUE_S: Final = 1.0
"""Seconds between two looks for leases whose time is over, where nobody needs their room."""


class SQLiteAccounts:
    """`Accounts` in a file, for threads, forks and several processes at once.

    What is written survives the process, killed or not; a machine that loses power may forget the last moments. The
    asynchronous methods run inline, and go to a thread where they would have to wait for another process.

    Args:
        path: a file of their own, best: other writers would make them wait.
        clock: seconds since the epoch.

    Raises:
        ConfigError: the path names no file.
        StoreCorrupt: the file is not ours or is damaged; it is left as it is.
        StoreUnavailable: the file cannot be made or opened.
    """

    kind = "sqlite"

    def __init__(self, path: str | Path, *, clock: Clock = time.time) -> None:
        self._file = SQLiteFile(path, SCHEMA, busy_timeout=_PATIENT / 1000, checkpoints_apart=True)
        self._clock = clock
        self._reserved = 0
        self._looked = 0.0
        self._forgotten_to = ""

    def __repr__(self) -> str:
        return f"SQLiteAccounts({str(self._file.path)!r})"

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        return self._whole(self._reserving(lease, holds, ttl))

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._whole(self._settling(lease, amounts))

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._whole(lambda tables: rules.renew(tables, lease, self._clock() + ttl))

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._file.run(lambda connection: rules.standing(Tables(connection), holds, self._clock()))

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`."""
        return self._whole(self._reaping(limit))

    def close(self) -> None:
        """Let go of the file. It is opened again when it is used again."""
        self._file.close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        return await self._awhole(self._reserving(lease, holds, ttl))

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle` without blocking the event loop."""
        return await self._awhole(self._settling(lease, amounts))

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew` without blocking the event loop."""
        return await self._awhole(lambda tables: rules.renew(tables, lease, self._clock() + ttl))

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing`: readers wait for nobody."""
        return self.standing(holds)

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap` without blocking the event loop."""
        return await self._awhole(self._reaping(limit))

    async def aclose(self) -> None:
        """`close`."""
        self.close()

    def _reserving(self, lease: str, holds: Sequence[Hold], ttl: float) -> Callable[[Tables], Grant]:
        check_holds(holds)

        def reserve(tables: Tables) -> Grant:
            now = self._clock()
            self._tend(tables, now)
            quick = tables.quick_reserve(lease, holds, ttl, now)
            return rules.reserve(tables, lease, holds, ttl, now) if quick is None else quick

        return reserve

    def _settling(self, lease: str, amounts: Sequence[int]) -> Callable[[Tables], tuple[Standing, ...]]:
        check_amounts(amounts)

        def settle(tables: Tables) -> tuple[Standing, ...]:
            now = self._clock()
            quick = tables.quick_settle(lease, amounts, now)
            return rules.settle(tables, lease, amounts, now) if quick is None else quick

        return settle

    def _reaping(self, limit: int) -> Callable[[Tables], list[Orphan]]:
        def reap(tables: Tables) -> list[Orphan]:
            now = self._clock()
            self._forgotten_to = tables.forget(self._forgotten_to, now)
            return rules.reap(tables, now, limit)

        return reap

    def _tend(self, tables: Tables, now: float) -> None:
        """What a reservation does for others now and then."""
        self._reserved += 1
        if self._reserved % _TEND_EVERY == 0:
            self._forgotten_to = tables.forget(self._forgotten_to, now)
            self._file.checkpoint_soon(may_wait=True)
        if not 0 <= now - self._looked < _LOOK_DUE_S:
            self._looked = now
            rules.close_due(tables, now, rules.REAPED_ON_THE_WAY)

    def _whole(self, work: Callable[[Tables], T], patience: int = _PATIENT) -> T:
        return self._file.transact(lambda connection: work(Tables(connection)), patience=patience)

    async def _awhole(self, work: Callable[[Tables], T]) -> T:
        try:
            return self._whole(work, _INLINE)
        except StoreUnavailable:
            return await _in_a_thread(self._whole, work)


async def _in_a_thread(do: Callable[[Callable[[Tables], T]], T], work: Callable[[Tables], T]) -> T:
    """In a thread, to its end: a thread cannot be cancelled, and whoever gives back what it reserved must come after it.

    No task of its own, which a loop that ends would cancel too, and which would then be done before its thread is.
    """
    under_way = asyncio.get_running_loop().run_in_executor(None, do, work)
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        while not under_way.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([under_way])
        if not under_way.cancelled():
            under_way.exception()  # looked at: nobody else will
        raise
