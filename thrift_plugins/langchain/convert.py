"""LangChain's messages, tools and parameters in our words, and stored answers back in LangChain's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, ToolMessage
from langchain_core.messages.ai import add_usage
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from thrift_plugins.canonical import plain
from thrift_plugins.compression.breaks import marked
from thrift_plugins.compression.result import Change, Edit
from thrift_plugins.prices import processing_of
from thrift_plugins.types import Json, Message, Reply, Role, ToolCall, Usage

_ROLES: dict[str, Role] = {
    "human": "user",
    "system": "system",
    "function": "tool",
}
_DERIVED = frozenset({"tool_calls", "parsed"})
"""Keys of `additional_kwargs` that repeat what a message says elsewhere."""


def message_in(message: BaseMessage) -> Message:
    """A LangChain message, without its ids and without what a provider told about it."""
    extra: dict[str, Any] = {}
    if message.additional_kwargs:
        extra = said(message.additional_kwargs)
    if isinstance(message, AIMessage):
        calls = tuple(ToolCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls)
        if message.invalid_tool_calls:
            extra["invalid_tool_calls"] = [[call["name"], call["args"]] for call in message.invalid_tool_calls]
        return Message("assistant", unplaced(message.content), calls, name=message.name, extra=extra or None)
    if isinstance(message, ToolMessage):
        if message.status == "error":
            extra["status"] = "error"
        return Message("tool", message.content, (), message.tool_call_id, message.name, extra or None)
    role = _role(message)
    if role is None:
        extra["role"] = message.role if isinstance(message, ChatMessage) else message.type
    return Message(role or "user", message.content, name=message.name, extra=extra or None)


def _role(message: BaseMessage) -> Role | None:
    """Whose message it is, None where we have no word for it. A chunk's type is its class."""
    if isinstance(message, ChatMessage):
        return cast("Role", message.role) if message.role in get_args(Role) else None
    return _ROLES.get(message.type.removesuffix("MessageChunk").lower())


def unplaced(content: str | list[str | dict[str, Any]]) -> str | Sequence[Json]:
    """Content without the places that blocks get when they are streamed."""
    if isinstance(content, str):
        return content
    return [
        {name: value for name, value in block.items() if name != "index"} if isinstance(block, dict) else block
        for block in content
    ]


def said(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says beside its content; a hit leaves out what is None, so a miss must too."""
    return {key: value for key, value in extra.items() if value is not None and key not in _DERIVED}


def tool_in(tool: Any) -> Mapping[str, Json]:
    """A tool in any form that LangChain takes, as a function object: name, description, parameters.

    What an MCP server says of whether it only reads is in the metadata of its adapter's tool.
    """
    converted = tool if isinstance(tool, Mapping) and "function" in tool else _openai_tool(tool)
    function = converted.get("function")
    if not isinstance(function, Mapping):
        return converted
    told = getattr(tool, "metadata", None)
    reads = told.get("readOnlyHint") if isinstance(told, Mapping) else None
    return {**function, "annotations": {"readOnlyHint": reads}} if isinstance(reads, bool) else function


def tool_as_given(tool: Any) -> Json:
    """What a tool says beside its function: the settings of a provider's own tool, strictness, examples.

    Raises:
        NoCanonicalForm: part of it has no JSON form.
    """
    return cast("Json", plain(tool if isinstance(tool, Mapping) else getattr(tool, "extras", None)))


def _openai_tool(tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, Mapping) and "type" in tool and "name" not in tool:
        return tool  # a provider's built-in tool
    return convert_to_openai_tool(tool)


def schema_in(wanted: Any) -> Mapping[str, Json] | None:
    """The JSON schema of a structured answer, from a class, a schema, a function object or a `response_format`.

    Returns:
        None where it asks for no particular one.
    """
    if not isinstance(wanted, Mapping):
        return as_json(wanted)
    if "json_schema" in wanted:
        wanted = wanted["json_schema"]
    elif wanted.get("type") in ("json_object", "text"):
        return None
    elif "function" in wanted:
        wanted = wanted["function"]
    inner = wanted.get("schema", wanted.get("parameters"))
    return inner if isinstance(inner, Mapping) else cast("Mapping[str, Json]", wanted)


def as_json(wanted: Any) -> Mapping[str, Json] | None:
    """A schema or response format by content: two classes of one name with different fields differ.

    Raises:
        ValueError: no schema can be made of it.
    """
    if wanted is None or isinstance(wanted, Mapping):
        return wanted
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return wanted.model_json_schema()
    return convert_to_json_schema(wanted)


_ENDS = ("finish_reason", "stop_reason", "done_reason")


def _calls(message: AIMessage) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls)


def _begun(message: AIMessage) -> tuple[ToolCall, ...]:
    """Tool calls as far as they were written: LangChain's own reading completes their JSON."""
    if not isinstance(message, AIMessageChunk):
        return _calls(message)
    return tuple(ToolCall(c["id"] or "", c["name"] or "", c["args"] or "") for c in message.tool_call_chunks)


def reply_in(message: AIMessage, *, complete: bool = True) -> Reply:
    """What a model answered. Headers and token counts stay out of what is stored, and so do log-probabilities."""
    told = message.response_metadata
    finish = next((told[name] for name in _ENDS if told.get(name)), None)
    extra: dict[str, Any] = {}
    kept = {key: _plain(value) for key, value in message.additional_kwargs.items()}
    if kept:
        extra["additional_kwargs"] = kept
    told_kept = {key: told[key] for key in _TOLD if key in told}
    told_kept.update({key: _zeroed(told[key]) for key in _COUNTS if key in told})
    if told_kept:
        extra["response_metadata"] = told_kept
    if message.invalid_tool_calls:
        extra["invalid_tool_calls"] = message.invalid_tool_calls
    if message.usage_metadata is not None:
        extra["counted"] = True
    return Reply(
        content=message.content,
        usage=usage_in(message),
        tool_calls=_calls(message) if complete else _begun(message),
        finish_reason=finish if isinstance(finish, str) else None,
        model=str(told.get("model_name") or told.get("model") or ""),
        extra=extra,
        complete=complete,
        storable=not told.get("logprobs"),
        processing=processing_of(told.get("service_tier")),
    )


_TOLD = (
    "model_name", "model", "model_provider", "finish_reason", "stop_reason", "done_reason", "system_fingerprint",
    "output_version", "id", "logprobs",
)  # fmt: skip
_COUNTS = ("token_usage", "usage")


def _zeroed(counts: Any) -> Any:
    """Token counts in their own form, for an answer that uses none."""
    if isinstance(counts, Mapping):
        return {name: _zeroed(count) for name, count in counts.items()}
    return 0 if isinstance(counts, int | float) else None


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def usage_in(message: AIMessage) -> Usage:
    """The provider's own count, as LangChain gives it; zero for an answer out of LangChain's own cache."""
    return Usage() if message.usage_metadata is None else usage_of(cast("Mapping[str, Any]", message.usage_metadata))


def usage_of(counted: Mapping[str, Any]) -> Usage:
    """The same of the count alone, as `UsageMetadataCallbackHandler` keeps it."""
    if counted.get("total_cost") == 0:  # LangChain's mark of a hit of its cache
        return Usage(source="provider")
    if "input_tokens" not in counted:
        return Usage()
    read: Mapping[str, Any] = counted.get("input_token_details") or {}
    written: Mapping[str, Any] = counted.get("output_token_details") or {}
    return Usage.told(
        counted["input_tokens"],
        counted["output_tokens"],
        cache_read=_part(read, "cache_read"),
        cache_write=read.get("ephemeral_5m_input_tokens") or _part(read, "cache_creation"),
        cache_write_1h=read.get("ephemeral_1h_input_tokens"),
        reasoning=_part(written, "reasoning"),
        input_audio=read.get("audio"),
        output_audio=written.get("audio"),
    )


def _part(details: Mapping[str, Any], name: str) -> Any:
    """A part of a count. LangChain names it after the mode in which OpenAI has worked, where that is not the usual one."""
    return next((details[key] for key in (name, f"flex_{name}", f"priority_{name}") if details.get(key)), None)


def message_out(reply: Reply) -> AIMessage:
    """A stored answer as a message that costs nothing."""
    extra: Mapping[str, Any] = reply.extra
    kept = dict(extra.get("additional_kwargs", {}))
    if "parsed" in extra:  # OpenAI's parser of a structured answer reads this, and not the text
        kept["parsed"] = extra["parsed"]
    return AIMessage(
        content=cast("str | list[str | dict[str, Any]]", reply.content),
        additional_kwargs=kept,
        response_metadata=dict(extra.get("response_metadata", {})),
        tool_calls=[
            {"id": call.id, "name": call.name, "args": cast("dict[str, Any]", call.arguments), "type": "tool_call"}
            for call in reply.tool_calls
        ],
        invalid_tool_calls=list(extra.get("invalid_tool_calls", ())),
        usage_metadata=({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0} if extra.get("counted") else None),
    )


def with_rest(first: AIMessage, rest: AIMessage, whole: Reply) -> AIMessage:
    """A cut answer as the whole one: it has used what both have, and ends as its rest does."""
    ended = {name: rest.response_metadata[name] for name in _ENDS if name in rest.response_metadata}
    return first.model_copy(
        update={
            "content": whole.content,
            "usage_metadata": add_usage(first.usage_metadata, rest.usage_metadata),
            "response_metadata": {**first.response_metadata, **ended},
        }
    )


def with_edits(messages: Sequence[BaseMessage], edits: Sequence[Edit]) -> list[BaseMessage]:
    """Messages with some of their texts replaced. The app's own objects stay as they are."""
    made = list(messages)
    for at, place, text in edits:
        content: Any = text
        if place is not None and not isinstance(made[at].content, str):
            blocks: list[Any] = [*made[at].content]
            blocks[place] = {**blocks[place], "text": text} if isinstance(blocks[place], Mapping) else text
            content = blocks
        made[at] = made[at].model_copy(update={"content": content})
    return made


def with_change(messages: Sequence[BaseMessage], change: Change) -> list[BaseMessage]:
    """What of messages is sent once a prompt is compressed. The app's own objects stay as they are."""
    made = with_edits(messages, change.edits)
    if change.kept is not None:
        made = [made[at] for at in change.kept]
    for at in change.breaks:
        made[at] = made[at].model_copy(update={"content": marked(made[at].content)})
    return made


def merged(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    """The pieces of a stream as one message. A model that does not stream gives one piece, which is a message."""
    return chunks[0] + list(chunks[1:]) if len(chunks) > 1 else chunks[0]
