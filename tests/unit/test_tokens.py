"""Token counts: known values, the chat formula by hand, and what happens without an encoding."""

from __future__ import annotations

import os
import re
import sys
import threading
import tracemalloc

import pytest
import tiktoken

from thrift_plugins import tokens
from thrift_plugins.tokens import bound, count, count_messages, count_reply, estimate, exact, vocabulary
from thrift_plugins.types import NO_USAGE, Message, Reply, ToolCall

MODEL = "gpt-4o"


@pytest.fixture
def o200k():
    assert exact(MODEL)
    return tiktoken.get_encoding("o200k_base")  # loaded by now, so no network


@pytest.fixture
def bare_machine(monkeypatch):
    """No encoding has been loaded yet, and none is remembered."""
    vocabulary.encoding_of.cache_clear()
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    yield monkeypatch
    vocabulary.encoding_of.cache_clear()


def test_known_counts():
    assert count("hello world", MODEL) == 2
    assert count("", MODEL) == 0
    assert count("tiktoken is great!", "gpt-4") == 6  # the example in OpenAI's cookbook
    assert count("お誕生日おめでとう", "gpt-4") == 9
    assert count("お誕生日おめでとう", MODEL) == 8


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "openai/gpt-4o", "openai:gpt-4o-mini", "azure/gpt-4.1-mini", "gpt-5-mini", "gpt-5.4", "o3-mini", "gpt-4",
     "GPT-4-turbo", "ft:gpt-4o-mini-2024-07-18:acme::x", "text-embedding-3-small", "groq/openai/gpt-oss-120b"],
)  # fmt: skip
def test_exact_models(model):
    assert exact(model)


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "ollama/gpt-4o", "", "davinci", "gpt2"])
def test_other_models_get_the_estimate(model):
    assert not exact(model)
    text = "A text of no special kind, 123."
    assert count(text, model) == estimate(text)


def test_no_encoding_file_means_the_estimate(bare_machine):
    bare_machine.setattr(vocabulary, "find_spec", lambda _name: None)
    assert not exact(MODEL)
    assert count("hello world", MODEL) == estimate("hello world")


def test_a_damaged_encoding_file_means_the_estimate(bare_machine, tmp_path):
    folder = tmp_path / "_static" / "tiktoken_cache"
    folder.mkdir(parents=True)
    (folder / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"not base64 !\n")
    bare_machine.setattr(
        vocabulary, "find_spec", lambda _name: type("Spec", (), {"submodule_search_locations": [tmp_path]})
    )
    bare_machine.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # tiktoken would fetch a damaged file again
    assert not exact(MODEL)


@pytest.mark.parametrize("before", [None, "/somewhere/of/the/app"])
def test_loading_leaves_the_environment_as_it_was(bare_machine, before):
    if before is None:
        bare_machine.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    else:
        bare_machine.setenv("TIKTOKEN_CACHE_DIR", before)
    assert exact(MODEL)
    assert os.environ.get("TIKTOKEN_CACHE_DIR") == before


def test_threads_that_load_at_once(bare_machine):
    bare_machine.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    found = []
    threads = [threading.Thread(target=lambda: found.append(count("hello world", MODEL))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 8
    assert "TIKTOKEN_CACHE_DIR" not in os.environ


# ---- long runs ----


@pytest.mark.parametrize("unit", ["a", "!", " ", "\n", "中", "e\u0301", "ก็", " \n", "xY", "\ud800"])
def test_long_runs_are_measured_in_parts_of_bounded_size(unit):
    text = (unit * 60_000)[:60_000]
    parts = list(vocabulary._parts(text))
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 1_000
    assert count(text, MODEL) <= bound(text)


def test_only_the_start_of_a_run_is_tried():
    text = "word  \n" * 50
    tried = re.compile(vocabulary._LONG_RUN.pattern.replace("{1000,}", "+"))
    assert sum(bool(tried.match(text, start)) for start in range(len(text))) == 100


def test_a_million_spaces_do_not_panic(o200k):
    assert 0 < count(" " * 1_000_000 + "x", MODEL) < 20_000


@pytest.mark.parametrize(
    "text",
    [
        "他说，今天天气很好。我们去公园散步吧！" * 400,
        '{"name":"value","items":[1,2,3],"nested":{"key":"it\'s","path":"/a/b-c_d"}}' * 200,
        "https://example.com/a/b?c=d&e=f#" * 100,
        "x = [" + ",".join(map(str, range(3_000))) + "]",
        "plain words, " * 2_000,
    ],
)
def test_long_texts_without_spaces_stay_exact(o200k, text):
    assert count(text, MODEL) == len(o200k.encode_ordinary(text))


def test_runs_of_one_letter_are_nearly_exact(o200k):
    text = "a" * 10_000
    assert count(text, MODEL) == pytest.approx(len(o200k.encode_ordinary(text)), rel=0.01)


# ---- estimate and bound ----


def test_estimate_of_nothing_and_of_little():
    assert estimate("") == bound("") == 0
    assert estimate("a") == estimate(" ") == estimate("\u200b") == 1


@pytest.mark.parametrize(
    ("text", "tolerance"),
    [
        ("The quick brown fox jumps over the lazy dog, and nobody in the village was surprised by it at all.", 0.2),
        ("今天的会议讨论了新项目的时间表，大家同意在下个月之前完成第一个版本。", 0.2),
        ("明日の会議では、来月の予定と新しい製品の価格について話し合う予定です。", 0.2),
        ("Завтра мы встретимся в центре города и вместе пойдём в музей современного искусства.", 0.25),
        ("내일 회의에서는 다음 달 일정과 새로운 제품의 가격에 대해 이야기할 예정입니다.", 0.25),
        (
            "def area(radius: float) -> float:\n    if radius < 0:\n        raise ValueError(radius)\n    return PI * radius**2\n",
            0.25,
        ),
    ],
)
def test_estimate_is_near_in_any_script(text, tolerance):
    assert estimate(text) == pytest.approx(count(text, MODEL), rel=tolerance)


def test_bound_makes_no_copy_of_plain_text():
    text = "a" * 4_000_000
    tracemalloc.start()
    try:
        assert bound(text) == 4_000_000
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# ---- prompts ----


def test_messages_by_hand():
    messages = [Message("system", "You are helpful."), Message("user", "hello world", name="Bob")]
    # 3 + role 1 + 4; 3 + role 1 + 2 + name 1 + 1; priming 3
    assert count_messages(messages, MODEL) == (3 + 1 + 4) + (3 + 1 + 2 + 1 + 1) + 3


def test_blocks():
    text = [{"type": "text", "text": "hello world"}, "hello world"]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    plain = count_messages([Message("user", "hello world")], MODEL)
    assert count_messages([Message("user", text)], MODEL) == plain + 2
    assert count_messages([Message("user", [*text, image])], MODEL) == plain + 2 + 85


def test_tool_calls():
    call = ToolCall("call_1", "weather", {"city": "Paris"})
    asked = Message("assistant", "", tool_calls=(call,))
    arguments = count('{"city":"Paris"}', MODEL)
    assert count_messages([asked], MODEL) == 3 + 1 + (3 + 1 + arguments) + 3
    assert count_reply(Reply("", NO_USAGE, (call,)), MODEL) == 3 + 1 + arguments
    raw = Reply("hello world", NO_USAGE, (ToolCall("call_1", "weather", '{"city":'),))
    assert count_reply(raw, MODEL) == 2 + 3 + 1 + count('{"city":', MODEL)


TOOL = {
    "name": "get_weather",
    "description": "Get the weather.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
    },
}


def test_tools_by_hand():
    def t(text):
        return count(text, MODEL)

    expected = 7 + t("get_weather:Get the weather")
    expected += 3 + (3 + t("city:string:The city"))
    expected += 3 + t("unit:string:") - 3 + (3 + t("celsius")) + (3 + t("fahrenheit"))
    expected += 3 + t("when::")
    messages = [Message("user", "hi")]
    with_tool = count_messages(messages, MODEL, (TOOL,))
    assert with_tool - count_messages(messages, MODEL) == expected + 12
    assert with_tool == count_messages(messages, MODEL, ({"type": "function", "function": TOOL},))


def test_tools_of_the_older_models_cost_three_more():
    bare = {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}
    for model, each in (("gpt-4o", 7), ("gpt-4", 10), ("gpt-3.5-turbo", 10)):
        without = count_messages([], model)
        assert count_messages([], model, (bare, bare)) - without == 2 * (each + count("now:", model)) + 12


@pytest.mark.parametrize(
    "tool", [{}, {"name": "x"}, {"name": "x", "parameters": {"properties": {"a": True}}}, {"name": 3}]
)
def test_odd_tools_do_not_raise(tool):
    assert count_messages([], MODEL, (tool,)) >= 3 + 12 + 7


@pytest.mark.parametrize("odd", [{1, 2}, object(), {("a", 1): 2}, float("nan"), "\ud800", 2**80, [b"x"]])
def test_arguments_without_a_json_form_are_counted_all_the_same(odd):
    assert tokens.compact({"a": odd})
    message = Message("assistant", "", tool_calls=(ToolCall("1", "f", {"a": odd}),))
    assert tokens.count_messages([message], "gpt-4o") > 3


def test_arguments_that_hold_themselves():
    loop: dict[str, object] = {}
    loop["self"] = loop
    assert tokens.compact(loop)


def test_schema():
    schema = {"type": "object", "properties": {"città": {"type": "string"}}}
    more = count_messages([], MODEL, schema=schema) - count_messages([], MODEL)
    assert more == count('{"type":"object","properties":{"città":{"type":"string"}}}', MODEL)


def test_counting_imports_no_framework():
    assert exact(MODEL)
    assert vocabulary.find_spec("llama_index.core") is not None
    loaded = {name for name in sys.modules if name.startswith("llama_index.core")}
    if not loaded:  # another test may have imported it
        count_messages([Message("user", "hi")], MODEL)
        assert not any(name.startswith("llama_index.core") for name in sys.modules)
