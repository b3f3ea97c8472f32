"""What each method of `RedisAccounts` asks the servers, step by step, for synchronous and asynchronous calls alike."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from redis import exceptions as errors

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import accounts_scripts as scripts
from thrift_plugins.stores import accounts_words as words
from thrift_plugins.stores.accounts import AGAIN, Grant, Hold, Orphan, Standing
from thrift_plugins.stores.accounts_books import COMMON, Books, Open, Part, Told
from thrift_plugins.stores.accounts_checks import check_amounts, check_count
from thrift_plugins.stores.accounts_lines import lines_text
from thrift_plugins.stores.accounts_prepaid import LIFE_S, Due, Prepaid, ahead, is_ahead
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_steps import Ask, EachNode, Steps, each_info, run
from thrift_plugins.stores.redis_wire import Word

logger = logging.getLogger("thrift_plugins")

_Key: TypeAlias = tuple[str, str]
"""Of a debt: the book, and the lease."""
Debt: TypeAlias = tuple[_Key, Sequence[Standing]]
"""What is to be settled, and how the accounts stood where it need not be settled by itself."""

_OWED: Final = 10_000
_PAID_AT_ONCE: Final = 16
_OPEN: Final = 100_000
_PAGE: Final = 500
_GUESSES: Final = 3
"""Times that the server is asked for windows; it tells its time with the first answer, so the second is right."""

_ANY_TIME: Final = ("0", "0")
"""Bounds that no moment is in: the script goes by the rules."""
_RESERVE: Final = (scripts.RESERVE, scripts.RESERVE_AS_USUAL)
_STAND: Final = (scripts.STANDING, scripts.STANDING)
_VERDICTS: Final = (b"granted", b"open", b"refused")


class AccountSteps:
    """The methods of a store of accounts, and what is owed to servers that could not be asked.

    Args:
        places: where accounts are.
        shown: what errors call the server.
    """

    def __init__(self, places: Books, shown: str) -> None:
        self._places = places
        self._shown = shown
        self._opened: OrderedDict[str, Open] = OrderedDict()
        self._owed: dict[_Key, tuple[int, ...] | None] = {}
        self._trying: set[_Key] = set()
        self._too_large: list[Due] = []
        self._spans = words.Spans()
        self._ahead = 0.0
        self._warned = False
        self.prepaid = Prepaid()

    def reserving(self, lease: str, holds: Sequence[Hold], parts: tuple[Part, ...], ttl: float) -> Steps[Grant]:
        """See `Accounts.reserve`."""
        for part in parts:
            yield from self._asked_again((part.book, lease))
        if self._owed:
            yield from self.paying(_PAID_AT_ONCE)
        if not self._warned:
            yield from self._warning()
        standings: dict[int, Standing] = {}
        spans: list[words.Span | None] = []
        new: list[Part] = []
        for position, part in enumerate(parts):
            reserve = self._taking_ahead if part.ahead else self._reserving_in
            told = yield from reserve(part.book, lease, part.of(holds), ttl)
            spans.append(told.span)
            standings.update(zip(part.indexes, told.standings, strict=True))
            if told.refused >= 0:
                yield from self._releasing(lease, new)
                others = (*parts[:position], *parts[position + 1 :])
                standings.update((yield from self._stand(holds, others)))
                return Grant(lease, False, _ordered(standings), part.indexes[told.refused])
            if not told.shared:
                new.append(part)
        self._remember(lease, Open(tuple(holds), parts, spans))
        return Grant(lease, True, _ordered(standings), -1, shared=len(new) < len(parts))

    def _asked_again(self, key: _Key) -> Steps[None]:
        """A lease is not to be taken back any more; what it came to when it was made before is settled first."""
        if self._owed.get(key) is None:
            self._owed.pop(key, None)
        else:
            yield from self._paid(key)

    def _reserving_in(self, book: str, lease: str, holds: Sequence[Hold], ttl: float) -> Steps[Told]:
        span, told = yield from self._timely(_RESERVE, book, holds, lease, repr(ttl))
        if told[0] not in _VERDICTS:
            return Told(-1, words.reserved(holds, span.resets, told), span)
        if told[0] == b"granted":
            return Told(-1, words.standings(holds, span.resets, told[1:]), span)
        if told[0] == b"open":  # in windows that may be over
            return Told(-1, words.standings(holds, span.resets, told[1:]), shared=True)
        return Told(int(told[1]), words.standings(holds, span.resets, told[2:]), span)

    def _taking_ahead(self, book: str, lease: str, holds: Sequence[Hold], ttl: float) -> Steps[Told]:
        """Take what a call needs from what is paid ahead, and pay for it and those after it where there is not enough."""
        stood = self.prepaid.take(lease, holds, time.time() + self._ahead)
        if stood is not None:
            return Told(-1, stood)
        sizes, name = self.prepaid.sizes(holds), ahead(lease)
        sized = [hold._replace(amount=size, orphans="charge") for hold, size in zip(holds, sizes, strict=True)]
        alone = sizes == [hold.amount for hold in holds]
        told = yield from self._reserving_in(book, name, holds if alone else sized, ttl if alone else ttl + LIFE_S)
        if told.refused >= 0 and not alone:
            sized, alone = list(holds), True
            told = yield from self._reserving_in(book, name, holds, ttl)
        if told.refused >= 0:
            return told
        mine = tuple(holds if alone else sized)
        self._remember(name, Open(mine, (Part(book, range(len(mine)), whole=True),), (told.span,)))
        self.prepaid.opened(
            lease, name, holds, [hold.amount for hold in mine], told.standings, time.time() + self._ahead
        )
        return told

    def _releasing(self, lease: str, parts: Sequence[Part]) -> Steps[None]:
        """Give back what was reserved for a call that is not made."""
        for part in parts:
            if not part.ahead:
                yield from run(scripts.SETTLE, self._places.names(part.book), *_ANY_TIME, lease)
        self.prepaid.give_back(lease)
        self.end_advances()
        if self._owed:
            yield from self.paying(_PAID_AT_ONCE)

    def _remember(self, lease: str, opened: Open) -> None:
        self._opened[lease] = opened
        if len(self._opened) > _OPEN:
            self._opened.popitem(last=False)

    def _timely(
        self, either: tuple[Script, Script], book: str, holds: Sequence[Hold], *given: Word
    ) -> Steps[tuple[words.Span, list[bytes]]]:
        """Ask about holds in their windows at the server's time. When that is, and the words of the answer."""
        names = self._places.names(book)
        for _ in range(_GUESSES):
            span = self._spans.at(holds, time.time() + self._ahead)
            lines = f"open\n{lines_text(holds, span.numbers)}"
            told: bytes = yield from run(either[span.usual], names, *span.bounds, *given, lines)
            if not told.startswith(b"@"):
                return span, told.split()
            self._ahead = float(told[1:]) - time.time()
        raise StoreUnavailable(f"the clock of {self._shown} jumps")

    def settling(self, lease: str, owed: Sequence[Debt]) -> Steps[tuple[Standing, ...]]:
        """See `Accounts.settle`."""
        found: dict[int, Standing] = {}
        opened = self._opened.get(lease)
        for number, (key, stood) in enumerate(owed):
            told = (yield from self._paid(key)) if key in self._owed else stood
            indexes = opened.parts[number].indexes if opened else range(len(told))
            found.update(zip(indexes, told, strict=False))
        self._opened.pop(lease, None)
        if self._owed:
            yield from self.paying(_PAID_AT_ONCE)
        return _ordered(found)

    def _paid(self, key: _Key) -> Steps[Sequence[Standing]]:
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
            if span is not None:
                bounds, resets = span.bounds if span.usual else _ANY_TIME, span.resets
        charged = () if amounts is None else (" ".join(map(str, amounts)),)
        told: bytes = yield from run(scripts.SETTLE, self._places.names(book), *bounds, lease, *charged)
        if not told and amounts and mine:
            told = yield from self._charged_anew(book, lease, mine, amounts)
        self._owed.pop(key, None)
        if is_ahead(lease):
            self._opened.pop(lease, None)
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
        told: bytes = yield from run(
            scripts.SETTLE, self._places.names(book), *_ANY_TIME, lease, " ".join(map(str, amounts))
        )
        return told

    def paying(self, limit: int | None = None) -> Steps[None]:
        """Settle what could not be settled when it should have been. Where it cannot now, it stays owed."""
        try:
            for key in list(self._owed)[:limit]:  # at one go: other threads owe, too
                if key not in self._trying:
                    yield from self._paid(key)
            while (due := self._next_too_large()) is not None:
                yield from run(scripts.TRIM, self._places.names(COMMON)[:1], due.lease, " ".join(map(str, due.keep)))
        except (StoreUnavailable, errors.RedisError):
            return

    def _next_too_large(self) -> Due | None:
        """Each to one of those who pay."""
        try:
            return self._too_large.pop()
        except IndexError:
            return None

    def renewing(self, lease: str, ttl: float) -> Steps[bool]:
        """See `Accounts.renew`."""
        lives = True
        opened = self._opened.get(lease)
        for part in opened.parts if opened else (Part(COMMON, ()),):
            name = self.prepaid.name(lease) if part.ahead else lease
            lives = (yield from run(scripts.RENEW, self._places.names(part.book)[:2], name, repr(ttl))) == 1 and lives
        return lives

    def standing(self, holds: Sequence[Hold]) -> Steps[tuple[Standing, ...]]:
        """See `Accounts.standing`."""
        if self._owed:
            yield from self.paying(_PAID_AT_ONCE)
        return _ordered((yield from self._stand(holds, self._places.parts(holds))))

    def _stand(self, holds: Sequence[Hold], parts: Iterable[Part]) -> Steps[dict[int, Standing]]:
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

    def reaping(self, limit: int) -> Steps[list[Orphan]]:
        """See `Accounts.reap`."""
        yield from self.paying()
        found: list[Orphan] = []
        for book in (yield from self._books()):
            told = yield from run(scripts.REAP, self._places.names(book), limit - len(found))
            found += map(words.orphan, told)
            if len(found) >= limit:
                break
        return found

    def _books(self) -> Steps[list[str]]:
        if not self._places.clustered:
            return [COMMON]
        start = self._places.start
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
            risk = yield from self.risking()
            if risk:
                logger.warning("budgets in %s: %s", self._shown, risk)

    def risking(self) -> Steps[str]:
        """See `RedisAccounts.risk`."""
        for info in (yield from each_info("memory")):
            policy = info.get("maxmemory_policy", "")
            if policy.startswith("allkeys") and int(info.get("maxmemory", 0)):
                return (
                    f"the server forgets what was spent when it is full (maxmemory-policy {policy});"
                    " use noeviction or volatile-lru, or a server of its own for budgets"
                )
        return ""

    def owe(self, lease: str, amounts: Sequence[int]) -> list[Debt]:
        """Note what is to be settled, before it is tried. What is to be paid of each part, and by nobody else until `tried`."""
        check_amounts(amounts)
        opened = self._opened.get(lease)
        if opened:
            check_count(amounts, len(opened.holds))
        parts = opened.parts if opened else (Part(COMMON, range(len(amounts)), whole=True),)
        owed: list[Debt] = []
        for part in parts:
            if part.ahead:
                name, stood = self.prepaid.settle(lease, part.of(amounts))
                self.end_advances()
                owed.append(((part.book, name), stood))
                continue
            key = part.book, lease
            self._trying.add(key)
            owed.append((key, ()))
            taken_back = self._owed.get(key, ()) is None  # and stays so, come it as late as it may
            if any(amounts) or not taken_back:
                self._note(*key, tuple(part.of(amounts)))
        return owed

    def tried(self, owed: Iterable[Debt]) -> None:
        """It was tried to settle these. From now on whoever asks the server next settles what is left of them."""
        for key, _ in owed:
            self._trying.discard(key)

    def end_advances(self, *, all_of_them: bool = False) -> None:
        """Note what is to be told of advances that are over."""
        for due in self.prepaid.due(time.time() + self._ahead, all_of_them=all_of_them):
            if due.charge is None:
                self._too_large.append(due)
            else:
                self._note(COMMON, due.lease, due.charge)

    def take_back(self, lease: str, parts: Sequence[Part]) -> None:
        """Note that a reservation, of which nobody knows whether it came, is nobody's.

        One of `AGAIN` may be somebody's who made the call before: it ends by itself, or is gone on with.
        """
        self._opened.pop(lease, None)
        if lease.startswith(AGAIN):
            return
        for part in parts:
            if not part.ahead:
                self._note(part.book, lease, None)
            elif not self.prepaid.give_back(lease):
                self._note(part.book, ahead(lease), None)

    def _note(self, book: str, lease: str, amounts: tuple[int, ...] | None) -> None:
        self._owed[book, lease] = amounts
        if len(self._owed) > _OWED:
            with suppress(KeyError, RuntimeError):  # another thread was faster
                del self._owed[next(iter(self._owed))]


def _ordered(standings: Mapping[int, Standing]) -> tuple[Standing, ...]:
    return tuple(standings[index] for index in sorted(standings))
