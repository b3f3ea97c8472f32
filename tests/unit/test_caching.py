"""What may be stored, and the bytes that it is stored as."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.caching import CachePolicy, pack, unpack
from thrift_plugins.types import Message, Reply, Request, ToolCall, Usage

REQUEST = Request("1", 0.0, "m", (Message("user", "Hi"),))
WHOLE = Reply(
    [{"type": "text", "text": "Grüß dich 🌍"}],
    Usage(9, 8, 7, 6, 5, 4, 3, 2, "provider"),
    (ToolCall("c1", "look", {"deep": [1, None, {"x": 0.5}]}), ToolCall("c2", "raw", "{not json")),
    "tool_calls",
    "gpt-4o-2024",
    {"additional_kwargs": {"a": 1}},
    tier="big",
)


@pytest.mark.parametrize("reply", [WHOLE, Reply("plain", Usage(), tier="t"), replace(WHOLE, tool_calls=(), finish_reason=None)])
def test_what_is_packed_comes_back(reply: Reply):
    assert unpack(pack(reply)) == reply


@pytest.mark.parametrize("reply", [replace(WHOLE, extra={"o": object()}), replace(WHOLE, content="\ud800")])
def test_what_has_no_json_form_is_not_packed(reply: Reply):
    with pytest.raises(TypeError):
        pack(reply)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_no_error(data: st.DataObject):
    whole = bytearray(pack(WHOLE))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = unpack(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert found is None or isinstance(found, Reply)


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"v": None}, {"u": [-1, 0, 0, 0, 0, 0, 0, 0, "provider"]}, {"t": 5}, {"t": [[1]]}, {"u": None}]
)
def test_records_of_another_form_are_none(change: dict[str, object]):
    assert unpack(orjson.dumps({**orjson.loads(pack(WHOLE)), **change})) is None


@pytest.mark.parametrize(
    ("params", "cached"),
    [
        ({}, True),
        ({"temperature": 0}, True),
        ({"temperature": 0.1}, True),
        ({"temperature": 0.11}, False),
        ({"temperature": 1}, False),
        ({"temperature": None}, True),
        ({"n": 1}, True),
        ({"n": 2}, False),
    ],
)
def test_who_wants_variety_is_not_answered_from_the_cache(params, cached):
    assert (CachePolicy().address(replace(REQUEST, params=params)) is not None) is cached


@pytest.mark.parametrize("finish", ["stop", "STOP", "end_turn", "tool_calls", "COMPLETE", "eos", "stop_sequence"])
def test_the_words_for_a_whole_answer(finish: str):
    assert CachePolicy().keeps(replace(WHOLE, finish_reason=finish), streamed=True)


@pytest.mark.parametrize(
    "finish", ["length", "max_tokens", "MAX_TOKENS", "content_filter", "SAFETY", "refusal", "pause_turn", "error", "", "new"]
)
def test_any_other_word_is_not(finish: str):
    assert not CachePolicy().keeps(replace(WHOLE, finish_reason=finish), streamed=False)
