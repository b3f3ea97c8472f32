"""Finds batches that were made although nobody heard of it: after a create whose outcome is unknown, and long after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from thrift_plugins.batching.client import BatchError, BatchLine, BatchRefused, BatchStatus
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.doubles import Doubles
from thrift_plugins.batching.pending import intent_in, key_in
from thrift_plugins.batching.reading import Reader
from thrift_plugins.batching.records import Incident, Sending

logger = logging.getLogger("thrift_plugins")

_SLACK_S: Final = 3600.0
"""How far the provider's clock and ours may be apart."""

_QUICK: Final = 1.0


class Finder:
    """Looks through the provider's listing."""

    def __init__(self, desk: Desk, reader: Reader) -> None:
        self._client, self._journal, self._settings, self._clock, self._cost, self._most = desk
        self._reader = reader
        self._others: set[str] = set()

    async def find(
        self,
        batch: Sending,
        lines: Iterable[BatchLine],
        due: Callable[[], bool],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> BatchStatus | None:
        """The batch that a create has made, None where it is not there once the grace is over.

        Only a listing that began after the grace tells that there is none: while listings fail, nothing is sent again.

        Args:
            batch: in the state "sending".
            lines: what was sent.
            due: whether a deadline leaves no more time to look.
            sleep: waits, but not beyond a deadline.
        """
        if self._client.recovery == "token":
            return await self._again(batch, lines, due, sleep)
        # From now on, not from when it was sent: a create may have hung for as long as the grace before it was cut off. By the loop's
        # time, because a clock may be set meanwhile.
        time = asyncio.get_running_loop().time
        over = time() + self._settings.grace
        delay = 0.0
        while True:
            await sleep(delay)
            delay = min(max(delay * 2, self._settings.grace / 50, 0.01), max(self._settings.poll, 0.01))
            began = time()
            try:
                found, undecided = await self._look(batch)
            except BatchError as error:
                logger.info("batch: the listing could not be read (%s)", error)
                delay = max(delay, min(_QUICK, self._settings.poll))
                if due():
                    return None
                continue
            if found is not None:
                return found
            if (began >= over and not undecided) or due():
                return None

    async def _again(
        self,
        batch: Sending,
        lines: Iterable[BatchLine],
        due: Callable[[], bool],
        sleep: Callable[[float], Awaitable[None]],
    ) -> BatchStatus | None:
        """Where the provider makes one batch for one token, asking again is safe."""
        delay = min(_QUICK, self._settings.poll)
        while True:
            try:
                return await self._client.create(batch.intent, batch.upload, lines)
            except BatchRefused as refused:
                if not refused.again:
                    return None
                logger.info("batch: %s", refused)
            except BatchError as error:
                logger.info("batch: still unknown (%s)", error)
            if due():
                return None
            await sleep(delay)
            delay = min(2 * delay, max(self._settings.poll, 0.01))

    async def _look(self, batch: Sending) -> tuple[BatchStatus | None, bool]:
        """The batch, and whether one may be it that cannot be told yet."""
        undecided, since = False, self._since((batch,))
        async for one in self._client.listing(since):
            if self._client.recovery == "metadata":
                if self._matches(one, batch):
                    return one, False
                continue
            if self._journal.ours(one.id) or one.created_at < since:
                continue
            if one.counts.total not in (0, batch.intent.count):
                continue
            if not (one.final and one.ready):
                undecided = True
            elif await self._proven(one, batch):
                return one, False
        return None, undecided

    def _since(self, batches: Iterable[Sending]) -> float:
        """From when on the provider may have made one of these. Our clock may have been set since we noted when that was."""
        return min(self._clock(), *(batch.intent.made_at for batch in batches)) - _SLACK_S

    def _matches(self, one: BatchStatus, batch: Sending) -> bool:
        if batch.remote:
            return batch.remote == one.id
        if one.intent:
            return one.intent == batch.intent.id
        return bool(one.upload) and one.upload == batch.upload

    async def _proven(self, one: BatchStatus, batch: Sending) -> bool:
        """Whether a batch's results are of lines that were sent with this intent."""
        async for line in self._client.results(one):
            return intent_in(line.custom_id) == batch.intent.id
        return False

    async def strays(self) -> None:
        """Look for batches that turn up after they were given up: cancel and report them, and use what they answered."""
        lost = self._journal.strays(self._clock() - self._settings.strays)
        if not lost:
            return
        try:
            async for one in self._client.listing(self._since(lost)):
                batch = None if self._journal.ours(one.id) else await self._lost(one, lost)
                if batch is not None:
                    lost.remove(batch)
                    await self._take_in(batch, one)
        except BatchError as error:
            logger.info("batch: strays could not be looked for (%s)", error)

    async def _lost(self, one: BatchStatus, lost: Sequence[Sending]) -> Sending | None:
        """Which of the batches that were given up a listed one is."""
        if self._client.recovery != "contents":
            return next((batch for batch in lost if self._matches(one, batch)), None)
        if one.id in self._others or not (one.final and one.ready):  # nothing proves an unfinished one
            return None
        async for line in self._client.results(one):
            key, intent = key_in(line.custom_id), intent_in(line.custom_id)
            if key is not None and self._journal.knows(key):
                return next((batch for batch in lost if batch.intent.id == intent), None)
            break
        self._others.add(one.id)
        return None

    async def _take_in(self, batch: Sending, one: BatchStatus) -> None:
        if not one.final:
            await self._client.cancel(one.id)
        while not (one.final and one.ready):
            await asyncio.sleep(self._settings.poll)
            one = await self._client.status(one.id)
        doubles = await self._reader.read(batch, one, stray=True) or Doubles()
        doubles.unread(one.counts.completed)
        self._journal.adopted(batch, one.id, self._clock())
        told = (
            f"a batch of {batch.intent.count} lines turned up after its lines had been sent again (the grace is"
            f" {self._settings.grace:g} s); it was cancelled"
        )
        self.report(batch, one.id, doubles, told)

    def report(self, batch: Sending, remote: str, doubles: Doubles, told: str) -> None:
        """Note what was paid twice, and what that cost."""
        nano, words = doubles.cost(batch.intent.model, self._cost, self._most) if doubles.lines else (0, "")
        told += f", and {doubles.lines} of its answers are paid twice: {words}" if doubles.lines else ", and nothing was paid for it"
        logger.warning("batch: duplicate: %s (%s)", told, remote)
        self._journal.note(Incident(self._clock(), "duplicate", remote, doubles.lines, nano, told))
