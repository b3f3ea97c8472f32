"""A stored answer as a model of its own, so that a hit has the callbacks, tokens and events of a miss."""

# ruff: noqa: ARG002, SLF001  LangChain's signatures, and its facts behind underscores

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCallChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_INHERITED = ("tags", "metadata", "callbacks", "verbose", "disable_streaming", "output_version")
_CALLS = ("tool_call", "invalid_tool_call")
_PIECE = re.compile(r"\s*\S+|\s+")


class ReplayChatModel(BaseChatModel):
    """Answers with one stored message and looks, to every observer, like the model that gave it.

    Attributes:
        original: the model that it stands for.
        message: what it says.
    """

    original: BaseChatModel
    message: AIMessage

    @property
    def _llm_type(self) -> str:
        return self.original._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.original._identifying_params)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.original._get_ls_params(stop=stop, **kwargs)

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        return self.original.get_name(suffix, name=name)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.message.model_copy())])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in _pieces(self.message):
            yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in _pieces(self.message):
            yield ChatGenerationChunk(message=chunk)


def _pieces(message: AIMessage) -> Iterator[AIMessageChunk]:
    """The message as a provider would stream it: role, words, tool calls in parts, the end, the usage."""
    nothing: str | list[str | dict[str, Any]] = "" if isinstance(message.content, str) else []
    yield AIMessageChunk(content=nothing)
    yield from _words(message.content)
    for index, call in enumerate([*message.tool_calls, *message.invalid_tool_calls]):
        arguments = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"], ensure_ascii=False)
        yield _call_chunk(nothing, tool_call_chunk(id=call["id"], name=call["name"], args="", index=index))
        for piece in _PIECE.findall(arguments):
            yield _call_chunk(nothing, tool_call_chunk(args=piece, index=index))
    yield AIMessageChunk(
        content=nothing, additional_kwargs=message.additional_kwargs, response_metadata=message.response_metadata
    )
    if message.usage_metadata is not None:
        yield AIMessageChunk(content=nothing, usage_metadata=message.usage_metadata)


def _words(content: str | list[str | dict[str, Any]]) -> Iterator[AIMessageChunk]:
    """The content in pieces. A block that repeats a tool call is left to the chunks of that call."""
    if isinstance(content, str):
        for piece in _PIECE.findall(content):
            yield AIMessageChunk(content=piece)
        return
    for index, block in enumerate(content):
        if isinstance(block, str):
            yield AIMessageChunk(content=[block])
        elif block.get("type") == "text":
            first, *rest = _PIECE.findall(block["text"]) or [""]
            yield AIMessageChunk(content=[{**block, "text": first, "index": index}])
            for piece in rest:
                yield AIMessageChunk(content=[{"type": "text", "text": piece, "index": index}])
        elif block.get("type") not in _CALLS:
            yield AIMessageChunk(content=[{**block, "index": index}])


def _call_chunk(content: str | list[str | dict[str, Any]], part: ToolCallChunk) -> AIMessageChunk:
    return AIMessageChunk(content=content, tool_call_chunks=[part])


def replay(original: BaseChatModel, message: AIMessage) -> ReplayChatModel:
    """A model that answers with `message` in the place of `original`.

    LangChain's own cache knows no tenants, and must not keep what ours has let through.
    """
    inherited = {name: getattr(original, name) for name in _INHERITED}
    return ReplayChatModel.model_construct(original=original, message=message, cache=False, **inherited)
