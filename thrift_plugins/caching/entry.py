"""An answer as bytes: our own small JSON record. The store seals it; a record of another version is a miss."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from thrift_plugins.caching.key import finite
from thrift_plugins.types import Reply, ToolCall, Usage

_VERSION = 2


class Stored(NamedTuple):
    """An answer as it was kept.

    Attributes:
        answered: when it was asked for, in seconds since the epoch.
        until: until when it is as good as new, likewise; a store may hold it for longer.
    """

    reply: Reply
    answered: float
    until: float


def pack(reply: Reply, answered: float, until: float) -> bytes:
    """A reply as bytes; for the times see `Stored`.

    Raises:
        TypeError: the reply holds something with no JSON form.
    """
    usage = reply.usage
    record: dict[str, Any] = {
        "v": _VERSION,
        "a": answered,
        "e": until,
        "c": reply.content,
        "u": [usage.input_tokens, usage.output_tokens, usage.cache_read, usage.cache_write, usage.cache_write_1h,
              usage.reasoning, usage.input_audio, usage.output_audio, usage.source],
        "m": reply.model,
        "n": reply.tier,
    }  # fmt: skip
    if reply.tool_calls:
        finite([call.arguments for call in reply.tool_calls])
        record["t"] = [[call.id, call.name, call.arguments] for call in reply.tool_calls]
    if reply.finish_reason is not None:
        record["f"] = reply.finish_reason
    if reply.extra:
        record["x"] = reply.extra
    return orjson.dumps(record)


def unpack(data: bytes) -> Stored | None:
    """What `pack` wrote, or None where the bytes are not that."""
    try:
        record = orjson.loads(data)
        if record["v"] != _VERSION:
            return None
        reply = Reply(
            content=record["c"],
            usage=Usage(*record["u"]),
            tool_calls=tuple(ToolCall(*call) for call in record.get("t", ())),
            finish_reason=record.get("f"),
            model=record["m"],
            extra=record.get("x", {}),
            tier=record["n"],
        )
        return Stored(reply, float(record["a"]), float(record["e"]))
    except (ValueError, KeyError, TypeError):
        return None
