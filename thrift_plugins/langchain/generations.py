"""LangChain generations as bytes and back, equal to what was stored; never by LangChain's own `loads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation

from thrift_plugins.canonical import plain

_VERSION = 1
_KINDS: dict[str, type[AIMessage]] = {"ai": AIMessage, "AIMessageChunk": AIMessageChunk}


def dump(generations: Sequence[Generation]) -> bytes | None:
    """Generations as bytes, or None where one has no JSON form that reads back equal."""
    records = []
    for generation in generations:
        record: dict[str, Any] = {"g": generation.generation_info}
        if isinstance(generation, ChatGeneration):
            message = generation.message
            if not isinstance(message, AIMessage):
                return None
            record["m"] = _fields(message)
            record["k"] = message.type
        else:
            record["t"] = generation.text
        records.append(record)
    try:
        return orjson.dumps([_VERSION, records])
    except TypeError:
        return None


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
    set_fields = {name: value for name, value in message.__dict__.items() if value not in (None, [], {}) and name != "type"}
    if "parsed" in message.additional_kwargs:
        kept = dict(message.additional_kwargs)
        parsed = kept["parsed"]
        kept["parsed"] = parsed.model_dump(mode="json") if hasattr(parsed, "model_dump") else plain(parsed)
        set_fields["additional_kwargs"] = kept
    return set_fields


def _generation(record: Mapping[str, Any]) -> Generation:
    info = record["g"]
    if "t" in record:
        return Generation.model_construct(text=record["t"], generation_info=info, type="Generation")
    message = _message(_KINDS[record["k"]], record["m"])
    generation = ChatGeneration.model_construct(message=message, generation_info=info, type="ChatGeneration")
    generation.__dict__["text"] = _text(message.content)
    return generation


def _message(kind: type[AIMessage], fields: dict[str, Any]) -> AIMessage:
    """A message from fields that were validated when they were stored, and authenticated when they were read."""
    return kind.model_construct(_fields_set=set(fields), **fields)


def _text(content: str | list[Any]) -> str:
    """The text of a generation, by LangChain's own rule: the first text of a list of blocks."""
    if isinstance(content, str):
        return content
    for block in content:
        if isinstance(block, str):
            return block
        if isinstance(block, Mapping) and "text" in block and block.get("type", "text") == "text":
            return str(block["text"])
    return ""
