"""A journal on a Redis-protocol server, shared by the workers of an account: one leads, and all of them have the answers."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from secrets import token_hex
from time import monotonic
from typing import Any, Final

import orjson

from thrift_plugins.batching.client import Address, Intent
from thrift_plugins.batching.damage import Damaged
from thrift_plugins.batching.journal import Deposed, Line, Queued, belonging
from thrift_plugins.batching.journal_scripts import (
    ADMIT,
    AGAIN,
    BOOK,
    CHANGE,
    FAIL,
    FRESH,
    LEAD,
    LOOK,
    MEMBERS,
    MOVE,
    MOVED,
    NEWS,
    NOTE_FACTS,
    PLAN,
    RESIGN,
    RETAIN,
    STOPPED,
    TAKE,
    TEXTS,
)
from thrift_plugins.batching.packs import Packs, in_packs
from thrift_plugins.batching.pending import Answer, Pending
from thrift_plugins.batching.records import Sending, check_account
from thrift_plugins.batching.records_redis import RedisRecords, gone, record, sending
from thrift_plugins.batching.sealing import Sealing
from thrift_plugins.batching.usage import usage_of
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_steps import each_info
from thrift_plugins.stores.redis_wire import Word

logger = logging.getLogger("thrift_plugins")

_PAGE: Final = 500
"""Lines of one step: more would keep the server's other users waiting."""
_PATIENCE_S: Final = 20.0
"""A server that is away for so long stops the run. What is under way stays with the provider and in the journal."""
_RETAIN_S: Final = 3600.0
_OLD_AT_ONCE: Final = 4


class RedisJournal(RedisRecords):
    """See `Journal`; for several workers, on one machine or many.

    One of them leads, for as long as it renews its lease; where it dies, another one goes on with what it had under
    way. Each of its writes names the number of its lease, so that one that was held up writes nothing over its successor's.

    The server has to keep what it was told: appendonly yes and appendfsync always, and a maxmemory-policy that evicts nothing
    (noeviction, or volatile-*: nothing here expires but the lease). What it forgets may be paid twice; one that evicts is refused.
    A journal that is gone while it is worked on, as after FLUSHALL, ends the run.

    Args:
        url: see `RedisRecords`.
        account: whose; see `BatchClient.account`.
        key: encrypts prompts and answers (extra `encryption`); the same in every worker.
        retention: seconds that answers are kept.
        lease: seconds after its last sign of life that a worker leads.
        now: seconds since the epoch.

    Raises:
        ConfigError: an unreadable URL, it is another account's, the key is not the right one, or the server evicts.
        StoreUnavailable: the server does not answer.
    """

    shared = True

    def __init__(
        self,
        url: str,
        account: str,
        *,
        key: str | bytes | None = None,
        retention: float,
        lease: float = 30.0,
        now: float,
    ) -> None:
        super().__init__(url, account)
        packs = Packs(key)
        self._texts = Sealing(packs, self.place)
        try:
            self._check_memory()
        except BaseException:
            super().close()
            raise
        for _ in range(2):  # and again where another worker was the first to note something else
            known = self.facts()
            check_account(self.place, known.get("account", ""), account)
            facts = belonging(self.place, known, account, packs)
            self._run(NOTE_FACTS, *(word for fact in facts.items() for word in fact))
        self._number, self._lease = "", int(lease * 1000)
        self._worker = token_hex(8)
        self._seen, self._seen_moved, self._tidy = 0, 0, True
        self._heard = int(self.facts().get("seq", 0))
        self._retention, self._opened, self._retained = retention, (now, monotonic()), -_RETAIN_S
        self._patience = _PATIENCE_S

    def _check_memory(self) -> None:
        """Refuse a server that drops what it was told when it is full, and warn of one that loses it when it crashes.

        Raises:
            ConfigError: it evicts keys that do not expire.
        """
        try:
            memory, persistence = self._do(each_info("memory")), self._do(each_info("persistence"))
        except StoreUnavailable:  # one that tells nothing of itself
            logger.warning("batch: the server of the journal %s does not say whether it keeps what it is told", self.place)
            return
        for one in memory:
            policy = one.get("maxmemory_policy", "")
            if policy.startswith("allkeys") and one.get("maxmemory") != "0":
                raise ConfigError(
                    f"the server of the journal {self.place} drops any key once it has {one.get('maxmemory')} bytes"
                    f" (maxmemory-policy {policy}), and what a journal has forgotten is paid again: set maxmemory-policy"
                    " noeviction there, or give the journal another server"
                )
        if any(one.get("aof_enabled") == "0" for one in persistence):
            logger.warning(
                "batch: the server of the journal %s forgets what was sent when it crashes (appendonly no), and it may be paid"
                " again: set appendonly yes and appendfsync always",
                self.place,
            )

    def close(self) -> None:
        """Let others lead, and close the connections."""
        self._patience = 0.0
        if self._number:
            try:
                self._led(RESIGN)
            except (Deposed, StoreUnavailable):
                logger.info("batch: the lease of %s was not given back; it ends by itself", self.place)
            self._number = ""
        try:
            self._ask("ZREM", "workers", self._worker)  # what it wanted, others may now want later
        except StoreUnavailable:
            logger.info("batch: %s was not told that this worker is gone; it hears of it by itself", self.place)
        super().close()

    # Leading ----------------------------------------------------------------------------------------------------------

    def lead(self) -> bool:
        """See `Journal`."""
        before, self._number = self._number, self._run(LEAD, self._number, self._lease).decode()
        if not self._number:
            return False
        if self._number != before:
            self._seen, self._tidy = 0, False
            self._seen_moved = int(self._ask("HGET", "facts", "seq") or 0)  # what was moved before, `fresh` and `members` tell
        if not self._tidy:
            for row, one in self._rows():
                if one["moving"]:
                    self._moved(row, one)
            self._tidy = True
        self._retain()
        return True

    def _retain(self) -> None:
        if monotonic() - self._retained < _RETAIN_S:
            return
        self._retained = monotonic()
        now, opened = self._opened
        before = now + monotonic() - opened - self._retention
        while self._led(RETAIN, repr(before), _OLD_AT_ONCE):
            pass

    def _led(self, script: Script, *values: Word, batch: int = 0) -> Any:
        """What a script of the leader's says."""
        told = self._run(script, self._number, self._lease, *values, batch=batch)
        if told is None:
            raise Deposed(f"another worker leads the journal {self.place} by now")
        return told

    # Lines ------------------------------------------------------------------------------------------------------------

    def admit(self, asked: Sequence[Pending], stops: int = 0) -> list[tuple[Pending, Answer]]:
        """See `Journal`."""
        answered: list[tuple[Pending, Answer]] = []
        new: dict[bytes, Pending] = {}
        for some in _pages(asked):
            known: dict[bytes, Pending] = {}
            stands = self._run(LOOK, *(one.key for one in some))
            for one, told, booked in zip(some, stands[: len(some)], stands[len(some) :], strict=True):
                if told in (b"", b"bad"):
                    new.setdefault(one.key, one)
                elif told == b"open":
                    known.setdefault(one.key, one)
                else:
                    answered.append((one, self._texts.answer(one.key, told)._replace(booked="" if booked else None)))
            if known:
                again = (word for one in known.values() for word in (one.key, _time(one.deadline)))
                gone = self._run(AGAIN, stops, self._worker, self._lease, *again)
                new.update((key, known[key]) for key in gone)
        for group in in_packs((one, len(one.body)) for one in new.values()):
            lines = ((one.key, _told_of(one), self._texts.seal(one.key, one.body), _time(one.deadline)) for one in group)
            self._run(ADMIT, stops, self._worker, self._lease, *(word for line in lines for word in line))
        return answered

    def stopped(self, keys: Sequence[bytes]) -> set[bytes]:
        """See `Journal`."""
        return {key for some in _pages(keys) for key in self._run(STOPPED, *some)}

    def fresh(self) -> list[Queued]:
        """See `Journal`."""
        fresh: list[Queued] = []
        seen = self._seen
        while told := self._run(FRESH, seen, _PAGE):
            fresh.extend(_queued(*line) for line in zip(told[::5], told[1::5], told[2::5], told[3::5], strict=True))
            seen = int(told[-1])
        self._seen = seen
        return fresh

    def moved(self) -> dict[bytes, float]:
        """See `Journal`."""
        moved: dict[bytes, float] = {}
        while told := self._run(MOVED, self._seen_moved, _PAGE):
            moved.update((key, float(time)) for key, time in zip(told[::3], told[1::3], strict=True))
            self._seen_moved = int(told[-1])
        return moved

    def news(self, wanted: Container[bytes]) -> list[tuple[bytes, Answer]]:
        """See `Journal`."""
        news: list[tuple[bytes, Answer]] = []
        heard = self._heard
        while told := self._run(NEWS, heard, _PAGE, self._worker, self._lease):
            if told == b"gone":
                raise gone(self.place)
            heard = int(told[-1])
            keys = [key for key in told[::2] if key in wanted]
            answers, booked = (self._ask("HMGET", name, *keys) if keys else () for name in ("answers", "booked"))
            news.extend(
                (key, self._texts.answer(key, one)._replace(booked=None if mark is None else ""))
                for key, one, mark in zip(keys, answers, booked, strict=True)
                if one
            )
        self._heard = heard
        return news

    def members(self, batch: Sending) -> list[Queued]:
        """See `Journal`."""
        members: list[Queued] = []
        first = 0
        while told := self._run(MEMBERS, first, first + _PAGE - 1, batch=batch.row):
            lines = zip(told[::4], told[1::4], told[2::4], told[3::4], strict=True)
            members.extend(_queued(*line) for line in lines if line[1])
            first += _PAGE
        return members

    def lines(self, batch: Sending) -> Iterator[Line]:
        """See `Journal`."""
        damaged: list[bytes] = []
        for group in in_packs((one.key, one.size) for one in self.members(batch)):
            yield from self._lines(group, damaged)
        if damaged:
            raise Damaged(self.place, damaged)

    def line(self, key: bytes) -> Line | None:
        """See `Journal`."""
        damaged: list[bytes] = []
        line = next(self._lines([key], damaged), None)
        if damaged:
            raise Damaged(self.place, damaged)
        return line

    def _lines(self, keys: Sequence[bytes], damaged: list[bytes]) -> Iterator[Line]:
        told = self._led(TEXTS, *keys)
        for key, attempt, body in zip(keys, told[::2], told[1::2], strict=True):
            texts = () if body is None else self._texts.texts(key, body)
            if texts is None:
                damaged.append(key)
            elif texts:
                yield Line(key, int(attempt), texts[0])

    def book(self, calls: Mapping[bytes, str]) -> None:
        """See `Journal`."""
        for some in _pages(list(calls.items())):
            self._run(BOOK, *(word for call in some for word in call))

    def paid(self, call: str) -> bool:
        """See `Journal`."""
        return bool(self._ask("HEXISTS", "paid", call))

    def waits(self, key: bytes) -> bool:
        """See `Journal`."""
        return bool(self._ask("HEXISTS", "open", key))

    def knows(self, key: bytes) -> bool:
        """See `Journal`."""
        return bool(self._run(LOOK, key)[0])

    def at_once(self, keys: Sequence[bytes]) -> set[bytes]:
        """See `Journal`."""
        found = ((key, told) for some in _pages(keys) for key, told in zip(some, self._ask("HMGET", "answers", *some), strict=True))
        answers = {key: self._texts.answer(key, told) for key, told in found if told}
        return {key for key, answer in answers.items() if not answer.code and answer.processing != "batch"}

    def attempts(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """See `Journal`."""
        tries: dict[bytes, int] = {}
        for some in _pages(list(keys)):
            tries.update(zip(some, (int(told or 0) for told in self._ask("HMGET", "tries", *some)), strict=True))
        return tries

    def failures(self, keys: Iterable[bytes], *, whole: bool = False) -> list[tuple[bytes, int]]:
        """See `Journal`."""
        told = [word for some in _pages(list(keys)) for word in self._led(FAIL, "1" if whole else "", *some)]
        return list(zip(told[::2], told[1::2], strict=True))

    def take(
        self, batch: Sending | None, answers: Sequence[tuple[bytes, Answer]], at: float, *, stopped: bool = False
    ) -> set[bytes]:
        """See `Journal`."""
        words: list[Word] = [repr(at), batch.row if batch is not None else "", "1" if stopped else ""]
        for key, answer in answers:
            usage = usage_of(() if answer.code or batch is None else (answer.body,))
            words += key, self._texts.seal_answer(key, answer), "1" if answer.code else ""
            words += usage.input_tokens, usage.cache_read, usage.output_tokens
        return set(self._led(TAKE, *words))

    # Batches ----------------------------------------------------------------------------------------------------------

    def plan(self, intent: Intent, keys: Sequence[bytes], tokens: int, deadline: float | None) -> Sending:
        """See `Journal`."""
        row = int(self._ask("HINCRBY", "facts", "batches", 1))
        batch = Sending(row, intent, tokens, deadline, "planned", "", "", None)
        count = 0
        for some in _pages(keys):
            count = self._led(PLAN, row, orjson.dumps(record(batch)), *some, batch=row)
        return batch if count == intent.count else sending(row, self._change(row, count=count))

    def sending(self, batch: Sending, upload: str, at: float) -> Sending:
        """See `Journal`."""
        return sending(batch.row, self._change(batch.row, state="sending", upload=upload, sent_at=at))

    def sent(self, batch: Sending, remote: str) -> Sending:
        """See `Journal`."""
        return sending(batch.row, self._change(batch.row, state="sent", remote=remote))

    def forget(self, batch: Sending, state: str, at: float) -> list[bytes]:
        """See `Journal`."""
        return self._end(batch, state=state, ended="", done_at=at, begun=state != "refused")

    def ended(self, batch: Sending, how: str, at: float, *, begun: bool = True) -> list[bytes]:
        """See `Journal`."""
        return self._end(batch, state="done", ended=how, done_at=at, begun=begun)

    def strays(self, since: float) -> list[Sending]:
        """See `Journal`."""
        return [sending(row, one) for row, one in self._rows() if one["state"] == "absent" and one["done_at"] >= since]

    def adopted(self, batch: Sending, remote: str, at: float) -> None:
        """See `Journal`."""
        self._change(batch.row, state="done", remote=remote, ended="stray", done_at=at)

    def ours(self, remote: str) -> bool:
        """See `Journal`."""
        return bool(self._ask("HEXISTS", "remotes", remote))

    def _end(self, batch: Sending, **changes: Any) -> list[bytes]:
        keys = [one.key for one in self.members(batch)]
        # Line by line it would keep the server's other users waiting: a leader that dies meanwhile leaves the rest to the next.
        self._moved(batch.row, self._change(batch.row, **changes, moving=True))
        return keys

    def _moved(self, row: int, one: dict[str, Any]) -> None:
        """Queue what is left of a batch."""
        while self._led(MOVE, _PAGE, "1" if one.get("begun", True) else "", batch=row):
            pass
        self._write(row, one | {"moving": False})

    def _change(self, row: int, **changes: Any) -> dict[str, Any]:
        known = self._ask("HGET", "batches", row)
        if known is None:
            raise gone(self.place)
        one: dict[str, Any] = orjson.loads(known) | changes
        self._write(row, one)
        return one

    def _write(self, row: int, one: dict[str, Any]) -> None:
        self._led(CHANGE, row, orjson.dumps(one), one["remote"], "" if one["state"] == "absent" else "1")


def _pages(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]


def _told_of(one: Pending) -> bytes:
    return orjson.dumps([one.address.model, one.address.url, len(one.body)])


def _time(deadline: float | None) -> str:
    return "" if deadline is None else repr(float(deadline))


def _queued(key: bytes, told: bytes, time: bytes, wanted: bytes) -> Queued:
    model, url, size, *_ = orjson.loads(told)
    return Queued(key, Address(model, url), size, float(time) if time else None, bool(wanted) or not time)
