"""`thrift-plugins reconcile`: the ledger beside a provider's export, in every shape that one comes in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli_kit import command, stranger
from tests.ledger_kit import UNKNOWN, fill
from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.prices import Prices
from thrift_plugins.stores import SQLiteEventLog
from thrift_plugins.types import Overhead, Scope, Usage

DATED = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18"}
PRICES = Prices()
Used = dict[tuple[str, str], list[int]]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(SQLiteEventLog(path)) as log:
        fill(log, 1_500, days=5)
    return path


@pytest.fixture
def used(ledger: Path) -> Used:
    """What a provider would count, found call by call: input, output and nano-dollars by day and dated model."""
    sums: Used = defaultdict(lambda: [0, 0, 0])
    for entry in entries(ledger):
        calls = [(entry["served_model"], entry["usage"])] if entry["served_model"] else []
        calls += [(model, usage) for _, _, model, usage, _ in entry["overheads"]]
        for model, usage in calls:
            line = sums[f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d}", DATED.get(model, model)]
            line[0] += usage["input_tokens"]
            line[1] += usage["output_tokens"]
            if model != UNKNOWN:
                line[2] += PRICES.cost(model, Usage(**usage), at=entry["at"])
    return dict(sums)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    with closing(SQLiteEventLog(path)) as log:
        for body in log.bodies():
            yield orjson.loads(body)


def seconds(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def pages(lines: dict[str, list[dict[str, Any]]], **when: Any) -> str:
    """As an organization API gives them."""
    data = [{**{name: tell(day) for name, tell in when.items()}, "results": results} for day, results in lines.items()]
    return json.dumps({"object": "page", "data": data, "has_more": False})


def by_day(used: Used, tell: Any) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (day, model), amounts in used.items():
        lines[day] += tell(model, *amounts)
    return lines


def reconciled(ledger: Path, *words: str, code: int = 0) -> dict[str, Any]:
    done = command("reconcile", *words, "--ledger", str(ledger), "--json", "drift.json")
    assert done.exit_code == code, done.exception
    told: dict[str, Any] = json.loads(Path("drift.json").read_text())
    return told


def openai_usage(used: Used) -> str:
    def result(model: str, sent: int, got: int, _nano: int) -> list[dict[str, Any]]:
        whole = {"object": "organization.usage.completions.result", "project_id": None, "model": model, "batch": False}
        half = sent // 2
        return [{**whole, "input_tokens": half, "output_tokens": got, "input_cached_tokens": 1, "num_model_requests": 1},
                {**whole, "input_tokens": sent - half, "output_tokens": 0, "num_model_requests": 1}]  # fmt: skip

    return pages(by_day(used, result), object=lambda _: "bucket", start_time=seconds, end_time=seconds)


def openai_costs(used: Used) -> str:
    def result(model: str, _sent: int, _got: int, nano: int) -> list[dict[str, Any]]:
        paid = {"input": nano // 3, "output": nano - nano // 3}
        return [{"amount": {"value": amount / 1e9, "currency": "usd"}, "line_item": f"{model}, {side}", "project_id": None}
                for side, amount in paid.items()]  # fmt: skip

    return pages(by_day(used, result), start_time=seconds)


def anthropic_usage(used: Used) -> str:
    def result(model: str, sent: int, got: int, _nano: int) -> list[dict[str, Any]]:
        parts = {"ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 4}
        return [{"uncached_input_tokens": sent - 12, "cache_creation": parts, "cache_read_input_tokens": 5, "output_tokens": got,
                 "server_tool_use": {"web_search_requests": 10}, "model": model, "service_tier": "standard"}]  # fmt: skip

    return pages(
        by_day(used, result), starting_at=lambda day: f"{day}T00:00:00Z", ending_at=lambda day: f"{day}T24:00:00Z"
    )


def anthropic_costs(used: Used) -> str:
    def result(model: str, _sent: int, _got: int, nano: int) -> list[dict[str, Any]]:
        return [
            {
                "currency": "USD",
                "amount": f"{nano / 1e7:.9f}",
                "cost_type": "tokens",
                "model": model,
                "description": "x",
            }
        ]

    return pages(by_day(used, result), starting_at=lambda day: f"{day}T00:00:00Z")


def table(used: Used, heads: list[str], delimiter: str = ",") -> str:
    lines = [
        heads,
        *([day, model, *map(str, amounts[:2]), f"{amounts[2] / 1e9:.9f}"] for (day, model), amounts in used.items()),
    ]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


@pytest.mark.parametrize("tell", [openai_usage, anthropic_usage])
def test_the_same_tokens_are_no_drift(ledger: Path, used: Used, tell: Any):
    Path("usage.json").write_text(tell(used))
    told = reconciled(ledger, "usage.json")
    assert told["total"]["token_drift"] == 0
    assert all(line["ledger"]["input"] == line["provider"]["input"] for line in told["lines"])
    assert all(line["ledger"]["output"] == line["provider"]["output"] for line in told["lines"])
    assert set(told["by_model"]) == {"gpt-4o", "gpt-4o-mini", UNKNOWN}
    assert (told["only_in_the_ledger"], told["only_in_the_statement"]) == ({}, [])


@pytest.mark.parametrize("tell", [openai_costs, anthropic_costs])
def test_the_same_dollars_are_no_drift(ledger: Path, used: Used, tell: Any):
    Path("costs.json").write_text(tell(used))
    told = reconciled(ledger, "costs.json", "--fail-over", "0.0001")
    assert abs(told["total"]["ledger"]["nano"] - told["total"]["provider"]["nano"]) < 100
    assert all(abs(line["ledger"]["nano"] - line["provider"]["nano"]) <= 10 for line in told["lines"]), (
        "but for rounding"
    )


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        (["start_time_iso", "model", "input_tokens", "output_tokens", "amount_value"], []),
        (["usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens", "cost_usd"], []),
        (["Datum", "Modell", "rein", "raus", "Preis"],
         ["--column", "day=Datum", "--column", "model=Modell", "--column", "input=rein", "--column", "output=raus", "--column", "usd=Preis"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_tables(ledger: Path, used: Used, heads: list[str], words: list[str], delimiter: str):
    Path("usage.csv").write_text(table(used, heads, delimiter), encoding="utf-8-sig")
    told = reconciled(ledger, "usage.csv", *words)
    assert told["total"]["token_drift"] == 0
    assert abs(told["total"]["money_drift"]) < 1e-9


def test_usage_and_costs_together(ledger: Path, used: Used):
    Path("usage.json").write_text(openai_usage(used))
    Path("costs.json").write_text(openai_costs(used))
    told = reconciled(ledger, "usage.json", "costs.json")
    assert told["total"]["token_drift"] == 0
    assert abs(told["total"]["money_drift"]) < 1e-9


def test_what_is_apart_is_named(ledger: Path, used: Used):
    first = min(day for day, _ in used)
    used[first, DATED["gpt-4o"]][0] += 100_000
    used[first, "gpt-4.1"] = [500, 50, 1_000_000]
    Path("usage.csv").write_text(
        table(
            {key: line for key, line in used.items() if key[1] != UNKNOWN},
            ["day", "model", "input_tokens", "output_tokens", "cost"],
        )
    )
    told = reconciled(ledger, "usage.csv", "--fail-over", "1", code=1)
    assert told["by_model"]["gpt-4o"]["token_drift"] < 0
    assert told["by_model"]["gpt-4o-mini"]["token_drift"] == 0
    assert told["by_day"][first]["token_drift"] < 0
    assert told["only_in_the_statement"] == ["gpt-4.1"]
    assert set(told["only_in_the_ledger"]) == {UNKNOWN}
    shown = command("reconcile", "usage.csv", "--ledger", str(ledger))
    assert "Not in the ledger at all: gpt-4.1." in shown.stdout
    assert f"Not in the statement: {UNKNOWN}" in shown.stdout


def test_only_the_days_of_the_statement_are_compared(ledger: Path, used: Used):
    day = sorted({day for day, _ in used})[2]
    Path("usage.json").write_text(openai_usage({key: line for key, line in used.items() if key[0] == day}))
    told = reconciled(ledger, "usage.json")
    assert list(told["by_day"]) == [day]
    assert told["total"]["token_drift"] == 0


def test_a_model_that_is_called_otherwise(ledger: Path, used: Used):
    renamed = {(day, "in-house" if model == UNKNOWN else model): line for (day, model), line in used.items()}
    Path("usage.json").write_text(openai_usage(renamed))
    assert reconciled(ledger, "usage.json")["only_in_the_statement"] == ["in-house"]
    assert reconciled(ledger, "usage.json", "--alias", f"in-house={UNKNOWN}")["total"]["token_drift"] == 0


def test_sums_without_a_model_and_pages_that_are_missing(ledger: Path):
    bucket = {
        "start_time": seconds("2025-11-02"),
        "results": [{"amount": {"value": 1.5, "currency": "usd"}, "line_item": None}],
    }
    Path("costs.json").write_text(json.dumps({"data": [bucket, {"start_time": 1, "results": []}], "has_more": True}))
    assert reconciled(ledger, "costs.json")["unnamed"]["nano"] == 1_500_000_000
    shown = command("reconcile", "costs.json", "--ledger", str(ledger)).stdout
    assert "Without a model in the statement: 0 tokens, $1.5000." in shown
    assert "give all of its pages" in shown


def test_one_tactic_that_paid_several_models_in_a_call(tmp_path: Path):
    usage = Usage(1000, 100, source="provider")
    beside = (
        Overhead("routing", "gpt-4o-mini", usage, "failed"),
        Overhead("routing", "gpt-4.1-mini", usage, "rejected"),
    )
    ledger = Ledger(SQLiteEventLog(tmp_path / "l.db"), Prices())
    ledger.append(
        Event(
            "1",
            seconds("2025-11-02"),
            "test",
            Scope(),
            "answered",
            Cost("gpt-4o", usage),
            "gpt-4o",
            usage,
            overheads=beside,
        )
    )
    ledger.close()
    lines = {
        ("2025-11-02", model): [1000, 100, PRICES.cost(model, usage)]
        for model in ("gpt-4o", "gpt-4o-mini", "gpt-4.1-mini")
    }
    Path("usage.csv").write_text(table(lines, ["day", "model", "input_tokens", "output_tokens", "cost"]))
    told = reconciled(tmp_path / "l.db", "usage.csv")
    assert [line["money_drift"] for line in told["lines"]] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", '{"rows": []}', "no list named 'data'"),
        ("a.csv", "a,b\n1,2\n", "no column of it is known; see --column"),
        ("a.csv", "model,input_tokens\ngpt-4o,5\n", "entry 1: it has no date"),
        ("a.csv", "day,model,input_tokens\n2025-11-02,gpt-4o,5\n2025-11-02,gpt-4o,many\n", "a.csv, entry 2"),
        ("a.csv", "day,model,input_tokens\n2025-11-02,gpt-4o,5.5\n", "no whole number of tokens"),
        ("a.csv", "day,model,input_tokens\nyesterday,gpt-4o,5\n", "a.csv, entry 1"),
        ("a.csv", "", "nothing in it was used"),
    ],
)
def test_what_cannot_be_read(ledger: Path, name: str, text: str, told: str):
    Path(name).write_text(text)
    assert told in str(command("reconcile", name, "--ledger", str(ledger)).exception)


def test_options_that_cannot_be_meant(ledger: Path):
    Path("a.csv").write_text("x\n")
    assert "--column wants NAME=NAME" in str(command("reconcile", "a.csv", "--column", "day").exception)
    assert "Did you mean 'day'?" in str(command("reconcile", "a.csv", "--column", "dai=x").exception)
