"""LangChain generations as bytes and back, equal to what was stored; never by LangChain's own `loads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from thrift_plugins.canonical import plain

Model = TypeVar("Model", bound=BaseModel)

_VERSION = 1
_BLANKS = {"ai": AIMessage(""), "AIMessageChunk": AIMessageChunk(content="")}
_CLASSES = tuple(type(blank) for blank in _BLANKS.values())
_CHAT = ChatGeneration(message=_BLANKS["ai"])


def dump(generations: Sequence[Generation]) -> bytes | None:
    """Generations as bytes, or None where one has no JSON form that reads back equal."""
    try:
        return orjson.dumps([_VERSION, [_record(generation) for generation in generations]])
    except TypeError:
        return None


def _record(generation: Generation) -> dict[str, Any]:
    """Raises TypeError for what would not read back equal."""
    if not isinstance(generation, ChatGeneration):
        return {"g": generation.generation_info, "t": generation.text}
    message = generation.message
    if not isinstance(message, AIMessage) or type(message) not in _CLASSES or message.model_extra:
        raise TypeError(f"{type(message).__name__} has fields of its own, or is not a model's answer")
    return {"g": generation.generation_info, "m": _fields(message), "k": message.type}


def load(data: bytes) -> list[Generation] | None:
    """What `dump` wrote, or None where the bytes are not that."""
    try:
        version, records = orjson.loads(data)
        if version != _VERSION:
            return None
        return [_generation(record) for record in records]
    except (ValueError, TypeError, KeyError):
        return None


def _fields(message: AIMessage) -> dict[str, Any]:
    """A message's fields as JSON, those at their default left out. A parsed object is kept as its fields."""
    set_fields = {
        name: value for name, value in message.__dict__.items() if value not in (None, [], {}) and name != "type"
    }
    if "parsed" in message.additional_kwargs:
        kept = dict(message.additional_kwargs)
        parsed = kept["parsed"]
        kept["parsed"] = parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else plain(parsed)
        set_fields["additional_kwargs"] = kept
    return set_fields


def _generation(record: Mapping[str, Any]) -> Generation:
    info = record["g"]
    if "t" in record:
        return Generation(text=record["t"], generation_info=info)
    message = _message(record["k"], record["m"])
    if isinstance(message.content, str):
        return _with(_CHAT, {"message": message, "generation_info": info, "text": message.content})
    return ChatGeneration(message=message, generation_info=info)


def _message(kind: str, fields: Mapping[str, Any]) -> AIMessage:
    """A message from fields that were validated when they were stored, and authenticated when they were read."""
    fresh: dict[str, Any] = {
        "additional_kwargs": {},
        "response_metadata": {},
        "tool_calls": [],
        "invalid_tool_calls": [],
    }
    if kind == "AIMessageChunk":
        fresh["tool_call_chunks"] = []
    return _with(_BLANKS[kind], {**fresh, **fields})


def _with(blank: Model, fields: Mapping[str, Any]) -> Model:
    """A copy of a valid object with other fields: building it anew would validate all of it again, at ten times the cost.

    What `model_copy(update=...)` does, without its search for fields that the class does not have.
    """
    made = copy(blank)
    vars(made).update(fields)
    made.model_fields_set.update(fields)
    return made
