"""LlamaIndex's messages, tools and responses in our words, and stored answers back in LlamaIndex's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import IOBase
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.tools import BaseTool
from pydantic import BaseModel

from thrift_plugins.caching import canonical
from thrift_plugins.canonical import NoCanonicalForm, plain
from thrift_plugins.prices import processing_of
from thrift_plugins.types import NO_USAGE, Json, Message, Reply, Role, ToolCall, Usage

_ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
_DERIVED = frozenset({"tool_calls", "tool_call_id", "name", "thrift"})
"""Keys of `additional_kwargs` that are told elsewhere in our message."""


def message_in(message: ChatMessage) -> Message:
    """A LlamaIndex message, without its ids and without what a provider told about it.

    Raises:
        NoCanonicalForm: part of it has no JSON form, or is a local file, which may say something else next time.
            What is behind a URL is taken to stay the same.
    """
    told, blocks = message.additional_kwargs, message.blocks
    if len(blocks) == 1 and type(blocks[0]) is TextBlock:
        content: str | list[Json] = blocks[0].text
        calls = _calls(message) if told else ()
    else:
        calls = _calls(message)
        content = _content([block for block in blocks if not isinstance(block, ToolCallBlock)])
    role = _ROLES.get(message.role, "user")
    extra = _extra(told, calls) if told else {}
    if message.role != role:  # for example "developer", which a provider may not take as "system"
        extra["message_role"] = message.role.value
    return Message(
        role,
        content,
        tuple(_plain_call(call) for call in calls) if calls else (),
        told.get("tool_call_id") if told else None,
        told.get("name") if told else None,
        extra or None,
    )


def outline(message: ChatMessage) -> Message:
    """What can be counted, and matters to routing, of a message that has no canonical form."""
    parts: list[Json] = [
        {"type": "text", "text": block.text} if isinstance(block, TextBlock) else {"type": block.block_type}
        for block in message.blocks
        if not isinstance(block, ToolCallBlock)
    ]
    return Message(_ROLES.get(message.role, "user"), parts)


def _extra(told: Mapping[str, Any], calls: Sequence[ToolCall]) -> dict[str, Json]:
    """What a message's extra arguments say that is not told elsewhere; tool calls of an unknown kind too."""
    extra: dict[str, Json] = {key: plain(value) for key, value in told.items() if key not in _DERIVED}
    given = told.get("tool_calls")
    if given and (not isinstance(given, list) or len(given) != len(calls)):
        extra["tool_calls"] = plain(given)
    return extra


def _worded_call(call: ToolCall) -> ToolCall:
    """A call that can be counted and verified, with words for what has no JSON form."""
    return ToolCall(call.id, call.name, json.loads(json.dumps(call.arguments, default=str, skipkeys=True)))


def _plain_call(call: ToolCall) -> ToolCall:
    arguments = plain(call.arguments)
    canonical(arguments)  # JSON has numbers that no key can hold
    return ToolCall(call.id, call.name, arguments)


def _content(blocks: Sequence[Any]) -> str | list[Json]:
    if all(type(block) is TextBlock for block in blocks):
        return "\n".join(block.text for block in blocks)
    return [_block(block) for block in blocks]


def _block(block: BaseModel) -> dict[str, Json]:
    if getattr(block, "path", None) is not None or any(isinstance(value, IOBase) for value in vars(block).values()):
        raise NoCanonicalForm("a local file may have other content next time")
    dumped = block.model_dump(mode="json", exclude_none=True)
    return {"type": dumped.pop("block_type", "unknown"), **dumped}


def _calls(message: ChatMessage) -> tuple[ToolCall, ...]:
    """The tool calls of a message, from its blocks or, for older integrations, from its extra arguments."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if blocks:
        return tuple(ToolCall(b.tool_call_id or "", b.tool_name, _arguments(b.tool_kwargs)) for b in blocks)
    calls = message.additional_kwargs.get("tool_calls")
    told = plain_json(calls) if isinstance(calls, list) else ()
    return tuple(
        ToolCall(str(call.get("id") or ""), function.get("name") or "", _arguments(function.get("arguments")))
        for call in told
        if isinstance(call, Mapping) and isinstance(function := call.get("function"), Mapping)
    )


def _begun(message: ChatMessage) -> tuple[ToolCall, ...]:
    """Tool calls as far as they were written; where no argument is yet, integrations put an empty object."""
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    begun = tuple(ToolCall(b.tool_call_id or "", b.tool_name, plain_json(b.tool_kwargs) or "") for b in blocks)
    return begun or _calls(message)


def _arguments(given: Any) -> Json:
    """Arguments as JSON, or as the raw text where they do not parse."""
    parsed: Json = given
    if not isinstance(given, str):
        parsed = plain_json(given)
    else:
        with suppress(ValueError):
            parsed = json.loads(given)
    return parsed


def plain_json(value: Any) -> Any:
    """Pydantic objects inside a value as JSON objects; one that has no such form stays, and no store takes it."""
    if isinstance(value, BaseModel):
        with suppress(Exception):  # its own serialiser may raise anything, and an answer must reach the app
            return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return value


def tool_in(tool: BaseTool) -> Mapping[str, Json]:
    """A tool as a function object: name, description, parameters."""
    function: Mapping[str, Json] = tool.metadata.to_openai_tool(skip_length_check=True)["function"]
    return function


def reply_in(response: ChatResponse | CompletionResponse) -> Reply:
    """What a model answered, at once."""
    told = as_mapping(response.raw)
    return reply_as(response, usage_in(told, response.additional_kwargs), finish_in(told))


def reply_as(
    response: ChatResponse | CompletionResponse, usage: Usage, finish: str | None, *, complete: bool = True
) -> Reply:
    """What a model answered, with what is known of its usage and of why it ended."""
    raw = as_mapping(response.raw)
    model, processing = str(raw.get("model") or ""), processing_of(raw.get("service_tier"))
    storable = not response.logprobs  # a hit would lack them
    if isinstance(response, CompletionResponse):
        return Reply(
            response.text, usage, (), finish, model, complete=complete, storable=storable, processing=processing
        )
    message = response.message
    calls = _calls(message) if complete else _begun(message)
    try:
        calls = tuple(_plain_call(call) for call in calls)
    except TypeError:
        calls, storable = tuple(_worded_call(call) for call in calls), False
    extra: dict[str, Json] = {}
    if calls or not (len(message.blocks) == 1 and type(message.blocks[0]) is TextBlock):
        extra["blocks"] = plain_json(message.blocks)
    kept = {key: plain_json(value) for key, value in message.additional_kwargs.items() if key != "thrift"}
    if kept:
        extra["additional_kwargs"] = kept
    return Reply(
        message.content or "", usage, calls, finish, model, extra, complete, storable=storable, processing=processing
    )


def with_rest(
    first: ChatResponse | CompletionResponse, rest: ChatResponse | CompletionResponse, cut: Reply, whole: Reply
) -> ChatResponse | CompletionResponse:
    """A cut answer as the whole one: it has used what both have, and ends, in its raw response too, as its rest does.

    Args:
        cut: the first in our words.
        whole: both in our words.
    """
    counts = {
        name: count + first.additional_kwargs[name]
        for name, count in rest.additional_kwargs.items()
        if isinstance(count, int) and isinstance(first.additional_kwargs.get(name), int)
    }
    told = {"raw": rest.raw, "additional_kwargs": {**first.additional_kwargs, **counts}}
    if isinstance(first, CompletionResponse):
        return first.model_copy(update={**told, "text": whole.content})
    new = str(whole.content)[len(str(cut.content).rstrip()) :]
    *before, last = first.message.blocks
    text = last.text.rstrip() if isinstance(last, TextBlock) else ""
    blocks = [*before, TextBlock(text=text + new)]
    return first.model_copy(update={**told, "message": first.message.model_copy(update={"blocks": blocks})})


def chat_out(reply: Reply) -> ChatResponse:
    """A stored answer as a chat response that costs nothing."""
    kept: Any = reply.extra.get("additional_kwargs") or {}
    blocks: Any = reply.extra.get("blocks")
    if blocks is None and reply.tool_calls:
        blocks = [
            ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call.arguments)  # type: ignore[arg-type]
            for call in reply.tool_calls
        ]
    message = ChatMessage(
        role=MessageRole.ASSISTANT,
        **({"blocks": blocks} if blocks is not None else {"content": reply.content}),
        additional_kwargs=dict(kept),
    )
    return ChatResponse(message=message, raw=_raw(reply), additional_kwargs=dict(_NOTHING))


def completion_out(reply: Reply) -> CompletionResponse:
    """A stored answer as a completion that costs nothing."""
    return CompletionResponse(text=str(reply.content), raw=_raw(reply), additional_kwargs=dict(_NOTHING))


_NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class Raw(dict[str, Any]):
    """A raw response that is read as a mapping or, like an SDK's object, by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _raw(reply: Reply) -> Raw:
    message = Raw(role="assistant", content=reply.content)
    choice = Raw(index=0, finish_reason=reply.finish_reason, message=message)
    return Raw(model=reply.model, choices=[choice], usage=Raw(_NOTHING))


def as_mapping(raw: Any) -> Mapping[str, Any]:
    """A provider's raw response as a mapping, whatever it came as; only its top is converted.

    The last event of OpenAI's Responses API holds the response inside it.
    """
    if raw is None:
        return _EMPTY
    # A dict is asked for first: that is several times faster than asking for a Mapping.
    told: Mapping[str, Any] = raw if isinstance(raw, (dict, Mapping)) else getattr(raw, "__dict__", _EMPTY)
    inner = told.get("response")
    return as_mapping(inner) if isinstance(inner, dict | BaseModel) else told


_EMPTY: Mapping[str, Any] = {}


def finish_in(told: Mapping[str, Any]) -> str | None:
    """Why an answer ended, in the words of OpenAI, Anthropic, Google, Cohere, Bedrock or Ollama."""
    choices = told.get("choices") or told.get("candidates")
    place = as_mapping(choices[0]) if isinstance(choices, list | tuple) and choices else told
    for name in ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason", "status"):
        found = place.get(name)
        if found is not None:
            word = getattr(found, "value", found)
            return word if isinstance(word, str) else None
    return None


_SENT = ("prompt_tokens", "input_tokens", "prompt_token_count", "promptTokenCount", "inputTokens")
_GOT = ("completion_tokens", "output_tokens", "candidates_token_count", "candidatesTokenCount", "outputTokens")


def _number(counted: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        found = counted.get(name)
        if isinstance(found, int):
            return found
    return None


def usage_in(told: Mapping[str, Any], additional: Mapping[str, Any]) -> Usage:
    """The provider's own count, in the words of OpenAI, Anthropic, Google or Bedrock."""
    place = told.get("usage") or told.get("usage_metadata") or told.get("usageMetadata")
    counted = as_mapping(place) if place else additional
    sent, got = _number(counted, *_SENT), _number(counted, *_GOT)
    if sent is None and got is None:
        return NO_USAGE
    details = as_mapping(counted.get("prompt_tokens_details") or counted.get("input_tokens_details"))
    written = as_mapping(counted.get("completion_tokens_details") or counted.get("output_tokens_details"))
    read = _number(details, "cached_tokens") or _number(counted, "cached_content_token_count") or 0
    thoughts = _number(counted, "thoughts_token_count", "thoughtsTokenCount") or 0
    apart_read = _number(counted, "cache_read_input_tokens", "cacheReadInputTokens") or 0
    apart_write = _number(counted, "cache_creation_input_tokens", "cacheWriteInputTokens") or 0
    for_an_hour = _number(as_mapping(counted.get("cache_creation")), "ephemeral_1h_input_tokens") or 0
    if min(sent or 0, got or 0, apart_read, apart_write, thoughts) < 0:
        return NO_USAGE
    return Usage.told(
        (sent or 0) + apart_read + apart_write,  # Anthropic and Bedrock count cached tokens apart
        (got or 0) + thoughts,  # Google counts thoughts apart
        cache_read=read + apart_read,
        cache_write=apart_write - min(for_an_hour, apart_write),
        cache_write_1h=min(for_an_hour, apart_write),
        reasoning=(_number(written, "reasoning_tokens") or 0) + thoughts,
        input_audio=_number(details, "audio_tokens"),
        output_audio=_number(written, "audio_tokens"),
    )


def latest(known: Usage, told: Usage) -> Usage:
    """What a stream has counted so far: counts only grow, and Anthropic tells input and output in different pieces."""
    if known is NO_USAGE or told is NO_USAGE:
        return known if told is NO_USAGE else told
    counts = {name: max(getattr(known, name), getattr(told, name)) for name in Usage.__slots__ if name != "source"}
    return Usage(**counts, source="provider")
