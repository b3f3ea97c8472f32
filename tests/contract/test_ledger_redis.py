"""Many workers, one book: events wait on a real server, and are moved into a file once each, whatever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli_kit import command, stranger
from tests.ledger_kit import events, fill
from tests.redis_server import RedisServer
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.ledger import Ledger, summarise
from thrift_plugins.ledger.collector import Collector
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.stores import RedisEventLog, SQLiteEventLog, open_event_log
from thrift_plugins.stores.eventlog_redis import Waiting

NOW = 1_765_000_000.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


@pytest.fixture
def waiting(server: RedisServer) -> Iterator[RedisEventLog]:
    with closing(RedisEventLog(server.url)) as log:
        yield log


@pytest.fixture
def book(tmp_path: Path) -> Iterator[SQLiteEventLog]:
    with closing(SQLiteEventLog(tmp_path / "book.db")) as log:
        yield log


def row(number: int) -> tuple[str, float, str]:
    name = f"e{number:05}"
    return name, NOW - number, json.dumps({"id": name, "bill": {}})


def test_an_event_waits_once_however_often_it_is_appended(waiting: RedisEventLog):
    assert waiting.extend([row(1), row(2), row(1)]) == 2
    assert waiting.extend([row(2), row(3)]) == 1
    assert waiting.extend([]) == 0
    assert list(waiting.rows()) == [row(3), row(2), row(1)], "in the order of time"
    assert list(waiting.bodies(NOW - 2, NOW - 1)) == [row(2)[2]]


def test_times_and_texts_come_back_as_they_were(waiting: RedisEventLog):
    odd = ("é\n\x00 id", 0.1 + 0.2, '{"a": "ü\\u0000"}')
    waiting.extend([odd])
    assert list(waiting.rows()) == [odd]


def test_where_too_many_wait_the_next_are_refused_together(server: RedisServer):
    with closing(RedisEventLog(server.url, most=3)) as log:
        log.extend([row(1), row(2)])
        with pytest.raises(StoreUnavailable, match="3 events that wait: run 'thrift-plugins ledger collect'"):
            log.extend([row(3), row(4)])
        assert log.extend([row(1), row(2), row(3)]) == 1
        assert len(list(log.rows())) == 3


def test_workers_keep_what_the_server_does_not_take(server: RedisServer, book: SQLiteEventLog):
    with closing(RedisEventLog(server.url, most=60)) as log:
        ledger = Ledger(log, Prices())
        ledger._writer._thread = threading.current_thread()  # flushed by hand
        some = list(events(100))
        for event in some[:50]:
            ledger.append(event)
        assert ledger.flush()
        for event in some[50:]:
            ledger.append(event)
        assert not ledger.flush()
        assert (ledger.waiting, ledger.dropped) == (50, 0)
        Collector(log, book, lambda: NOW).collect()
        assert ledger.flush()
        Collector(log, book, lambda: NOW).collect()
        assert [each[0] for each in book.rows()] == [event.id for event in some]


def test_all_are_moved_and_the_sums_are_those_of_one_log(waiting: RedisEventLog, book: SQLiteEventLog, tmp_path: Path):
    fill(waiting, 1_200)
    with closing(SQLiteEventLog(tmp_path / "straight.db")) as straight:
        fill(straight, 1_200)
        done = Collector(waiting, book, lambda: NOW).collect()
        assert (done.moved, done.known, done.damaged, done.missing) == (1_200, 0, 0, 0)
        assert list(book.rows()) == list(straight.rows())
        assert roll_up(book.bodies()) == roll_up(straight.bodies())
    assert list(waiting.rows()) == []
    assert Collector(waiting, book, lambda: NOW).collect().moved == 0


class Dying(RedisEventLog):
    """Dies between the book and the server."""

    def remove(self, events: Sequence[Waiting]) -> int:
        raise KeyboardInterrupt


def test_a_collector_that_dies_in_between_moves_nothing_twice(
    server: RedisServer, waiting: RedisEventLog, book: SQLiteEventLog
):
    waiting.extend(row(number) for number in range(700))
    with closing(Dying(server.url)) as dying, pytest.raises(KeyboardInterrupt):
        Collector(dying, book, lambda: NOW).collect()
    done = Collector(waiting, book, lambda: NOW).collect()
    assert (done.moved, done.known) == (200, 500)
    assert len(list(book.rows())) == 700


def test_several_collectors_at_once(server: RedisServer, book: SQLiteEventLog, waiting: RedisEventLog):
    waiting.extend(row(number) for number in range(3_000))
    moved: list[int] = []

    def collect() -> None:
        with closing(RedisEventLog(server.url)) as log:
            moved.append(Collector(log, book, lambda: NOW).collect().moved)

    threads = [threading.Thread(target=collect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 3_000
    assert len(list(book.rows())) == 3_000
    assert waiting.missing() == (0, 3_000)


def test_what_the_server_loses_is_booked(server: RedisServer, waiting: RedisEventLog, book: SQLiteEventLog):
    waiting.extend(row(number) for number in range(10))
    collector = Collector(waiting, book, lambda: NOW)
    collector.collect()
    waiting.extend(row(number) for number in range(10, 17))
    server.ask("DEL", "tp1~l:{ledger}")  # as an eviction does
    waiting.extend([row(20)])
    assert collector.collect().missing == 7
    assert collector.collect().missing == 0, "once"
    kept = [json.loads(body) for _, _, body in book.rows() if "gap/" in body]
    (lost,) = [entry for entry in kept if entry.get("error") == "EventsLost"]
    assert lost["extra"] == {"lost": 7}
    assert summarise([lost]).total.lost == 7
    assert summarise([lost]).total.requests == 0
    assert roll_up([json.dumps(lost)]).total == summarise([lost]).total


def test_counts_that_were_lost_begin_anew(server: RedisServer, waiting: RedisEventLog, book: SQLiteEventLog):
    waiting.extend([row(1), row(2)])
    server.ask("DEL", "tp1~lc:{ledger}")
    collector = Collector(waiting, book, lambda: NOW)
    assert (collector.collect().missing, collector.collect().missing) == (0, 0)
    waiting.extend([row(3)])
    assert collector.collect().missing == 0


def test_what_is_not_ours_is_thrown_away_and_holds_up_nothing(
    server: RedisServer, waiting: RedisEventLog, book: SQLiteEventLog, caplog: pytest.LogCaptureFixture
):
    for body in ("{", "[]", '{"id": "another", "bill": {}}', '{"id": "x"}'):
        server.ask("XADD", "tp1~l:{ledger}", "*", "id", "x", "at", "1", "body", body)
    waiting.extend([row(1)])
    done = Collector(waiting, book, lambda: NOW).collect()
    assert (done.moved, done.damaged) == (1, 4)
    assert "not ours" in caplog.text
    assert [each[0] for each in book.rows()] == ["e00001"]


def test_a_server_that_is_away_keeps_nobody_waiting_for_long(tmp_path: Path):
    with RedisServer(tmp_path) as server, closing(RedisEventLog(server.url, timeout=0.3)) as log:
        ledger = Ledger(log, Prices())
        server.freeze()
        for event in events(20):
            ledger.append(event)
        assert not ledger.flush()
        server.thaw()
        pause = threading.Event()
        while ledger.waiting:
            pause.wait(0.02)
        assert len(list(log.rows())) == 20
        assert ledger.dropped == 0
        ledger.close()


WORKER = """
import sys
from tests.ledger_kit import fill
from thrift_plugins.stores import RedisEventLog
for seed in range(4):
    log = RedisEventLog(sys.argv[1])
    fill(log, 250, seed=10 * int(sys.argv[2]) + seed, days=1 + 10 * int(sys.argv[2]) + seed)
"""


def test_workers_write_while_collectors_are_killed(server: RedisServer, tmp_path: Path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "thrift_plugins.cli", "ledger", "collect", server.url, str(tmp_path / "book.db")]
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, server.url, str(number)], env=environment)
        for number in range(2)
    ]
    pause = threading.Event()
    while any(worker.poll() is None for worker in workers):
        collector = subprocess.Popen([*words, "--every", "0.1"], env=environment, stdout=subprocess.DEVNULL)
        pause.wait(0.8)
        collector.send_signal(signal.SIGKILL)
        collector.wait()
    assert [worker.returncode for worker in workers] == [0, 0]
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    with closing(SQLiteEventLog(tmp_path / "book.db")) as book, closing(RedisEventLog(server.url)) as waiting:
        assert roll_up(book.bodies()).total.closes()
        written = [
            event.id for n in (0, 1) for s in range(4) for event in events(250, seed=10 * n + s, days=1 + 10 * n + s)
        ]
        kept = [each[0] for each in book.rows()]
        assert sorted(kept) == sorted(set(written)), "each in the book once"
        # The first event of each seed has the same id: written anew after a collector has fetched it, it waits anew.
        assert len(kept) <= waiting.missing().after <= len(written)
        assert waiting.missing().events == 0


def test_the_command(server: RedisServer, waiting: RedisEventLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stranger(monkeypatch, tmp_path)
    fill(waiting, 40)
    assert command("ledger", "collect", server.url, "book.db").stdout == "40 events moved.\n"
    assert command("report", "--ledger", "book.db").exit_code == 0
    assert "no URL" in str(command("ledger", "collect", "book.db", "other.db").exception)
    assert "ledger collect" in str(command("report", "--ledger", server.url).exception)


def test_a_url_opens_it():
    with closing(open_event_log("redis://127.0.0.1:1/0")) as log, pytest.raises(StoreUnavailable):
        log.extend([row(1)])
    with pytest.raises(ConfigError, match="no event log has the scheme 'ftp'"):
        open_event_log("ftp://x")
