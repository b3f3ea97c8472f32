"""One run: starts items as there is room, and gives their results, in order or as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import copy_context
from typing import Any, TypeAlias

from thrift_plugins.batching.host import Host
from thrift_plugins.batching.results import BatchResult
from thrift_plugins.batching.session import Session, answered_by
from thrift_plugins.batching.threads import threads_of

Call: TypeAlias = Callable[[Any], Awaitable[Any]]
Inputs: TypeAlias = Iterable[Any] | AsyncIterable[Any]


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
        self._results: list[BatchResult] = []
        self._early: dict[int, BatchResult] = {}
        self._following = 0
        self._news = asyncio.Event()
        self._finished = False
        self._live: dict[asyncio.Task[None], int] = {}
        self._none_live = asyncio.Event()
        self._put_off: set[int] = set()

    async def chunks(self) -> AsyncIterator[list[BatchResult]]:
        """The results, all at once that are there. Closing this early leaves the rest to a later run: the journal has it."""
        loop = asyncio.get_running_loop()
        self._session.pool = threads_of(loop)
        with self._session.watching(loop):
            pump = copy_context().run(self._entered, loop)
            try:
                while True:
                    if taken := self._taken():
                        yield taken
                        # The consumer comes back for more: only now is there room for further items.
                        self._session.owed -= len(taken)
                        for _ in taken:
                            self._room.release()
                    elif self._finished:
                        break
                    else:
                        await self._news.wait()
                        self._news.clear()
                await pump
            finally:
                self._session.left = bool(self._live) or not pump.done()
                self._session.open = False
                self._session.let_go()
                tasks = [pump, *self._live]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _taken(self) -> list[BatchResult]:
        """What the consumer can have now."""
        if not self._in_order:
            taken, self._results = self._results, []
            self._session.owed += len(taken)
            return taken
        for result in self._results:  # one that comes too early nobody can have yet, so nobody is slow in taking it
            self._early[result.index] = result
        self._results = []
        taken = []
        while self._following in self._early:
            taken.append(self._early.pop(self._following))
            self._following += 1
        self._session.owed += len(taken)
        return taken

    def _entered(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        with self._session.entered(), answered_by(self._deadline):
            return loop.create_task(self._pump())

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
                self._none_live.clear()
                await self._none_live.wait()
        finally:
            self._finished = True
            self._news.set()

    async def _item(self, index: int, item: Any) -> None:
        try:
            result = BatchResult(index, await self._call(item))
        except Exception as error:  # noqa: BLE001  an item's error is its own
            result = BatchResult(index, error=error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if index in self._put_off:
                result = BatchResult(index, waiting=True)
            elif task is not None and task.cancelling():
                raise
            else:  # something of its own was cancelled, which in order would keep all that follow from the app
                result = BatchResult(index, error=RuntimeError("the call waited for something that was cancelled"))
        self._results.append(result)
        self._news.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._live.pop(task, None)
        if not self._live:
            self._none_live.set()

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
        self._session.let_go()  # all that waits is of these
        if live:
            await asyncio.wait(list(live))
        self._put_off.clear()


async def _each(inputs: Inputs) -> AsyncIterator[Any]:
    if isinstance(inputs, AsyncIterable):
        async for item in inputs:
            yield item
    else:
        items: Iterable[Any] = inputs.items() if isinstance(inputs, Mapping) else inputs
        for item in items:
            yield item
