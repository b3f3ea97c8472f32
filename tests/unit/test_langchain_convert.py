"""LangChain's words in ours and back."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import StructuredTool
from pydantic import BaseModel

from thrift_plugins import Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.langchain.convert import message_in, message_out, reply_in, schema_in, tool_in, usage_in
from thrift_plugins.langchain.tier import ModelTier, common_profile
from thrift_plugins.types import NO_USAGE, Message, ToolCall, Usage


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (HumanMessage("Hi", id="1"), Message("user", "Hi")),
        (HumanMessage("Hi", name="ann"), Message("user", "Hi", name="ann")),
        (SystemMessage("Be brief."), Message("system", "Be brief.")),
        (ChatMessage(role="assistant", content="Hi"), Message("assistant", "Hi")),
        (ChatMessage(role="critic", content="Hm"), Message("user", "Hm", extra={"role": "critic"})),
        (FunctionMessage(name="f", content="3"), Message("tool", "3", name="f")),
        (ToolMessage("3", tool_call_id="c"), Message("tool", "3", tool_call_id="c")),
        (ToolMessage("x", tool_call_id="c", status="error"), Message("tool", "x", (), "c", None, {"status": "error"})),
        (
            AIMessage(
                "",
                tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}],
                additional_kwargs={"refusal": None, "tool_calls": [{}], "reasoning": "hm"},
                response_metadata={"headers": {"date": "today"}},
                usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
            ),
            Message("assistant", "", (ToolCall("c", "f", {"a": 1}),), extra={"reasoning": "hm"}),
        ),
    ],
)
def test_messages(theirs: Any, ours: Message) -> None:
    assert message_in(theirs) == ours


class City(BaseModel):
    """A city."""

    name: str


class CityDict(TypedDict):
    """A city."""

    name: str


CITY: Any = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize(
    "wanted",
    [
        City,
        CityDict,
        CITY,
        {"name": "City", "description": "A city.", "parameters": CITY},
        {"type": "function", "function": {"name": "City", "parameters": CITY}},
        {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY, "strict": True}},
    ],
)
def test_schemas_of_every_form(wanted: Any) -> None:
    schema = schema_in(wanted)
    assert schema is not None
    assert schema["properties"]["name"]["type"] == "string"  # type: ignore[call-overload,index]
    assert schema["required"] == ["name"]


@pytest.mark.parametrize("wanted", [None, {"type": "json_object"}, {"type": "text"}])
def test_no_schema(wanted: Any) -> None:
    assert schema_in(wanted) is None


def test_a_built_in_tool_of_a_provider_passes_as_it_is() -> None:
    assert tool_in({"type": "web_search"}) == {"type": "web_search"}


def test_an_answer_goes_round() -> None:
    given = AIMessage(
        [{"type": "text", "text": "Hi"}],
        id="gone",
        additional_kwargs={"reasoning": "hm", "refusal": None},
        response_metadata={"finish_reason": "stop", "model_name": "m", "headers": {"date": "today"}},
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}],
        invalid_tool_calls=[{"name": "g", "args": "{", "id": "d", "error": None, "type": "invalid_tool_call"}],
        usage_metadata={"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    )
    shown = message_out(reply_in(given))
    assert shown.content == given.content
    assert shown.tool_calls == given.tool_calls
    assert shown.invalid_tool_calls == given.invalid_tool_calls
    assert shown.additional_kwargs == {"reasoning": "hm", "refusal": None}
    assert shown.response_metadata == {"finish_reason": "stop", "model_name": "m"}
    assert shown.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert shown.id is None


def test_usage_of_every_kind() -> None:
    message = AIMessage(
        "",
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 9,
            "total_tokens": 19,
            "input_token_details": {"cache_read": 4, "cache_creation": 3, "audio": 1},
            "output_token_details": {"reasoning": 5, "audio": 2},
        },
    )
    assert usage_in(message) == Usage(10, 9, 4, 3, 0, 5, 1, 2, "provider")
    assert usage_in(AIMessage("")) == NO_USAGE


@pytest.mark.parametrize("hint", [True, False])
def test_a_tool_of_an_mcp_server_tells_whether_it_only_reads(hint: bool) -> None:
    def gadget(name: str) -> str:
        """Do."""
        return name

    told = StructuredTool.from_function(gadget, metadata={"readOnlyHint": hint, "title": "Gadget"})
    silent = StructuredTool.from_function(gadget, metadata={"readOnlyHint": "yes"})
    assert tool_in(told) == {**tool_in(silent), "annotations": {"readOnlyHint": hint}}
    assert "annotations" not in tool_in(silent)


def fake(**settings: Any) -> FakeListChatModel:
    return FakeListChatModel(responses=["x"], **settings)


def tier(model: Any) -> ModelTier:
    return ModelTier(model, None, Runtime(Config(store="memory:")).prices)


def test_the_identity_follows_the_settings() -> None:
    assert tier(fake()).identity == tier(fake(tags=["a"], metadata={"b": 1}, verbose=True)).identity
    assert tier(fake()).identity != tier(FakeListChatModel(responses=["y"])).identity
    known = tier(fake())
    before = known.identity
    known.model.responses.append("z")  # type: ignore[attr-defined]
    assert known.identity != before


def test_a_profile_promises_what_every_tier_keeps() -> None:
    small = fake(profile={"tool_calling": True, "structured_output": False, "max_input_tokens": 8_000})
    large = fake(profile={"tool_calling": True, "structured_output": True, "max_input_tokens": 128_000})
    promised = {"tool_calling": True, "structured_output": False, "max_input_tokens": 8_000}
    assert common_profile([small, large]) == promised
    assert common_profile([small, fake()]) is None
    model = ThriftChatModel(tiers=[small, large], names=["s", "l"], runtime=Runtime(Config(store="memory:")))
    assert model.profile == promised
