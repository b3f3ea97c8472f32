"""Answers of known quality from a file of JSON lines, to train a router on and to try it on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.example import Example
from thrift_plugins.types import Message, Reply, Request, Scope, ToolCall, Usage

_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
_DEAREST: Final = 1e6  # US dollars for an answer
_KNOWN: Final = ("prompt", "messages", "tools", "feature", "scores", "answers", "costs", "schema", "id")


def examples(file: Path) -> Iterator[Example]:
    """The examples of a file, streamed.

    A line is an object with:

    - `prompt`, a text, or `messages`, a list of `{"role", "content"}`;
    - `scores`: tier to the quality of its answer, a number from 0 to 1 or true or false;
    - `answers`: tier to its answer, a text or `{"text", "tool_calls": [{"name", "arguments"}], "finish_reason"}`; with those of
      the cheapest tier a check of its answers is learnt;
    - `costs`: tier to what its answer cost, in US dollars;
    - `feature` (a name) and `tools` (OpenAI's function objects), if there are any. More is passed over.

    Raises:
        ConfigError: no such file, or a line that is something else; says which, and what it lacks.
    """
    try:
        lines = file.open(encoding="utf-8-sig")  # spreadsheets and Windows write a mark before it
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    with lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _of_line(line, f"{file}, line {number}")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file} is not in UTF-8: {error}") from error


def _of_line(line: str, where: str) -> Example:
    try:
        return _scored(json.loads(line))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _scored(told: Any) -> Example:
    if not isinstance(told, Mapping):
        raise ValueError("an object was expected")  # noqa: TRY004  all that is wrong with a line is one kind of error
    scores = told.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(
            f"it has no `scores` (it has {', '.join(map(str, told)) or 'nothing'}); known are {', '.join(_KNOWN)}"
        )
    return example_of(told)


def example_of(told: Mapping[str, Any]) -> Example:
    """An example from a line's JSON, whose scores may be missing.

    Raises:
        ValueError, TypeError, AttributeError: it is something else.
    """
    feature = str(told.get("feature") or "")
    feature.encode()  # half a surrogate pair is no name that a file can hold
    schema = told.get("schema")
    if schema is not None and not isinstance(schema, Mapping):
        raise ValueError("`schema` must be a JSON schema")
    request = Request(
        id=str(told.get("id", "")),
        at=0.0,
        model="",
        messages=tuple(_messages(told)),
        tools=tuple(map(_tool, told.get("tools") or ())),
        schema=schema,
        scope=Scope(feature=feature),
    )
    return Example(
        request,
        {str(tier): _score(score) for tier, score in _mapping(told, "scores").items()},
        {str(tier): _reply(given) for tier, given in _mapping(told, "answers").items()},
        {str(tier): _cost(given) for tier, given in _mapping(told, "costs").items()},
    )


def _tool(given: Any) -> Mapping[str, Any]:
    inner = given.get("function", given) if isinstance(given, Mapping) else given
    if not isinstance(inner, Mapping):
        raise ValueError("`tools` must be function objects")  # noqa: TRY004  as above
    return inner


def _mapping(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    given = told.get(name) or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"`{name}` must map tiers to theirs")  # noqa: TRY004  as above
    return given


def _reply(given: Any) -> Reply:
    if isinstance(given, str):
        return Reply(given, Usage(), finish_reason="stop")
    if not isinstance(given, Mapping):
        raise ValueError("an answer is a text, or an object with `text` and `tool_calls`")  # noqa: TRY004  as above
    made = given.get("tool_calls") or ()
    if not isinstance(made, list | tuple) or not all(isinstance(call, Mapping) for call in made):
        raise ValueError("`tool_calls` must be a list of objects with a `name` and `arguments`")
    calls = tuple(ToolCall("", str(call.get("name")), call.get("arguments")) for call in made)
    return Reply(str(given.get("text") or ""), Usage(), calls, str(given.get("finish_reason") or "stop"))


def _cost(given: Any) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given < _DEAREST:
        return float(given)
    raise ValueError(f"a cost must be US dollars, 0 or more, and fewer than {_DEAREST:,.0f}")


def _messages(told: Mapping[str, Any]) -> Iterator[Message]:
    if isinstance(told.get("prompt"), str):
        yield Message("user", told["prompt"])
        return
    messages = told.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("it has neither a `prompt` nor `messages`")
    for message in messages:
        if not isinstance(message, Mapping):
            raise ValueError("`messages` must be objects with a `role` and `content`")  # noqa: TRY004  as above
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str | list):
            raise ValueError(f"a message with the role {role!r} and such content is not understood")
        yield Message(role, content)


def _score(given: Any) -> float:
    if isinstance(given, int | float) and 0 <= given <= 1:
        return float(given)
    raise ValueError(f"a score must be 0 to 1, true or false, not {given!r}")
