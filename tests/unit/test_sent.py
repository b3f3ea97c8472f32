"""The form in which a request goes out, against what OpenAI's SDK makes of the same classes."""

from __future__ import annotations

from enum import Enum
from typing import Any

import orjson
import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field

from thrift_plugins.sent import as_sent, strict
from thrift_plugins.types import Message, Request


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """A part."""

    x: int
    colours: list[Colour]


class Outer(BaseModel):
    name: str = Field(description="What it is called.")
    parts: list[Inner]
    either: int | Inner
    words: dict[str, str]


class Flat(BaseModel):
    a: int
    b: str = "x"


@pytest.mark.parametrize("kind", [Inner, Outer, Flat])
def test_a_class_is_sent_as_the_sdk_sends_it(kind: type[BaseModel]):
    assert orjson.dumps(strict(kind.model_json_schema())) == orjson.dumps(to_strict_json_schema(kind))


TOOL = {"type": "function", "function": {"name": "City", "description": "", "parameters": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
REQUEST = Request("1", 0.0, "m", (Message("user", "Hi"),), schema=SCHEMA)


@pytest.mark.parametrize(
    ("options", "tools", "schema"),
    [
        ({}, (), SCHEMA),
        ({"tools": [TOOL]}, (TOOL["function"],), None),
        ({"tools": [TOOL["function"]]}, (TOOL["function"],), None),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"x": 1}}}}, (), {"x": 1}),
        ({"response_format": {"type": "json_object"}}, (), None),
        ({"response_format": Flat}, (), {**SCHEMA, "additionalProperties": False, "required": ["a"]}),
        ({"tools": [TOOL], "response_format": Flat}, (TOOL["function"],), None),
    ],
)
def test_what_a_tier_was_given(options: dict[str, Any], tools: Any, schema: Any):
    sent = as_sent(REQUEST, options)
    assert (sent.tools, sent.schema) == (tools, schema)
    assert sent.messages == REQUEST.messages
