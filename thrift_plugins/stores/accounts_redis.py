"""Accounts in Redis, Valkey, or a service that speaks their protocol: one round trip, by the server's clock."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from redis import Redis, RedisCluster
from redis import exceptions as errors
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import accounts_scripts as scripts
from thrift_plugins.stores import accounts_words as words
from thrift_plugins.stores.accounts import Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_checks import check_amounts, check_count, check_holds
from thrift_plugins.stores.accounts_lines import lines_text
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_steps import Ask, EachNode, Steps, run
from thrift_plugins.stores.redis_wire import Word

logger = logging.getLogger("thrift_plugins")

T = TypeVar("T")

_TAG: Final = re.compile(r"\{([^}]+)\}")
_OWED: Final = 10_000
_PAID_AT_ONCE: Final = 16
_OPEN: Final = 100_000
_PAGE: Final = 500
_BOOKS: Final = 10_000
_GUESSES: Final = 3
"""Times that the server is asked for windows; it tells its time with the first answer, so the second is right."""


_ANY_TIME: Final = ("0", "0")
"""Bounds that no moment is in: the script goes by the rules."""
_RESERVE: Final = (scripts.RESERVE, scripts.RESERVE_AS_USUAL)
_STAND: Final = (scripts.STANDING, scripts.STANDING)
_VERDICTS: Final = (b"granted", b"refused")


class _Part(NamedTuple):
    """What a reservation holds in one book.

    Attributes:
        book: whose keys are in one slot.
        indexes: of its holds; all of them where there is one book.
        whole: whether there is one book.
    """

    book: str
    indexes: Sequence[int]
    whole: bool = False

    def of(self, holds: Sequence[T]) -> Sequence[T]:
        """Those of this book."""
        return holds if self.whole else [holds[index] for index in self.indexes]


class _Open(NamedTuple):
    """A lease that this process has reserved.

    Attributes:
        holds: of all parts.
        parts: where they are held.
        spans: in which it was reserved, for each part.
    """

    holds: Sequence[Hold]
    parts: Sequence[_Part]
    spans: Sequence[words.Span]


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
        self._ahead = 0.0
        self._spans = words.Spans()
        self._keys: dict[str, tuple[str, str, str]] = {}

    def reserve(self, lease: str, holds: Sequence[Hold], ttl: float) -> Grant:
        """See `Accounts`."""
        check_holds(holds)
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
        check_holds(holds)
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
        spans: list[words.Span] = []
        for position, part in enumerate(parts):
            mine = part.of(holds)
            span, told = yield from self._timely(_RESERVE, part.book, mine, lease, repr(ttl))
            spans.append(span)
            if told[0] not in _VERDICTS:
                standings.update(zip(part.indexes, words.reserved(mine, span.resets, told), strict=True))
                continue
            stand = told[1:] if told[0] == b"granted" else told[2:]
            standings.update(zip(part.indexes, words.standings(mine, span.resets, stand), strict=True))
            if told[0] == b"refused":
                for earlier in parts[:position]:
                    yield from run(scripts.SETTLE, self._names(earlier.book), *_ANY_TIME, lease)
                others = (*parts[:position], *parts[position + 1 :])
                standings.update((yield from self._stand(holds, others)))
                return Grant(lease, False, _ordered(standings), part.indexes[int(told[1])])
        self._opened[lease] = _Open(tuple(holds), parts, spans)
        if len(self._opened) > _OPEN:
            self._opened.popitem(last=False)
        return Grant(lease, True, _ordered(standings), -1)

    def _timely(
        self, either: tuple[Script, Script], book: str, holds: Sequence[Hold], *given: Word
    ) -> Steps[tuple[words.Span, list[bytes]]]:
        """Ask about holds in their windows at the server's time. When that is, and the words of the answer."""
        names = self._names(book)
        for _ in range(_GUESSES):
            span = self._spans.at(holds, time.time() + self._ahead)
            lines = f"open\n{lines_text(holds, span.numbers)}"
            told: bytes = yield from run(either[span.usual], names, *span.bounds, *given, lines)
            if not told.startswith(b"@"):
                return span, told.split()
            self._ahead = float(told[1:]) - time.time()
        raise StoreUnavailable(f"the clock of {self!r} jumps")

    def _settling(self, lease: str, owed: Sequence[tuple[str, str]]) -> Steps[tuple[Standing, ...]]:
        found: dict[int, Standing] = {}
        opened = self._opened.get(lease)
        for number, key in enumerate(owed):
            told = yield from self._paid(key)
            indexes = opened.parts[number].indexes if opened else range(len(told))
            found.update(zip(indexes, told, strict=False))
        self._opened.pop(lease, None)
        if self._owed:
            yield from self._paying(_PAID_AT_ONCE)
        return _ordered(found)

    def _paid(self, key: tuple[str, str]) -> Steps[Sequence[Standing]]:
        """Settle a debt in one book. How its accounts stand, empty where it was settled before."""
        book, lease = key
        amounts = self._owed.get(key)
        mine: Sequence[Hold] = ()
        bounds = _ANY_TIME
        resets: Sequence[float] = ()
        opened = self._opened.get(lease)
        if opened is not None:
            part, span = next(each for each in zip(opened.parts, opened.spans, strict=True) if each[0].book == book)
            mine = part.of(opened.holds)
            bounds, resets = span.bounds if span.usual else _ANY_TIME, span.resets
        charged = () if amounts is None else (" ".join(map(str, amounts)),)
        told: bytes = yield from run(scripts.SETTLE, self._names(book), *bounds, lease, *charged)
        if not told and amounts and mine:
            told = yield from self._charged_anew(book, lease, mine, amounts)
        self._owed.pop(key, None)
        if not amounts or not told or told == b"done":
            return ()
        if told.startswith(b"!"):
            check_count(amounts, int(told[1:]))
        if not told.startswith(b"-"):
            return words.settled(mine, resets, amounts, told.split())
        return (yield from self._stand_in(book, mine or words.holds_of(told[1:])))

    def _charged_anew(self, book: str, lease: str, holds: Sequence[Hold], amounts: Sequence[int]) -> Steps[bytes]:
        """The server has lost a lease of ours: what it came to is charged."""
        owed = [
            hold._replace(amount=amount, hard=False, orphans="charge")
            for hold, amount in zip(holds, amounts, strict=True)
        ]
        yield from self._timely(_RESERVE, book, owed, lease, "60")
        told: bytes = yield from run(scripts.SETTLE, self._names(book), *_ANY_TIME, lease, " ".join(map(str, amounts)))
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
            told = yield from self._stand_in(part.book, part.of(holds))
            standings.update(zip(part.indexes, told, strict=True))
        return standings

    def _stand_in(self, book: str, holds: Sequence[Hold]) -> Steps[list[Standing]]:
        if not holds:
            return []
        span, told = yield from self._timely(_STAND, book, holds)
        return words.standings(holds, span.resets, told)

    def _reaping(self, limit: int) -> Steps[list[Orphan]]:
        yield from self._paying(len(self._owed))
        found: list[Orphan] = []
        for book in (yield from self._books()):
            told = yield from run(scripts.REAP, self._names(book), limit - len(found))
            found += map(words.orphan, told)
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
            return (_Part("-", range(len(holds)), whole=True),)
        books: dict[str, list[int]] = {}
        for index, hold in enumerate(holds):
            tagged = _TAG.match(hold.account)
            books.setdefault(tagged[1] if tagged else "-", []).append(index)
        return tuple(_Part(book, tuple(books[book])) for book in sorted(books))

    def _names(self, book: str) -> tuple[str, str, str]:
        names = self._keys.get(book)
        if names is None:
            if len(self._keys) >= _BOOKS:
                self._keys.clear()
            space = self._namespace
            names = self._keys[book] = f"{space}~b:{{{book}}}", f"{space}~bd:{{{book}}}", f"{space}~bo:{{{book}}}"
        return names

    def _owe(self, lease: str, amounts: Sequence[int]) -> list[tuple[str, str]]:
        """Note what is to be settled, before it is tried."""
        check_amounts(amounts)
        opened = self._opened.get(lease)
        if opened:
            check_count(amounts, len(opened.holds))
        parts = opened.parts if opened else (_Part("-", range(len(amounts)), whole=True),)
        keys = [(part.book, lease) for part in parts]
        for part, key in zip(parts, keys, strict=True):
            if (
                any(amounts) or self._owed.get(key, ()) is not None
            ):  # one that is taken back stays so, come it as late as it may
                self._note(*key, tuple(part.of(amounts)))
        return keys

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


def _ordered(standings: Mapping[int, Standing]) -> tuple[Standing, ...]:
    return tuple(standings[index] for index in sorted(standings))
