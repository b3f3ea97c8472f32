"""Laws of token counts that hold for any text, and the chat formula against one that was written apart from it."""

from __future__ import annotations

import json
import os

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.tokens import bound, count, count_messages, count_reply, estimate, exact, vocabulary
from thrift_plugins.types import NO_USAGE, Message, Reply, ToolCall

billing = pytest.importorskip("thrift_plugins.testing.billing")
script = pytest.importorskip("thrift_plugins.testing.script")

MODEL = "gpt-4o"
SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
many = settings(max_examples=int(200 * SCALE), deadline=None)

ANY = st.text(st.characters(), max_size=300)  # lone surrogates are characters too
SPECIAL = st.sampled_from(["<|endoftext|>", "<|im_start|>", "\ud800", "\udfff", "😀", "e\u0301", "中文", "\x00", "   "])
TEXTS = st.lists(st.one_of(ANY, SPECIAL), max_size=6).map("".join)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)


@pytest.fixture(scope="module", autouse=True)
def o200k():
    assert exact(MODEL)
    return tiktoken.get_encoding("o200k_base")


@many
@given(TEXTS)
def test_nothing_raises_and_the_bound_holds(text):
    for model in (MODEL, "gpt-4", "claude-sonnet-4-5"):
        assert count(text, model) <= bound(text)
    assert (estimate(text) > 0) == bool(text)
    assert estimate(text) <= bound(text)


@many
@given(TEXTS)
def test_counts_are_the_tokenizers_own(o200k, text):
    assert count(text, MODEL) == len(o200k.encode_ordinary(text))


@many
@given(TEXTS, TEXTS)
def test_estimate_grows_with_the_text(text, more):
    assert estimate(text + more) >= estimate(text) - 2
    assert estimate(text + more) <= estimate(text) + estimate(more) + 3


@many
@given(TEXTS, st.integers(2, 400))
def test_estimate_is_linear(text, times):
    whole = estimate(text * times)
    assert whole <= times * (estimate(text) + 3)


@many
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "1", " ", "\n", "。", "/", "'", "ё", "\u0301"]), st.integers(1, 2_500)),
        max_size=8,
    )
)
def test_parts_are_the_text_and_no_run_in_them_is_long(runs):
    text = "".join(char * length for char, length in runs)
    parts = list(vocabulary._parts(text))
    assert "".join(parts) == text
    for part in parts:
        stretches = part.split() + part.translate({ord(char): "|" for char in part if not char.isspace()}).split("|")
        assert max(map(len, stretches), default=0) < 2 * vocabulary._RUN


@many
@given(
    st.lists(
        st.sampled_from(["天气", "很好", "abc", "42", ".", "/", "，", "。", "(", '"', "'s", "_", ":"]),
        min_size=40,
        max_size=90,
    )
)
def test_texts_without_spaces_stay_exact(o200k, words):
    text = ("".join(words) + "end,") * 15  # a place to cut at least every thousand characters
    assert count(text, MODEL) == len(o200k.encode_ordinary(text))


# ---- against the loopback provider's own bill ----

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(ToolCall, id=st.just("call_1"), name=NAMES, arguments=st.dictionaries(NAMES, JSON, max_size=3))
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, PLAIN),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=PLAIN | st.lists(BLOCKS, max_size=3),
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    name=st.none() | NAMES,
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", ["string", "null"]]),
        "description": PLAIN | st.just("Ends with a dot."),
        "enum": st.lists(PLAIN | st.integers(0, 99), max_size=3),
    },
)
TOOLS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "parameters": st.builds(lambda p: {"properties": p}, st.dictionaries(NAMES, PROPERTIES, max_size=3)),
    },
    optional={"description": PLAIN | st.just("Ends with a dot.")},
)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def on_the_wire(message):
    sent = {"role": message.role, "content": message.content}
    if message.name:
        sent["name"] = message.name
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": compact(call.arguments)}}
            for call in message.tool_calls
        ]
    return sent


@many
@given(
    st.lists(MESSAGES, max_size=4), st.lists(TOOLS, max_size=2), st.none() | st.dictionaries(NAMES, JSON, max_size=3)
)
def test_prompts_count_as_they_are_billed(messages, tools, schema):
    body = {"model": MODEL, "messages": [on_the_wire(message) for message in messages]}
    if tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in tools]
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    billed = billing.input_tokens(script.WireRequest(1, "chat/completions", {}, body))
    assert count_messages(messages, MODEL, tools, schema) == billed


@many
@given(PLAIN, st.lists(CALLS, max_size=3))
def test_answers_count_as_they_are_billed(text, calls):
    billed = billing.tokens_of(text) + sum(
        billing.CALL_TOKENS + billing.tokens_of(call.name) + billing.tokens_of(compact(call.arguments))
        for call in calls
    )
    assert count_reply(Reply(text, NO_USAGE, tuple(calls)), MODEL) == billed
