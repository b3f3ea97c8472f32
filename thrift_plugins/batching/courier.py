"""The batches of one account: takes requests in, has their lines carried while it leads the journal, and tells who waits.

All of it runs in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from thrift_plugins.batching.carrier import Carrier
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.finding import Finder
from thrift_plugins.batching.journal import Deposed
from thrift_plugins.batching.leading import Leading
from thrift_plugins.batching.lots import Item
from thrift_plugins.batching.pending import Pending, failed
from thrift_plugins.batching.reading import Reader
from thrift_plugins.batching.stopping import CANCELLED
from thrift_plugins.batching.volatile import warn_of_clocks
from thrift_plugins.batching.waiting import Waiting
from thrift_plugins.errors import ThriftError

logger = logging.getLogger("thrift_plugins")

_TOGETHER_S: Final = 0.05
"""Lines that are booked within that time are written down at once."""


class Courier:
    """The batches of one account."""

    def __init__(self, desk: Desk) -> None:
        self.client, self.journal, self.settings, self.clock = desk.client, desk.journal, desk.settings, desk.clock
        self.waiting = Waiting()
        self.reader = Reader(desk, self.waiting)
        self.finder = Finder(desk, self.reader)
        self.leading = Leading(
            desk.journal,
            self.waiting,
            begin=self._begin,
            stop=self._end,
            look=self._look,
            beat=min(desk.settings.poll, desk.settings.lease / 5),
        )
        self._keeping: asyncio.Task[None] | None = None
        self.carrying: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self.carrier = Carrier(desk, self.reader, self.finder, self._spawn)
        self.broken: BaseException | None = None
        self._warned = False
        self._to_book: dict[bytes, str] = {}

    def start(self) -> None:
        """Go on with what a process before has left, if no other one does, and look for what it may have lost sight of."""
        self.leading.start()
        if self.journal.shared:
            self._keeping = self._spawned(self.leading.keep())

    def _begin(self) -> None:
        for batch in self.journal.unfinished():
            if batch.state == "planned":  # nothing was sent
                self.journal.forget(batch, "refused", self.clock())
            else:
                self.carrier.resume(batch)
        self._look()
        lots = self.carrier.under_way
        for watch in (self._watch_strays(), lots.hasten(self.carrier.hasten), lots.wake(self.settings.max_age)):
            self._watching.add(self._spawned(watch))

    def _look(self) -> None:
        """Send what is new, and mind what is wanted by another time, whichever worker has asked it."""
        now = self.clock()
        self.carrier.queue(Item(*line, now) for line in self.journal.fresh())
        self.carrier.under_way.move(self.journal.moved())

    async def _end(self) -> None:
        """Leave what is under way to whoever leads now."""
        tasks = [*self.carrying, *self._watching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.carrier.forget()

    def take(self, asked: Sequence[Pending], stops: int | None = None, *, sends: bool = True) -> None:
        """Requests of one wave: answered from the journal, joined to what is under way, or queued.

        Args:
            sends: False where others of the same wave will follow, and are to go with them.
            stops: how often the journal had been stopped when their run began: a run that was stopped since asks nothing more.
                None where that is now.
        """
        now = self.clock()
        stopped = self.journal.stops()
        if stops is not None and stops < stopped:
            for pending in asked:
                self.waiting.tell(pending, failed(*CANCELLED))
            self.waiting.post()
            return
        self._warned = self._warned or warn_of_clocks((one.body for one in asked), now)
        self._join(asked)
        answered = self.journal.admit(asked, stopped)
        known = {id(pending) for pending, _ in answered}
        booked = dict.fromkeys(self._to_book, "")
        for pending, answer in answered:
            self.waiting.tell(pending, answer if answer.booked is not None else answer._replace(booked=booked.get(pending.key)))
            if pending.call is not None:
                booked.setdefault(pending.key, pending.call)
        for pending in asked:
            pending.body = b""
            if id(pending) not in known:
                self.waiting.add(pending)
        if sends:
            self.leading.look()
        self.waiting.post()

    def booked(self, key: bytes, call: str) -> None:
        """A call of this name has booked what a line has cost: whoever is given its answer later has nothing to pay."""
        if not self._to_book:
            asyncio.get_running_loop().call_later(_TOGETHER_S, self._book)
        self._to_book[key] = call

    def paid(self, call: str) -> bool:
        """Whether a call of this name has booked a line whose answer the journal has."""
        return call in self._to_book.values() or self.journal.paid(call)

    def _book(self) -> None:
        try:
            self.journal.book(self._to_book)
        except ThriftError as error:
            logger.warning("batch: what %d lines have cost may be booked twice (%s)", len(self._to_book), error)
        self._to_book = {}

    def _join(self, asked: Sequence[Pending]) -> None:
        """Whoever asks for a line that others wait for already wants it by the earliest of their deadlines."""
        earliest: dict[bytes, float] = {}
        for one in asked:
            for deadline in (one.deadline, self.waiting.deadline(one.key)):
                if deadline is not None:
                    earliest[one.key] = min(deadline, earliest.get(one.key, deadline))
        for one in asked:
            one.deadline = earliest.get(one.key)

    @property
    def idle(self) -> bool:
        """Whether everything that can be sent is, so that only the provider is waited for."""
        return self.carrier.idle

    async def stop(self) -> None:
        """Leave everything as the journal has it."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end()
        self._book()

    async def _watch_strays(self) -> None:
        while True:
            await self.finder.strays()
            await asyncio.sleep(max(self.settings.poll, 0.01) * 4)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.carrying.add(self._spawned(work))

    def _spawned(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self.carrying.discard(task)
        self._watching.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Deposed):
            self.leading.depose()
        elif error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """What cannot go on tells everybody who waits: the journal has what is paid, and a next run goes on from there."""
        logger.error("batch: stopped (%s: %s)", type(error).__name__, error)
        self.broken = error
        if self._keeping is not None:  # another worker may do better
            self._keeping.cancel()
        self.waiting.fail(error)
