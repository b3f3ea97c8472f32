"""A request from the two strings that LangChain gives a cache.

The prompt string is a serialised list of messages with ids, token counts and headers in it; the model string is a
serialised model with retries, time-outs and headers in it. Both are read, and what does not decide the answer is
left out, so that the second turn of a conversation hits, a changed time-out does not miss, and the policy sees the
words that the user wrote.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, cast, get_args

import orjson

from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.langchain.convert import said, unplaced
from thrift_plugins.types import Json, Message, Request, Role, Scope, ToolCall

DIALECT = "langchain cache"
"""Part of every identity: what is kept here is LangChain's generations, which no wrapped model can read."""

_OPAQUE = re.compile(r"<class '|<function |\bat 0x[0-9a-f]{6}")
"""Classes and objects by their name: two different ones can look alike, so such a call has no address."""

_TEMPERATURE = re.compile(r"""['"]temperature['"]\s*[,:]\s*([0-9]+(?:\.[0-9]+)?)""")
_NAMES = ("model_name", "model", "model_id", "deployment_name")
_ROLES: Mapping[str, Role] = {
    "HumanMessage": "user",
    "SystemMessage": "system",
    "AIMessage": "assistant",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
}
_BARE, _BARE_KINDS = 2, ("HumanMessage", "SystemMessage")
"""Most messages have their content and their type, and nothing to look for."""


def request_of(prompt: str, llm_string: str, scope: Scope, *, at: float = 0.0, fresh: bool = False) -> Request:
    """What a `BaseCache` is asked, as a request. It is not cacheable where the strings do not say all that decides it.

    A prompt of a model that completes text is one user turn, whose every byte counts: nobody knows what in it is prose.
    """
    model = _model(llm_string)
    messages = _messages(prompt)
    params = model.params if messages is not None else {**model.params, "prompt": prompt}
    return Request(
        id="",
        at=at,
        model=model.name,
        messages=messages if messages is not None else (Message("user", prompt),),
        tools=model.tools,
        params=params,
        identity=model.identity,
        scope=scope,
        cacheable=model.told,
        fresh=fresh,
    )


@dataclass(frozen=True, slots=True)
class _Model:
    """What a model string says.

    Attributes:
        told: False where it names a class or an object, and so does not say all that decides the answer.
        params: what the policy looks at; all of them, and all else, are in `identity` too.
    """

    name: str = ""
    identity: str = ""
    told: bool = True
    tools: tuple[Mapping[str, Json], ...] = ()
    params: Mapping[str, Json] = field(default_factory=dict)


@lru_cache(maxsize=256)
def _model(llm_string: str) -> _Model:
    if _OPAQUE.search(llm_string):
        return _Model(told=False)
    settings, _, params = llm_string.partition("---")
    own: dict[str, Any] = {}
    call: dict[str, Any] = {}
    parts: list[Any] = []
    try:
        model = orjson.loads(settings)
        own = decisive(model.get("kwargs", {}))
        parts = [model.get("id"), own]
    except (ValueError, AttributeError, NoCanonicalForm):
        params = llm_string
    try:
        call = decisive(dict(ast.literal_eval(params))) if params else {}
        parts.append(call)
    except (ValueError, SyntaxError, TypeError, NoCanonicalForm, RecursionError):
        parts.append(params)
    digest = sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    known = {**own, **call}
    return _Model(
        name=next((name for key in _NAMES if isinstance(name := known.get(key), str)), ""),
        identity=f"{DIALECT} {digest}",
        tools=_tools(known.get("tools")),
        params=_params(llm_string, known),
    )


def _params(llm_string: str, known: Mapping[str, Any]) -> Mapping[str, Json]:
    """The highest temperature that a model string names, one in `extra_body` too, and how many answers it wants."""
    params: dict[str, Json] = {}
    heats = _TEMPERATURE.findall(llm_string)
    if heats:
        params["temperature"] = max(map(float, heats))
    many = known.get("n")
    return {**params, "n": many} if isinstance(many, int) else params


def _tools(given: object) -> tuple[Mapping[str, Json], ...]:
    if not isinstance(given, list):
        return ()
    return tuple(tool.get("function", tool) for tool in given if isinstance(tool, dict))


def _messages(prompt: str) -> tuple[Message, ...] | None:
    """The messages of a chat, None where the prompt is a text or a list that cannot be read."""
    if not prompt.startswith('[{"lc"'):
        return None
    try:
        return tuple(_message(turn["id"][-1].removesuffix("Chunk"), turn["kwargs"]) for turn in orjson.loads(prompt))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def _message(kind: str, told: Mapping[str, Any]) -> Message:
    """One message without its ids, as `convert.message_in` reads it from the object."""
    if len(told) == _BARE and kind in _BARE_KINDS and "content" in told:
        return Message(_ROLES[kind], told["content"])
    extra = said(told["additional_kwargs"]) if told.get("additional_kwargs") else {}
    content: Any = told["content"]
    calls: tuple[ToolCall, ...] = ()
    role: Role | None = _ROLES.get(kind)
    if role == "assistant":
        content = unplaced(content)
        calls = tuple(
            ToolCall(call.get("id") or "", call["name"], call["args"]) for call in told.get("tool_calls") or ()
        )
        if told.get("invalid_tool_calls"):
            extra["invalid_tool_calls"] = [[call["name"], call["args"]] for call in told["invalid_tool_calls"]]
    elif kind == "ChatMessage" and told.get("role") in get_args(Role):
        role = cast("Role", told["role"])
    elif role is None:
        extra["role"] = [kind, told.get("role")]
    if told.get("status") not in (None, "success"):
        extra["status"] = told["status"]
    return Message(role or "user", content, calls, told.get("tool_call_id"), told.get("name"), extra or None)
