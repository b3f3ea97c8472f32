"""A recorded model as a LlamaIndex LLM, for replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import BaseTool, ToolMetadata, ToolOutput
from pydantic import Field

from thrift_plugins.llama_index.convert import chat_out
from thrift_plugins.tape import Tape
from thrift_plugins.types import Json


class RecordedLLM(FunctionCallingLLM):
    """Answers with what a model is recorded to have answered. Recordings are chats, given whole.

    Attributes:
        model: the model.
        tape: where its answers are.
    """

    model: str
    tape: Any = Field(exclude=True, repr=False)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, is_function_calling_model=True, context_window=-1)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages)

    def _answer(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        tape: Tape = self.tape
        reply = tape.play(self.model, lambda: "\n".join(message.content or "" for message in messages))
        response = chat_out(reply)
        used = reply.usage
        response.raw = {
            "model": self.model,
            "choices": [{"finish_reason": reply.finish_reason}],
            "usage": {
                "prompt_tokens": used.input_tokens,
                "completion_tokens": used.output_tokens,
                "prompt_tokens_details": {"cached_tokens": used.cache_read},
            },
        }
        return response

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError(_CHATS_ONLY)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError(_CHATS_ONLY)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        raise NotImplementedError(_CHATS_ONLY)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        raise NotImplementedError(_CHATS_ONLY)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError(_CHATS_ONLY)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        raise NotImplementedError(_CHATS_ONLY)

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
        specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        return {"messages": [*(chat_history or []), *([turn] if turn else [])], "tools": specs, **kwargs}


_CHATS_ONLY = "a recording holds whole chats: call chat or achat"


class _SchemaMetadata(ToolMetadata):
    """A tool that is known by its JSON schema only."""

    def __init__(self, function: Mapping[str, Json]) -> None:
        super().__init__(name=str(function["name"]), description=str(function.get("description", "")))
        parameters = function.get("parameters")
        self._parameters: dict[str, Any] = dict(parameters) if isinstance(parameters, Mapping) else {}

    def get_parameters_dict(self) -> dict[str, Any]:
        return self._parameters


class RecordedTool(BaseTool):
    """A tool that was offered to a recorded model. It cannot be called."""

    def __init__(self, function: Mapping[str, Json]) -> None:
        self._metadata = _SchemaMetadata(function)

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def __call__(self, input: Any) -> ToolOutput:  # noqa: A002  the framework's name
        raise NotImplementedError("a recorded tool cannot be called")
