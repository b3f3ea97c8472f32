"""Which of the workers on a journal leads it, and how the others hear of answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from thrift_plugins.batching.journal import Deposed, Journal
from thrift_plugins.batching.waiting import Waiting
from thrift_plugins.errors import StoreUnavailable

logger = logging.getLogger("thrift_plugins")

_BEAT_S: Final = 1.0


class Leading:
    """Leads a journal as long as nobody else does. One that is not shared is led from the start, for good.

    Args:
        begin: told when this worker leads from now on.
        stop: told when it does not any more; everything that only a leader does has ended when it returns.
        look: told when the leader has to see what others have admitted.
        beat: seconds between two looks at a shared journal.

    Attributes:
        leads: whether this worker is the one that sends, looks and reads.
    """

    def __init__(
        self,
        journal: Journal,
        waiting: Waiting,
        *,
        begin: Callable[[], None],
        stop: Callable[[], Awaitable[None]],
        look: Callable[[], None],
        beat: float,
    ) -> None:
        self._journal, self._waiting = journal, waiting
        self._begin, self._stop, self._look, self._beat = begin, stop, look, min(beat, _BEAT_S)
        self.leads = False
        self._lost = asyncio.Event()

    def start(self) -> None:
        """Lead from now on, if nobody else does."""
        try:
            if self._journal.lead():
                self.leads = True
                self._begin()
        except Deposed:
            self.depose()
        except BaseException:
            self.depose()  # it has begun in part, and has to begin anew
            raise

    def look(self) -> None:
        """See now what was admitted, here or by others, if this worker leads."""
        if self.leads:
            try:
                self._look()
            except Deposed:
                self.depose()

    def depose(self) -> None:
        """A write of a leader was refused: another one leads by now."""
        self.leads = False
        self._lost.set()

    async def keep(self) -> None:
        """Keep the lead or wait for it, and hear of what others have answered, until this is cancelled."""
        while True:
            await self._pause()
            try:
                await self._look_again()
            except Deposed:
                self.depose()
            except StoreUnavailable as error:
                if not self.leads:  # it would hear of no answer
                    raise
                # A leader goes on: nothing is written without the lease, and it may still be there afterwards.
                logger.info("batch: the journal could not be asked (%s)", error)

    async def _look_again(self) -> None:
        if self._lost.is_set():
            self._lost.clear()
            logger.warning("batch: the lead of the journal was lost; whoever has it goes on with what was under way")
            await self._stop()
        if not self.leads:
            self.start()
        elif self._journal.lead():
            self.look()
        else:
            self.depose()
        for key, answer in self._journal.news(self._waiting):
            self._waiting.answer(key, answer)
        self._waiting.post()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._lost.wait(), self._beat)
        except TimeoutError:
            return
