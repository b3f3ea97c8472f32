"""What a deadline does: lines leave the batch for flex, where it is offered, and at last for real time, and it is said what that cost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Final

from thrift_plugins.batching.client import BatchError, BatchLine, BatchRefused, BatchUnknown, Instant
from thrift_plugins.batching.damage import Damaged, no_prompt
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.lots import Item, Lot, as_line
from thrift_plugins.batching.pending import Answer, custom_id, failed
from thrift_plugins.batching.reading import Reader
from thrift_plugins.batching.records import Incident
from thrift_plugins.types import Nano, Processing, Usage

logger = logging.getLogger("thrift_plugins")

_TRIES_LATE: Final = 10
_PASSING: Final = frozenset({408, 409, 425, 429})


class Promoter:
    """Asks lines at once."""

    def __init__(self, desk: Desk) -> None:
        self._client, self._journal, self._cost, self._clock = desk.client, desk.journal, desk.cost, desk.clock
        self._flex_room = asyncio.Semaphore(desk.settings.asks)  # flex may keep a call for minutes
        self._room = asyncio.Semaphore(4 * desk.settings.asks)

    async def promote(self, lot: Lot, reader: Reader) -> None:
        """Answer every line of a lot before its deadline, and note what that cost more than the batch would have."""
        usages = await asyncio.gather(*(self._one(item, reader) for item in lot.items))
        told: dict[Processing, list[Usage]] = {}
        for processing, usage in (each for each in usages if each is not None):
            told.setdefault(processing, []).append(usage)
        for processing, used in told.items():
            self._report(lot, processing, used)

    def _report(self, lot: Lot, processing: Processing, used: list[Usage]) -> None:
        model = lot.address.model
        more: Nano | None = 0
        for usage in used:
            paid, batch = self._cost(model, usage, processing), self._cost(model, usage, "batch")
            more = None if more is None or paid is None or batch is None else more + paid - batch
        price = "nobody knows what that cost" if more is None else f"that cost ${more / 1e9:.6f} more than a batch"
        words = f"{len(used)} lines of {model} were answered by {processing} processing to meet a deadline; {price}"
        logger.warning("batch: promoted: %s", words)
        self._journal.note(Incident(self._clock(), "promoted", "", len(used), more, words))

    async def _one(self, item: Item, reader: Reader) -> tuple[Processing, Usage] | None:
        flex = self._client.flex(item.address.model)
        delay, late = 0.5, 0
        while True:
            async with self._admitted(item, flex=flex) as by_flex:
                try:
                    line = self._journal.line(item.key)
                except Damaged as damaged:
                    reader.fail([item.key], no_prompt(damaged))
                    return None
                if line is None:  # answered meanwhile
                    return None
                sent = as_line(custom_id(line.key, line.attempt), item.address, line.body)
                answer = await self._ask(sent, self._until_late(item) if by_flex else None)
            if not self._journal.waits(item.key):
                return None
            if isinstance(answer, Instant) and not _passing(answer.status):
                kind: Processing = "flex" if by_flex else "standard"
                code = "" if answer.status < 400 else "error"
                usage = reader.take_one(item.key, Answer(answer.status, answer.body, code, kind))
                return None if code else (kind, usage)
            late += item.deadline is not None and self._clock() > item.deadline
            if late > _TRIES_LATE:
                reader.fail(
                    [item.key], failed(503, f"the deadline is over, and there is no answer: {answer}", "deadline")
                )
                return None
            await asyncio.sleep(self._pause(item, delay, by_flex=by_flex))
            delay = min(2 * delay, 30.0)

    def _pause(self, item: Item, delay: float, *, by_flex: bool) -> float:
        """How long to wait: not so long that real time comes too late."""
        if item.deadline is None:
            return delay
        left = item.deadline - self._clock()
        if by_flex:
            left = item.last - self._clock()
        return max(0.05, min(delay, left / 2)) if left > 0 else min(delay, 1.0)

    @asynccontextmanager
    async def _admitted(self, item: Item, *, flex: bool) -> AsyncIterator[bool]:
        """Wait for a turn; gives whether it is one of flex, whose queue is left where only real time comes in time."""
        if flex and await _got(self._flex_room, self._until_late(item)):
            try:
                yield True
            finally:
                self._flex_room.release()
        else:
            async with self._room:
                yield False

    def _until_late(self, item: Item) -> float:
        """Seconds until only real time is left."""
        return item.last - self._clock()

    async def _ask(self, line: BatchLine, flex_for: float | None) -> Instant | BatchError:
        """An answer in real time, or by flex if it comes within so many seconds."""
        try:
            if flex_for is None:
                return await self._client.ask(line)
            async with asyncio.timeout(None if flex_for == inf else flex_for):
                return await self._client.ask(line, flex=True)
        except TimeoutError:
            return BatchUnknown("flex took too long for the deadline", code="deadline")
        except BatchRefused as refused:
            return (
                Instant(refused.status or 429, b"") if refused.again else Instant(refused.status or 400, _told(refused))
            )
        except BatchError as error:
            return error


async def _got(room: asyncio.Semaphore, seconds: float) -> bool:
    """Whether there was room within so many seconds."""
    if seconds <= 0:
        return False
    try:
        return await asyncio.wait_for(room.acquire(), None if seconds == inf else seconds)
    except TimeoutError:
        return False


def _passing(status: int) -> bool:
    return status in _PASSING or status >= 500


def _told(refused: BatchRefused) -> bytes:
    return failed(refused.status or 400, str(refused), refused.code).body
