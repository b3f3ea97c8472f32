"""Each call makes one pair of events, in the old callbacks and in the new instrumentation."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

from llama_index.core.callbacks import CBEventType, LlamaDebugHandler
from llama_index.core.callbacks.schema import EventPayload
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool

from thrift_plugins.testing.llama_index_suite.base import ContractBase, EventLog, listen, recorded_events, user
from thrift_plugins.testing.llama_index_suite.tools import multiply


class EventTests(ContractBase):
    """Two events for one call would be billed twice by every handler there is."""

    # --- callbacks

    def test_chat_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        response = llm.chat(user("Hello"))
        (pair,) = handler.get_llm_inputs_outputs()
        assert pair[0].payload is not None
        assert pair[0].payload[EventPayload.MESSAGES][0].content == "Hello"
        assert pair[1].payload is not None
        assert pair[1].payload[EventPayload.RESPONSE].message.content == response.message.content

    async def test_achat_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        await llm.achat(user("Hello"))
        _check_one_pair(handler)

    def test_complete_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        llm.complete("Hello")
        _check_one_pair(handler)

    async def test_acomplete_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        await llm.acomplete("Hello")
        _check_one_pair(handler)

    def test_stream_chat_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        *_, last = llm.stream_chat(user("Hello"))
        (pair,) = handler.get_llm_inputs_outputs()
        assert pair[1].payload is not None
        assert pair[1].payload[EventPayload.RESPONSE].message.content == last.message.content

    async def test_astream_chat_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        async for _ in await llm.astream_chat(user("Hello")):
            pass
        _check_one_pair(handler)

    def test_stream_complete_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        list(llm.stream_complete("Hello"))
        _check_one_pair(handler)

    async def test_astream_complete_callbacks(self, llm: LLM) -> None:
        handler = listen(llm)
        async for _ in await llm.astream_complete("Hello"):
            pass
        _check_one_pair(handler)

    def test_tool_callbacks(self, tool_llm: FunctionCallingLLM) -> None:
        handler = listen(tool_llm)
        tool_llm.chat_with_tools([FunctionTool.from_defaults(multiply)], user_msg="Use multiply on 6 and 7.")
        _check_one_pair(handler)

    def test_every_call_has_callbacks_of_its_own(self, llm: LLM) -> None:
        handler = listen(llm)
        llm.chat(user("Hello"))
        llm.chat(user("Hello"))
        assert len(handler.get_llm_inputs_outputs()) == 2

    def test_callback_manager_may_be_replaced(self, llm: LLM) -> None:
        before = listen(llm)
        llm.chat(user("Hello"))
        after = listen(llm)
        llm.chat(user("Hello"))
        _check_one_pair(before)
        _check_one_pair(after)

    # --- instrumentation

    def test_chat_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            llm.chat(user("Hello"))
        _check_chat(log)

    async def test_achat_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            await llm.achat(user("Hello"))
        _check_chat(log)

    def test_complete_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            llm.complete("Hello")
        _check_completion(log)

    async def test_acomplete_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            await llm.acomplete("Hello")
        _check_completion(log)

    def test_stream_chat_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            chunks = list(llm.stream_chat(user("Hello")))
        _check_chat(log)
        assert log.count(LLMChatInProgressEvent) == len(chunks)

    async def test_astream_chat_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            chunks = [chunk async for chunk in await llm.astream_chat(user("Hello"))]
        _check_chat(log)
        assert log.count(LLMChatInProgressEvent) == len(chunks)

    def test_stream_complete_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            chunks = list(llm.stream_complete("Hello"))
        _check_completion(log)
        assert log.count(LLMCompletionInProgressEvent) == len(chunks)

    async def test_astream_complete_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            chunks = [chunk async for chunk in await llm.astream_complete("Hello")]
        _check_completion(log)
        assert log.count(LLMCompletionInProgressEvent) == len(chunks)

    def test_predict_events(self, llm: LLM) -> None:
        with recorded_events() as log:
            llm.predict(PromptTemplate("Hello"))
        starts = log.count(LLMChatStartEvent) + log.count(LLMCompletionStartEvent)
        ends = log.count(LLMChatEndEvent) + log.count(LLMCompletionEndEvent)
        assert (starts, ends) == (1, 1)

    async def test_tool_events(self, tool_llm: FunctionCallingLLM) -> None:
        with recorded_events() as log:
            await tool_llm.achat_with_tools([FunctionTool.from_defaults(multiply)], user_msg="Use multiply on 6 and 7.")
        _check_chat(log)


def _check_one_pair(handler: LlamaDebugHandler) -> None:
    (pair,) = handler.get_event_pairs(CBEventType.LLM)
    assert len(pair) == 2


def _check_chat(log: EventLog) -> None:
    assert (log.count(LLMChatStartEvent), log.count(LLMChatEndEvent)) == (1, 1)
    assert (log.count(LLMCompletionStartEvent), log.count(LLMCompletionEndEvent)) == (0, 0)


def _check_completion(log: EventLog) -> None:
    assert (log.count(LLMCompletionStartEvent), log.count(LLMCompletionEndEvent)) == (1, 1)
    assert (log.count(LLMChatStartEvent), log.count(LLMChatEndEvent)) == (0, 0)
