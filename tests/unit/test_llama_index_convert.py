"""Usage and endings in every provider's words, messages without ids, and stored answers told again."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from thrift_plugins.caching import pack, unpack
from thrift_plugins.llama_index.convert import as_mapping, chat_out, finish_in, latest, message_in, reply_in, usage_in
from thrift_plugins.types import NO_USAGE, ToolCall, Usage

OPENAI = {
    "model": "gpt-4o",
    "choices": [{"finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 8},
    },
}
ANTHROPIC = {
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 80,
        "cache_creation_input_tokens": 10,
    },
}
GOOGLE = {
    "candidates": [{"finish_reason": "STOP"}],
    "usage_metadata": {"prompt_token_count": 100, "candidates_token_count": 12, "thoughts_token_count": 8},
}
BEDROCK = {"stopReason": "end_turn", "usage": {"inputTokens": 100, "outputTokens": 20}}
RESPONSES = {
    "response": {"model": "gpt-4o", "status": "incomplete", "usage": {"input_tokens": 100, "output_tokens": 20}}
}


@pytest.mark.parametrize(
    ("raw", "expected", "finish"),
    [
        (OPENAI, Usage(100, 20, cache_read=64, reasoning=8, input_audio=3, source="provider"), "stop"),
        (ANTHROPIC, Usage(100, 20, cache_read=80, cache_write=10, source="provider"), "end_turn"),
        (GOOGLE, Usage(100, 20, reasoning=8, source="provider"), "STOP"),
        (BEDROCK, Usage(100, 20, source="provider"), "end_turn"),
        (RESPONSES, Usage(100, 20, source="provider"), "incomplete"),
        ({}, NO_USAGE, None),
        (None, NO_USAGE, None),
        ({"status": 200}, NO_USAGE, None),
    ],
    ids=["openai", "anthropic", "google", "bedrock", "responses", "empty", "none", "status"],
)
def test_usage_and_finish(raw: Any, expected: Usage, finish: str | None) -> None:
    told = as_mapping(raw)
    assert usage_in(told, {}) == expected
    assert finish_in(told) == finish


def test_usage_of_an_sdk_object() -> None:
    message = {"role": "assistant", "content": "Hi"}
    body: dict[str, Any] = {**OPENAI, "id": "1", "created": 1, "object": "chat.completion"}
    body["choices"] = [{"index": 0, "finish_reason": "length", "message": message}]
    body["usage"] = {**body["usage"], "total_tokens": 120}
    told = as_mapping(ChatCompletion.model_validate(body))
    assert usage_in(told, {}).cache_read == 64
    assert finish_in(told) == "length"


def test_what_is_written_to_a_cache_for_an_hour_is_told_apart() -> None:
    told = {**ANTHROPIC["usage"], "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7}}
    assert usage_in({"usage": told}, {}) == Usage(100, 20, 80, 3, 7, source="provider")


@pytest.mark.parametrize("wrong", [{"prompt_tokens": -5}, {"completion_tokens": -1}, {"prompt_tokens": 2**60}])
def test_a_count_that_cannot_be_is_none(wrong: dict[str, int]) -> None:
    """The answer reaches the app all the same, and is counted by us."""
    assert usage_in({"usage": {"prompt_tokens": 3, "completion_tokens": 4, **wrong}}, {}) == NO_USAGE
    parts = {"prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens_details": {"reasoning_tokens": -9}}
    assert usage_in({"usage": {"prompt_tokens": 3, "completion_tokens": 4, **parts}}, {}) == Usage(
        3, 4, source="provider"
    )


def test_usage_from_additional_kwargs() -> None:
    assert usage_in({}, {"prompt_tokens": 3, "completion_tokens": 4}) == Usage(3, 4, source="provider")


def test_latest_usage_of_a_stream() -> None:
    """Anthropic tells the input with the first piece and the output with the last."""
    first, last = Usage(100, 1, source="provider"), Usage(0, 20, source="provider")
    assert latest(latest(NO_USAGE, first), last) == Usage(100, 20, source="provider")
    assert latest(first, NO_USAGE) is first


def test_message_has_no_ids_of_its_provider() -> None:
    blocks = [TextBlock(text="a"), ToolCallBlock(tool_call_id="call_1", tool_name="f", tool_kwargs='{"x": 1}')]
    message = ChatMessage(
        role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": [1], "refusal": "no"}
    )
    known = message_in(message)
    assert (known.role, known.content) == ("assistant", "a")
    assert known.tool_calls == (ToolCall("call_1", "f", {"x": 1}),)
    assert known.extra == {"refusal": "no"}


def test_message_with_an_image() -> None:
    message = ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="a"), ImageBlock(url="http://x/y.png")])
    content = message_in(message).content
    assert not isinstance(content, str)
    assert [block["type"] for block in content if isinstance(block, dict)] == ["text", "image"]


def test_unparsable_arguments_stay_text() -> None:
    block = ToolCallBlock(tool_name="f", tool_kwargs='{"x": ')
    assert message_in(ChatMessage(role=MessageRole.ASSISTANT, blocks=[block])).tool_calls[0].arguments == '{"x": '


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(role=MessageRole.ASSISTANT, content="Hello"),
        ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="a"), TextBlock(text="b")]),
        ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=[TextBlock(text=""), ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"x": [1]})],
            additional_kwargs={"refusal": None},
        ),
    ],
    ids=["text", "blocks", "tools"],
)
def test_stored_answer_is_told_again(message: ChatMessage) -> None:
    stored = unpack(pack(reply_in(ChatResponse(message=message, raw=OPENAI)), 0, 1))
    assert stored is not None
    reply = stored.reply
    assert reply is not None
    again = chat_out(reply)
    assert again.message == message
    assert again.additional_kwargs["total_tokens"] == 0
    assert finish_in(as_mapping(again.raw)) == "stop"


def test_completion_reply() -> None:
    reply = reply_in(CompletionResponse(text="Hi", raw=OPENAI))
    assert (reply.content, reply.usage.input_tokens, reply.model, reply.finish_reason) == ("Hi", 100, "gpt-4o", "stop")


class _Part(BaseModel):
    name: str


def test_models_in_additional_kwargs_become_json() -> None:
    message = ChatMessage(role=MessageRole.ASSISTANT, content="Hi", additional_kwargs={"parts": [_Part(name="a")]})
    assert reply_in(ChatResponse(message=message)).extra == {"additional_kwargs": {"parts": [{"name": "a"}]}}
