"""Replay on logs that others have written: what is read from each, in which order, and what is said not to be known."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli_kit import SDK_LEAKS, command, stranger, with_a_key
from tests.logs_kit import AS, BIG, SMALL, calls, lines
from tests.logs_kit import openai as as_openai
from thrift_plugins import Config
from thrift_plugins.errors import ConfigError, TraceError
from thrift_plugins.replay.logs import FORMATS, open_log, study
from thrift_plugins.replay.logs.logged import Logged, Unread, seconds
from thrift_plugins.replay.logs.study import Study, figures, unknowns
from thrift_plugins.replay.logs.usage import langfuse_usage, usage_of
from thrift_plugins.testing import Answer, LoopbackProvider
from thrift_plugins.types import Usage

RECORDS = list(calls())


def written(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.write_bytes(lines(records))
    return path


def studied(path: Path, tmp_path: Path, **wanted: Any) -> Study:
    folder = tmp_path / f"of {path.name}"
    folder.mkdir(exist_ok=True)
    return study(open_log(path), Config(), folder, **wanted)


def read(path: Path) -> list[Logged]:
    return list(open_log(path))


@pytest.mark.parametrize("name", AS)
def test_every_log_is_known_by_its_records_and_read_to_the_same_calls(tmp_path: Path, name: str):
    path = written(tmp_path / "log.jsonl", [AS[name](call) for call in RECORDS])
    assert open_log(path).format is FORMATS[name]
    found = read(path)
    assert [(call.id, call.at, call.model) for call in found] == [
        (call["id"], call["at"], call["model"]) for call in RECORDS
    ]
    for call, told in zip(found, RECORDS, strict=True):
        assert [message.role for message in call.messages] == ["system", "user"]
        assert call.messages[1].text == told["question"]
        assert (call.scope.user, call.scope.feature) == (told["user"], told["feature"])
        assert call.params["temperature"] == 0
        assert bool(call.error) == told["failed"]
        if not told["failed"]:
            assert call.usage == Usage(1_000, 100, cache_read=400, source="provider")
            assert call.reply is not None
            assert [made.name for made in call.reply.tool_calls] == (["look_up"] if told["tool"] else [])


def test_all_logs_of_one_app_come_to_one_bill(tmp_path: Path):
    bills = []
    for name, form in AS.items():
        told = dict(figures(studied(written(tmp_path / f"{name}.jsonl", [form(call) for call in RECORDS]), tmp_path)))
        for own in ("format", "paid_as_logged_usd", "priced_of_those_usd"):
            del told[own]
        bills.append(told)
    assert all(bill == bills[0] for bill in bills)
    assert bills[0]["calls"] == 40
    assert bills[0]["failed"] == 2
    assert bills[0]["hits"] > 0
    assert 0 < bills[0]["with_cache_usd"] < bills[0]["bill_usd"]
    assert (bills[0]["hits_judged"], bills[0]["hits_same"]) == (bills[0]["hits"], bills[0]["hits"])
    assert bills[0]["cheaper_model"] == SMALL


def test_one_array_an_apis_answer_gzip_csv_and_parquet_are_read_alike(tmp_path: Path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    records = [AS["langfuse"](call) for call in RECORDS]
    plain = read(written(tmp_path / "a.jsonl", records))
    (tmp_path / "array.json").write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))
    (tmp_path / "page.json").write_bytes(orjson.dumps({"meta": 1, "data": records}))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(records)))
    (tmp_path / "marked.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(records).replace(b"\n", b"\r\n"))
    texts = [
        {name: json.dumps(value) if isinstance(value, dict) else value for name, value in record.items()}
        for record in records
    ]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(texts[0]))
        table.writeheader()
        table.writerows(texts)
    parquet.write_table(pyarrow.Table.from_pylist(texts), tmp_path / "a.parquet")
    for name in ("array.json", "page.json", "a.jsonl.gz", "marked.jsonl", "a.csv", "a.parquet"):
        found = read(tmp_path / name)
        assert [(call.id, call.usage, call.messages) for call in found] == [
            (call.id, call.usage, call.messages) for call in plain
        ], name


def test_an_array_larger_than_a_piece_is_read_to_its_end(tmp_path: Path):
    records = [as_openai({**call, "answer": "word " * 20_000}) for call in calls(60)]
    path = tmp_path / "large.json"
    path.write_bytes(orjson.dumps(records))
    assert path.stat().st_size > 4 << 20
    assert [call.id for call in read(path)] == [record["id"] for record in records]


@pytest.mark.parametrize("order", ["latest first", "shuffled", "a little late"])
def test_calls_come_in_the_order_of_time_whatever_that_of_the_file(tmp_path: Path, order: str):
    records = [as_openai(call) for call in calls(3_000, step=1.0)]
    wanted = [record["id"] for record in records]
    match order:
        case "latest first":
            records.reverse()
        case "shuffled":
            records.sort(key=lambda record: hash(record["id"][::-1]))
        case _:
            for place in range(0, len(records) - 900, 1_000):
                records.insert(place + 800, records.pop(place))
    assert [call.id for call in read(written(tmp_path / "log.jsonl", records))] == wanted


def test_what_cannot_be_read_is_counted_and_the_first_is_named(tmp_path: Path):
    good = [orjson.dumps(as_openai(call)) for call in RECORDS]
    bad = [b"{", b'"text"', b'{"request": {"model": "m", "messages": []}, "timestamp": 1}', b'{"request": {"model": "m", "messages": [{"role": "x"}]}, "timestamp": 1}',
           b'{"request": {"model": "m", "messages": "hi"}, "timestamp": "noon"}', b'{"request": {"messages": "hi"}}']  # fmt: skip
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join([*good[:3], *bad, *good[3:]]))
    log = open_log(path)
    assert len(list(log)) == len(good)
    assert (log.unread.total(), log.first_unread) == (len(bad), 4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("hello", "not JSON"),
        ('{"a": 1, "b": 2}', r"its records have a, b\. Known are: .*LiteLLM"),
        ('{"request": {"model": "m", "messages": "hi"}}', "no record can be read: it says no time"),
        ("[", "breaks off"),
    ],
)
def test_what_is_no_log_is_refused_in_a_sentence(tmp_path: Path, text: str, problem: str):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError, match=problem):
        list(open_log(path))


def test_a_file_that_is_not_there_and_a_format_that_is_none(tmp_path: Path):
    with pytest.raises(TraceError, match="no such file"):
        open_log(tmp_path / "gone.jsonl")
    with pytest.raises(ConfigError, match="there are ledger, litellm"):
        open_log(written(tmp_path / "log.jsonl", [as_openai(RECORDS[0])]), "excel")


def test_a_log_without_prompts_is_a_bill_and_says_what_it_cannot_tell(tmp_path: Path):
    records = [{**AS["litellm"](call), "proxy_server_request": {}, "response": {}} for call in RECORDS]
    found = studied(written(tmp_path / "log.jsonl", records), tmp_path)
    assert (found.wordless, found.total.outcomes["hit"]) == (38, 0)
    assert found.total.baseline == found.total.actual > 0
    assert found.paid == pytest.approx(38 * 0.004)
    assert any("whose prompt or answer is not in the log" in line for line in unknowns(found, Config()))


def test_hits_across_users_are_said_to_be_so_until_a_tenant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    written(tmp_path / "log.jsonl", [as_openai(call) for call in RECORDS])
    shared = " ".join(command("replay", "log.jsonl", "--json", "shared.json").output.split())
    assert "the log names no tenant" in shared
    apart = " ".join(command("replay", "log.jsonl", "--tenant", "metadata.user", "--json", "apart.json").output.split())
    assert "the log names no tenant" not in apart
    hits = [json.loads((tmp_path / f"{name}.json").read_text())["hits"] for name in ("shared", "apart")]
    assert hits[0] > hits[1]


def test_what_was_cached_already_and_what_is_no_call_is_in_no_sum(tmp_path: Path):
    records = [AS["litellm"](call) for call in RECORDS]
    records[0]["cache_hit"] = "True"
    records[1]["call_type"] = "aembedding"
    log = open_log(written(tmp_path / "log.jsonl", records))
    folder = tmp_path / "store"
    folder.mkdir()
    found = study(log, Config(), folder)
    assert (found.cached, log.other, found.total.requests) == (1, 1, 36)


ANTHROPIC: dict[str, Any] = {
    "model": "claude-sonnet-4-5", "system": "You help.", "messages": [{"role": "user", "content": "What is a refund?"}],
}  # fmt: skip
RESPONSES: dict[str, Any] = {"model": BIG, "instructions": "You help.", "input": "What is a refund?"}


@pytest.mark.parametrize(
    ("request_", "other"),
    [
        (ANTHROPIC, {"system": "You are a pirate."}),
        (ANTHROPIC, {"system": [{"type": "text", "text": "You are a pirate."}]}),
        (RESPONSES, {"instructions": "You are a pirate."}),
        (RESPONSES, {"previous_response_id": "resp_1"}),
        (RESPONSES, {"reasoning": {"effort": "high"}}),
    ],
)
def test_what_stands_beside_the_messages_makes_another_request(
    tmp_path: Path, request_: dict[str, Any], other: dict[str, Any]
):
    requests = [request_, {**request_, **other}, request_]
    response = {"model": request_["model"], "content": "Money back.", "usage": {"input_tokens": 10, "output_tokens": 3}}
    records = [{"at": 1e9 + number, "request": asked, "response": response} for number, asked in enumerate(requests)]
    found = studied(written(tmp_path / "log.jsonl", records), tmp_path)
    assert (found.total.requests, found.total.outcomes["hit"]) == (3, 1)


def test_what_an_answer_says_is_no_setting(tmp_path: Path):
    usage = {"input_tokens": 10, "output_tokens": 3}
    records = [
        {"at": 1e9 + n, "model": BIG, "messages": "Where?", "text": f"Here {n}", "response": {"content": "Here", "usage": usage}}
        for n in range(3)
    ]
    assert studied(written(tmp_path / "log.jsonl", records), tmp_path).total.outcomes["hit"] == 2


def test_items_of_the_responses_api_are_messages_and_calls(tmp_path: Path):
    given = [
        {"role": "user", "content": "Where is my card?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "look_up", "arguments": '{"what": "card"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sent"},
    ]
    usage = {"input_tokens": 10, "output_tokens": 3}
    said = {"type": "message", "content": [{"type": "output_text", "text": "On its way"}]}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    records = [
        {"at": 1e9, "request": {"model": BIG, "input": given}, "response": {"output": [given[2]], "usage": usage}},
        {"at": 1e9 + 1, "request": {"model": BIG, "input": given}, "response": {"output": [said], "usage": usage, **cut}},
    ]
    calling, whole = read(written(tmp_path / "log.jsonl", records))
    assert [message.role for message in whole.messages] == ["user", "assistant", "assistant", "tool"]
    assert whole.messages[2].tool_calls[0].arguments == {"what": "card"}
    assert (whole.messages[3].text, whole.messages[3].tool_call_id) == ("sent", "c1")
    assert whole.reply is not None
    assert (whole.reply.content, whole.reply.finish_reason) == ("On its way", "max_output_tokens")
    assert calling.reply is not None
    assert [(call.id, call.name) for call in calling.reply.tool_calls] == [("c1", "look_up")]


@pytest.mark.parametrize("name", ["langsmith", "langfuse"])
def test_hidden_prompts_leave_a_bill(tmp_path: Path, name: str):
    hidden = {"langsmith": {"inputs": {}, "outputs": {}}, "langfuse": {"input": None, "output": None}}[name]
    records = [{**AS[name](call), **hidden} for call in RECORDS if not call["failed"]]
    found = studied(written(tmp_path / "log.jsonl", records), tmp_path)
    assert (found.total.requests, found.wordless, found.total.outcomes["hit"]) == (38, 38, 0)
    assert found.total.actual > 0


def test_a_call_without_words_and_tokens_is_not_free(tmp_path: Path):
    nothing = {"messages": {}, "proxy_server_request": {}, "response": {}, "metadata": {}}
    records = [{**AS["litellm"](call), **nothing, "prompt_tokens": None, "completion_tokens": None} for call in RECORDS[:5]]
    found = studied(written(tmp_path / "log.jsonl", records), tmp_path)
    assert (found.unmeasured, found.total.requests) == (5, 0)
    assert any(line.startswith("what 5 calls cost") for line in unknowns(found, Config()))


def test_a_cheaper_model_is_found_however_late_it_comes(tmp_path: Path):
    records = [as_openai({**call, "model": SMALL if number > 2_990 else BIG, "failed": False}) for number, call in enumerate(calls(3_000))]
    assert studied(written(tmp_path / "log.jsonl", records), tmp_path).cheaper == SMALL


def test_a_line_that_is_too_long_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("thrift_plugins.replay.logs.stream._PIECE", 1 << 10)
    monkeypatch.setattr("thrift_plugins.replay.logs.stream._LONGEST", 1 << 14)
    good = [orjson.dumps(as_openai(call)) for call in RECORDS]
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join([*good[:3], b'{"x": "' + b"y" * (1 << 15) + b'"}', *good[3:], b"z" * (1 << 15)]))
    log = open_log(path)
    assert [call.id for call in log] == [call["id"] for call in RECORDS]
    assert (log.unread, log.first_unread) == ({"longer than any record": 2}, 4)


@pytest.mark.parametrize("form", ["lines", "array", "array, latest first"])
def test_what_python_writes_as_json_is_read(tmp_path: Path, form: str):
    told = [as_openai({**call, "question": "broken \ud83d half?", "failed": False}) for call in calls(2_000)]
    records = [{**record, "cost": float("nan"), "big": 10**30} for record in told]
    wanted = [record["id"] for record in records]
    if form.endswith("first"):
        records.reverse()
    path = tmp_path / "log.json"
    path.write_text("\n".join(map(json.dumps, records)) if form == "lines" else json.dumps(records))
    found = read(path)
    assert [call.id for call in found] == wanted
    assert {call.paid for call in found} == {None}
    assert found[0].messages[1].text == "broken ? half?"


def test_cells_without_a_heading_numbers_as_texts_and_windows_texts(tmp_path: Path):
    heads = "traceId,type,model,input,output,startTime,usage"
    rows = [f't,GENERATION,{BIG},hi,x,{2_000_000_000 - number},"{{""input"":""10"",""output"":2}}",more' for number in range(2_000)]
    (tmp_path / "log.csv").write_text("\n".join([heads, *rows]))
    found = read(tmp_path / "log.csv")
    assert (len(found), found[0].at, found[-1].at) == (2_000, 1_999_998_001.0, 2_000_000_000.0)
    assert found[0].usage == Usage(10, 2, source="provider")
    (tmp_path / "log.jsonl").write_text(lines([as_openai(call) for call in RECORDS]).decode(), encoding="utf-16")
    assert len(read(tmp_path / "log.jsonl")) == len(RECORDS)


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_times_in_any_unit(scale: int):
    assert seconds(1_760_000_000 * scale) == seconds(str(1_760_000_000 * scale)) == 1_760_000_000


@pytest.mark.parametrize("told", [None, True, -5, 1e300, "inf", "nan", "noon", "0001-01-01T00:00:00Z", [], {}])
def test_what_is_no_time(told: object):
    with pytest.raises(Unread, match="no time"):
        seconds(told)


def test_an_array_that_goes_too_deep_ends_there(tmp_path: Path):
    first, last = (json.dumps(as_openai(call)) for call in RECORDS[:2])
    path = tmp_path / "log.json"
    path.write_text(f'[{first}, {"[" * 100_000}{"]" * 100_000}, {last}]')
    log = open_log(path)
    assert len(list(log)) == 1
    assert list(log.unread) == ["nested too deeply, so that nothing can be read from here on"]


def test_a_log_that_begins_with_a_broken_line_is_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    (tmp_path / "log.jsonl").write_bytes(b"{broken\n" + lines([as_openai(call) for call in RECORDS]))
    assert "1 record could not be read, the first is number 1" in " ".join(command("replay", "log.jsonl").output.split())


def test_a_small_bill_is_not_rounded_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    written(tmp_path / "log.jsonl", [as_openai(RECORDS[1])])
    shown = command("replay", "log.jsonl").output
    assert shown.count("$0.003000") == 4, "before and after, in the bill and by feature"


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    records = [as_openai({**call, "feature": "[/bold]", "model": "[/red] 7b"}) for call in RECORDS]
    written(tmp_path / "log.jsonl", records)
    shown = command("replay", "log.jsonl").output
    assert "[/bold]" in shown
    assert "[/red] 7b (" in shown


@SDK_LEAKS
def test_a_sample_is_asked_within_its_budget_and_set_beside_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stranger(monkeypatch, tmp_path)
    written(tmp_path / "log.jsonl", [as_openai({**call, "tool": False}) for call in calls(80)])

    def script(request: Any) -> Answer:
        number = len(request.last_user)
        return Answer(text=f"About: {request.last_user}" if number % 2 else "No idea.")

    with LoopbackProvider() as provider:
        provider.script(script)
        with_a_key(monkeypatch, provider)
        words = ("replay", "log.jsonl", "--ask", SMALL, "--sample", "12", "--usd", "0.5", "--json", "told.json")
        shown = " ".join(command(*words).output.split())
        asked = len(provider.billed)
        told = json.loads((tmp_path / "told.json").read_text())
        assert (asked, told["asked"], told["asked_judged"]) == (12, 12, 12)
        assert told["asked_drop"][0] < told["asked_drop"][1] < told["asked_drop"][2]
        assert 0 < told["asked_cost_share"][1] < 0.2
        assert f"Asked {SMALL}: 12 calls" in shown
        provider.reset()
        few = command("replay", "log.jsonl", "--ask", SMALL, "--sample", "12", "--usd", "0.00015", "--json", "few.json")
        assert "The budget had no room for more." in few.output
        spent = json.loads((tmp_path / "few.json").read_text())["asked_usd"]
        assert 0 < spent <= 0.00015


def test_usage_is_counted_as_each_provider_does():
    assert usage_of(
        {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3}
    ) == Usage(33, 5, cache_read=20, cache_write=3, source="provider")
    responses = {
        "input_tokens": 30,
        "output_tokens": 9,
        "input_tokens_details": {"cached_tokens": 20},
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert usage_of(responses) == Usage(30, 9, cache_read=20, reasoning=4, source="provider")
    assert usage_of({"tokens": 5}).source == "none"
    assert langfuse_usage({"input": 10, "output": 5, "total": 15, "input_cached_tokens": 4}).input_tokens == 10
    assert langfuse_usage({"input": 10, "output": 5, "output_reasoning_tokens": 7, "total": 22}) == Usage(
        10, 12, reasoning=7, source="provider"
    )


def test_a_model_without_a_price_is_shown_and_in_no_sum(tmp_path: Path):
    found = studied(
        written(tmp_path / "log.jsonl", [as_openai({**call, "model": "house-7b"}) for call in RECORDS[:5]]), tmp_path
    )
    assert found.total.unpriced["house-7b"] == 5
    assert found.cheaper == ""
    assert (
        studied(written(tmp_path / "b.jsonl", [as_openai(call) for call in RECORDS]), tmp_path, cheaper=BIG).could.calls
        == 0
    )
