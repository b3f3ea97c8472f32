"""One run: which tasks, loops and threads are of it, what they have asked, and whether they can ask more."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary, ref

from thrift_plugins.batching.client import Address, BatchClient
from thrift_plugins.batching.lots import size_too_large
from thrift_plugins.batching.pending import KEY_BYTES, TOO_LARGE, Answer, Pending, Waiter, content_key, failed
from thrift_plugins.batching.threads import MOST, ParkingPool
from thrift_plugins.batching.waiting import fail
from thrift_plugins.batching.waits import Widen, standing
from thrift_plugins.tries import booking, given, set_aside

logger = logging.getLogger("thrift_plugins")

_session: ContextVar[Session | None] = ContextVar("thrift_batch", default=None)
_deadline: ContextVar[float | None] = ContextVar("thrift_batch_deadline", default=None)

_STANDS_STILL: Final = (
    "a model was called synchronously in an event loop of a batch run: the loop would stand still until the batch is done; "
    "await the call (ainvoke, acomplete, ...), or make it in a plain function, which gets a thread"
)
_LARGE: Final = 1_000_000
"""Bytes of a prompt that any provider takes in a batch."""
_SETTLES: Final = 3
"""Turns of a loop after which whatever was on its way has arrived."""


def current() -> Session | None:
    """The run that this code is part of. One that was left takes nothing, and lets nothing out at full price either."""
    session = _session.get()
    return session if session is not None and (session.open or session.left) else None


@contextmanager
def answered_by(deadline: float | None) -> Iterator[None]:
    """Requests in this block must be answered by then, in seconds since the epoch; None: they may wait."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def collected(*, waits: bool, deadline: float | None) -> Iterator[None]:
    """How requests in this block are handed over: into a batch, by a deadline of their own if they have one, or not at all."""
    if not waits:
        token = _session.set(None)
        try:
            yield
        finally:
            _session.reset(token)
    elif deadline is None:
        yield
    else:
        with answered_by(deadline):
            yield


@contextmanager
def _left_behind(pending: Pending) -> Iterator[None]:
    """Whoever does not get an answer in this block has left, or the run has ended: an error of a provider's is an answer too."""
    try:
        yield
    except BaseException:
        set_aside(kept=pending.kept)
        raise


class Notes(NamedTuple):
    """What a run's journal says and is told of money.

    Attributes:
        journal: its id.
        booked: told the key of a line whose cost is booked, and the name of the call that has.
        paid: whether a call of this name has booked a line whose answer is there; asks the journal, which may take a moment.
    """

    journal: str
    booked: Callable[[bytes, str], None]
    paid: Callable[[str], bool]


class Session:
    """A run.

    Args:
        client: whose requests they are.
        samples: see `BatchSettings`.
        notes: what its journal says and is told of money.
        widen: what may let tasks go on that something of limited width holds back.
        wake: told when the first request of a wave is parked.

    Attributes:
        parked: requests that wait for their wave; `parked_bytes` is what they weigh.
        arrivals: counts requests, to tell whether one has come.
        open: whether requests are still taken.
        left: whether the run ended before all of its calls did: what is still there of it is not to ask anything.
        owed: results that the app has not taken yet: it may make room for further items.
        exhausted: whether there are no further items.
        pool: the threads of its synchronous code, None where the code has its own.
        onlookers: tasks of the run that wait until the others can ask nothing more.
        stops: how often the journal had been stopped when the run asked first, None before that.
        at_once: models of which it was found that no batch takes what they are asked, each by the name of its tier and its own.
    """

    def __init__(
        self,
        client: BatchClient,
        samples: str,
        notes: Notes,
        *,
        widen: Widen | None,
        wake: Callable[[Session], None],
    ) -> None:
        self.client, self._account, self.notes = client, client.account, notes
        self._samples, self._widen, self._wake = samples, widen, wake
        self.parked: list[Pending] = []
        self.parked_bytes, self._woken = 0, False
        self.arrivals = 0
        self.open, self.left = True, False
        self.owed, self.exhausted, self.onlookers = 0, False, 0
        self.pool: ThreadPoolExecutor | None = None
        self.stops: int | None = None
        self.at_once: set[tuple[str, str]] = set()
        self.broken: BaseException | None = None
        self._lock = threading.Lock()
        self._seen: dict[bytes, int] = defaultdict(int)
        self._named: dict[bytes, int] = defaultdict(int)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Tasks | None] = WeakKeyDictionary()
        self._collected: set[asyncio.Future[Answer]] = set()
        self._passed: set[tuple[str, str]] = set()
        self._blocking: set[futures.Future[Answer]] = set()

    # Asking -----------------------------------------------------------------------------------------------------------

    async def ask(self, address: Address, body: bytes, content: Mapping[str, Any]) -> Answer:
        """Park a request, and wait for its answer. What no batch takes is an error at once: the journal need not have it."""
        if self._too_large(address, body):
            return failed(*TOO_LARGE)
        loop = asyncio.get_running_loop()
        if loop not in self._loops:  # one that the app made in a thread of the run: all its tasks are the run's
            with self._lock:
                self._loops[loop] = None
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._collected.add(waiter)
        try:
            pending = self._pending(address, body, content, waiter)
            with _left_behind(pending):
                self._park(pending)
                del body, content  # thousands wait at once: the journal has the prompt
                return self._given(pending, await waiter)
        finally:
            self._collected.discard(waiter)

    def ask_blocking(self, address: Address, body: bytes, content: Mapping[str, Any]) -> Answer:
        """`ask` in a thread of the run. A thread that runs an event loop would stand still, and is told so."""
        if _in_loop():
            return failed(400, _STANDS_STILL, "batch_in_loop")
        if self._too_large(address, body):
            return failed(*TOO_LARGE)
        waiter: futures.Future[Answer] = futures.Future()
        with self._lock:
            self._blocking.add(waiter)
        try:
            pending = self._pending(address, body, content, waiter)
            with _left_behind(pending):
                self._park(pending)
                with self.pool.parked() if isinstance(self.pool, ParkingPool) else nullcontext():
                    try:
                        return self._given(pending, waiter.result())
                    except futures.CancelledError:  # no `Exception`: an SDK would take it for a lost connection, and ask again
                        raise asyncio.CancelledError from None
        finally:
            with self._lock:
                self._blocking.discard(waiter)

    def _pending(self, address: Address, body: bytes, content: Mapping[str, Any], waiter: Waiter) -> Pending:
        return Pending(self._key(address, content), address, body, _deadline.get(), waiter, booking())

    def _given(self, pending: Pending, answer: Answer) -> Answer:
        if pending.call is not None and not answer.code:
            given(answer.booked, partial(self.notes.booked, pending.key))
        return answer

    def let_go(self) -> None:
        """Nobody waits for what was asked until now: end the threads that do, and loops of theirs. The journal has it."""
        with self._lock:
            blocking = list(self._blocking)
        for waiter in blocking:
            waiter.cancel()
        here = asyncio.get_running_loop()
        for one in list(self._collected):
            if (loop := one.get_loop()) is not here:
                with suppress(RuntimeError):  # one that is closed has nobody who waits
                    loop.call_soon_threadsafe(one.cancel)

    def end(self, error: BaseException) -> None:
        """Nothing that was asked, or will be, is answered any more."""
        with self._lock:
            self.broken = error
        fail(self.take(), error)

    def _too_large(self, address: Address, body: bytes) -> bool:
        return len(body) >= _LARGE and size_too_large(len(body), self.client.limits(address.model))

    def _park(self, pending: Pending) -> None:
        with self._lock:
            if self.broken is not None:
                raise self.broken
            if self.left:
                raise asyncio.CancelledError
            first, self._woken = not self._woken, True
            self.parked.append(pending)
            self.parked_bytes += len(pending.body)
            self.arrivals += 1
        if first:
            self._wake(self)

    def passed(self, model: str, path: str) -> None:
        """A request goes out as it is, because there is no batch for it. Said once for a model."""
        if (model, path) not in self._passed:
            self._passed.add((model, path))
            logger.warning(
                "batch: there is no batch for %s of %s: it is called at once, at its usual price", path, model
            )

    def take(self, *, whole: bool = True) -> list[Pending]:
        """The wave: what is parked now, without what nobody waits for any more; not the `whole` of it where more will follow."""
        with self._lock:
            parked, self.parked, self.parked_bytes = self.parked, [], 0
            self._woken = not whole
        return [pending for pending in parked if not pending.waiter.cancelled()]

    def name(self, *call: bytes) -> str:
        """What a call is known by, in this run and in whichever goes on with it: by what it asks, and how many in the run have asked it.

        Args:
            call: all that decides what is asked.
        """
        digest = blake2b(digest_size=KEY_BYTES, key=self.notes.journal.encode())
        for part in call:
            digest.update(len(part).to_bytes(8, "big") + part)
        told = digest.digest()
        with self._lock:
            before = self._named[told]
            self._named[told] += 1
        return f"{told.hex()}/{before}"

    def _key(self, address: Address, content: Mapping[str, Any]) -> bytes:
        key = content_key(self._account, address, content, 0)
        if self._shares(content):
            return key
        with self._lock:
            sample = self._seen[key]
            self._seen[key] += 1
        return content_key(self._account, address, content, sample) if sample else key

    def _shares(self, content: Mapping[str, Any]) -> bool:
        if self._samples != "auto":
            return self._samples == "share"
        # An embedding is the same each time; an answer at temperature 0, or with a seed, is meant to be.
        return content.get("temperature") == 0 or content.get("seed") is not None or "messages" not in content

    # Belonging --------------------------------------------------------------------------------------------------------

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Code in this block, and the tasks and threads that it begins, are of the run."""
        token = _session.set(self)
        try:
            yield
        finally:
            _session.reset(token)

    @contextmanager
    def watching(self, loop: asyncio.AbstractEventLoop, also: asyncio.Task[Any] | None = None) -> Iterator[None]:
        """Know the tasks that the run begins in a loop from those of others."""
        before = loop.get_task_factory()
        mine = _Tasks([also] if also else ())
        with self._lock:
            self._loops[loop] = mine

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
            made = before(loop, coroutine, **options) if before else asyncio.Task(coroutine, loop=loop, **options)
            context = options.get("context")
            if (context.get(_session) if context is not None else _session.get()) is self:
                mine.add(made)  # type: ignore[arg-type]
            return made

        loop.set_task_factory(factory)
        try:
            yield
        finally:
            if loop.get_task_factory() is factory:
                loop.set_task_factory(before)

    # Quiescence -------------------------------------------------------------------------------------------------------

    async def quiescent(self) -> bool:
        """Whether nothing of the run can ask anything before it is answered. Asked from another loop."""
        return not (self.owed and not self.exhausted) and await self.at_rest()

    async def at_rest(self) -> bool:
        """Whether no task of the run goes on before something is answered."""
        arrivals = self.arrivals
        with self._lock:
            loops = list(self._loops.items())
        external = resting = 0
        for loop, tasks in loops:
            told = await self._stands(loop, tasks)
            if told is None:
                continue
            runnable, outside = told
            if runnable:
                return False
            external += outside
            resting += tasks is None
        # Whoever waits for a thread waits for one that is parked itself, or for one whose own loop is at rest.
        free = external <= len(self._blocking) + resting + self.onlookers or self._all_parked()
        return free and self.arrivals == arrivals

    def _all_parked(self) -> bool:
        """Whether every thread that there can be waits: who waits for one waits for an answer."""
        pool = self.pool
        return pool is not None and len(self._blocking) >= (MOST if isinstance(pool, ParkingPool) else pool._max_workers)  # noqa: SLF001

    async def _stands(
        self, loop: asyncio.AbstractEventLoop, tasks: _Tasks | None
    ) -> tuple[bool, int] | None:
        """Whether a loop goes on by itself, and how many of its tasks wait for what is outside; None where it is closed."""
        if loop.is_closed():
            return None
        told: futures.Future[tuple[bool, int]] = futures.Future()
        try:
            loop.call_soon_threadsafe(self._look, loop, tasks, told, _SETTLES)
        except RuntimeError:
            return None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(told), _UNRESPONSIVE_S)
        except TimeoutError:
            return None if loop.is_closed() else (True, 0)

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: _Tasks | None,
        told: futures.Future[tuple[bool, int]],
        turns: int,
    ) -> None:
        """In the loop itself: look twice, with some turns between, because callbacks on their way are in no task."""
        try:
            known = asyncio.all_tasks(loop) if tasks is None else tasks.alive()
            stands = standing(known, self._collected.__contains__)
            widened = False
            if self._widen is not None and not stands.runnable:
                for frame in stands.held:  # each is to be let go
                    widened = self._widen(frame) or widened
            if stands.runnable or widened:
                _tell(told, (True, 0))
            elif turns:
                loop.call_soon(self._after, loop, tasks, told, turns - 1)
            else:
                _tell(told, (False, stands.external))
        except Exception as error:  # noqa: BLE001  it only decides when a wave goes
            _tell(told, (True, 0), error)

    def _after(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: _Tasks | None,
        told: futures.Future[tuple[bool, int]],
        turns: int,
    ) -> None:
        if turns:
            loop.call_soon(self._after, loop, tasks, told, turns - 1)
        else:
            self._look(loop, tasks, told, 0)


class _Tasks:
    """Tasks that are forgotten once nobody else has them. A `WeakSet` does that in Python, for each of them by itself."""

    def __init__(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        self._refs = [ref(task) for task in tasks]
        self._most = _MANY

    def add(self, task: asyncio.Task[Any]) -> None:
        """One more."""
        self._refs.append(ref(task))
        if len(self._refs) > self._most:
            self._most = 2 * len(self.alive()) + _MANY

    def alive(self) -> list[asyncio.Task[Any]]:
        """Those that there still are."""
        alive = [task for one in self._refs if (task := one()) is not None]
        self._refs = [one for one in self._refs if one() is not None]
        return alive


_MANY: Final = 1_000
_UNRESPONSIVE_S: Final = 2.0


def _tell(told: futures.Future[tuple[bool, int]], value: tuple[bool, int], _error: Exception | None = None) -> None:
    if not told.done():
        told.set_result(value)


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
