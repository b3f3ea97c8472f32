"""Events on their way into the log: once each, in order, priced, and never in the way of the app."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.bill import Bill
from thrift_plugins.ledger.ledger import Row
from thrift_plugins.prices import Prices
from thrift_plugins.stores import MemoryEventLog, SQLiteEventLog
from thrift_plugins.stores.base import EventLog
from thrift_plugins.types import Scope, Usage

PRICES = Prices({"m": {"input": 1, "output": 2}})


def event(number: int, *, dialect: str = "test", at: float | None = None, model: str = "m", **told: Any) -> Event:
    usage = Usage(10, 5, source="provider")
    when = float(number) if at is None else at
    return Event(
        f"e{number:05}", when, dialect, Scope(), "answered", Cost(model, usage), served=model, usage=usage, **told
    )


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    made: EventLog = MemoryEventLog() if request.param == "memory" else SQLiteEventLog(tmp_path / "events.db")
    yield made
    made.close()


def ids(ledger: Ledger) -> list[str]:
    return [entry["id"] for entry in ledger.records()]


def test_an_event_becomes_a_priced_record(log: EventLog):
    ledger = Ledger(log, PRICES)
    ledger.append(event(1))
    (entry,) = ledger.records()
    assert entry["bill"] == {"baseline": 20_000, "actual": 20_000, "rows": {}, "overheads": {}, "unpriced": []}
    assert entry["prices"]["source"] == "genai-prices"
    assert "+override." in entry["prices"]["version"]
    ledger.close()


def test_records_are_in_the_order_of_time_and_once_each(log: EventLog):
    ledger = Ledger(log, PRICES)
    for number in (3, 1, 2, 1, 3):
        ledger.append(event(number))
    assert ids(ledger) == ["e00001", "e00002", "e00003"]
    ledger.close()


def test_it_writes_by_itself(log: EventLog):
    ledger = Ledger(log, PRICES)
    ledger.append(event(1))
    pause = threading.Event()
    while ledger.waiting:
        pause.wait(0.01)
    assert len(list(log.rows())) == 1
    ledger.close()


def test_eight_threads_lose_nothing(log: EventLog):
    ledger = Ledger(log, PRICES)
    gate = threading.Barrier(8)

    def append(first: int) -> None:
        gate.wait()
        for number in range(first, first + 250):
            ledger.append(event(number))

    threads = [threading.Thread(target=append, args=(250 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(ledger) == [f"e{number:05}" for number in range(2_000)]
    assert (ledger.dropped, ledger.waiting) == (0, 0)
    ledger.close()


def test_one_writer_however_many_begin_at_once():
    for _ in range(20):
        ledger = Ledger(MemoryEventLog(), PRICES)
        before = threading.active_count()
        gate = threading.Barrier(8)

        def begin(number: int, ledger: Ledger = ledger, gate: threading.Barrier = gate) -> None:
            gate.wait()
            ledger.append(event(number))

        threads = [threading.Thread(target=begin, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert threading.active_count() <= before + 1
        assert len(ids(ledger)) == 8
        ledger.close()


def test_close_writes_and_may_be_repeated(tmp_path: Path):
    log = SQLiteEventLog(tmp_path / "events.db")
    ledger = Ledger(log, PRICES)
    ledger.append(event(1))
    ledger.close()
    ledger.close()
    assert len(list(log.rows())) == 1
    ledger.append(event(2))
    assert (ledger.dropped, ledger.waiting) == (1, 0), "after the end there is nobody to write"
    log.close()


class Closing:
    """An observer that lets another thread close the ledger while an event is on its way."""

    def __init__(self) -> None:
        self.ledger: Ledger | None = None

    def seen(self, _event: Event) -> None:
        if self.ledger is not None:
            closing = threading.Thread(target=self.ledger.close)
            closing.start()
            closing.join()
            writing = self.ledger._writer._thread
            assert writing is not None
            writing.join()

    def told(self, _event: Event, _bill: Bill) -> None:
        pass


@pytest.mark.parametrize("down", [False, True])
def test_an_event_that_comes_while_another_thread_closes_is_written_or_counted(*, down: bool):
    class Log(MemoryEventLog):
        def extend(self, rows: Iterable[Row]) -> int:
            if down:
                raise StoreUnavailable("down")
            return super().extend(rows)

    log, observer = Log(), Closing()
    ledger = Ledger(log, PRICES, observer=observer)
    ledger.append(event(1))
    observer.ledger = ledger
    ledger.append(event(2))
    assert (len(list(log.rows())), ledger.dropped, ledger.waiting) == ((0, 2, 0) if down else (2, 0, 0))


def test_two_that_give_up_the_same_events_count_them_once():
    class Log(MemoryEventLog):
        def extend(self, _rows: Iterable[Row]) -> int:
            raise StoreUnavailable("down")

    class Watched(Event):
        """While the first is looked at, another thread gives up too."""

        def __getattribute__(self, name: str) -> Any:
            if name == "error" and threading.current_thread() is threading.main_thread():
                others.append(threading.Thread(target=writer.stop))
                others[-1].start()
                others[-1].join(0.2)
            return super().__getattribute__(name)

    others: list[threading.Thread] = []
    ledger = Ledger(Log(), PRICES)
    writer = ledger._writer
    writer._draining.acquire()  # its thread waits
    for number in (1, 2):
        told = event(number)
        ledger.append(Watched(**{name: getattr(told, name) for name in Event.__dataclass_fields__}))
    writer._draining.release()
    ledger.close()
    for other in others:
        other.join()
    assert (ledger.dropped, ledger.waiting) == (2, 0)


def test_a_forgotten_ledger_is_written_out():
    log = MemoryEventLog()
    ledger = Ledger(log, PRICES)
    ledger.append(event(1))
    del ledger
    gc.collect()
    give_up = time.monotonic() + 60
    while not list(log.rows()) and time.monotonic() < give_up:
        time.sleep(0.01)  # its thread writes
    assert len(list(log.rows())) == 1


def test_events_may_come_at_any_moment_of_writing(log: EventLog):
    ledger, numbers = Ledger(log, PRICES), iter(range(1, 200))
    came = []

    def between(frame: Any, kind: str, _told: Any) -> Any:
        """As if another thread had its turn between any two steps."""
        frame.f_trace_opcodes = frame.f_code.co_name == "drain"
        if kind == "opcode":
            for number in numbers:
                came.append(number)
                ledger.append(event(number))
                break
        return between

    before = sys.gettrace()
    for first in (200, 201):  # Python 3.12 tells of steps from the second time on
        came.append(first)
        ledger.append(event(first))
        sys.settrace(between)
        try:
            assert ledger.flush()
        finally:
            sys.settrace(before)
    assert len(came) > 50, "how many steps there are differs between versions of Python"
    assert len(ids(ledger)) == len(came)
    ledger.close()


def test_an_unknown_model_is_booked_as_unpriced(log: EventLog):
    ledger = Ledger(log, PRICES)
    ledger.append(event(1, model="nobody-1"))
    (entry,) = ledger.records()
    assert entry["bill"] == {"baseline": 0, "actual": 0, "rows": {}, "overheads": {}, "unpriced": ["nobody-1"]}
    ledger.close()


class Flaky(MemoryEventLog):
    """A log that fails so many times."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        if self.errors:
            raise self.errors.pop()
        return super().extend(rows)


def test_an_event_that_cannot_be_written_does_not_hold_up_the_others(caplog: pytest.LogCaptureFixture):
    ledger = Ledger(Flaky(OSError("disk"), OSError("disk")), PRICES)
    ledger._writer._thread = threading.current_thread()  # flushed by hand
    with caplog.at_level(logging.ERROR, "thrift_plugins"):
        ledger.append(event(1))
        ledger.append(event(2, extra={"object": object()}))  # type: ignore[dict-item]
        ledger.append(event(3))
        assert [ledger.flush(), ledger.flush(), ledger.flush()] == [False, False, True]
    assert [entry["id"] for entry in ledger.records() if not entry["error"]] == ["e00001", "e00003"]
    assert [entry["extra"] for entry in ledger.records() if entry["error"]] == [{"lost": 1}]
    assert ledger.dropped == 1, "it is counted once, however often the log was tried"
    assert "e00002 cannot be written" in caplog.text
    ledger.close()


def test_the_digest_does_not_know_the_adapter_but_everything_else():
    def digest(*events: Event) -> str:
        ledger = Ledger(MemoryEventLog(), PRICES)
        for each in events:
            ledger.append(each)
        found = ledger.digest()
        ledger.close()
        return found

    assert digest(event(1), event(2)) == digest(event(2, dialect="other"), event(1, dialect="other"))
    assert (
        len({digest(), digest(event(1)), digest(event(2)), digest(event(1, at=9.0)), digest(event(1, policy="x"))}) == 5
    )


def _booked_by_a_worker(path: str, number: int) -> None:
    ledger = Ledger(SQLiteEventLog(path), PRICES)
    ledger.append(event(number))  # and ends at once, without `atexit` and without `close`


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # since 3.12, where other threads run
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_what_a_worker_books_is_written_before_it_ends(tmp_path: Path, how: str):
    path = str(tmp_path / "events.db")
    SQLiteEventLog(path).close()
    context = multiprocessing.get_context(how)
    workers = [context.Process(target=_booked_by_a_worker, args=(path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    ledger = Ledger(SQLiteEventLog(path), PRICES)
    assert ids(ledger) == ["e00000", "e00001", "e00002"]
    ledger.close()


class Collecting(MemoryEventLog):
    """A log during whose writing the collector comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[Any] = []

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        self.forgotten.clear()
        gc.collect()
        return super().extend(rows)


def test_a_ledger_that_is_collected_while_it_writes_still_writes():
    log = Collecting()
    ledger = Ledger(log, PRICES)
    log.forgotten.append([ledger])
    ledger.append(event(1))
    del ledger
    waited = threading.Event()
    for _ in range(100):
        if list(log.rows()):
            break
        waited.wait(0.05)
    assert [row[0] for row in log.rows()] == ["e00001"]
