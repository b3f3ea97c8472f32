"""How many tokens are a prompt and an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from thrift_plugins.tokens.blocks import detail_of, kind_of, payload_of
from thrift_plugins.tokens.images import rule_for, size_in
from thrift_plugins.tokens.vocabulary import Measure, encoding_of, measure_for

if TYPE_CHECKING:
    from thrift_plugins.types import Json, Message, Reply, ToolCall

_MESSAGE, _NAME, _PRIMING, _CALL, _BLOCK = 3, 1, 3, 3, 85
_ROLE = 1  # each of our four is one token in every encoding
_FUNCTION, _FUNCTION_CL100K, _FUNCTIONS_END = 7, 10, 12
_PROPERTIES, _PROPERTY, _ENUM, _ENUM_ITEM = 3, 3, -3, 3


def count_messages(
    messages: Sequence[Message],
    model: str,
    tools: Sequence[Mapping[str, Json]] = (),
    schema: Mapping[str, Json] | None = None,
) -> int:
    """Input tokens of a request, by the formula of `thrift_plugins.tokens`.

    Args:
        tools: function objects (name, description, parameters), bare or in OpenAI's `{"type": "function"}` wrapper.
        schema: JSON schema of a structured answer.
    """
    measure = measure_for(model)
    total = _PRIMING + sum(_message(message, model, measure) for message in messages)
    if tools:
        encoding = encoding_of(model)
        each = _FUNCTION_CL100K if encoding is not None and encoding.name == "cl100k_base" else _FUNCTION
        total += _FUNCTIONS_END + sum(each + _function(tool, measure) for tool in tools)
    if schema is not None:
        total += measure(compact(schema))
    return total


def count_reply(reply: Reply, model: str) -> int:
    """Output tokens of an answer, as far as it shows: hidden reasoning is not in it."""
    measure = measure_for(model)
    return _content(reply.content, model, measure) + sum(_call(call, measure) for call in reply.tool_calls)


def _message(message: Message, model: str, measure: Measure) -> int:
    total = _MESSAGE + _ROLE + _content(message.content, model, measure)
    if message.name:
        total += _NAME + measure(message.name)
    return total + sum(_call(call, measure) for call in message.tool_calls)


def _content(content: str | Sequence[Json], model: str, measure: Measure) -> int:
    if isinstance(content, str):
        return measure(content)
    return sum(_block(block, model, measure) for block in content)


def _block(block: Json, model: str, measure: Measure) -> int:
    text = block.get("text") if isinstance(block, Mapping) else block
    if isinstance(text, str):
        return measure(text)
    if isinstance(block, Mapping) and kind_of(block) == "image":
        size = size_in(payload_of(block))
        if size is not None:
            return rule_for(model).tokens(size, detail_of(block))
    return _BLOCK


def _call(call: ToolCall, measure: Measure) -> int:
    arguments = call.arguments if isinstance(call.arguments, str) else compact(call.arguments)
    return _CALL + measure(call.name) + measure(arguments)


def _function(tool: Mapping[str, Json], measure: Measure) -> int:
    function = _mapping(tool.get("function")) or tool
    properties = _mapping(_mapping(function.get("parameters")).get("properties"))
    total = measure(f"{_string(function.get('name'))}:{_sentence(function.get('description'))}")
    if properties:
        total += _PROPERTIES
    return total + sum(_property(name, _mapping(spec), measure) for name, spec in properties.items())


def _property(name: str, spec: Mapping[str, Json], measure: Measure) -> int:
    total = _PROPERTY + measure(f"{name}:{_string(spec.get('type'))}:{_sentence(spec.get('description'))}")
    items = spec.get("enum")
    if isinstance(items, Sequence) and not isinstance(items, str):
        total += _ENUM + sum(_ENUM_ITEM + measure(str(item)) for item in items)
    return total


def _sentence(description: Json) -> str:
    return _string(description).removesuffix(".")


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def compact(value: Json) -> str:
    """A value as a provider is sent it, near enough to be counted: what has no JSON form counts as it prints."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_printed)
    except (TypeError, ValueError, RecursionError):  # keys that are no names, or a value that holds itself
        return str(value)


def _printed(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
