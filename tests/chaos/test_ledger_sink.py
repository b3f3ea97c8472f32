"""The ledger's log slow, full, dead, damaged, forked or cut off: calls go on, and events are kept or counted."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from thrift_plugins import Config, Runtime, drive
from thrift_plugins.effects import Call, Replay
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.ledger import summarise
from thrift_plugins.stores import MemoryEventLog, SQLiteEventLog
from thrift_plugins.stores.base import EventLog
from thrift_plugins.types import Message, Reply, Scope, Tier, Usage

ANSWER = Reply("fine", Usage(10, 1, source="provider"), finish_reason="stop")
CALLS = 200


class Model:
    """A model that answers at once."""

    def call(self, effect: Call | Replay) -> Reply:
        return ANSWER


def call(runtime: Runtime, number: int = 0) -> None:
    request = runtime.request(
        dialect="test", model="gpt-4o", identities=["i"], messages=[Message("user", f"Hello {number}")], params={},
        scope=Scope(),
    )  # fmt: skip
    drive.run(runtime.engine.call(request, [Tier("big", "gpt-4o")], 0, dialect="test"), runtime, Model())


def over(log: EventLog, **ledger: int) -> Runtime:
    from thrift_plugins import LedgerConfig

    return Runtime(Config(store="memory:", ledger=LedgerConfig(**ledger)), event_log=log)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "thrift_plugins")


class Gated(MemoryEventLog):
    """A log that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.open = threading.Event(), threading.Event()

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        self.entered.set()
        assert self.open.wait(20)
        return super().extend(rows)


def test_a_log_that_hangs_holds_nobody_up():
    log = Gated()
    runtime = over(log)
    ledger = runtime.ledger
    assert ledger is not None
    call(runtime)
    assert log.entered.wait(20)
    for number in range(CALLS):
        call(runtime, number)  # would never end if a call waited
    assert ledger.waiting == CALLS + 1
    log.open.set()
    assert len(list(ledger.records())) == CALLS + 1
    assert ledger.dropped == 0
    runtime.close()


def test_what_does_not_fit_is_dropped_and_counted():
    log = Gated()
    runtime = over(log, capacity=50)
    ledger = runtime.ledger
    assert ledger is not None
    for number in range(CALLS):
        call(runtime, number)
    assert ledger.dropped == CALLS - 50
    assert ledger.waiting in (50, 51), "and the line that stands for what was lost, where the writer has come to it"
    log.open.set()
    assert len([entry for entry in ledger.records() if not entry["error"]]) == 50
    assert summarise(ledger.records()).total.lost == CALLS - 50, "the ledger itself says how many are missing"
    runtime.close()


class Failing(MemoryEventLog):
    """A log that is down until it is up."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.tried = threading.Event()

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        self.tried.set()
        if self.error:
            raise self.error
        return super().extend(rows)


@pytest.mark.parametrize(
    "error", [StoreUnavailable("down"), OSError("no space left"), RuntimeError("a bug of the app's own log")]
)
def test_events_wait_for_a_log_that_is_down(error: Exception):
    log = Failing(error)
    runtime = over(log)
    ledger = runtime.ledger
    assert ledger is not None
    for number in range(CALLS):
        call(runtime, number)
    assert log.tried.wait(20)
    assert not ledger.flush()
    assert (ledger.waiting, ledger.dropped) == (CALLS, 0)
    log.error = None
    pause = threading.Event()
    while ledger.waiting:  # written by itself, with nobody asking
        pause.wait(0.02)
    assert len(list(log.rows())) == CALLS
    runtime.close()


def test_what_is_lost_at_the_end_is_counted():
    runtime = over(Failing(StoreUnavailable("down")))
    call(runtime)
    runtime.close()
    assert runtime.ledger is not None
    assert (runtime.ledger.dropped, runtime.ledger.waiting) == (1, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


def in_file(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
    connection.close()
    return int(count)


def hold_back(ledger: object) -> None:
    """Let nothing be written but by `flush`."""
    ledger._writer._thread = threading.current_thread()  # type: ignore[attr-defined]


def test_another_process_that_holds_the_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("thrift_plugins.stores.eventlog._BUSY_TIMEOUT_S", 0.05)
    runtime = over(SQLiteEventLog(path))
    ledger = runtime.ledger
    assert ledger is not None
    hold_back(ledger)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    call(runtime)
    assert not ledger.flush()
    holder.execute("ROLLBACK")
    holder.close()
    assert ledger.flush()
    assert in_file(path) == 1
    runtime.close()


def test_a_file_that_is_taken_away_is_followed_by_a_new_one(path: Path):
    runtime = over(SQLiteEventLog(path))
    ledger = runtime.ledger
    assert ledger is not None
    hold_back(ledger)
    call(runtime, 1)
    assert ledger.flush()
    ledger._log.close()
    away = path.with_suffix(".away")
    path.rename(away)
    call(runtime, 2)
    assert ledger.flush()
    assert (in_file(away), in_file(path)) == (1, 1), "each event is in a file that can be found"
    runtime.close()


def test_a_full_disk(path: Path):
    log = SQLiteEventLog(path)
    runtime = over(log)
    ledger = runtime.ledger
    assert ledger is not None
    hold_back(ledger)

    def limit(pages: int) -> None:
        log._file.run(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchall())

    pages = log._file.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    limit(pages + 2)
    for number in range(CALLS):
        call(runtime, number)
    assert not ledger.flush()
    assert in_file(path) == 0, "all or nothing"
    assert (ledger.waiting, ledger.dropped) == (CALLS, 0)
    limit(1_000_000)
    assert ledger.flush()
    assert in_file(path) == CALLS
    runtime.close()


def test_a_file_that_may_only_be_read(path: Path):
    log = SQLiteEventLog(path)
    runtime = over(log)
    ledger = runtime.ledger
    assert ledger is not None
    hold_back(ledger)
    log._file.run(lambda connection: connection.execute("PRAGMA query_only=1"))
    call(runtime)
    assert not ledger.flush()
    assert ledger.flush(), "a connection that failed is not used again"
    assert in_file(path) == 1
    runtime.close()


@pytest.fixture
def child_environment(path: Path) -> dict[str, str]:
    return {**os.environ, "EVENTS": str(path), "PYTHONPATH": str(Path(__file__).parents[2])}


def python(code: str, environment: dict[str, str]) -> str:
    head = "import os, sys\nfrom tests.chaos.test_ledger_sink import *\nlog = SQLiteEventLog(os.environ['EVENTS'])\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", head + code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_app_that_forgets_to_close_loses_nothing(path: Path, child_environment: dict[str, str]):
    python("runtime = over(log)\nfor n in range(100): call(runtime, n)\n", child_environment)
    assert in_file(path) == 100


def test_a_call_while_the_interpreter_ends_does_no_harm(path: Path, child_environment: dict[str, str]):
    code = "import atexit\nruntime = over(log)\natexit.register(call, runtime, 2)\ncall(runtime, 1)\n"
    python(code, child_environment)
    assert in_file(path) in (1, 2)


FORK = """
runtime = over(log)
for n in range(50): call(runtime, n)
with runtime.ledger._writer._draining:  # the worst moment: the parent's writer is at work
    child = os.fork()
for n in range(50): call(runtime, 100 * (child == 0) + n)
runtime.close()
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_writes_its_own_and_nothing_twice(path: Path, child_environment: dict[str, str]):
    python(FORK, child_environment)
    assert in_file(path) == 150
