"""A stored answer told by the tier that gave it, so that a hit has the callbacks, events and spans of a miss.

The stand-in is the tier itself, in a subclass whose chat and completion methods say the stored answer. All else, such
as how it prepares and reads tool calls, is the tier's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import new_class
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    ContentBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index_instrumentation import get_dispatcher

from thrift_plugins.llama_index.convert import Raw, chat_out, completion_out
from thrift_plugins.llama_index.tier import twin
from thrift_plugins.types import Reply

_PIECE = re.compile(r"\s*\S+|\s+")
_span = get_dispatcher(__name__).span


def replaying(tier: LLM, reply: Reply) -> LLM:
    """The tier, set to say `reply` whatever it is asked. No rate limit is spent on it."""
    return twin(tier, {"thrift_reply": reply, "rate_limiter": None}, _replaying(type(tier)))


@lru_cache(maxsize=64)
def _replaying(kind: type[LLM]) -> type[LLM]:
    """A subclass that replays; it bears the name of its parent, as every span does."""
    methods: dict[str, Any] = {**_TOLD, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    if issubclass(kind, FunctionCallingLLM):
        methods |= _TOLD_WITH_TOOLS
    return new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(methods))


def _reply(told: LLM) -> Reply:
    reply: Reply = told.__dict__["thrift_reply"]
    return reply


@_span
@llm_chat_callback()
def _chat(self: LLM, *_asked: object, **_kwargs: object) -> ChatResponse:
    return chat_out(_reply(self))


@_span
@llm_chat_callback()
async def _achat(self: LLM, *_asked: object, **_kwargs: object) -> ChatResponse:
    return chat_out(_reply(self))


@_span
@llm_completion_callback()
def _complete(self: LLM, *_asked: object, **_kwargs: object) -> CompletionResponse:
    return completion_out(_reply(self))


@_span
@llm_completion_callback()
async def _acomplete(self: LLM, *_asked: object, **_kwargs: object) -> CompletionResponse:
    return completion_out(_reply(self))


@_span
@llm_chat_callback()
def _stream_chat(self: LLM, *_asked: object, **_kwargs: object) -> ChatResponseGen:
    return _chat_pieces(_reply(self))


@_span
@llm_chat_callback()
async def _astream_chat(self: LLM, *_asked: object, **_kwargs: object) -> ChatResponseAsyncGen:
    async def pieces() -> ChatResponseAsyncGen:
        for piece in _chat_pieces(_reply(self)):
            yield piece

    return pieces()


@_span
@llm_completion_callback()
def _stream_complete(self: LLM, *_asked: object, **_kwargs: object) -> CompletionResponseGen:
    return _completion_pieces(_reply(self))


@_span
@llm_completion_callback()
async def _astream_complete(self: LLM, *_asked: object, **_kwargs: object) -> CompletionResponseAsyncGen:
    async def pieces() -> CompletionResponseAsyncGen:
        for piece in _completion_pieces(_reply(self)):
            yield piece

    return pieces()


_TOLD: Mapping[str, Callable[..., Any]] = {
    "chat": _chat,
    "achat": _achat,
    "complete": _complete,
    "acomplete": _acomplete,
    "stream_chat": _stream_chat,
    "astream_chat": _astream_chat,
    "stream_complete": _stream_complete,
    "astream_complete": _astream_complete,
}
_TOLD_WITH_TOOLS: Mapping[str, Callable[..., Any]] = {
    name: FunctionCallingLLM.__dict__[name]
    for name in ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
}
"""The framework's own, which go through `chat`; a tier's might ask the provider."""


def _chat_pieces(reply: Reply) -> ChatResponseGen:
    """A chat in pieces like a provider's: words, arguments of tools, and at the end the whole with its usage."""
    whole = chat_out(reply)
    raw, text = _unfinished(whole), ""
    for delta in _PIECE.findall(str(reply.content)):
        text += delta
        yield _so_far([TextBlock(text=text)], delta, raw)
    said: list[ContentBlock] = [TextBlock(text=text)]
    for call in whole.message.blocks:
        if isinstance(call, ToolCallBlock) and isinstance(call.tool_kwargs, str):
            for end in (piece.end() for piece in _PIECE.finditer(call.tool_kwargs)):
                part = call.model_copy(update={"tool_kwargs": call.tool_kwargs[:end]})
                yield _so_far([*said, part], "", raw)
            said.append(call)
    whole.delta = ""
    yield whole


def _so_far(blocks: list[ContentBlock], delta: str, raw: object) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks), delta=delta, raw=raw)


def _unfinished(whole: ChatResponse | CompletionResponse) -> Raw:
    """What the provider tells with a piece before the last: neither usage nor why it ended."""
    return Raw(model=whole.raw["model"] if isinstance(whole.raw, dict) else "", choices=[], usage=None)


def _completion_pieces(reply: Reply) -> CompletionResponseGen:
    whole = completion_out(reply)
    raw, text = _unfinished(whole), ""
    for delta in _PIECE.findall(whole.text):
        text += delta
        yield CompletionResponse(text=text, delta=delta, raw=raw)
    whole.delta = ""
    yield whole
