"""Carries a lot through its whole life: plans, sends, waits, reads, and sends again what was not run.

One task carries one lot, step by step as it stands in `_carry`; whatever is left of it afterwards becomes new lots. The journal
is told before each step that may cost money.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from thrift_plugins.batching.client import (
    Address,
    BatchError,
    BatchLine,
    BatchRefused,
    BatchStatus,
    BatchUnknown,
    Intent,
)
from thrift_plugins.batching.damage import Damaged, no_prompt
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.doubles import Doubles
from thrift_plugins.batching.finding import Finder
from thrift_plugins.batching.lines import Lines
from thrift_plugins.batching.lots import Item, Lot, too_large
from thrift_plugins.batching.pending import TOO_LARGE, failed, new_intent
from thrift_plugins.batching.promotion import Promoter
from thrift_plugins.batching.reading import Reader
from thrift_plugins.batching.records import Sending
from thrift_plugins.batching.room import Room
from thrift_plugins.batching.stopping import Stopping
from thrift_plugins.batching.underway import Underway

logger = logging.getLogger("thrift_plugins")

_FULL: Final = ("token_limit_exceeded", "queue_full", "rate_limit_exceeded", "2285577")
"""A batch that failed with one of these was never begun: the account's queue had no room for it."""

_BACKOFF_MOST: Final = 900.0
_QUICK: Final = 1.0
_PATIENT_S: Final = 5.0
"""What the provider does not take for longer cannot be sent now."""


class Carrier:
    """The lots of one account, for as long as its journal is led here.

    Args:
        spawn: has a lot's task run, and hears how it ends.

    Attributes:
        under_way: every lot.
    """

    def __init__(
        self, desk: Desk, reader: Reader, finder: Finder, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self.client, self.journal, self.settings, self.clock = desk.client, desk.journal, desk.settings, desk.clock
        self.reader, self.finder, self.promoter, self._spawn = reader, finder, Promoter(desk), spawn
        self.stopping = Stopping(desk.journal, reader)
        self.under_way = Underway(desk.clock, desk.settings.poll)
        self.room = Room(desk.client.limits)
        self.unsent = 0
        self._roomless: list[Lot] = []
        self._unlooked: set[int] = set()

    def queue(self, items: Iterable[Item], delay: float = 0.0) -> None:
        """Send lines, in as few batches as may be."""
        by_address: dict[Address, list[Item]] = defaultdict(list)
        for item in items:
            by_address[item.address].append(item)
        for address, asked in by_address.items():
            limits = self.client.limits(address.model)
            mine = [item for item in asked if not too_large(item, limits)]
            if len(mine) < len(asked):
                self._give_up([item.key for item in asked if too_large(item, limits)], *TOO_LARGE)
            for lot in self.room.lots(address, mine):
                self.unsent += 1
                self.under_way.add(lot)
                self._spawn(self._carry(lot, delay))

    def resume(self, batch: Sending) -> None:
        """Go on with a batch that a process before has sent, or may have."""
        self._unlooked.add(batch.row)
        self._spawn(self._resumed(batch))

    def hasten(self, lot: Lot) -> None:
        """Ask lines at once that are wanted before the rest of their batch."""
        lot.keep(self.stopping.without([item.key for item in lot.items]))
        self.unsent += 1
        self._spawn(self._hastened(lot))

    def forget(self) -> None:
        """Every task of a lot was ended: somebody else leads."""
        self._unlooked.clear()
        self.room.forget()
        self.under_way.forget()
        self.unsent = 0  # what was cancelled before it began has not counted itself out

    @property
    def idle(self) -> bool:
        """Whether everything that can be sent is, so that only the provider is waited for."""
        if self.unsent or self._unlooked or self.reader.reading:
            return False
        return not any(self.room.has(lot) for lot in self._roomless)

    # One lot ----------------------------------------------------------------------------------------------------------

    async def _hastened(self, lot: Lot) -> None:
        try:
            await self._promote(lot)
        finally:
            self.unsent -= 1

    async def _carry(self, lot: Lot, delay: float) -> None:
        with ExitStack() as held:
            held.callback(self.under_way.done, lot)
            try:
                await self._waited(lot, delay)
                lot.keep(self.stopping.without([item.key for item in lot.items]))
                if not lot.items:
                    return
                if self._due(lot):
                    leaving, rest = lot.split(self.clock())
                    self.queue(rest)
                    await self._promote(Lot(lot.address, leaving))
                    return
                batch = self._planned(lot)
                held.enter_context(self.room.taken(lot.address.model, batch.tokens))
                sent = await self._send(batch, lot)
            finally:
                self.unsent -= 1
            if sent is not None:
                await self._follow(sent, lot)

    async def _resumed(self, batch: Sending) -> None:
        """A batch that a process before has sent, or may have."""
        address = Address(batch.intent.model, batch.intent.url)
        lot = Lot(address, [Item(*line, batch.intent.made_at) for line in self.journal.members(batch)])
        self.under_way.add(lot)
        try:
            with self.room.taken(address.model, batch.tokens):
                if batch.state == "sending":
                    self.unsent += 1
                    self._unlooked.discard(batch.row)
                    try:
                        found = await self._found(batch, lot)
                        self._unlooked.add(batch.row)
                    finally:
                        self.unsent -= 1
                    if found is None:
                        return
                    batch = found
                await self._follow(batch, lot, at_once=True)
        finally:
            self.under_way.done(lot)
            self._unlooked.discard(batch.row)

    def _planned(self, lot: Lot) -> Sending:
        keys = [item.key for item in lot.items]
        digest = blake2b(b"".join(keys), digest_size=16).hexdigest()
        intent = Intent(new_intent(), digest, lot.address.model, lot.address.url, len(keys), self.clock())
        return self.journal.plan(intent, keys, lot.tokens, lot.deadline)

    async def _send(self, batch: Sending, lot: Lot) -> Sending | None:
        """Upload and create. None where nothing was made, and the lines are queued again or answered with an error."""
        lines = self._lines(batch)
        try:
            if not any(True for _ in lines):  # a stray has answered all of them
                self.journal.forget(batch, "refused", self.clock())
                return None
            upload = await self._uploaded(batch, lines, lot)
            if upload is None:
                return None
            batch = self.journal.sending(batch, upload, self.clock())
            made = await self.client.create(batch.intent, upload, lines)
        except Damaged as damaged:  # while the lines were read, of which none was sent
            self._without_damaged(batch, lot, damaged)
            return None
        except BatchRefused as refused:
            self._refused(batch, lot, refused)
            return None
        except BatchUnknown as unknown:
            logger.warning("batch: nobody knows whether a batch was made (%s); looking for it", unknown)
            return await self._found(batch, lot)
        return self.journal.sent(batch, made.id)

    def _lines(self, batch: Sending) -> Lines:
        # Where a listing tells no more than times and counts, the results are to tell whose they are.
        return Lines(self.journal, batch, batch.intent.id if self.client.recovery == "contents" else "")

    async def _uploaded(self, batch: Sending, lines: Iterable[BatchLine], lot: Lot) -> str | None:
        """The id of the input file. An upload may be repeated: it costs nothing."""
        delay = _QUICK
        while True:
            try:
                return await self.client.upload(batch.intent, lines)
            except BatchRefused as refused:
                if not refused.again:
                    self._refused(batch, lot, refused)
                    return None
                delay = refused.retry_after or delay
            except BatchError as error:
                logger.info("batch: an upload failed (%s), again in %g s", error, delay)
            await self._pause(delay, lot)
            delay = min(2 * delay, _BACKOFF_MOST)
            if self._due(lot) or self._stopped(lot):
                self._requeue(self.journal.forget(batch, "refused", self.clock()), lot)
                return None

    def _without_damaged(self, batch: Sending, lot: Lot, damaged: Damaged) -> None:
        keys = self.journal.forget(batch, "refused", self.clock())
        self.reader.fail(list(damaged.keys), no_prompt(damaged))
        self._requeue([key for key in keys if key not in damaged.keys], lot)

    def _refused(self, batch: Sending, lot: Lot, refused: BatchRefused) -> None:
        keys = self.journal.forget(batch, "refused", self.clock())
        if not refused.again:
            self._give_up(keys, refused.status or 400, f"the provider refused the batch: {refused}", refused.code)
            return
        if refused.full:
            self.room.fuller(lot)
        delay = refused.retry_after if refused.retry_after is not None else self.settings.poll
        logger.warning("batch: the provider does not take %d lines now (%s); asked again in %g s", len(keys), refused, delay)
        self._requeue(keys, lot, delay)

    async def _found(self, batch: Sending, lot: Lot) -> Sending | None:
        """A batch whose create had an unknown outcome, None where it was not made, and its lines are queued again."""
        sleep = partial(self._pause, lot=lot)
        found = await self.finder.find(batch, self._lines(batch), lambda: self._due(lot), sleep=sleep)
        if found is not None:
            return self.journal.sent(batch, found.id)
        self._requeue(self.journal.forget(batch, "absent", self.clock()), lot)
        return None

    async def _follow(self, batch: Sending, lot: Lot, *, at_once: bool = False) -> None:
        """Wait for a batch, read it, and queue again what was not run."""
        status = await self._ended(batch, lot, at_once=at_once)
        doubles = await self._read(batch, status, lot) if status is not None else None
        if status is None or doubles is None:
            # The deadline goes before. What the provider still does for it turns up as a stray, and is reported.
            self._requeue(self.journal.forget(batch, "absent", self.clock()), lot)
            return
        came_on = self.reader.came_on(status)
        self._unlooked.discard(batch.row)
        full = status.state == "failed" and any(code in _FULL for code in status.errors)
        keys = self.journal.ended(batch, status.state, self.clock(), begun=came_on or not full)
        self.reader.report(batch, status, keys)
        if doubles.lines:
            told = "lines were answered at once for the sake of a deadline, while a batch had them"
            self.finder.report(batch, status.id, doubles, told)
        mine = {item.key for item in lot.items}  # and not what has left it alone
        keys = self.stopping.without([key for key in keys if key in mine])
        if not keys:
            return
        if full:
            self.room.fuller(lot)
            self._requeue(keys, lot, self.settings.poll)
        else:
            worn = self.reader.failed_again(keys) if status.state == "failed" and not came_on else set()
            told = ", ".join(status.errors) or "it does not say why"
            self._give_up(list(worn), 400, f"the provider failed the batch: {told}", (status.errors or ("failed",))[0])
            self._requeue([key for key in keys if key not in worn], lot)

    async def _read(self, batch: Sending, status: BatchStatus, lot: Lot) -> Doubles | None:
        return await self.reader.read(
            batch, status, late=lambda: self._too_late(lot), sleep=lambda seconds: self._sleep(seconds, lot)
        )

    async def _ended(self, batch: Sending, lot: Lot, *, at_once: bool) -> BatchStatus | None:
        """The batch's last state, with all of its results to be read, None where a deadline leaves no time for it."""
        final_since: float | None = None
        cancelled = False
        delay = 0.0 if at_once else min(self.settings.poll, _QUICK)
        while True:
            await self._sleep(delay, lot)
            delay = self.settings.poll
            if self._too_late(lot):
                return None
            try:
                leaves = not cancelled and (self._due(lot) or self._stopped(lot))
                cancelled = cancelled or (leaves and await self._cancelled(batch))
                status = await self.client.status(batch.remote)
                if not (status.final and status.ready):
                    self._unlooked.discard(batch.row)
            except BatchError as error:
                logger.info("batch: %s could not be looked at (%s)", batch.remote, error)
                self._unlooked.discard(batch.row)
                delay = min(delay, _QUICK * 5) if self._due(lot) else delay
                continue
            if status.final:
                now = asyncio.get_running_loop().time()
                final_since = final_since if final_since is not None else now
                if status.ready or now - final_since >= self.settings.settling:
                    return status
                delay = min(self.settings.poll, self.settings.settling / 10)
            elif cancelled:
                delay = min(self.settings.poll, _QUICK * 5)

    async def _cancelled(self, batch: Sending) -> bool:
        """Whether the provider ends a batch early. It refuses for one that has ended, whose answers are there to be read."""
        try:
            await self.client.cancel(batch.remote)
        except BatchError as error:
            logger.info("batch: %s could not be cancelled (%s)", batch.remote, error)
            return False
        return True

    # Small things ---------------------------------------------------------------------------------------------------

    async def _promote(self, lot: Lot) -> None:
        try:
            await self.promoter.promote(lot, self.reader)
        finally:
            self.room.notify()

    def _requeue(self, keys: Sequence[bytes], lot: Lot, delay: float = 0.0) -> None:
        known = {item.key: item for item in lot.items}
        fresh, worn = self.reader.worn([key for key in keys if key in known])
        self._give_up(worn, 503, "the provider did not run the request, however often it was asked", "not_run")
        self.queue([known[key] for key in fresh], delay)

    def _give_up(self, keys: Sequence[bytes], status: int, message: str, code: str) -> None:
        self.reader.fail(keys, failed(status, message, code or "failed"))

    def _stopped(self, lot: Lot) -> bool:
        return self.stopping.all_of([item.key for item in lot.items])

    def _due(self, lot: Lot) -> bool:
        return self.clock() >= lot.leaves

    def _too_late(self, lot: Lot) -> bool:
        return self.clock() >= lot.last

    async def _waited(self, lot: Lot, delay: float) -> None:
        """Wait out a delay, and until the account's queue has room, or a deadline leaves no more time for it."""
        if delay:
            await self._pause(delay, lot)
        while self.clock() >= lot.asleep:  # whoever asks for it again may give it more time
            with self._put_off():
                await self._sleep(self.settings.poll, lot)
        if self.room.has(lot):
            return
        self._roomless.append(lot)
        try:
            with self._put_off():
                while not self.room.has(lot) and not self._due(lot):
                    await self.room.changed(self._short(self.settings.poll, lot))
        finally:
            self._roomless.remove(lot)

    async def _pause(self, seconds: float, lot: Lot) -> None:
        """Sleep before something can be sent; so long that it cannot be now, or not."""
        with self._put_off() if seconds > _PATIENT_S else nullcontext():
            await self._sleep(seconds, lot)

    @contextmanager
    def _put_off(self) -> Iterator[None]:
        """A lot that cannot be sent in this block: whoever only sends does not wait for it, and the journal has it."""
        self.unsent -= 1
        try:
            yield
        finally:
            self.unsent += 1

    async def _sleep(self, seconds: float, lot: Lot) -> None:
        """Sleep, but not when one of the lot's deadlines is moved."""
        try:
            await asyncio.wait_for(lot.changed.wait(), self._short(seconds, lot))
        except TimeoutError:
            return
        lot.changed.clear()

    def _short(self, seconds: float, lot: Lot) -> float:
        """So many seconds, but not far beyond the moment when a deadline has to be looked at."""
        return seconds if lot.deadline is None else min(seconds, max(0.05, (lot.deadline - self.clock()) / 20))
