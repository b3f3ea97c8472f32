"""Whether an answer has the shape that was asked for: tools called as they were declared, JSON as its schema says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson

from thrift_plugins.types import Json, Reply, Request, ToolCall


def misfit(request: Request, reply: Reply) -> str | None:
    """How an answer differs from the shape that was asked for, or None where it does not.

    Returns:
        A short phrase such as "missing argument 'city' of 'weather'", "not valid JSON", "unknown tool 'x'".
    """
    problem = _tool_problem(request, reply)
    if problem is None and request.schema is not None:
        called = bool(reply.tool_calls)
        problem = _given_by_call(request, reply) if called else _schema_problem(request.schema, words(reply))
    return problem


def words(reply: Reply) -> str:
    """The text of an answer, blocks joined by newlines."""
    if isinstance(reply.content, str):
        return reply.content
    parts = (part.get("text") if isinstance(part, Mapping) else part for part in reply.content)
    return "\n".join(part for part in parts if isinstance(part, str))


def structured(text: str) -> Json:
    """The JSON of a structured answer, with or without a code fence around it. Raises `orjson.JSONDecodeError`."""
    value: Json = orjson.loads(_unfenced(text))
    return value


def function(tool: Mapping[str, Json]) -> Mapping[str, Json]:
    """The function inside `{"type": "function", "function": {...}}`, or the object itself."""
    inner = tool.get("function")
    return inner if isinstance(inner, Mapping) else tool


def portable(name: str) -> str:
    """A tool's name as providers send it back: some allow no dots."""
    return name.replace(".", "_")


def _given_by_call(request: Request, reply: Reply) -> str | None:
    """A structured answer may come as the call of a tool that the adapter made of the schema, beside no others."""
    if request.tools or request.schema is None:
        return None
    return next((why for call in reply.tool_calls if (why := _object_problem(request.schema, call.arguments))), None)


def _tool_problem(request: Request, reply: Reply) -> str | None:
    if not reply.tool_calls:
        return "no tool call" if required_tool(request) is not None else None
    declared = {portable(str(function(tool).get("name"))): function(tool) for tool in request.tools}
    if declared:  # without declared tools the call is the adapter's own, for example a structured answer
        for call in reply.tool_calls:
            problem = _call_problem(call, declared)
            if problem is not None:
                return problem
    wanted = required_tool(request)
    if wanted and all(portable(call.name) != portable(wanted) for call in reply.tool_calls):
        return f"tool {wanted!r} not called"
    return None


def required_tool(request: Request) -> str | None:
    """Name of the tool that must be called, "" for any of them, None where none must."""
    choice = request.params.get("tool_choice")
    if choice in {"required", "any"} if isinstance(choice, str) else choice is True:
        return ""
    if isinstance(choice, str):
        names = {str(function(tool).get("name")) for tool in request.tools}
        return choice if choice in names else None
    if isinstance(choice, Mapping):
        name = choice.get("name") or function(choice).get("name")
        return name if isinstance(name, str) else ("" if choice.get("type") == "any" else None)
    return None


def _call_problem(call: ToolCall, declared: Mapping[str, Mapping[str, Json]]) -> str | None:
    tool = declared.get(portable(call.name))
    if tool is None:
        return f"unknown tool {call.name!r}"
    arguments = call.arguments
    if not isinstance(arguments, Mapping):
        return f"arguments of {call.name!r} are not an object"
    parameters = tool.get("parameters")
    if not isinstance(parameters, Mapping):
        return None
    problem = _missing(parameters, arguments) or _mistyped(parameters, arguments)
    return f"{problem} of {call.name!r}" if problem else None


def _missing(schema: Mapping[str, Json], value: Mapping[str, Json]) -> str | None:
    required = schema.get("required")
    names = required if isinstance(required, Sequence) and not isinstance(required, str) else ()
    absent = next((name for name in names if isinstance(name, str) and name not in value), None)
    return None if absent is None else f"missing argument {absent!r}"


def _mistyped(schema: Mapping[str, Json], value: Mapping[str, Json]) -> str | None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    for name, item in value.items():
        expected = properties.get(name)
        if isinstance(expected, Mapping) and not _fits(expected, item):
            return f"wrong type for argument {name!r}"
    return None


def _number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Json) -> bool:
    if isinstance(value, float):
        return value.is_integer()  # 2.0 is an integer to JSON Schema
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _whole,
    "number": _number,
    "float": _number,
    "double": _number,
    "boolean": lambda value: isinstance(value, bool),
    "array": _list,
    "list": _list,
    "tuple": _list,
    "object": lambda value: isinstance(value, Mapping),
    "dict": lambda value: isinstance(value, Mapping),
    "null": lambda value: value is None,
}


def _fits(schema: Mapping[str, Json], value: Json) -> bool:
    """Whether a value has a type that its schema names. What the schema leaves open, and unknown types, fit."""
    kinds = schema.get("type")
    if isinstance(kinds, str):
        kinds = (kinds,)
    if isinstance(kinds, Sequence):
        checks = [_TYPES.get(str(kind).lower()) for kind in kinds]
        if not any(check is None or check(value) for check in checks):
            return False
    allowed = schema.get("enum")
    return not isinstance(allowed, Sequence) or isinstance(allowed, str) or not isinstance(value, str) or value in allowed


def _schema_problem(schema: Mapping[str, Json], text: str) -> str | None:
    try:
        value = structured(text)
    except orjson.JSONDecodeError:
        return "not valid JSON"
    return _object_problem(schema, value)


def _object_problem(schema: Mapping[str, Json], value: Json) -> str | None:
    if schema.get("type", "object") != "object":
        return None if _fits(schema, value) else "wrong type of answer"
    if not isinstance(value, Mapping):
        return "not a JSON object"
    problem = _missing(schema, value) or _mistyped(schema, value)
    return problem and problem.replace("argument", "key")


def _unfenced(text: str) -> str:
    """The text without the code fence that models like to put around JSON."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    return text.partition("\n")[2].rpartition("```")[0]
