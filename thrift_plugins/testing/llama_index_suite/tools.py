"""Tool calling: asked for, forced, parallel, streamed, executed."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool, ToolSelection

from thrift_plugins.testing.llama_index_suite.base import ContractBase


def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


def weather(city: str) -> str:
    """Say what the weather in a city is."""
    return f"It is sunny in {city}."


def _tools() -> list[FunctionTool]:
    return [FunctionTool.from_defaults(multiply), FunctionTool.from_defaults(weather)]


_ASKED = "Use the multiply tool on 6 and 7."
_TWO_ASKED = "Use the multiply tool on 6 and 7, and the weather tool on 'Paris'."


class ToolTests(ContractBase):
    """`chat_with_tools`, `predict_and_call`, and their twins."""

    def test_chat_with_tools(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.chat_with_tools(_tools(), user_msg=_ASKED)
        assert response.message.role == MessageRole.ASSISTANT
        self._check_multiply(tool_llm, response)

    async def test_achat_with_tools(self, tool_llm: FunctionCallingLLM) -> None:
        self._check_multiply(tool_llm, await tool_llm.achat_with_tools(_tools(), user_msg=_ASKED))

    def test_stream_chat_with_tools(self, tool_llm: FunctionCallingLLM) -> None:
        *_, last = tool_llm.stream_chat_with_tools(_tools(), user_msg=_ASKED)
        self._check_multiply(tool_llm, last)

    async def test_astream_chat_with_tools(self, tool_llm: FunctionCallingLLM) -> None:
        stream = await tool_llm.astream_chat_with_tools(_tools(), user_msg=_ASKED)
        chunks = [chunk async for chunk in stream]
        self._check_multiply(tool_llm, chunks[-1])

    def _check_multiply(self, llm: FunctionCallingLLM, response: ChatResponse) -> None:
        (call,) = llm.get_tool_calls_from_response(response)
        assert isinstance(call, ToolSelection)
        assert call.tool_id
        assert call.tool_name == "multiply"
        assert call.tool_kwargs == {"a": 6, "b": 7}

    def test_chat_message_and_history(self, tool_llm: FunctionCallingLLM) -> None:
        history = [
            ChatMessage(role=MessageRole.USER, content="Hello"),
            ChatMessage(role=MessageRole.ASSISTANT, content="Hello!"),
        ]
        asked = ChatMessage(role=MessageRole.USER, content=_ASKED)
        response = tool_llm.chat_with_tools(_tools(), user_msg=asked, chat_history=history)
        self._check_multiply(tool_llm, response)

    def test_no_tool_is_called_unasked(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.chat_with_tools(_tools(), user_msg="Hello")
        assert response.message.content
        assert tool_llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    def test_error_on_no_tool_call(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.chat_with_tools(_tools(), user_msg="Hello")
        with pytest.raises(ValueError, match="tool call"):
            tool_llm.get_tool_calls_from_response(response, error_on_no_tool_call=True)

    def test_tool_required(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.chat_with_tools(_tools(), user_msg="Hello", tool_required=True)
        assert tool_llm.get_tool_calls_from_response(response)

    async def test_tool_required_async(self, tool_llm: FunctionCallingLLM) -> None:
        response = await tool_llm.achat_with_tools(_tools(), user_msg="Hello", tool_required=True)
        assert tool_llm.get_tool_calls_from_response(response)

    def test_tool_required_stream(self, tool_llm: FunctionCallingLLM) -> None:
        *_, last = tool_llm.stream_chat_with_tools(_tools(), user_msg="Hello", tool_required=True)
        assert tool_llm.get_tool_calls_from_response(last)

    def test_parallel_tool_calls(self, tool_llm: FunctionCallingLLM) -> None:
        self._needs_parallel()
        response = tool_llm.chat_with_tools(_tools(), user_msg=_TWO_ASKED, allow_parallel_tool_calls=True)
        names = {call.tool_name for call in tool_llm.get_tool_calls_from_response(response)}
        assert names == {"multiply", "weather"}

    async def test_parallel_tool_calls_stream(self, tool_llm: FunctionCallingLLM) -> None:
        self._needs_parallel()
        stream = await tool_llm.astream_chat_with_tools(_tools(), user_msg=_TWO_ASKED, allow_parallel_tool_calls=True)
        chunks = [chunk async for chunk in stream]
        calls = tool_llm.get_tool_calls_from_response(chunks[-1])
        assert {call.tool_name for call in calls} == {"multiply", "weather"}
        assert len({call.tool_id for call in calls}) == 2

    def _needs_parallel(self) -> None:
        if not self.has_parallel_tool_calls:
            pytest.skip("it calls one tool at a time")

    def test_single_tool_call(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.chat_with_tools(_tools(), user_msg=_TWO_ASKED, allow_parallel_tool_calls=False)
        assert len(tool_llm.get_tool_calls_from_response(response)) == 1

    def test_tool_result_in_history(self, tool_llm: FunctionCallingLLM) -> None:
        tools = _tools()
        called = tool_llm.chat_with_tools(tools, user_msg=_ASKED)
        (call,) = tool_llm.get_tool_calls_from_response(called)
        history = [
            ChatMessage(role=MessageRole.USER, content=_ASKED),
            called.message,
            ChatMessage(role=MessageRole.TOOL, content="42", additional_kwargs={"tool_call_id": call.tool_id}),
        ]
        response = tool_llm.chat_with_tools(tools, chat_history=history)
        assert response.message.content
        assert tool_llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    def test_predict_and_call(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.predict_and_call(_tools(), user_msg=_ASKED)
        assert response.response == "42"
        assert response.sources[0].tool_name == "multiply"

    async def test_apredict_and_call(self, tool_llm: FunctionCallingLLM) -> None:
        response = await tool_llm.apredict_and_call(_tools(), user_msg=_ASKED)
        assert response.response == "42"

    def test_predict_and_call_in_parallel(self, tool_llm: FunctionCallingLLM) -> None:
        self._needs_parallel()
        response = tool_llm.predict_and_call(_tools(), user_msg=_TWO_ASKED, allow_parallel_tool_calls=True)
        assert {source.tool_name for source in response.sources} == {"multiply", "weather"}

    def test_predict_and_call_without_a_call(self, tool_llm: FunctionCallingLLM) -> None:
        response = tool_llm.predict_and_call(_tools(), user_msg="Hello", error_on_no_tool_call=False)
        assert response.sources == []
        assert response.response
