"""`thrift-plugins watch`: a ledger seen while it grows, in a file and on a real server."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from tests import report_kit
from tests.cli_kit import command, stranger
from tests.redis_server import RedisServer
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.ledger import Line, summarise
from thrift_plugins.ledger.ledger import row
from thrift_plugins.report.live import Watched
from thrift_plugins.stores import MemoryEventLog, RedisEventLog, SQLiteEventLog
from thrift_plugins.stores.base import ScannedLog

ALL = ("--since", "2025-11-01")
Open = Callable[[], ScannedLog]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, float, str]]:
    return [row(event, report_kit.PRICES) for event in report_kit.events(600)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def log(request: pytest.FixtureRequest, tmp_path: Path, running: RedisServer) -> Iterator[ScannedLog]:
    running.ask("FLUSHALL")
    made: dict[str, Open] = {
        "memory": MemoryEventLog,
        "sqlite": lambda: SQLiteEventLog(tmp_path / "l.db"),
        "redis": lambda: RedisEventLog(running.url),
    }
    with closing(made[request.param]()) as opened:
        yield opened


def total(rows: list[tuple[str, float, str]]) -> Line:
    return summarise(orjson.loads(body) for _, _, body in rows).total


def test_every_event_is_seen_once_in_the_order_in_which_it_came(log: ScannedLog, rows: list[tuple[str, float, str]]):
    assert log.after("", 10) == ([], "") or log.after("", 10)[0] == []
    late = [*rows[50:150], *rows[:50]]
    log.extend(late)
    place, seen = log.place(0.0), list[str]()
    while True:
        bodies, place = log.after(place, 40)
        seen += bodies
        if len(bodies) < 40:
            break
    assert seen == [body for _, _, body in late]
    log.extend(rows[140:155])
    assert log.after(place, 40)[0] == [body for _, _, body in rows[150:155]]


def test_a_place_is_before_all_that_began_by_then(log: ScannedLog, rows: list[tuple[str, float, str]]):
    log.extend(rows[:100])
    since = rows[60][1]
    bodies, place = log.after(log.place(since), 1_000)
    assert {body for _, at, body in rows[:100] if at >= since} <= set(bodies)
    log.extend(rows[100:102])
    assert log.after(place, 10)[0] == [body for _, _, body in rows[100:102]]


def test_a_file_that_was_made_anew_is_read_from_its_start(tmp_path: Path, rows: list[tuple[str, float, str]]):
    with closing(SQLiteEventLog(tmp_path / "l.db")) as log:
        log.extend(rows[:20])
        _, place = log.after("", 100)
        for path in tmp_path.glob("l.db*"):
            path.unlink()
        with closing(SQLiteEventLog(tmp_path / "l.db")) as other:
            other.extend(rows[30:33])
        assert log.after(place, 100)[0] == [body for _, _, body in rows[30:33]]


def test_what_is_seen_adds_up(rows: list[tuple[str, float, str]]):
    watched = Watched(0.0)
    for first in range(0, len(rows), 100):
        watched.add(body for _, _, body in rows[first : first + 100])
        watched.tick()
    assert watched.total == total(rows)
    assert watched.total.closes()
    late = Watched(rows[300][1])
    late.add(body for _, _, body in rows)
    assert late.total == total(rows[300:])


def test_what_is_not_ours_is_counted_and_does_no_harm():
    watched = Watched(0.0)
    assert watched.add(["{", "3", "{}", '{"at": 1}', "null"]) == 0
    assert watched.strange == 5


@pytest.mark.parametrize("height", [5, 24, 60])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_into_any_terminal(height: int, width: int, rows: list[tuple[str, float, str]]):
    watched = Watched(0.0)
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(watched.drawn(height))
    watched.add(body for _, _, body in rows)
    watched.trouble = "it is \x1b[2J down"
    console.print(watched.drawn(height))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b[2J" not in shown
    assert watched.sentence().split(",")[0] in shown


def test_a_file_while_an_app_writes_it(rows: list[tuple[str, float, str]]):
    with closing(SQLiteEventLog("app.db")) as log:
        log.extend(rows[:200])
        writer = threading.Timer(0.3, log.extend, [rows[200:]])
        writer.start()
        seen = command("watch", "--ledger", "app.db", *ALL, "--every", "0.1", "--seconds", "3")
        writer.join()
    assert seen.exit_code == 0
    lines = seen.stdout.splitlines()
    calls = total(rows).requests
    assert f"{calls:,} calls" in lines[-1]
    assert len(lines) == 3, "what was there, what came, and the end"


def test_a_server_where_events_wait(running: RedisServer, rows: list[tuple[str, float, str]]):
    running.ask("FLUSHALL")
    with closing(RedisEventLog(running.url)) as log:
        log.extend(rows)
    seen = command("watch", "--ledger", running.url, *ALL, "--seconds", "0")
    assert f"{total(rows).requests:,} calls" in seen.stdout


def test_a_ledger_that_is_down_for_a_while_is_no_end(rows: list[tuple[str, float, str]]):
    class Shaky(MemoryEventLog):
        looks = 0

        def after(self, place: str, limit: int) -> tuple[list[str], str]:
            self.looks += 1
            if self.looks == 2:
                raise StoreUnavailable("it is down")
            return super().after(place, limit)

    watching = import_module("thrift_plugins.cli.watch")
    log, watched = Shaky(), Watched(0.0)
    log.extend(rows[:10])
    told = []
    for new in watching._looks(log, watched, 0.01, None):
        told.append((new, watched.trouble))
        if len(told) == 2:
            log.extend(rows[10:30])
        if len(told) == 3:
            break
    assert [trouble for _, trouble in told] == ["", "it is down", ""]
    assert watched.total == total(rows[:30])


def test_a_ledger_that_is_down_at_the_end_is_told():
    seen = command("watch", "--ledger", "redis://127.0.0.1:1/0", "--seconds", "0")
    assert seen.exit_code == 2
    assert "does not answer" in seen.stderr


def test_the_default_is_the_last_hour(rows: list[tuple[str, float, str]]):
    with closing(SQLiteEventLog("app.db")) as log:
        log.extend(rows)
    seen = command("watch", "--ledger", "app.db", "--seconds", "0")
    assert seen.stdout.startswith("0 calls")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ledger", "nowhere.db"], "there is no ledger at nowhere.db"),
        (["--ledger", "memory:"], "seen by its own process only"),
        (["--since", "yesterday"], "is no time"),
    ],
)
def test_what_cannot_be_watched(words: list[str], told: str):
    assert told in str(command("watch", *words, "--seconds", "0").exception)
