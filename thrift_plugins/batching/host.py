"""The thread that carries an executor's batches, and decides when a wave is full."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakSet

from thrift_plugins.batching.courier import Courier
from thrift_plugins.batching.session import Session
from thrift_plugins.batching.waiting import fail
from thrift_plugins.finalizing import living

logger = logging.getLogger("thrift_plugins")

T = TypeVar("T")

_SLOWER = 1.5
_SLOWEST_S = 1.0

_PATIENT_S = 30.0
"""What an executor that is being closed may never answer is waited for so long."""

_MOST = 50_000
"""Requests of a wave that goes whether it is full or not: the most that providers take in a batch."""

_MOST_BYTES = 32_000_000
"""What the prompts of a wave that is not full may take of memory: then they go to the journal, and are sent with the others."""


class Host:
    """A courier in an event loop and a thread of its own.

    Args:
        make: makes the courier, in the thread's loop.
    """

    def __init__(self, make: Callable[[], Courier]) -> None:
        self._loop = asyncio.new_event_loop()
        self._waves: set[asyncio.Task[None]] = set()
        self._sessions: WeakSet[Session] = WeakSet()
        self._thread = threading.Thread(target=self._run, name="thrift-batch", daemon=True)
        self._thread.start()
        try:
            self.courier = self.call(_made(make))
        except BaseException:
            self._end()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the courier's loop, and wait for it."""
        return self._submit(work).result()

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """`call` without blocking the event loop."""
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Coroutine[Any, Any, T]) -> futures.Future[T]:
        # In a context of its own: the courier's requests are not the run's.
        return Context().run(asyncio.run_coroutine_threadsafe, work, self._loop)

    def wake(self, session: Session) -> None:
        """A session has a request parked, the first of a wave."""
        self._sessions.add(session)
        try:
            self._loop.call_soon_threadsafe(self._begin, session, context=Context())
        except RuntimeError:
            session.end(_closed())

    def booked(self, key: bytes, call: str) -> None:
        """What a line has cost is booked: the journal is told, or, where the executor is closed by now, the next one books it again."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.courier.booked, key, call, context=Context())

    def paid(self, call: str) -> bool:
        """Whether a call of this name has booked a line whose answer is there, as far as anybody has told until now."""
        try:
            return self._submit(self._paid(call)).result(_PATIENT_S)
        except (RuntimeError, TimeoutError):  # the executor is closed
            return False

    async def _paid(self, call: str) -> bool:
        return self.courier.paid(call)

    def _begin(self, session: Session) -> None:
        task = asyncio.ensure_future(self._wave(session))
        self._waves.add(task)
        task.add_done_callback(self._waves.discard)

    async def _wave(self, session: Session) -> None:
        """Wait until a wave is full, and take it."""
        try:
            if session.stops is None:
                session.stops = self.courier.journal.stops()
            await self._full(session)
            if self.courier.broken is not None:
                raise self.courier.broken  # noqa: TRY301
            self._take(session)
        except BaseException as error:  # noqa: BLE001  whoever waits must hear of it
            session.end(error if isinstance(error, Exception) else _closed())
            if isinstance(error, Exception):
                self.courier.fail(error)

    def _take(self, session: Session, *, whole: bool = True) -> None:
        parked = session.take(whole=whole)
        for pending in parked:  # before a last look at who is still there: who leaves later is told so
            pending.kept = True
        taken = [pending for pending in parked if not pending.waiter.cancelled()]
        try:
            self.courier.take(taken, session.stops, sends=whole)
        except BaseException as error:
            fail(taken, error)  # neither the session nor the courier has them now
            raise

    async def _full(self, session: Session) -> None:
        settings = self.courier.settings
        began = quiet_since = time.monotonic()
        arrivals, pause = -1, settings.linger
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            if len(session.parked) >= max(settings.window, _MOST) or now - began >= settings.max_age:
                return
            if session.parked_bytes >= _MOST_BYTES:
                self._take(session, whole=False)
            if session.arrivals != arrivals:
                arrivals, quiet_since, pause = session.arrivals, now, settings.linger
                if settings.linger:
                    continue
            if self.courier.reader.reading:  # what is read now goes on, and asks more
                continue
            if await session.quiescent():
                return
            if time.monotonic() - quiet_since >= settings.external_cap:
                return
            # Looking at many tasks takes a while: never more than a part of the time.
            pause = min(max(pause * _SLOWER, 4 * (time.monotonic() - now), 0.001), _SLOWEST_S)

    async def settled(self, session: Session) -> None:
        """Wait until everything that a run can ask is sent, so that only the provider keeps it."""
        courier = self.courier
        while True:
            await asyncio.sleep(courier.settings.linger)
            if session.broken is not None:
                return
            if session.parked or self._waves or not courier.idle:
                continue
            if await session.at_rest() and courier.idle and not session.parked:
                return

    def close(self) -> None:
        """Stop. The journal keeps what is under way."""
        if self._thread.is_alive():
            self.call(self._stop())
            self._end()
            for session in living(self._sessions):
                session.end(_closed())
            self.courier.waiting.fail(_closed())

    async def _stop(self) -> None:
        for task in list(self._waves):
            task.cancel()
        await asyncio.gather(*self._waves, return_exceptions=True)
        await self.courier.stop()
        await self.courier.client.aclose()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _closed() -> RuntimeError:
    return RuntimeError("the batch executor was closed; the journal has what was asked, for a next run")


async def _made(make: Callable[[], Courier]) -> Courier:
    courier = make()
    courier.start()
    return courier
