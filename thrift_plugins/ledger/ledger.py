"""Takes events off the hot path: a bounded queue, and one thread that prices them and writes them in batches.

Appending never blocks on the log and never fails the call. What could not be kept is counted in `dropped`, and the log gets a
line that says how many are missing as soon as it takes one again.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

import orjson

from thrift_plugins.finalizing import apart, catch_up, living
from thrift_plugins.forks import renew_after_fork
from thrift_plugins.ledger.bill import Bill, Priced, bill
from thrift_plugins.ledger.event import Event, record
from thrift_plugins.ledger.gap import LOST, gap
from thrift_plugins.stores.base import EventLog

logger = logging.getLogger("thrift_plugins")

_LINGER = 0.05
"""Seconds that the writer waits for more events, so that a busy app pays for few transactions."""

_BATCH = 500

Row: TypeAlias = tuple[str, float, str]
"""Event id, seconds since the epoch, JSON."""


class Observer(Protocol):
    """Who is told of every event beside the log: `thrift_plugins.ledger.otel.Telemetry`."""

    def seen(self, event: Event) -> None:
        """The call has just ended, in this thread or task. Must be quick, and not raise."""
        ...

    def told(self, event: Event, bill: Bill) -> None:
        """The log has it. On the ledger's own thread; must not raise."""
        ...


class Ledger:
    """Append-only book of calls.

    Args:
        log: where the events are kept.
        prices: what a usage costs.
        capacity: events that may wait for the log; beyond it new ones are dropped and counted.
        observer: is told of every event too.
    """

    def __init__(
        self, log: EventLog, prices: Priced, *, capacity: int = 20_000, observer: Observer | None = None
    ) -> None:
        self._log = log
        self._writer = _Writer(log, prices, capacity, observer)
        self._finalizer = weakref.finalize(self, apart, self._writer.leave)
        self._finalizer.atexit = False  # `_at_exit` waits for the log; a finalizer must not

    @property
    def dropped(self) -> int:
        """Events that were lost since the start, because the log was down for too long, or could not be written."""
        return self._writer.dropped

    @property
    def waiting(self) -> int:
        """Events that are not in the log yet."""
        return len(self._writer.queue)

    def append(self, event: Event) -> None:
        """Book a call. Never blocks on the log, never raises."""
        self._writer.put(event)

    def flush(self) -> bool:
        """Write what waits, now. Returns False, and keeps the events, if the log does not take them."""
        catch_up()
        return self._writer.drain()

    def records(self) -> Iterator[dict[str, Any]]:
        """Every event as JSON, in the order of time, streamed; what waits is written first."""
        self.flush()
        for _, _, body in self._log.rows():
            yield orjson.loads(body)

    def digest(self) -> str:
        """`ledger_sha256`: a digest of every event and bill, the adapter's name left out."""
        hashed = sha256()
        for entry in self.records():
            del entry["dialect"]
            hashed.update(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
        return hashed.hexdigest()

    def close(self) -> None:
        """Write what waits and let go of the log. Idempotent."""
        catch_up()
        self._finalizer.detach()
        self._writer.stop()
        self._log.close()


def row(event: Event, prices: Priced) -> Row:
    """The event, priced, as a row of a log."""
    priced = bill(event, prices)
    body = record(event)
    body["bill"] = {
        "baseline": priced.baseline,
        "actual": priced.actual,
        "rows": priced.rows,
        "overheads": priced.overheads,
        "unpriced": list(priced.unpriced),
        **({"apart": priced.apart} if priced.apart else {}),
    }
    body["prices"] = dict(prices.snapshot)
    return event.id, event.at, orjson.dumps(body).decode()


class _Writer:
    """The queue and its thread; apart from `Ledger` so that a forgotten ledger can be collected and still flushed."""

    def __init__(self, log: EventLog, prices: Priced, capacity: int, observer: Observer | None) -> None:
        self.log, self.prices, self.capacity, self.observer = log, prices, capacity, observer
        self.queue: deque[Event] = deque()
        self.dropped = 0
        self._untold = 0
        self._lost_at = 0.0
        self._stopped = False
        self.renew()
        renew_after_fork(self)
        _writers.add(self)

    def renew(self) -> None:
        """Locks of this process's own: a forked child has the queue, but not the thread, and locks as it found them."""
        # `put` may be called by a finalizer, at any point of any thread, this one's included: so no lock that a thread
        # cannot take twice, and no `Event`, which has one inside.
        self._draining = threading.Lock()
        self._starting = threading.RLock()
        self._counting = threading.RLock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._woken = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, event: Event) -> None:
        if self._stopped or len(self.queue) >= self.capacity:
            self._lose(1, event.at)
            return
        if self.observer is not None:
            self.observer.seen(event)
        self.queue.append(event)
        if self._thread is None:
            self._start()
        if not self._woken:
            self._woken = True
            self._wake.put(None)
        if self._stopped:  # meanwhile: who wrote the others may have gone without it
            self._drain_at_last()

    def _lose(self, count: int, at: float) -> None:
        with self._counting:
            self.dropped += count
            self._untold += count
            self._lost_at = at

    def _tell_losses(self) -> None:
        """Put a line into the queue that stands for what was lost; tried again, it is the same line."""
        with self._counting:
            lost, self._untold = self._untold, 0
        if lost:
            self.queue.appendleft(
                gap(f"gap/{uuid4().hex}", self._lost_at, lost, "the log was down, or could not write them")
            )

    def _start(self) -> None:
        with self._starting, suppress(RuntimeError):  # no thread can be had while the interpreter ends; `stop` writes
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="thrift-ledger", daemon=True)
                thread.start()
                self._thread = thread
                _write_before_a_worker_ends(self)

    def _run(self) -> None:
        pause = _LINGER
        while not self._stopping.is_set():
            self._wake.get()
            self._stopping.wait(pause)
            self._woken = False
            if self.drain():
                pause = _LINGER
            else:
                pause = min(pause * 2, 5.0)
                self._wake.put(None)
        self._drain_at_last()

    def drain(self) -> bool:
        with self._draining:
            while self.queue or self._untold:
                self._tell_losses()
                # By number: who iterates over a queue finds it changed where another thread puts something at its end.
                batch = [self.queue[number] for number in range(min(len(self.queue), _BATCH))]
                written = [(event, row) for event in batch if (row := self._row(event))]
                try:
                    self.log.extend(row for _, row in written)
                except Exception as error:  # noqa: BLE001  a log may be the app's own; the events wait, whatever it raises
                    logger.warning("ledger: %s; %d events wait", error, len(self.queue))
                    return False
                for _ in batch:
                    self.queue.popleft()
                if self.observer is not None:
                    for event, _ in written:
                        self.observer.told(event, bill(event, self.prices))
                if len(written) < len(batch):
                    self._lose(len(batch) - len(written), batch[-1].at)
            return True

    def _row(self, event: Event) -> Row | None:
        """The event as a row of the log. One that cannot be written must not hold up the others."""
        try:
            return row(event, self.prices)
        except Exception:
            logger.exception("ledger: event %s cannot be written and is dropped", event.id)
            return None

    def leave(self) -> None:
        """Let the thread write what waits and end. For the collector, which may come by while this thread is writing."""
        self._stopped = True
        self._stopping.set()
        self._wake.put(None)

    def stop(self) -> None:
        """Write what waits, now."""
        self.leave()
        self._drain_at_last()

    def _drain_at_last(self) -> None:
        if self.drain():
            return
        lost = 0
        with self._draining:  # whoever closes, and the thread, may both come here
            while self.queue:
                lost += self.queue.popleft().error != LOST
        with self._counting:
            self.dropped += lost
        if lost:
            logger.error("ledger: closed with %d events that the log did not take", lost)


_writers: weakref.WeakSet[_Writer] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    catch_up()
    for writer in living(_writers):
        writer.stop()


def _write_before_a_worker_ends(writer: _Writer) -> None:
    """Workers of multiprocessing end without `atexit`; they have finalizers of their own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        sys.modules["multiprocessing.util"].Finalize(None, writer.stop, exitpriority=0)
