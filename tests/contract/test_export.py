"""`thrift-plugins export`: every event once, in the order of time, with sums that are the ledger's."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from pyarrow import parquet

from tests.cli_kit import command, stranger
from tests.ledger_kit import fill
from thrift_plugins.ledger import summarise
from thrift_plugins.stores import SQLiteEventLog

EVENTS = 1_500


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)
    csv.field_size_limit(sys.maxsize)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(SQLiteEventLog(path)) as log:
        fill(log, EVENTS, days=10)
    return str(path)


def bodies(path: str) -> list[str]:
    with closing(SQLiteEventLog(path)) as log:
        return [body for _, _, body in log.rows()]


def exported(name: str, *words: str) -> Path:
    done = command("export", name, *words)
    assert done.exit_code == 0, done.exception
    return Path(name)


def test_lines_are_the_ledger_as_it_is(ledger: str):
    file = exported("events.jsonl", "--ledger", ledger)
    assert file.read_text().splitlines() == bodies(ledger)
    assert file.stat().st_mode & 0o777 == 0o600
    total = summarise(map(orjson.loads, file.read_text().splitlines())).total
    assert total.closes()


def test_tables_have_the_same_rows_and_their_sums_close(ledger: str):
    with exported("events.csv", "--ledger", ledger).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table: list[dict[str, Any]] = parquet.read_table(exported("events.parquet", "--ledger", ledger)).to_pylist()
    entries = [orjson.loads(body) for body in bodies(ledger)]
    assert [row["id"] for row in rows] == [row["id"] for row in table] == [entry["id"] for entry in entries]
    total = summarise(entries).total
    for name, amount in (("baseline_nano", total.baseline), ("actual_nano", total.actual), ("apart_nano", total.apart)):
        assert sum(row[name] for row in table) == sum(int(row[name]) for row in rows) == amount
    for row in table:
        assert row["baseline_nano"] == row["saved_nano"] + row["overhead_nano"] + row["actual_nano"]
        assert sum(json.loads(row["rows_nano"] or "{}").values()) == row["saved_nano"]
    for row, entry in zip(table, entries, strict=True):
        assert row["input_tokens"] == entry["usage"].get("input_tokens", 0)
        assert (row["at"], row["price_version"]) == (entry["at"], entry["prices"]["version"])
        assert json.loads(row["patches"] or "[]") == entry["patches"]


def test_a_part_of_the_time(ledger: str):
    file = exported("events.jsonl", "--ledger", ledger, "--since", "2025-11-04", "--until", "2025-11-05")
    times = [json.loads(line)["at"] for line in file.read_text().splitlines()]
    assert times == sorted(times)
    assert EVENTS // 10 - 1 <= len(times) <= EVENTS // 10 + 1


def test_an_empty_ledger_is_a_file_without_rows(tmp_path: Path):
    SQLiteEventLog(tmp_path / "empty.db").close()
    assert exported("events.jsonl", "--ledger", "empty.db").read_bytes() == b""
    assert len(exported("events.csv", "--ledger", "empty.db").read_text().splitlines()) == 1
    assert parquet.read_table(exported("events.parquet", "--ledger", "empty.db")).num_rows == 0


def test_another_kind_of_file(ledger: str):
    failed = command("export", "events.xlsx", "--ledger", ledger)
    assert "must end with one of .jsonl, .csv, .parquet" in str(failed.exception)


def test_an_export_that_breaks_leaves_what_was_there(ledger: str, monkeypatch: pytest.MonkeyPatch):
    file = exported("events.csv", "--ledger", ledger)
    before = file.read_bytes()
    monkeypatch.setattr("thrift_plugins.report.events.row", lambda _: 1 / 0)
    assert isinstance(command("export", "events.csv", "--ledger", ledger).exception, ZeroDivisionError)
    assert file.read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["events.csv"]
