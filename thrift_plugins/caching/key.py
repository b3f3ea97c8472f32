"""The address of an answer: a digest of everything that decides it, and of nothing else.

In it: tenant and walls, the model's own settings, every message with its role, tool calls and their results, tools,
schema and parameters. Not in it: message and call ids, usage, response headers, time-outs, retries, user, feature.
The parts are framed by JSON, so no two different requests serialise alike, and the digest is not cut.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Any

import orjson

from thrift_plugins.types import Json, Message, Request

_VERSION = 1
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def canonical(value: Json) -> bytes:
    """JSON with sorted keys and no spaces.

    Raises:
        TypeError: the value has no JSON form (a lone surrogate, an integer over 64 bits, an object).
    """
    return orjson.dumps(value, option=_SORTED)


def address(request: Request) -> str | None:
    """Where the answer to a request is kept: `{tenant tag}:digest`, or None where it has no canonical form."""
    if not request.cacheable:
        return None
    try:
        framed = orjson.dumps(_parts(request), option=_SORTED)
    except TypeError:
        return None
    return f"{{{tenant_tag(request.scope.tenant)}}}:{sha256(framed).hexdigest()}"


def _parts(request: Request) -> list[Any]:
    """All that decides the answer.

    Raises:
        TypeError: part of it has no JSON form.
    """
    return [
        _VERSION,
        request.scope.tenant,
        request.scope.keys,
        request.model,
        request.identity,
        request.forced,
        _conversation(request.messages),
        request.tools,
        request.schema,
        request.params,
    ]


def finite(value: Json) -> None:
    """Refuse NaN and infinity, which the fast serialiser would make `null` of, so that two calls looked alike.

    Raises:
        TypeError: there is one in it, or something with no JSON form.
    """
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise TypeError(str(error)) from error


def tenant_tag(tenant: str) -> str:
    """A short name of a tenant that tells nobody who it is; the digest behind it holds the tenant in full."""
    return blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if tenant else "-"


def _conversation(messages: Sequence[Message]) -> list[Any]:
    """Messages without ids: a tool call is known by its place, and its result by the call's place."""
    places: dict[str, int] = {}
    turns: list[Any] = []
    for message in messages:
        if message.tool_calls or message.tool_call_id or message.name or message.extra:
            for call in message.tool_calls:
                places.setdefault(call.id, len(places))
            finite([call.arguments for call in message.tool_calls])
            turns.append(
                [
                    message.role,
                    message.content,
                    [[call.name, call.arguments, places[call.id]] for call in message.tool_calls],
                    places.setdefault(message.tool_call_id, len(places)) if message.tool_call_id else None,
                    message.name,
                    message.extra,
                ]
            )
        else:
            turns.append([message.role, message.content])
    return turns
