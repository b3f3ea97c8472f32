"""`thrift-plugins report`: the same sums as the ledger's own, to the nano-dollar, for people and as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import parquet

from tests.benchmarks import report as benchmark
from tests.cli_kit import command, stranger
from tests.ledger_kit import START, UNKNOWN, fill
from thrift_plugins.ledger import Cost, Event, Ledger, Line, summarise
from thrift_plugins.ledger.holdout import compare
from thrift_plugins.ledger.leaks import leaks
from thrift_plugins.ledger.rollup import FROM_CACHE, NOBODY, roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.report.figures import line_figures
from thrift_plugins.stores import SQLiteEventLog
from thrift_plugins.types import Scope, Usage

EVENTS = 3_000
DAY = 86_400


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(SQLiteEventLog(path)) as log:
        fill(log, EVENTS, days=10, tenants=40)
    return path


def entries(path: Path) -> Iterator[dict[str, Any]]:
    with closing(SQLiteEventLog(path)) as log:
        for _, _, body in log.rows():
            yield orjson.loads(body)


def reported(*words: str) -> dict[str, Any]:
    assert command("report", *words, "--json", "report.json").exit_code == 0
    told: dict[str, Any] = json.loads(Path("report.json").read_text())
    return told


def test_every_sum_is_that_of_the_ledger(ledger: Path):
    told = reported("--ledger", str(ledger))
    summary = summarise(entries(ledger))
    assert told["total"] == line_figures(summary.total)
    assert told["by_feature"] == {name: line_figures(line) for name, line in summary.by_feature.items()}
    for parts in (told["by_tenant"], told["by_model"], told["by_day"], told["by_feature"]):
        for name in ("calls", "baseline_nano", "actual_nano", "estimated", "apart_nano"):
            assert sum(part[name] for part in parts.values()) == told["total"][name]


def test_every_line_closes_and_says_who_answered(ledger: Path):
    with closing(SQLiteEventLog(ledger)) as log:
        rollup = roll_up(log.bodies())
    assert rollup.by["model"].keys() == {"gpt-4o", "gpt-4o-mini", UNKNOWN, FROM_CACHE, NOBODY}
    assert rollup.by["model"][FROM_CACHE].actual == 0
    assert sorted(rollup.by["day"]) == [f"2025-11-{day:02}" for day in range(1, 12)]
    lines = [line for parts in rollup.by.values() for line in parts.values()]
    assert all(line.closes() for line in [rollup.total, *lines])


@pytest.fixture
def left_alone(ledger: Path, tmp_path: Path) -> Path:
    """The same ledger, with all that no tactic changed in the holdout, one that was cut, and one of a process that died."""
    path = tmp_path / "left_alone.db"
    with closing(SQLiteEventLog(path)) as log:
        for number, entry in enumerate(entries(ledger)):
            if not entry["patches"]:
                entry["extra"] = {**entry.get("extra", {}), "holdout": True}
            if number == 7:
                entry["finish_reason"] = "length"
            if number == 8:
                entry |= {"outcome": "error", "error": "Orphaned", "finish_reason": None}
            log.extend([(entry["id"], entry["at"], orjson.dumps(entry).decode())])
    return path


def test_the_holdout_stands_beside_it(left_alone: Path):
    told = reported("--ledger", str(left_alone))
    whole, *rows = told["holdout"]
    measured = compare(entries(left_alone))
    assert [row["measured_nano"] for row in rows] == [
        row.measured and [*map(round, row.measured)] for row in measured.rows()
    ]
    assert whole["booked_nano"] == measured.total().booked
    assert whole["corrected_nano"] == measured.total().corrected
    assert whole["measured_nano"] is not None
    shown = command("report", "--ledger", str(left_alone)).stdout
    assert "as measured by the holdout" in shown


def test_what_to_look_into(left_alone: Path):
    found = leaks(entries(left_alone))
    told = reported("--ledger", str(left_alone))["leaks"]
    assert told == {name: getattr(found, name) for name in told}
    assert sum(told["truncated"].values()) >= 1
    assert told["orphans"] == 1
    with closing(SQLiteEventLog(left_alone)) as log:
        assert roll_up(log.bodies()).leaks == found
    shown = command("report", "--ledger", str(left_alone)).stdout
    assert "1 call died with a process" in " ".join(shown.split())
    assert "cut at a limit" in shown


def test_without_a_holdout(ledger: Path):
    assert "No call was in the holdout" in " ".join(command("report", "--ledger", str(ledger)).stdout.split())


def test_a_part_of_the_time(ledger: Path):
    told = reported("--ledger", str(ledger), "--since", "2025-11-03", "--until", "2025-11-05T12:00+00:00")
    first, end = START - START % DAY + 2 * DAY, START - START % DAY + 4.5 * DAY
    wanted = summarise(entry for entry in entries(ledger) if first <= entry["at"] < end)
    assert told["total"] == line_figures(wanted.total)
    assert sorted(told["by_day"]) == ["2025-11-03", "2025-11-04", "2025-11-05"]
    assert reported("--ledger", str(ledger), "--since", "2d")["total"]["calls"] == 0


def test_people_see_the_bill_and_its_parts(ledger: Path):
    shown = command("report", "--ledger", str(ledger), "--most", "3")
    assert shown.exit_code == 0
    for text in ("2025-11-01 to 2025-11-11", "saved by routing", "By tenant", "37 more", "By feature", "By model", FROM_CACHE,
                 "By day", f"Not priced, and not in the sums: {UNKNOWN}"):  # fmt: skip
        assert text in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_files_have_every_line(ledger: Path):
    assert command("report", "--ledger", str(ledger), "--csv", "r.csv", "--parquet", "r.parquet").exit_code == 0
    with Path("r.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table("r.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in table] == rows
    total = rows[0]
    assert total["by"] == "total"
    for by in ("tenant", "feature", "model", "day"):
        parts = [row for row in rows if row["by"] == by]
        assert sum(int(row["actual_nano"]) for row in parts) == int(total["actual_nano"])
    tactics = [row for row in rows if row["by"] == "tactic"]
    assert [row["value"] for row in tactics] == ["cache", "routing"]
    assert sum(int(row["saved_nano"]) for row in tactics) == int(total["saved_nano"])
    assert Path("r.csv").stat().st_mode & 0o777 == 0o600


def test_names_that_would_do_harm_are_shown_and_do_none(tmp_path: Path):
    path, usage = tmp_path / "odd.db", Usage(10, 5, source="provider")
    names = ["\x1b[31mred", "[bold]x[/bold]", "=HYPERLINK(1)", 'a,"b"\n', ""]
    ledger = Ledger(SQLiteEventLog(path), Prices())
    for number, name in enumerate(names):
        ledger.append(Event(f"{number}", 1e9, "test", Scope(name), "answered", Cost("gpt-4o", usage), "gpt-4o", usage))
    ledger.close()
    shown = command("report", "--ledger", str(path), "--csv", "r.csv")
    assert "\x1b" not in shown.stdout
    assert "\\x1b[31mred" in shown.stdout
    assert "[bold]x[/bold]" in shown.stdout
    with Path("r.csv").open(newline="", encoding="utf-8") as file:
        values = {row["value"] for row in csv.DictReader(file) if row["by"] == "tenant"}
    assert values == {"\x1b[31mred", "[bold]x[/bold]", "'=HYPERLINK(1)", 'a,"b"\n', ""}


def test_the_settings_say_which_ledger():
    Path("thrift.toml").write_text('store = "app.db"\n')
    with closing(SQLiteEventLog("app-ledger.db")) as log:
        fill(log, 50)
    assert reported()["total"]["calls"] == summarise(entries(Path("app-ledger.db"))).total.requests


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ledger", "nowhere.db"], "there is no ledger at nowhere.db"),
        (["--ledger", "memory:"], "seen by its own process only"),
        (["--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--since", "2025-11-02", "--until", "2025-11-01"], "is not before"),
        (["--config", "none.toml"], "cannot read none.toml"),
    ],
)
def test_what_cannot_be_reported(words: list[str], told: str):
    failed = command("report", *words)
    assert failed.exit_code == 1
    assert told in str(failed.exception)
    assert not Path("nowhere.db").exists()


def test_a_ledger_that_is_off():
    Path("thrift.toml").write_text("[ledger]\nenabled = false\n")
    assert "the ledger is off" in str(command("report").exception)


def test_without_pyarrow_it_says_how_to_get_it(ledger: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    failed = command("report", "--ledger", str(ledger), "--parquet", "r.parquet")
    assert "pip install 'thrift-plugins[parquet]'" in str(failed.exception)
    assert not list(Path().glob("*r.parquet*"))


def test_a_file_that_cannot_be_finished_is_not_there(ledger: Path):
    Path("taken").mkdir()
    failed = command("report", "--ledger", str(ledger), "--csv", "taken")
    assert isinstance(failed.exception, OSError)
    assert [path.name for path in Path().iterdir()] == ["taken"]


def test_the_benchmark_runs_small(tmp_path: Path):
    figures = benchmark.measure(tmp_path / "events.db", 2_000, rounds=1)
    timed = {f"{name}_{unit}" for name in ("report", "page") for unit in ("s", "x_scan")}
    counted = {"report_peak_mb", "page_kb", "page_outside_requests", "numbers_unequal"}
    assert figures.keys() == {"events", "scan_s", *timed, *counted}
    assert (figures["page_outside_requests"], figures["numbers_unequal"]) == (0, 0)
    assert isinstance(figures["report_peak_mb"], float)
    assert 20 < figures["report_peak_mb"] < 300, "this is a matter of the size alone"


def test_merged_lines_are_those_of_all_calls(ledger: Path):
    half, rest, whole = Line(), Line(), Line()
    for number, entry in enumerate(entries(ledger)):
        (half if number % 2 else rest).add(entry)
        whole.add(entry)
    half.merge(rest)
    assert half == whole
