"""Accounts in Redis, Valkey, or a service that speaks their protocol: one round trip, by the server's clock."""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from typing import Final, NamedTuple

from redis import Redis, RedisCluster
from redis import exceptions as errors
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import accounts_scripts as scripts
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.redis_steps import Ask, EachNode, Steps, run

logger = logging.getLogger("thrift_plugins")

_TAG: Final = re.compile(r"\{([^}]+)\}")
_OWED: Final = 10_000
_PAID_AT_ONCE: Final = 16
_OPEN: Final = 100_000
_PAGE: Final = 500


class _Part(NamedTuple):
    """What a reservation holds in one book.

    Attributes:
        book: whose keys are in one slot.
        indexes: of its holds.
    """

    book: str
    indexes: tuple[int, ...]


class _Open(NamedTuple):
    """A lease that this process has reserved."""

    holds: tuple[Hold, ...]
    parts: tuple[_Part, ...]


class RedisAccounts(Asking):
    """`Accounts` on Redis-protocol servers, by their clock. Threads, forks, loops.

    A server that does not answer costs one call `timeout` seconds, once: from then on it is asked in the background alone.
    What was under way then is settled, or taken back, with the next call after it is back.

    One server has one book, and a reservation is one round trip. A cluster has a book for each tenant, and one for all
    accounts without: a reservation in several of them asks one after the other, and takes back what it has where one of
    them refuses. So nothing is overspent, and near its limit a budget may refuse a call that would have fitted a moment
    later. There, a lease is settled by the process that reserved it.

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
        self._namespace = namespace
        self._opened: OrderedDict[str, _Open] = OrderedDict()
        self._owed: dict[tuple[str, str], tuple[int, ...] | None] = {}
        self._warned = False

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        parts = self._parts(holds)
        try:
            return self._do(self._reserving(lease, holds, parts, ttl))
        except BaseException:
            self._take_back(lease, parts)
            raise

    def settle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        owed = self._owe(lease, amounts)
        return self._do(self._settling(lease, owed))

    def renew(self, lease: str, ttl: float) -> bool:
        """See `Accounts`."""
        return self._do(self._renewing(lease, ttl))

    def standing(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """See `Accounts`."""
        return self._do(self._standing(holds))

    def reap(self, limit: int = 100) -> list[Orphan]:
        """See `Accounts`. On a cluster, every name on every server is looked at."""
        return self._do(self._reaping(limit))

    def risk(self) -> str:
        """What may make the server forget what was spent; empty where nothing is known to."""
        return self._do(self._risk())

    def close(self) -> None:
        """Settle what is still owed, if the server can be asked, and close the connections of synchronous calls."""
        with suppress(StoreUnavailable):
            self._do(self._paying(len(self._owed)))
        super().close()

    async def areserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """`reserve` without blocking the event loop."""
        parts = self._parts(holds)
        try:
            return await self._ado(self._reserving(lease, holds, parts, ttl))
        except BaseException:
            self._take_back(lease, parts)
            raise

    async def asettle(self, lease: str, amounts: Sequence[int]) -> tuple[Standing, ...]:
        """`settle` without blocking the event loop."""
        owed = self._owe(lease, amounts)
        return await self._ado(self._settling(lease, owed))

    async def arenew(self, lease: str, ttl: float) -> bool:
        """`renew` without blocking the event loop."""
        return await self._ado(self._renewing(lease, ttl))

    async def astanding(self, holds: Sequence[Hold]) -> tuple[Standing, ...]:
        """`standing` without blocking the event loop."""
        return await self._ado(self._standing(holds))

    async def areap(self, limit: int = 100) -> list[Orphan]:
        """`reap` without blocking the event loop."""
        return await self._ado(self._reaping(limit))

    async def aclose(self) -> None:
        """`close` for this event loop."""
        with suppress(StoreUnavailable):
            await self._ado(self._paying(len(self._owed)))
        await super().aclose()

    def _reserving(self, lease: str, holds: Sequence[Hold], parts: tuple[_Part, ...], ttl: float) -> Steps[Grant]:
        for part in parts:
            self._owed.pop((part.book, lease), None)  # asked for again: it is not to be taken back any more
        if self._owed:
            yield from self._paying(_PAID_AT_ONCE)
        if not self._warned:
            yield from self._warning()
        standings: dict[int, Standing] = {}
        for position, part in enumerate(parts):
            lines = [_line(holds[index]) for index in part.indexes]
            granted, refused, *told = (
                yield from run(scripts.RESERVE, self._names(part.book), lease, repr(ttl), *lines)
            ).split()
            standings.update(zip(part.indexes, _standings([holds[index] for index in part.indexes], told), strict=True))
            if granted != b"1":
                for earlier in parts[:position]:
                    yield from run(scripts.SETTLE, self._names(earlier.book), lease)
                others = (*parts[:position], *parts[position + 1 :])
                standings.update((yield from self._stand(holds, others)))
                return Grant(lease, False, _ordered(standings), part.indexes[int(refused)])
        self._opened[lease] = _Open(tuple(holds), parts)
        if len(self._opened) > _OPEN:
            self._opened.popitem(last=False)
        return Grant(lease, True, _ordered(standings), -1)

    def _settling(self, lease: str, owed: Sequence[tuple[str, str]]) -> Steps[tuple[Standing, ...]]:
        opened = self._opened.get(lease)
        found: dict[int, Standing] = {}
        for number, key in enumerate(owed):
            told = yield from self._paid(key)
            indexes = opened.parts[number].indexes if opened else range(len(told) // 5)
            found.update(zip(indexes, _settled(told), strict=False))
        self._opened.pop(lease, None)
        if self._owed:
            yield from self._paying(_PAID_AT_ONCE)
        return _ordered(found)

    def _paid(self, key: tuple[str, str]) -> Steps[list[bytes]]:
        """Settle a debt in one book. The words of the answer, none where it was settled before."""
        book, lease = key
        amounts = self._owed.get(key)
        told: bytes = yield from run(scripts.SETTLE, self._names(book), lease, *(amounts or ()))
        opened = self._opened.get(lease)
        if not told and amounts and opened:
            told = yield from self._charged_anew(book, lease, opened, amounts)
        self._owed.pop(key, None)
        return [] if told == b"done" else told.split()

    def _charged_anew(self, book: str, lease: str, opened: _Open, amounts: Sequence[int]) -> Steps[bytes]:
        """The server has lost a lease of ours: what it came to is charged."""
        (part,) = (part for part in opened.parts if part.book == book)
        held = zip((opened.holds[index] for index in part.indexes), amounts, strict=True)
        lines = [_line(hold._replace(amount=amount, hard=False, orphans="charge")) for hold, amount in held]
        yield from run(scripts.RESERVE, self._names(book), lease, "60", *lines)
        told: bytes = yield from run(scripts.SETTLE, self._names(book), lease, *amounts)
        return told

    def _paying(self, limit: int) -> Steps[None]:
        """Settle what could not be settled when it should have been. Where it cannot now, it stays owed."""
        for key in list(islice(self._owed, limit)):
            try:
                yield from self._paid(key)
            except (StoreUnavailable, errors.RedisError):
                return

    def _renewing(self, lease: str, ttl: float) -> Steps[bool]:
        lives = True
        opened = self._opened.get(lease)
        for book in [part.book for part in opened.parts] if opened else ["-"]:
            lives = (yield from run(scripts.RENEW, self._names(book)[:2], lease, repr(ttl))) == 1 and lives
        return lives

    def _standing(self, holds: Sequence[Hold]) -> Steps[tuple[Standing, ...]]:
        if self._owed:
            yield from self._paying(_PAID_AT_ONCE)
        return _ordered((yield from self._stand(holds, self._parts(holds))))

    def _stand(self, holds: Sequence[Hold], parts: Iterable[_Part]) -> Steps[dict[int, Standing]]:
        standings: dict[int, Standing] = {}
        for part in parts:
            asked = [holds[index] for index in part.indexes]
            told = (yield from run(scripts.STANDING, self._names(part.book), *map(_line, asked))).split()
            standings.update(zip(part.indexes, _standings(asked, told), strict=True))
        return standings

    def _reaping(self, limit: int) -> Steps[list[Orphan]]:
        yield from self._paying(len(self._owed))
        found: list[Orphan] = []
        for book in (yield from self._books()):
            told = yield from run(scripts.REAP, self._names(book), limit - len(found))
            found += map(_orphan, told)
            if len(found) >= limit:
                break
        return found

    def _books(self) -> Steps[list[str]]:
        if not self._wire.clustered:
            return ["-"]
        start = f"{self._namespace}~b:{{"
        names: set[str] = set()
        for node in (yield EachNode()):
            cursor: int | bytes = 0
            while True:
                cursor, page = yield Ask(("SCAN", cursor, "MATCH", f"{start}*", "COUNT", _PAGE), node)
                names.update(name.decode() for name in page)
                if not int(cursor):
                    break
        return sorted(name[len(start) : -1] for name in names)

    def _warning(self) -> Steps[None]:
        self._warned = True
        with suppress(StoreUnavailable, errors.RedisError):
            risk = yield from self._risk()
            if risk:
                logger.warning("budgets in %r: %s", self, risk)

    def _risk(self) -> Steps[str]:
        for node in (yield EachNode()):
            told = yield Ask(("INFO", "memory"), node)
            # A client of the application's own has its own idea of a reply.
            info = (
                told
                if isinstance(told, dict)
                else dict(line.split(":", 1) for line in told.decode().split() if ":" in line)
            )
            policy = str(info.get("maxmemory_policy", ""))
            if policy.startswith("allkeys") and int(info.get("maxmemory", 0)):
                return (
                    f"the server forgets what was spent when it is full (maxmemory-policy {policy});"
                    " use noeviction or volatile-lru, or a server of its own for budgets"
                )
        return ""

    def _parts(self, holds: Sequence[Hold]) -> tuple[_Part, ...]:
        """The books of some holds, in an order that is the same for all."""
        if not self._wire.clustered:
            return (_Part("-", tuple(range(len(holds)))),)
        books: dict[str, list[int]] = {}
        for index, hold in enumerate(holds):
            tagged = _TAG.match(hold.account)
            books.setdefault(tagged[1] if tagged else "-", []).append(index)
        return tuple(_Part(book, tuple(books[book])) for book in sorted(books))

    def _names(self, book: str) -> tuple[str, str, str]:
        space = self._namespace
        return f"{space}~b:{{{book}}}", f"{space}~bd:{{{book}}}", f"{space}~bo:{{{book}}}"

    def _owe(self, lease: str, amounts: Sequence[int]) -> list[tuple[str, str]]:
        """Note what is to be settled, before it is tried."""
        opened = self._opened.get(lease)
        parts = opened.parts if opened else (_Part("-", tuple(range(len(amounts)))),)
        for part in parts:
            self._note(part.book, lease, tuple(amounts[index] for index in part.indexes))
        return [(part.book, lease) for part in parts]

    def _take_back(self, lease: str, parts: Sequence[_Part]) -> None:
        """Note that a reservation, of which nobody knows whether it came, is nobody's."""
        self._opened.pop(lease, None)
        for part in parts:
            self._note(part.book, lease, None)

    def _note(self, book: str, lease: str, amounts: tuple[int, ...] | None) -> None:
        self._owed[book, lease] = amounts
        if len(self._owed) > _OWED:
            with suppress(KeyError, RuntimeError):  # another thread was faster
                del self._owed[next(iter(self._owed))]


def _line(hold: Hold) -> str:
    """A hold as the scripts read it."""
    charge = {"charge": hold.amount, "estimate": hold.estimate}.get(hold.orphans, 0)
    rolling = repr(hold.rolling) if hold.rolling else "0"
    return f"{hold.account} {hold.limit} {hold.window} {rolling} {hold.amount} {hold.hard:d} {charge}"


def _standings(holds: Sequence[Hold], told: Sequence[bytes]) -> list[Standing]:
    """From used, held, resets for each hold."""
    return [
        Standing(hold.account, hold.limit, int(told[at]), int(told[at + 1]), _end(told[at + 2]))
        for hold, at in zip(holds, range(0, len(told), 3), strict=True)
    ]


def _settled(told: Sequence[bytes]) -> list[Standing]:
    """From account, limit, used, held, resets for each hold."""
    return [
        Standing(told[at].decode(), int(told[at + 1]), int(told[at + 2]), int(told[at + 3]), _end(told[at + 4]))
        for at in range(0, len(told), 5)
    ]


def _ordered(standings: Mapping[int, Standing]) -> tuple[Standing, ...]:
    return tuple(standings[index] for index in sorted(standings))


def _end(told: bytes) -> float:
    return inf if told.startswith(b"-") else float(told)


def _orphan(told: bytes) -> Orphan:
    account, charged, at, lease = told.decode().split(" ", 3)
    return Orphan(lease, account, int(charged), float(at))
