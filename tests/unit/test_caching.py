"""The bytes that an answer is stored as."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.caching import pack, unpack
from thrift_plugins.caching.entry import Stored
from thrift_plugins.types import Reply, ToolCall, Usage

WHOLE = Reply(
    [{"type": "text", "text": "Grüß dich 🌍"}],
    Usage(9, 8, 7, 6, 5, 4, 3, 2, "provider"),
    (ToolCall("c1", "look", {"deep": [1, None, {"x": 0.5}]}), ToolCall("c2", "raw", "{not json")),
    "tool_calls",
    "gpt-4o-2024",
    {"additional_kwargs": {"a": 1}},
    tier="big",
)


@pytest.mark.parametrize(
    "reply", [WHOLE, Reply("plain", Usage(), tier="t"), replace(WHOLE, tool_calls=(), finish_reason=None)]
)
def test_what_is_packed_comes_back(reply: Reply):
    assert unpack(pack(reply, 5.0, 9.5)) == Stored(reply, 5.0, 9.5)


@pytest.mark.parametrize("reply", [replace(WHOLE, extra={"o": object()}), replace(WHOLE, content="\ud800")])
def test_what_has_no_json_form_is_not_packed(reply: Reply):
    with pytest.raises(TypeError):
        pack(reply, 0, 1)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_no_error(data: st.DataObject):
    whole = bytearray(pack(WHOLE, 5, 9))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = unpack(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    assert found is None or isinstance(found, Stored)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 1},
        {"v": None},
        {"a": "soon"},
        {"e": None},
        {"u": [-1, 0, 0, 0, 0, 0, 0, 0, "provider"]},
        {"t": 5},
        {"t": [[1]]},
        {"u": None},
    ],
)
def test_records_of_another_form_are_none(change: dict[str, object]):
    assert unpack(orjson.dumps({**orjson.loads(pack(WHOLE, 5, 9)), **change})) is None
