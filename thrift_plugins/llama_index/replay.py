"""A stored answer as an LLM of its own, so that a hit has the callbacks and events of a miss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms import LLM
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool

from pydantic import Field

from thrift_plugins.llama_index.convert import chat_out, completion_out
from thrift_plugins.types import Reply

_PIECE = re.compile(r"\s*\S+|\s+")


class ReplayLLM(FunctionCallingLLM):
    """Answers with one stored reply and looks, to every observer, like the model that gave it.

    Attributes:
        original: the model that it stands for.
        reply: what it says.
    """

    original: Any = Field(exclude=True)
    reply: Any = Field(exclude=True)

    @property
    def metadata(self) -> LLMMetadata:
        return self.original.metadata

    def to_payload(self) -> dict[str, Any]:
        return self.original.to_payload()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return chat_out(self.reply)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return completion_out(self.reply)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._chat_pieces()

    def _chat_pieces(self) -> ChatResponseGen:
        whole = chat_out(self.reply)
        text = ""
        for piece in _PIECE.findall(str(self.reply.content)):
            text += piece
            yield ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), delta=piece)
        yield ChatResponse(
            message=whole.message, delta="", raw=whole.raw, additional_kwargs=whole.additional_kwargs
        )

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return self._completion_pieces()

    def _completion_pieces(self) -> CompletionResponseGen:
        whole = completion_out(self.reply)
        text = ""
        for piece in _PIECE.findall(whole.text):
            text += piece
            yield CompletionResponse(text=text, delta=piece)
        yield CompletionResponse(text=whole.text, delta="", raw=whole.raw, additional_kwargs=whole.additional_kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return chat_out(self.reply)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return completion_out(self.reply)

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        async def pieces() -> ChatResponseAsyncGen:
            for piece in self._chat_pieces():
                yield piece

        return pieces()

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        async def pieces() -> CompletionResponseAsyncGen:
            for piece in self._completion_pieces():
                yield piece

        return pieces()

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        turn = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
        return {"messages": [*(chat_history or []), *([turn] if turn else [])], **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        assert isinstance(self.original, FunctionCallingLLM)
        return self.original.get_tool_calls_from_response(response, error_on_no_tool_call, **kwargs)


def replay(original: LLM, reply: Reply) -> ReplayLLM:
    """A model that answers with `reply` in the place of `original`."""
    return ReplayLLM(original=original, reply=reply, callback_manager=original.callback_manager)
