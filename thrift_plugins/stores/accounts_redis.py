"""Accounts in Redis, Valkey, or a service that speaks their protocol: one round trip, by the server's clock."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import suppress
from threading import Timer
from weakref import WeakSet, ref

from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_books import Books
from thrift_plugins.stores.accounts_checks import check_holds
from thrift_plugins.stores.accounts_prepaid import LIFE_S
from thrift_plugins.stores.accounts_steps import AccountSteps
from thrift_plugins.stores.redis_asking import Asking


class RedisAccounts(Asking):
    """`Accounts` on Redis-protocol servers, by their clock. Threads, forks, loops.

    A server that does not answer costs one call `timeout` seconds, once: from then on it is asked in the background alone.
    What was under way then is settled, or taken back, with the next call after it is back.

    One server has one book, and a reservation is one round trip. A cluster has a book for each tenant, and one for all
    accounts without, which a process pays for several calls ahead (see `accounts_prepaid`), so that there too a reservation
    is one round trip for most calls. Where it is not, it asks one book after the other, and takes back what it has where
    one of them refuses. So nothing is overspent, and near its limit a budget may refuse a call that would have fitted a
    moment later. There, a lease is settled by the process that reserved it.

    A server that fails over may have lost its last writes. A lease that is not known any more is charged all the same,
    if the process that reserved it settles it. One that evicts keys forgets what was spent, and is warned of: see `risk`.

    Args:
        url: see `redis_url`.
        timeout: seconds to wait for an answer; `socket_timeout` in the URL goes before it.
        namespace: goes before every key.
        client: a client to use as it is, instead of one made from `url`. It stays open.
        async_client: the same for asynchronous calls, all of them on one event loop.

    Raises:
        ConfigError: an unreadable URL, or a client that decodes responses.
    """

    kind = "redis"

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.04,
        namespace: str = "tp1",
        client: Redis | RedisCluster | None = None,
        async_client: AsyncRedis | AsyncRedisCluster | None = None,
    ) -> None:
        super().__init__(url, timeout, client, async_client)
        self._places = Books(namespace, clustered=self._wire.clustered)
        self._steps = AccountSteps(self._places, repr(self))
        self._tended_by = 0
        _open_accounts.add(self)

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        check_holds(holds)
        parts = self._places.parts(holds, lease)
        try:
            return self._do(self._steps.reserving(lease, holds, parts, ttl))
        except BaseException:
            self._steps.take_back(lease, parts)
            raise
        finally:
            if self._places.clustered:
                self._tend_later()

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        owed = self._steps.owe(lease, amounts)
        try:
            return self._do(self._steps.settling(lease, owed))
        finally:
            self._steps.tried(owed)

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._do(self._steps.renewing(lease, ttl))

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._do(self._steps.standing(holds))

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`. On a cluster, every name on every server is looked at."""
        return self._do(self._steps.reaping(limit))

    def risk(self) -> str:
        """What may make the server forget what was spent; empty where nothing is known to."""
        return self._do(self._steps.risking())

    def close(self) -> None:
        """Settle what is still owed, if the server can be asked, and close the connections of synchronous calls."""
        self._steps.end_advances(all_of_them=True)
        with suppress(StoreUnavailable):
            self._do(self._steps.paying())
        super().close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        check_holds(holds)
        parts = self._places.parts(holds, lease)
        try:
            return await self._ado(self._steps.reserving(lease, holds, parts, ttl))
        except BaseException:
            self._steps.take_back(lease, parts)
            raise
        finally:
            if self._places.clustered:
                self._tend_later()

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle` without blocking the event loop."""
        owed = self._steps.owe(lease, amounts)
        try:
            return await self._ado(self._steps.settling(lease, owed))
        finally:
            self._steps.tried(owed)

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew` without blocking the event loop."""
        return await self._ado(self._steps.renewing(lease, ttl))

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing` without blocking the event loop."""
        return await self._ado(self._steps.standing(holds))

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap` without blocking the event loop."""
        return await self._ado(self._steps.reaping(limit))

    async def aclose(self) -> None:
        """`close` for this event loop."""
        self._steps.end_advances(all_of_them=True)
        with suppress(StoreUnavailable):
            await self._ado(self._steps.paying())
        await super().aclose()

    def _tend_later(self) -> None:
        """Give back what nobody has taken of an advance, also where no call comes any more."""
        if self._steps.prepaid.waits and self._tended_by != os.getpid():
            self._tended_by = os.getpid()
            with suppress(RuntimeError):  # no thread can be had while the interpreter ends; `_at_exit` gives back
                timer = Timer(LIFE_S, _tend, (ref(self),))
                timer.daemon = True
                timer.start()

    def end_advances(self) -> None:
        """Give back what was paid ahead and not used."""
        if self._steps.prepaid.waits:
            self._steps.end_advances(all_of_them=True)
            with suppress(StoreUnavailable):
                self._do(self._steps.paying())

    def tend(self) -> None:
        """Tell the server of advances that are over."""
        self._tended_by = 0
        self._steps.end_advances()
        with suppress(StoreUnavailable):
            self._do(self._steps.paying())
        self._tend_later()


_open_accounts: WeakSet[RedisAccounts] = WeakSet()


def _tend(accounts: ref[RedisAccounts]) -> None:
    known = accounts()
    if known is not None:
        known.tend()


@atexit.register
def _at_exit() -> None:
    """What was paid ahead and not used goes back."""
    for accounts in list(_open_accounts):
        accounts.end_advances()
