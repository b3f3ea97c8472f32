"""The address of a `BaseCache` entry, from the two strings that LangChain gives a cache.

The prompt string is a serialised list of messages with ids, token counts and headers in it; the model string is a
serialised model with retries, time-outs and headers in it. Both are read, and what does not decide the answer is
left out, so that the second turn of a conversation hits, and a changed time-out does not miss.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from thrift_plugins.caching.key import tenant_tag
from thrift_plugins.canonical import NoCanonicalForm, decisive
from thrift_plugins.types import Scope

_VERSION = 1
_OPAQUE = re.compile(r"<class '|<function |\bat 0x[0-9a-f]{6}")
"""Classes and objects by their name: two different ones can look alike, so such a call has no address."""

_TEMPERATURE = re.compile(r"""['"]temperature['"]\s*[,:]\s*([0-9]+(?:\.[0-9]+)?)""")
_DERIVED = ("tool_calls", "parsed")


def cache_address(prompt: str, llm_string: str, scope: Scope) -> str | None:
    """Where the answer is kept, or None where the strings do not say all that decides it."""
    return _address(prompt, llm_string, scope.tenant, scope.keys)


@lru_cache(maxsize=512)
def _address(prompt: str, llm_string: str, tenant: str, keys: tuple[tuple[str, str], ...]) -> str | None:
    model = _model(llm_string)
    if model is None:
        return None
    try:
        framed = orjson.dumps([_VERSION, tenant, keys, model, _prompt(prompt)])
    except TypeError:
        return None
    return f"{{{tenant_tag(tenant)}}}:{sha256(framed).hexdigest()}"


@lru_cache(maxsize=256)
def temperature(llm_string: str) -> float:
    """The highest temperature that a model string names, 0 where it names none: one in `extra_body` counts too."""
    return max(map(float, _TEMPERATURE.findall(llm_string)), default=0.0)


@lru_cache(maxsize=256)
def _model(llm_string: str) -> str | None:
    """The decisive part of a model string, as a digest."""
    if _OPAQUE.search(llm_string):
        return None
    settings, _, params = llm_string.partition("---")
    parts: list[Any] = []
    try:
        model = orjson.loads(settings)
        parts = [model.get("id"), decisive(model.get("kwargs", {}))]
    except (ValueError, AttributeError, NoCanonicalForm):
        params, parts = llm_string, []
    try:
        parts.append(decisive(dict(ast.literal_eval(params))) if params else None)
    except (ValueError, SyntaxError, TypeError, NoCanonicalForm, RecursionError):
        parts.append(params)
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _prompt(prompt: str) -> Any:
    if not prompt.startswith('[{"lc"'):
        return prompt
    try:
        messages = orjson.loads(prompt)
        places: dict[str, int] = {}
        return [_turn(message["id"], message["kwargs"], places) for message in messages]
    except (ValueError, KeyError, TypeError, AttributeError):
        return prompt


def _turn(kind: Any, told: Mapping[str, Any], places: dict[str, int]) -> list[Any]:
    """One message without its ids; a tool call is known by its place."""
    for call in told.get("tool_calls") or ():
        places.setdefault(call.get("id") or "", len(places))
    extra = {key: value for key, value in sorted((told.get("additional_kwargs") or {}).items()) if key not in _DERIVED}
    reference = told.get("tool_call_id")
    return [
        kind[-1].removesuffix("Chunk"),
        told.get("role"),
        told.get("content"),
        [[call["name"], call["args"], places[call.get("id") or ""]] for call in told.get("tool_calls") or ()],
        [[call["name"], call["args"]] for call in told.get("invalid_tool_calls") or ()],
        places.setdefault(reference, len(places)) if reference else None,
        told.get("name"),
        told.get("status"),
        extra,
    ]
