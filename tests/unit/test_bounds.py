"""Upper bounds of input tokens: at first sight, after some, and what is kept of them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.benchmarks import bounds as benchmark
from tests.usage_pairs import DATA, FILE
from thrift_plugins.tokens import Bounds, bounds, count_messages
from thrift_plugins.types import Message, Request, Usage

CLAUDE = "claude-sonnet-4-5"
TOOL = {"name": "now", "description": "Tell the time.", "parameters": {"type": "object", "properties": {}}}
LOOKUP = {**TOOL, "name": "lookup"}


def ask(*contents, tools=(), schema=None, **params):
    messages = tuple(Message("user", content) for content in contents)
    return Request("1", 0.0, "gpt-4o", messages, tuple(tools), schema, params)


def billed(tokens):
    return Usage(tokens, 10, source="provider")


# ---- first sight ----


@pytest.mark.parametrize("model", ["gpt-4o", CLAUDE, "gemini-2.5-flash", "llama-3.3-70b", ""])
@pytest.mark.parametrize("text", ["", "hello world", "你好，世界" * 50, "\ud800", "x" * 5_000, " \n" * 3_000])
def test_a_first_bound_is_above_the_count(model, text):
    request = ask(text, tools=[TOOL], schema={"type": "object"})
    assert Bounds().bound(request, model) > count_messages(request.messages, model, [TOOL], {"type": "object"})


def test_tools_of_a_model_that_nobody_knows_are_dear_at_first_sight():
    plain, with_tools = ask("hi"), ask("hi", tools=[TOOL])
    for model in (CLAUDE, "some-model"):
        assert Bounds().bound(with_tools, model) - Bounds().bound(plain, model) > 3_500


@pytest.mark.parametrize(
    ("tool", "least"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, 30_000),
        ({"googleSearch": {}}, 30_000),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, 20_000),
        ({"type": "file_search", "vector_store_ids": []}, 10_000),
        ({"type": "memory_20250818", "name": "memory"}, 3_000),
        ({"type": "never_heard_of"}, 10_000),
        ({**LOOKUP, "defer_loading": True}, 1_500),
    ],
)
def test_hosted_tools_bring_what_the_request_does_not_show(tool, least):
    plain, hosted = Bounds().bound(ask("hi", tools=[TOOL]), "gpt-5"), Bounds().bound(ask("hi", tools=[tool]), "gpt-5")
    assert plain < least <= hosted


@pytest.mark.parametrize("param", ["previous_response_id", "conversation", "cached_content", "web_search_options"])
def test_what_is_kept_at_the_provider_is_bounded_too(param):
    assert Bounds().bound(ask("hi", **{param: "x"}), "gpt-5") >= 8_000


@pytest.mark.parametrize(
    ("block", "least", "most"),
    [
        ({"type": "input_audio", "input_audio": {"data": "A" * 80_000, "format": "mp3"}}, 1_000, 2_000),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 4_000}}, 7_000, 10_000),
        ({"type": "file", "file": {"file_id": "file-1"}}, 20_000, 21_000),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, 100_000, 101_000),
        ({"fileData": {"mimeType": "audio/mpeg", "fileUri": "gs://a/b"}}, 10_000, 11_000),
        ({"type": "reasoning", "encrypted_content": "A" * 4_000, "summary": []}, 1_000, 1_200),
        ({"type": "thinking", "thinking": "one two three", "signature": "A" * 4_000}, 1_000, 1_200),
        ({"type": "odd", "what": ["one two three"]}, 3, 100),
        ({"type": "odd", "what": "价格" * 500, "signature": "价格" * 500}, 1_000, 4_000),
        ({"type": "odd", "digest": "0f3a9c" * 200}, 500, 1_400),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "one two"}}, 3, 100),
        ({"type": "document", "title": "x" * 900, "source": {"type": "content", "content": "y" * 900}}, 5_800, 5_900),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 1_445, 1_500),
        (7, 3, 100),
    ],
)
def test_blocks(block, least, most):
    assert least <= Bounds().bound(ask([block]), "gpt-4o") <= most


def test_a_block_that_holds_itself():
    loop: dict[str, object] = {"type": "image", "detail": "low", "text": 3}
    loop["self"] = [loop, loop]
    assert Bounds().bound(ask([loop]), "gpt-4o") >= 85


def test_a_huge_text_costs_no_tokenizer():
    text = "word " * 400_000
    assert Bounds().bound(ask(text), "gpt-4o") >= len(text)


# ---- learning ----


def test_a_bound_comes_down_to_what_is_billed():
    known = Bounds()
    requests = [ask("hello world, " * size, tools=[TOOL]) for size in (4, 9, 16, 25)]
    for request in requests[:3]:
        known.learn(request, CLAUDE, billed(600 + count_messages(request.messages, CLAUDE)))
    true = 600 + count_messages(requests[3].messages, CLAUDE)
    assert true <= known.bound(requests[3], CLAUDE) < 1.25 * true
    assert known.sightings(requests[3], CLAUDE) == 3


def test_what_is_dearer_than_the_first_bound_raises_it():
    known, request = Bounds(), ask("hi")
    known.learn(request, "gpt-4o", billed(90_000))
    assert known.bound(request, "gpt-4o") >= 90_000


def test_models_tools_and_forms_are_learnt_apart():
    known, request = Bounds(), ask("hi", tools=[TOOL])
    known.learn(request, CLAUDE, billed(500))
    fresh = Bounds()
    for other, model in (
        (ask("hi", tools=[LOOKUP]), CLAUDE),
        (ask("hi", tools=[TOOL], schema={"type": "object"}), CLAUDE),
        (ask("hi", tools=[TOOL], thinking={"budget_tokens": 1024}), CLAUDE),
        (request, "claude-opus-4-8"),
    ):
        assert known.bound(other, model) == fresh.bound(other, model)
    assert known.bound(request, CLAUDE.upper()) < fresh.bound(request, CLAUDE)


def test_only_the_provider_teaches():
    known, request = Bounds(), ask("hi")
    for usage in (Usage(9_000, 1, source="estimated"), Usage(9_000, 1), Usage(0, 1, source="provider")):
        known.learn(request, "gpt-4o", usage)
    assert known.sightings(request, "gpt-4o") == 0


def test_a_hosted_tool_keeps_a_reserve_that_shrinks():
    known, request = Bounds(), ask("hi", tools=[{"type": "web_search"}])
    reserves = []
    for _ in range(50):
        known.learn(request, "gpt-5", billed(1_000))
        reserves.append(known.bound(request, "gpt-5"))
    assert reserves == sorted(reserves, reverse=True)
    assert reserves[0] > 15_000
    assert 1_000 < reserves[-1] < 2_000


def test_a_file_behind_an_address_is_never_taken_for_the_last_one():
    known = Bounds()
    request = ask([{"type": "file", "file": {"file_id": "file-1"}}])
    for _ in range(5):
        known.learn(request, "gpt-4o", billed(300))
    assert known.bound(request, "gpt-4o") >= 20_000


# ---- keeping ----


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(bounds, "_KEYS", 10)
    known = Bounds()
    for number in range(30):
        known.learn(ask("hi " * number), f"model-{number}", billed(100))
        known.learn(ask("hi " * number), "model-x", billed(100 + number))
    told = json.loads(known.drain())["known"]
    assert len(told) == 10
    assert "model-x" in told
    assert len(told["model-x"]["points"]) == 16


def test_another_process_learns_the_same():
    known, other = Bounds(), Bounds()
    requests = [ask("hello " * size, tools=[TOOL] * (size % 2)) for size in range(30)]
    for size, request in enumerate(requests):
        known.learn(request, CLAUDE, billed(300 + 7 * size))
    news = known.drain()
    assert "hello" not in news
    assert known.drain() == ""
    other.merge(news)
    assert other.drain() == "", "what others have learnt is not told again"
    assert [other.bound(request, CLAUDE) for request in requests] == [known.bound(r, CLAUDE) for r in requests]
    assert other.sightings(requests[0], CLAUDE) == known.sightings(requests[0], CLAUDE) == 15


def test_what_others_were_billed_raises_a_bound():
    mine, other = Bounds(), Bounds()
    for _ in range(5):
        mine.learn(ask("hello"), CLAUDE, billed(20))
    other.learn(ask("hello"), CLAUDE, billed(900))
    mine.merge(other.drain())
    assert mine.bound(ask("hello"), CLAUDE) >= 900


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", '{"format": "other", "known": {}}', '{"format": "thrift-bounds/1"}',
        '{"format": "thrift-bounds/1", "known": {"a": 1}}', '{"format": "thrift-bounds/1", "known": []}',
        '{"format": "thrift-bounds/1", "known": {"a": {"seen": 1, "points": [[1, 2]]}}}',
        '{"format": "thrift-bounds/1", "known": {"a": {"seen": 1, "points": [["x"]]}}}',
    ],
)  # fmt: skip
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"bounds|Expecting"):
        Bounds().merge(text)


def test_threads_share_one_object():
    known = Bounds()
    failures: list[Exception] = []

    def work(seed):
        try:
            for number in range(120):
                request = ask("hello " * ((seed * number) % 37), tools=[TOOL] * (number % 2))
                known.learn(request, CLAUDE, billed(100 + number))
                assert known.bound(request, CLAUDE) > 0
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert known.sightings(ask("x"), CLAUDE) == known.sightings(ask("x", tools=[TOOL]), CLAUDE) == 480


# ---- recorded usage ----


def test_recorded_usage_is_bounded(tmp_path: Path):
    if not (DATA / FILE).is_file():
        pytest.skip(f"{DATA / FILE} is not there (THRIFT_DATA)")
    found = tmp_path / "bounds.json"
    assert benchmark.main(["--data", str(DATA), "--json", str(found)]) == 0
    told = json.loads(found.read_text())
    assert told["bound_coverage_after_3"] >= 0.99
    assert told["slack_median"] <= 1.25
    assert told["first_sight_coverage"] >= 0.95


def test_no_data_is_said(tmp_path, capsys):
    assert benchmark.main(["--data", str(tmp_path)]) == 2
    assert "nothing is measured" in capsys.readouterr().err
