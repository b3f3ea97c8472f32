"""One call of a log, in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import orjson

from thrift_plugins.types import Json, Message, Reply, Role, Scope, ToolCall, Usage


class Unread(ValueError):
    """What is wrong with a record of a log."""


_NOBODY = Scope()


@dataclass(frozen=True, slots=True)
class Logged:
    """A call that somebody has made and paid.

    Attributes:
        at: seconds since the epoch.
        reply: what was answered; None where the call failed or its answer was not logged.
        usage: what it used, as the log says; `reply` has the same.
        paid: US dollars that the log says it cost, None where it does not say.
        error: why it failed, "" where it did not.
        cached: whether somebody's cache has answered it already.
    """

    id: str
    at: float
    model: str
    messages: tuple[Message, ...]
    usage: Usage
    scope: Scope = _NOBODY
    tools: tuple[Mapping[str, Json], ...] = ()
    schema: Mapping[str, Json] | None = None
    params: Mapping[str, Json] = field(default_factory=dict)
    reply: Reply | None = None
    paid: float | None = None
    error: str = ""
    cached: bool = False


# Reading what every log has ---------------------------------------------------------------------------------------------


def mapping(value: Any) -> Mapping[str, Any]:
    """An object, also where a log has it as a text of JSON; an empty one for anything else."""
    value = unpacked(value)
    return value if isinstance(value, dict) else {}  # JSON knows no other, and asking for a `Mapping` takes long


def listed(value: Any) -> Sequence[Any]:
    """A list, in the same way."""
    value = unpacked(value)
    return value if isinstance(value, list) else ()


def unpacked(value: Any) -> Any:
    """What a text of JSON says; anything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def seconds(value: Any) -> float:
    """A moment, in seconds since the epoch: a number of (milli-, micro-, nano-) seconds, also as a text, or a time as ISO 8601 has it.

    UTC if it does not say.

    Raises:
        Unread: it is none, or lies before 1970, as the zero of some languages does.
    """
    if value is None:
        raise Unread("it says no time")
    try:
        told = _since_epoch(value)
    except (ValueError, TypeError, OverflowError):
        told = -1.0
    if not 0 <= told <= _LATEST:
        raise Unread(f"{str(value)[:40]!r} is no time")
    while told > _YEAR_5138:
        told /= 1000
    return told


def _since_epoch(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return float(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return -1.0 if isinstance(value, bool) else float(value)


_YEAR_5138 = 1e11
"""Seconds since the epoch: larger numbers are of smaller units."""

_LATEST = 1e9 * _YEAR_5138
"""In nanoseconds."""


def dollars(value: Any) -> float | None:
    """An amount, None where there is none."""
    try:
        amount = None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None
    return amount if amount is not None and isfinite(amount) else None


_ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "human": "user", "user": "user", "ai": "assistant", "assistant": "assistant",
    "AIMessageChunk": "assistant", "tool": "tool", "function": "tool",
    "function_call": "assistant", "function_call_output": "tool", "reasoning": "assistant",  # items of the Responses API
}  # fmt: skip


def message(told: Any) -> Message:
    """A message as OpenAI, Anthropic or LangChain have it.

    Raises:
        Unread: it is none.
    """
    whole = mapping(told)
    inner = mapping(whole.get("kwargs")) or mapping(whole.get("data")) or whole
    name = str(inner.get("role") or inner.get("type") or whole.get("role") or whole.get("type") or "")
    role = _ROLES.get(name)
    if role is None:
        raise Unread(f"a message of role {name!r}")
    content = inner.get("output") if name == "function_call_output" else inner.get("content")
    answers = inner.get("tool_call_id", inner.get("call_id") if role == "tool" else None)
    return Message(
        role,
        content if isinstance(content, str | list) else "",
        tool_calls({"tool_calls": [inner]} if name == "function_call" else inner),
        tool_call_id=answers if isinstance(answers, str) else None,
        name=inner.get("name") if isinstance(inner.get("name"), str) else None,
    )


def tool_calls(told: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """The tools that a message calls, as OpenAI (`function`, or an item of its own), LangChain (`args`) or Anthropic (`tool_use`) have them."""
    found = [mapping(call) for call in listed(told.get("tool_calls"))]
    found += [block for block in map(mapping, listed(told.get("content"))) if block.get("type") == "tool_use"]
    return tuple(_tool_call(call) for call in found if call)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = mapping(call.get("function")) or call
    given: Any = next((function[name] for name in ("arguments", "args", "input") if name in function), {})
    return ToolCall(str(call.get("call_id") or call.get("id") or ""), str(function.get("name") or ""), unpacked(given))


def messages(told: Any) -> tuple[Message, ...]:
    """Messages, or a prompt as a text.

    Raises:
        Unread: there are none.
    """
    told = unpacked(told)
    if isinstance(told, str):
        return (Message("user", told),)
    found = listed(told)
    if found and all(isinstance(each, Sequence) and not isinstance(each, str) for each in found):
        found = listed(found[0])  # LangChain logs a list of conversations
    if not found:
        raise Unread("no messages")
    return tuple(message(each) for each in found)


def prompt(request: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of a request, after the instructions that some APIs have beside them (`system`, `instructions`).

    Raises:
        Unread: there are none.
    """
    found = messages(request.get("messages") or request.get("prompt") or request.get("input"))
    beside = unpacked(request.get("system") or request.get("instructions"))
    return (Message("system", beside), *found) if isinstance(beside, str | list) else found


_PARAMS = (
    "temperature", "top_p", "top_k", "seed", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "stop_sequences", "n",
    "tool_choice", "presence_penalty", "frequency_penalty", "logit_bias", "response_format", "text", "reasoning", "reasoning_effort",
    "thinking", "functions", "previous_response_id", "conversation",
)  # fmt: skip
_OBJECTS = ("text", "reasoning")
"""Settings of the Responses API; as texts they are part of an answer, in a record that has both in one."""


def params(told: Mapping[str, Any]) -> dict[str, Json]:
    """What of a request's settings decides its answer."""
    found = {name: told[name] for name in _PARAMS if told.get(name) is not None}
    return {name: value for name, value in found.items() if not (name in _OBJECTS and isinstance(value, str))}


def tools(told: Any) -> tuple[Mapping[str, Json], ...]:
    """The functions that a request offers."""
    found = (mapping(tool) for tool in listed(told))
    return tuple(mapping(tool.get("function")) or tool for tool in found if tool)


def schema(response_format: Any) -> Mapping[str, Json] | None:
    """The schema that an answer must have."""
    told = mapping(mapping(response_format).get("json_schema")).get("schema")
    return told if isinstance(told, Mapping) else None


def reply(told: Mapping[str, Any], used: Usage, model: str, finish: str | None = None) -> Reply:
    """An answer from the message that it came as."""
    content = told.get("content")
    text = content if isinstance(content, str) else _text(content)
    return Reply(text, used, tool_calls(told), finish, model)


def _text(content: Any) -> str:
    blocks = (mapping(block) for block in listed(content))
    return "\n".join(str(block["text"]) for block in blocks if "text" in block)
