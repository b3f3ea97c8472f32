"""The main job: a trace through both adapters, as one bill."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from tests.trace_kit import arm, header, row, tool_row, week, write
from thrift_plugins import CacheConfig, Config, DistillationConfig, LedgerConfig, RoutingConfig
from thrift_plugins.cli import app, main
from thrift_plugins.errors import ConfigError, StoreError, ThriftError, TraceError
from thrift_plugins.ledger import Ledger
from thrift_plugins.replay import Trace, replay
from thrift_plugins.replay.check import Answer, score
from thrift_plugins.replay.month import Framework

FRAMEWORKS = get_args(Framework)
MONTH = Path(os.environ.get("THRIFT_DATA", "../shared/data")) / "traces" / "kb_month.jsonl.gz"


def figures(folder: Path, framework: Framework, config: Config | None = None, lines: list[Any] | None = None) -> dict[str, Any]:
    folder.mkdir()
    trace = write(folder / "week.jsonl", lines if lines is not None else [header(), *week()])
    return replay(Trace(trace), framework, config or Config(), folder).figures()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_repeat_is_answered_from_the_cache_and_never_for_another_tenant(tmp_path: Path, framework: Framework) -> None:
    found = figures(tmp_path / "week", framework, Config(routing=RoutingConfig(enabled=False)))
    faq = found["by_feature"]["faq"]
    price = (30 * 2_500 + 12 * 10_000) / 1e9
    assert faq["by_tactic"] == {"cache": pytest.approx(2 * price)}
    assert found["quality_actual"] == found["quality_baseline"]
    assert found["requests"] == 11


def test_both_frameworks_come_out_with_one_ledger(tmp_path: Path) -> None:
    bills = [figures(tmp_path / framework, framework) for framework in FRAMEWORKS]
    assert bills[0] == bills[1]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_nothing_on_changes_nothing(tmp_path: Path, framework: Framework) -> None:
    found = figures(tmp_path / "week", framework, Config.none())
    assert found["actual_usd"] == found["baseline_usd"]
    assert (found["by_tactic"], found["overheads_usd"], found["saved_fraction"]) == ({}, 0, 0)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_bill_closes(tmp_path: Path, framework: Framework) -> None:
    found = figures(tmp_path / "week", framework)
    for part in (found, *found["by_feature"].values()):
        total = part["actual_usd"] + sum(part["by_tactic"].values()) + part["overheads_usd"]
        assert total == pytest.approx(part["baseline_usd"], abs=1e-12)
    assert sum(part["requests"] for part in found["by_feature"].values()) == found["requests"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_rejected_tool_call_is_an_overhead_and_costs_no_quality(tmp_path: Path, framework: Framework) -> None:
    found = figures(tmp_path / "week", framework, lines=[header(), tool_row(0, '[{"kettle_heat": "{\\"celsius\\": \\"hot\\"}"}]')])
    assert found["overheads_usd"] == -(60 * 100 + 15 * 400) / 1e9
    assert found["actual_usd"] == pytest.approx(found["baseline_usd"] - found["overheads_usd"])


def test_the_clock_is_the_traces(tmp_path: Path) -> None:
    late = [row(0, "Where is the lid?"), row(1, "Where is the lid?", t=100.0), row(2, "Where is the lid?", t=5_000.0)]
    config = Config(cache=CacheConfig(ttl=3600), routing=RoutingConfig(enabled=False))
    found = figures(tmp_path / "week", "langchain", config, [header(), *late])
    assert found["actual_usd"] == pytest.approx(found["baseline_usd"] * 2 / 3)


def test_a_replay_needs_its_ledger(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"leave ledger\.enabled on"):
        figures(tmp_path / "week", "langchain", Config(ledger=LedgerConfig(enabled=False)))


@pytest.mark.parametrize(
    ("lines", "line", "problem"),
    [
        ([header(), row(0, "Hi"), '{"id": "k001", '], 3, "not JSON"),
        ([header(), row(0, "Hi"), "[]"], 3, "not a JSON object"),
        ([header(), row(0, "Hi", baseline="huge-1")], 2, "the baseline 'huge-1' has no arm"),
        ([header(), row(0, "Hi", arms={})], 2, "has no arm"),
        ([header(), row(0, "Hi", arms={"other-1": {}})], 2, "model 'other-1' has no price"),
        ([header(), row(0, "Hi", arms={"large-1": {"text": "Hi", "score": 1.0}})], 2, "the arm of 'large-1': field 'usage' is missing"),
        ([header(), row(0, "Hi", check={"kind": "guess"})], 2, "the check: kind 'guess' is not one of recorded, label"),
        ([header(), {key: value for key, value in row(0, "Hi").items() if key != "messages"}], 2, "'messages' is missing"),
        ([header(), row(0, "Hi", t="noon")], 2, "'t' is str"),
        ([header(), row(1, "Hi"), row(0, "Hi")], 3, "time order"),
        ([header(), row(1, "Hi"), row(2, "Ho", id="k001")], 3, "id 'k001' is that of an earlier line"),
        ([row(0, "Hi")], 1, "not a trace header"),
        ([header(schema=9)], 1, "not a trace header"),
        ([header(start="soon")], 1, "soon"),
        ([header(start=5)], 1, "start must be a time"),
        ([header(prices_usd_per_million_tokens=[1])], 1, "must be an object of objects"),
        ([header(prices_usd_per_million_tokens={"large-1": 3})], 1, "must be an object of objects"),
        ([header(prices_usd_per_million_tokens={"large-1": {"input": "3"}})], 1, "each rate as a number"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_replayed(tmp_path: Path, lines: list[Any], line: int, problem: str) -> None:
    path = write(tmp_path / "bad.jsonl", lines)
    with pytest.raises(TraceError, match=problem) as caught:
        list(Trace(path))
    assert caught.value.line == line
    result = run(path)
    assert isinstance(result.exception, ThriftError)
    assert str(result.exception) == str(caught.value)
    assert "replaying" not in result.output


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"messages": ["Hi"]}, "message 1: is str, not an object"),
        ({"messages": [{"role": "user"}]}, "message 1: field 'content' is missing"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "role 'robot' cannot be replayed, only assistant, system, user"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "role 'tool' cannot be replayed"),
        ({"params": [1]}, "field 'params' is list"),
        ({"params": {"messages": 1, "top_p": 1}}, "field 'params' has messages, which"),
        ({"tools": "abc"}, "field 'tools' is str"),
        ({"tools": [{}]}, "tool 1: field 'name' is missing"),
        ({"t": True}, "field 't' is bool"),
        ({"check": {"kind": []}}, "the check: field 'kind' is list"),
        ({"check": {"kind": "label"}}, "field 'gold' is missing"),
        ({"check": {"kind": "same_topic", "topic": 3}}, "field 'topic' is int"),
        ({"check": {"kind": "evidence"}}, "field 'any_of' is missing"),
        ({"check": {"kind": "spans", "turns": [1]}}, "field 'turns' is not a list of strings"),
        ({"arms": {"large-1": "Hi"}}, "the arm of 'large-1': is str"),
        ({"arms": {"large-1": arm(text=5)}}, "field 'text' is int"),
        ({"arms": {"large-1": arm(score="nan")}}, "field 'score' is str"),
        ({"arms": {"large-1": arm(score=1.5)}}, "field 'score' is 1.5, not from 0 to 1"),
        ({"arms": {"large-1": arm(usage={"input_tokens": 5.5, "output_tokens": 1})}}, "field 'input_tokens' is float"),
        ({"arms": {"large-1": arm(usage={"input_tokens": 5, "output_tokens": -1})}}, "field 'output_tokens' is -1"),
        ({"arms": {"large-1": arm(usage={"input_tokens": 5, "output_tokens": 1, "cached_tokens": 6})}}, "more than the 5"),
    ],
)
def test_a_row_that_cannot_be_replayed_is_one_sentence(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TraceError, match=problem) as caught:
        list(Trace(write(tmp_path / "bad.jsonl", [header(), row(0, "Hi", **changes)])))
    assert "\n" not in str(caught.value)


def test_a_start_without_an_offset_is_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        naive = Trace(write(tmp_path / "naive.jsonl", [header(start="2026-10-01T00:00:00")]))
    time.tzset()
    assert naive.start == Trace(write(tmp_path / "utc.jsonl", [header()])).start


def test_empty_lines_are_nothing(tmp_path: Path) -> None:
    trace = Trace(write(tmp_path / "airy.jsonl", ["", header(), "", row(0, "Hi")]))
    assert [each.id for each in trace] == ["k000"]


def test_a_damaged_trace_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl.gz"
    whole = gzip.compress("\n".join(json.dumps(each) for each in [header(), *week()]).encode())
    path.write_bytes(whole[:60] + bytes(30) + whole[90:])
    with pytest.raises(TraceError, match="cannot be read to its end"):
        list(Trace(path))


def test_a_trace_that_is_cut_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.jsonl.gz", [header(), *week()])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match="cannot be read to its end"):
        list(Trace(path))


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        Trace(tmp_path / "none")


def run(trace: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["replay", str(trace), *options])


def test_the_command_prints_the_bill_and_writes_the_figures(tmp_path: Path) -> None:
    trace = write(tmp_path / "week.jsonl.gz", [header(), *week()])
    out = tmp_path / "figures.json"
    result = run(tmp_path / "week", "--framework", "llama_index", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert trace.exists()
    assert "without thrift-plugins" in result.output
    told = json.loads(out.read_text())
    keys = {
        "baseline_usd", "actual_usd", "saved_fraction", "quality_baseline", "quality_actual", "by_tactic", "by_feature",
        "overheads_usd", "requests", "ledger_sha256",
    }  # fmt: skip
    assert set(told) == keys
    assert all(isinstance(told[key], int | float) for key in keys - {"by_tactic", "by_feature", "ledger_sha256"})
    assert set(told["by_feature"]["faq"]) == keys - {"by_feature", "ledger_sha256"}


def test_a_config_file_decides_what_is_on_and_a_misspelt_key_is_named(tmp_path: Path) -> None:
    write(tmp_path / "week.jsonl", [header(), *week()])
    good, bad = tmp_path / "thrift.toml", tmp_path / "bad.toml"
    good.write_text("[cache]\nenabled = false\n[routing]\nenabled = false\n")
    bad.write_text("[cache]\ntttl = 5\n")
    assert "saved by" not in run(tmp_path / "week", "--config", str(good)).output
    assert "no setting 'tttl'. Did you mean 'ttl'?" in str(run(tmp_path / "week", "--config", str(bad)).exception)
    assert "no such folder" in str(run(tmp_path / "week", "--warm", str(tmp_path / "nowhere")).exception)


def test_a_replay_leaves_the_apps_own_store_and_ledger_alone(tmp_path: Path) -> None:
    own = Config(store=str(tmp_path / "own.db"), ledger=LedgerConfig(url=str(tmp_path / "own-ledger.db")))
    first, second = (figures(tmp_path / name, "langchain", own) for name in ("first", "second"))
    assert first == second
    assert not list(tmp_path.glob("own*"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_replay_writes_down_no_questions(tmp_path: Path, framework: Framework) -> None:
    named = sorted({each["feature"] for each in week()})
    own = Config(
        store=str(tmp_path / "own.db"),
        routing=RoutingConfig(record=named, shadow=0.2),
        distillation=DistillationConfig(folder=str(tmp_path / "own-students"), record=named),
    )
    figures(tmp_path / "week", framework, own)
    assert not list(tmp_path.glob("own*"))


def test_a_small_ledger_loses_no_call_of_a_replay(tmp_path: Path) -> None:
    assert figures(tmp_path / "week", "langchain", Config(ledger=LedgerConfig(capacity=1)))["requests"] == 11


def test_a_bill_that_lacks_a_call_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "dropped", 1)
    with pytest.raises(StoreError, match="kept 11 of 11 calls, and 1 events were dropped"):
        figures(tmp_path / "week", "langchain")


@pytest.mark.parametrize("command", [["replay", "week"], ["demo", "--offline"]])
def test_a_file_that_cannot_be_written_is_said_before_the_work(tmp_path: Path, command: list[str]) -> None:
    for target, problem in ((tmp_path, "is a folder"), (tmp_path / "no" / "figures.json", "no such folder")):
        result = CliRunner().invoke(app, [*command, "--json", str(target)])
        assert isinstance(result.exception, ConfigError)
        assert problem in str(result.exception)
        assert not result.output


def test_what_the_system_refuses_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = write(tmp_path / "week.jsonl", [header(), *week()])
    figures_file = tmp_path / ("x" * 300)
    monkeypatch.setattr("sys.argv", ["thrift-plugins", "replay", str(trace), "--json", str(figures_file)])
    with pytest.raises(SystemExit) as stopped:
        main()
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "File name too long" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("check", "answer", "expected"),
    [
        ({"kind": "recorded"}, Answer("x", "small-1"), 0.5),
        ({"kind": "label", "gold": "yes"}, Answer(" yes ", "student"), 1.0),
        ({"kind": "label", "gold": "yes"}, Answer("no", "student"), 0.0),
        ({"kind": "label", "gold": "yes"}, Answer("no", "large-1"), 1.0),
        ({"kind": "same_topic", "topic": "a"}, Answer("x", "large-1", topic="b"), 0.0),
        ({"kind": "same_topic", "topic": "a"}, Answer("x", "large-1", topic="a"), 1.0),
        ({"kind": "same_topic", "topic": "a"}, Answer("x", "large-1"), 1.0),
        ({"kind": "evidence", "any_of": ["lid"]}, Answer("x", "large-1", sent="the lid"), 1.0),
        ({"kind": "evidence", "any_of": ["lid"]}, Answer("x", "large-1", sent="the cord"), 0.0),
        ({"kind": "spans", "turns": ["one turn", "another turn"]}, Answer("x", "large-1", sent="one turn, another turn"), 1.0),
        ({"kind": "spans", "turns": ["one turn", "two turn"]}, Answer("x", "large-1", sent="one turn only"), 0.5),
    ],
)
def test_answers_are_judged_by_the_record(tmp_path: Path, check: dict[str, Any], answer: Answer, expected: float) -> None:
    (only,) = Trace(write(tmp_path / "one.jsonl", [header(), row(0, "Hi", check=check)]))
    assert score(only, answer) == expected


@pytest.mark.skipif(not MONTH.is_file(), reason=f"no recorded month at {MONTH}; set THRIFT_DATA")
def test_the_recorded_month_is_one_bill_in_both_frameworks(tmp_path: Path) -> None:
    bills = []
    for framework in FRAMEWORKS:
        (tmp_path / framework).mkdir()
        bills.append(replay(Trace(MONTH), framework, Config(), tmp_path / framework).figures())
    assert bills[0] == bills[1]
    assert bills[0]["baseline_usd"] == pytest.approx(42.70, abs=0.01)
    assert bills[0]["actual_usd"] < bills[0]["baseline_usd"]
    assert bills[0]["quality_actual"] >= bills[0]["quality_baseline"] - 0.005
