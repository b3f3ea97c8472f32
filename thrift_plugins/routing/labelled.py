"""Answers of known quality from a file of JSON lines, to train a router on and to try it on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.training import Example
from thrift_plugins.types import Message, Request, Scope

_ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
_KNOWN: Final = ("prompt", "messages", "tools", "feature", "scores", "id")


def examples(file: Path) -> Iterator[Example]:
    """The examples of a file, streamed.

    A line is an object with:

    - `prompt`, a text, or `messages`, a list of `{"role", "content"}`;
    - `scores`: tier to the quality of its answer, a number from 0 to 1 or true or false;
    - `feature` (a name) and `tools` (OpenAI's function objects), if there are any. More is passed over.

    Raises:
        ConfigError: no such file, or a line that is something else; says which, and what it lacks.
    """
    try:
        lines = file.open(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    with lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _example(json.loads(line))
                except (ValueError, TypeError, AttributeError, RecursionError) as error:
                    raise ConfigError(f"{file}, line {number}: {error}") from error


def _example(told: Any) -> Example:
    if not isinstance(told, Mapping):
        raise ValueError("an object was expected")  # noqa: TRY004  all that is wrong with a line is one kind of error
    scores = told.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(
            f"it has no `scores` (it has {', '.join(map(str, told)) or 'nothing'}); known are {', '.join(_KNOWN)}"
        )
    feature = told.get("feature") or ""
    tools = told.get("tools") or ()
    request = Request(
        id=str(told.get("id", "")),
        at=0.0,
        model="",
        messages=tuple(_messages(told)),
        tools=tuple(tool.get("function", tool) for tool in tools),
        scope=Scope(feature=str(feature)),
    )
    return Example(request, {str(tier): _score(score) for tier, score in scores.items()})


def _messages(told: Mapping[str, Any]) -> Iterator[Message]:
    if isinstance(told.get("prompt"), str):
        yield Message("user", told["prompt"])
        return
    messages = told.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("it has neither a `prompt` nor `messages`")
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or not isinstance(content, str | list):
            raise ValueError(f"a message with the role {role!r} and such content is not understood")
        yield Message(role, content)


def _score(given: Any) -> float:
    if isinstance(given, int | float) and 0 <= given <= 1:
        return float(given)
    raise ValueError(f"a score must be 0 to 1, true or false, not {given!r}")
