"""One run: starts items as there is room, and gives their results, in order or as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, TypeAlias

from thrift_plugins.batching.host import Host
from thrift_plugins.batching.results import BatchResult
from thrift_plugins.batching.session import Session, answered_by

Call: TypeAlias = Callable[[Any], Awaitable[Any]]
Inputs: TypeAlias = Iterable[Any] | AsyncIterable[Any]

THREADS: Final = 2_000
"""Most threads of a run: each waits for a synchronous call, and costs little but its stack."""


class Run:
    """The items of one run.

    Args:
        call: what is done with an input.
        window: items at once, those whose results nobody has taken yet among them.
        in_order: whether results come in the order of the inputs.
        deadline: when all must be answered, in seconds since the epoch.
        waits: False gives the items that only the provider keeps as `waiting`, instead of waiting for them.
    """

    def __init__(
        self,
        host: Host,
        session: Session,
        call: Call,
        inputs: Inputs,
        *,
        window: int,
        in_order: bool,
        deadline: float | None,
        waits: bool,
    ) -> None:
        self._host, self._session, self._call, self._inputs = host, session, call, inputs
        self._window, self._in_order, self._deadline, self._waits = window, in_order, deadline, waits
        self._room = asyncio.Semaphore(window)
        self._results: asyncio.Queue[BatchResult | None] = asyncio.Queue()
        self._live: dict[asyncio.Task[None], int] = {}
        self._put_off: set[int] = set()

    async def results(self) -> AsyncIterator[BatchResult]:
        """The results. Closing this early leaves the rest to a later run: what is sent stays in the journal."""
        loop = asyncio.get_running_loop()
        widen_threads(loop, self._session)
        with self._session.watching(loop):
            context = copy_context()
            pump = context.run(self._entered, loop)
            try:
                async for result in self._ordered() if self._in_order else self._taken():
                    yield result
                await pump
            finally:
                self._session.open = False
                tasks = [pump, *self._live]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _entered(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        with self._session.entered(), answered_by(self._deadline):
            return loop.create_task(self._pump())

    async def _taken(self) -> AsyncIterator[BatchResult]:
        while (result := await self._results.get()) is not None:
            yield result
            # The consumer comes back for the next one: only now is there room for another item.
            self._session.owed -= 1
            self._room.release()

    async def _ordered(self) -> AsyncIterator[BatchResult]:
        early: dict[int, BatchResult] = {}
        following = 0
        while (result := await self._results.get()) is not None:
            early[result.index] = result
            self._session.owed -= 1  # one that comes too early nobody can have yet, so nobody is slow in taking it
            while following in early:
                self._session.owed += 1
                yield early.pop(following)
                following += 1
                self._session.owed -= 1
                self._room.release()

    async def _pump(self) -> None:
        try:
            index = 0
            async for item in _each(self._inputs):
                if not self._waits and self._room.locked():
                    await self._set_aside()
                await self._room.acquire()
                task = asyncio.ensure_future(self._item(index, item))
                self._live[task] = index
                task.add_done_callback(self._ended)
                index += 1
            self._session.exhausted = True
            if not self._waits:
                await self._set_aside()
            while self._live:
                await asyncio.wait(list(self._live))
        finally:
            self._results.put_nowait(None)

    async def _item(self, index: int, item: Any) -> None:
        try:
            result = BatchResult(index, await self._call(item))
        except Exception as error:  # noqa: BLE001  an item's error is its own
            result = BatchResult(index, error=error)
        except asyncio.CancelledError:
            if index not in self._put_off:
                raise
            result = BatchResult(index, waiting=True)
        self._session.owed += 1
        self._results.put_nowait(result)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._live.pop(task, None)

    async def _set_aside(self) -> None:
        """Once only the provider is waited for, leave what waits: the journal has it."""
        self._session.onlookers += 1  # this task, which waits for the others to settle
        try:
            await self._host.acall(self._host.settled(self._session))
        finally:
            self._session.onlookers -= 1
        live = dict(self._live)
        self._put_off.update(live.values())
        for task in live:
            task.cancel()
        if live:
            await asyncio.wait(list(live))
        self._put_off.clear()


def widen_threads(loop: asyncio.AbstractEventLoop, session: Session) -> None:
    """Give a loop threads enough for synchronous calls that all wait at once, if it has no pool of the app's own."""
    pool: ThreadPoolExecutor | None = getattr(loop, "_default_executor", None)
    if pool is None:
        pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="thrift-batch-call")
        loop.set_default_executor(pool)
    session.width = pool._max_workers  # noqa: SLF001


async def _each(inputs: Inputs) -> AsyncIterator[Any]:
    if isinstance(inputs, AsyncIterable):
        async for item in inputs:
            yield item
    else:
        items: Iterable[Any] = inputs.items() if isinstance(inputs, Mapping) else inputs
        for item in items:
            yield item
