"""The batch executor: runs anything that calls models over many inputs, at batch price. Knows no framework."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final, Self

from thrift_plugins.batching.accounts import default_journal, open_client
from thrift_plugins.batching.client import BatchClient
from thrift_plugins.batching.courier import Courier
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.garbage import unhurried
from thrift_plugins.batching.host import Host
from thrift_plugins.batching.journals import open_journal
from thrift_plugins.batching.progress import BatchProgress, cost_of, most_of, progress
from thrift_plugins.batching.results import BatchResult, Submitted
from thrift_plugins.batching.running import Call, Inputs, Run
from thrift_plugins.batching.session import Notes, Session, answered_by, current
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.batching.threads import threads_of
from thrift_plugins.batching.transport import collect_for_good, collecting
from thrift_plugins.batching.waits import Widen
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.stores.open import home

_END: Final = object()


class Executor:
    """Runs calls over inputs in batches of one account.

    Args:
        account: "openai", "anthropic", "mistral", "gemini" (the key is in the environment), or a `BatchClient`.
        journal: file of what was asked, sent and answered; by default one for the account. Run again with it, a killed run
            goes on and pays nothing twice; it holds prompts and answers, and is its owner's alone. For several workers that
            share an account, the URL of a server, with `#` and a name where it has several: "redis://host:6379/0#reviews".
        settings: see `BatchSettings`.
        key: encrypts prompts and answers in the journal (extra `encryption`).
        prices: what usages cost.
        clock: seconds since the epoch.

    Raises:
        ConfigError: the journal is another account's, or in use, or there is no key.
    """

    widen: Widen | None = None
    """See `Session`."""

    def __init__(
        self,
        account: BatchClient | str = "openai",
        journal: str | Path | None = None,
        *,
        settings: BatchSettings | None = None,
        key: str | bytes | None = None,
        prices: Prices | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.settings, self._clock = open_client(account), settings or BatchSettings(), clock
        self.prices = prices or Prices(clock=clock)
        self.prices.load()
        own = self.client.account
        place = journal if journal is not None else default_journal(home(), own)
        self.journal = open_journal(place, own, self.settings, key=key, now=clock())
        try:
            self._journal_id = self.journal.facts()["id"]
            self._host = Host(self._courier)
        except BaseException:
            self.journal.close()
            raise

    def _courier(self) -> Courier:
        return Courier(Desk(self.client, self.journal, self.settings, self._clock, self._cost, self._most))

    def _most(self, model: str) -> int | None:
        return most_of(self.prices, model, self._clock())

    def _cost(self, model: str, usage: Any, processing: Any) -> int | None:
        return cost_of(self.prices, model, usage, processing, self._clock())

    def close(self) -> None:
        """Stop. What is under way stays with the provider and in the journal, for a next run."""
        self._host.close()
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What a framework has in other places -----------------------------------------------------------------------------

    def as_call(self, work: Any) -> Call:
        """What is awaited for each input."""
        return work if asyncio.iscoroutinefunction(work) else partial(_in_a_thread, work)

    def around(self) -> AbstractContextManager[None]:
        """What is to hold while a run is open."""
        return nullcontext()

    # Runs -------------------------------------------------------------------------------------------------------------

    async def _chunks(
        self,
        work: Any,
        inputs: Inputs,
        *,
        in_order: bool = True,
        deadline: float | None = None,
        waits: bool = True,
    ) -> AsyncIterator[list[BatchResult]]:
        until = None if deadline is None else self._clock() + deadline
        session = self._session()
        run = Run(
            self._host,
            session,
            self.as_call(work),
            inputs,
            window=self.settings.window,
            in_order=in_order,
            deadline=until,
            waits=waits,
        )
        with collecting(), unhurried(), self.around():
            try:
                async with aclosing(run.chunks()) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        yield chunk
            finally:
                if session.left:
                    collect_for_good()

    async def arun(self, work: Any, inputs: Inputs, **options: Any) -> AsyncIterator[BatchResult]:
        """Do something with each input, and give the results as they come, in bounded memory.

        Args:
            work: a function of an input, asynchronous or not, or what the framework has in its place. Whatever it asks of
                models, one after another or at once, is collected into batches.
            inputs: any number of them; read as there is room.
            in_order: whether results come in the order of the inputs.
            deadline: seconds from now in which all must be answered. Before it is over, what the provider has not
                answered is asked by flex, where there is such a thing, and at last in real time. What is under way already is
                wanted by the earliest deadline of those who wait for it; what a killed run has left, by this one. Without
                one, it keeps what it had.
            waits: False gives what only the provider keeps as `waiting`.
        """
        async with aclosing(self._chunks(work, inputs, **options)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                for result in chunk:
                    yield result

    def run(self, work: Any, inputs: Inputs, **options: Any) -> Iterator[BatchResult]:
        """`arun` for code without an event loop; it runs one in a thread of its own."""
        results: queue.Queue[Any] = queue.Queue(maxsize=1)
        stop = threading.Event()
        ended: Future[None] = Future()
        begun: list[Callable[[], object]] = []

        async def pass_on() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            begun.append(lambda: loop.call_soon_threadsafe(task.cancel) if task is not None else None)
            async with aclosing(self._chunks(work, inputs, **options)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if not await _put(results, chunk, stop):
                        return

        def thread() -> None:
            try:
                asyncio.run(pass_on())
                ended.set_result(None)
            except BaseException as error:  # noqa: BLE001  raised where the results are read
                ended.set_exception(error)
            finally:
                _put_last(results, stop)

        worker = threading.Thread(target=thread, name="thrift-batch-run", daemon=True)
        worker.start()
        try:
            while (chunk := results.get()) is not _END:
                yield from chunk
            ended.result()
        finally:
            stop.set()
            for cancel in begun:  # the next result may be hours away
                with suppress(RuntimeError):  # it has ended
                    cancel()
            with suppress(queue.Empty):
                results.get_nowait()
            worker.join()

    def submit(self, work: Any, inputs: Inputs, **options: Any) -> Submitted:
        """Send what can be sent, and do not wait: for cron, Airflow, and the like. `resume` later gives the results."""
        counts = {"done": 0, "failed": 0, "waiting": 0}
        for result in self.resume(work, inputs, **options):
            counts["waiting" if result.waiting else "failed" if result.error else "done"] += 1
        return Submitted(**counts)

    def resume(self, work: Any, inputs: Inputs, **options: Any) -> Iterator[BatchResult]:
        """Look once what has come, go on with it as far as that goes, and give what is done; the rest is `waiting`."""
        return self.run(work, inputs, waits=False, **options)

    @contextmanager
    def session(self, *, deadline: float | None = None) -> Iterator[None]:
        """Collect whatever synchronous code in this block asks, here and in the loops and threads that it begins.

        For what brings its own loop or threads, such as a pipeline. A call that is made alone waits for a batch of its own.
        """
        session = self._session()
        until = None if deadline is None else self._clock() + deadline
        with collecting(), unhurried(), self.around(), session.entered(), answered_by(until):
            try:
                yield
            finally:
                session.open = False

    @asynccontextmanager
    async def asession(self, *, deadline: float | None = None) -> AsyncIterator[None]:
        """`session` for code in an event loop."""
        loop = asyncio.get_running_loop()
        session = self._session()
        until = None if deadline is None else self._clock() + deadline
        session.pool = threads_of(loop)
        with (
            unhurried(),
            session.watching(loop, asyncio.current_task()),
            collecting(),
            self.around(),
            session.entered(),
            answered_by(until),
        ):
            try:
                yield
            finally:
                session.open = False

    def _session(self) -> Session:
        if current() is not None:
            raise ConfigError("this code is in a batch run already: its calls are collected there")
        return Session(
            self.client,
            self.settings.samples,
            Notes(self._journal_id, self._host.booked, self._host.paid),
            widen=self.widen,
            wake=self._host.wake,
        )

    @property
    def broken(self) -> BaseException | None:
        """What has stopped the batches, such as a full disk; None while they go on."""
        return self._host.courier.broken

    def progress(self) -> BatchProgress:
        """How far everything in the journal has come, when it will be done, and what it costs."""
        return progress(self.journal, self.prices, self._clock())


async def _in_a_thread(function: Callable[[Any], Any], item: Any) -> Any:
    """The result of a plain function, or of the coroutine that it makes."""
    result = await asyncio.to_thread(function, item)
    return await result if isawaitable(result) else result


async def _put(results: queue.Queue[Any], chunk: list[BatchResult], stop: threading.Event) -> bool:
    """Hand results over without blocking the loop; False where nobody wants it any more."""
    pause = 0.0
    while not stop.is_set():
        try:
            results.put_nowait(chunk)
        except queue.Full:
            await asyncio.sleep(pause)
            pause = min(0.01, pause + 0.001)
        else:
            return True
    return False


def _put_last(results: queue.Queue[Any], stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(queue.Full):
            results.put(_END, timeout=0.05)
            return
