"""The address of an answer: a digest of everything that decides it, and of nothing else.

In it: tenant and walls, the model's own settings, every message with its role, tool calls and their results, tools,
schema and parameters. Not in it: message and call ids, usage, response headers, time-outs, retries, user, feature.
The parts are framed by JSON, so no two different requests serialise alike, and the digest is not cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

import orjson

from thrift_plugins.text.fold import bytes_matter, fold
from thrift_plugins.types import Json, Message, Request

_VERSION = 2
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def canonical(value: Json) -> bytes:
    """JSON with sorted keys and no spaces.

    Raises:
        TypeError: the value has no JSON form (a lone surrogate, an integer over 64 bits, an object).
    """
    return orjson.dumps(value, option=_SORTED)


def address(request: Request, *, folded: bool = False) -> str | None:
    """Where the answer to a request is kept: `{tenant tag}:digest`, or None where it has no canonical form.

    Args:
        folded: whether user turns count by what `fold` makes of them, not by their bytes.
    """
    framed = surroundings(request, folded=folded)
    return None if framed is None else f"{{{tenant_tag(request.scope.tenant)}}}:{sha256(framed).hexdigest()}"


def surroundings(request: Request, *, folded: bool = False) -> bytes | None:
    """Everything that decides the answer, framed, or None where it has no canonical form."""
    if not request.cacheable:
        return None
    try:
        return orjson.dumps(_parts(request, folded=folded), option=_SORTED)
    except TypeError:
        return None


def _parts(request: Request, *, folded: bool) -> list[Any]:
    """All that decides the answer.

    Raises:
        TypeError: part of it has no JSON form.
    """
    return [
        _VERSION,
        folded,
        request.scope.tenant,
        request.scope.keys,
        request.model,
        request.identity,
        request.forced,
        _conversation(request.messages, folded=folded and _may_fold(request)),
        request.tools,
        request.schema,
        request.params,
    ]


def _may_fold(request: Request) -> bool:
    """Whether a user's spelling is not itself what is worked on: by its schema, or as other turns tell the model."""
    if request.schema is not None:
        return False
    asked = next(
        (place for place in range(len(request.messages) - 1, -1, -1) if request.messages[place].role == "user"), -1
    )
    return not any(
        bytes_matter(message.text)
        for place, message in enumerate(request.messages)
        if place != asked and message.role != "tool"
    )


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


def _conversation(messages: Sequence[Message], *, folded: bool) -> list[Any]:
    """Messages without ids: a tool call is known by its place, and its result by the call's place."""
    places: dict[str, int] = {}
    turns: list[Any] = []
    for message in messages:
        content = (
            _folded(message.content) if folded and message.role == "user" and not message.extra else message.content
        )
        if message.tool_calls or message.tool_call_id or message.name or message.extra:
            for call in message.tool_calls:
                places.setdefault(call.id, len(places))
            finite([call.arguments for call in message.tool_calls])
            turns.append(
                [
                    message.role,
                    content,
                    [[call.name, call.arguments, places[call.id]] for call in message.tool_calls],
                    places.setdefault(message.tool_call_id, len(places)) if message.tool_call_id else None,
                    message.name,
                    message.extra,
                ]
            )
        else:
            turns.append([message.role, content])
    return turns


def _folded(content: str | Sequence[Json]) -> str | Sequence[Json]:
    """A user turn by its meaning. Of several texts, each may be a part of one sentence, so they keep their bytes."""
    if isinstance(content, str):
        return fold(content)
    texts = [place for place, block in enumerate(content) if isinstance(block, Mapping) and "text" in block]
    if len(texts) != 1 or any(isinstance(block, str) for block in content):
        return content
    (place,) = texts
    return [_folded_block(block) if index == place else block for index, block in enumerate(content)]


def _folded_block(block: Json) -> Json:
    text = block["text"] if isinstance(block, Mapping) else None
    return {**block, "text": fold(text)} if isinstance(block, Mapping) and isinstance(text, str) else block
