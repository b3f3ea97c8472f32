"""The LLM inside the framework's own applications: agents, query engines, chat engines."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

import pytest
from llama_index.core import MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent, LLMCompletionStartEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool

from thrift_plugins.testing.llama_index_suite.base import ContractBase, recorded_events

_TEXTS = ("The lighthouse was built in 1871.", "The harbour freezes in winter.", "Ferries leave every hour.")
_QUESTION = "When was the lighthouse built?"


def _nodes() -> list[TextNode]:
    return [TextNode(text=text, id_=f"node-{index}") for index, text in enumerate(_TEXTS)]


def _summary() -> SummaryIndex:
    return SummaryIndex(_nodes())


def _vectors() -> VectorStoreIndex:
    return VectorStoreIndex(_nodes(), embed_model=MockEmbedding(embed_dim=4))


def _memory(llm: LLM) -> BaseMemory:
    """The default memory would leave a database connection open."""
    return ChatMemoryBuffer.from_defaults(llm=llm)


class _Multiplier:
    """A tool that remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.tool = FunctionTool.from_defaults(self.multiply)

    def multiply(self, a: int, b: int) -> int:
        """Multiply two integers."""
        self.calls.append((a, b))
        return a * b


# LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones and their own too.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
class ApplicationTests(ContractBase):
    """Agents, query engines and chat engines run with it as with any other LLM."""

    @pytest.mark.parametrize("streaming", [True, False])
    async def test_function_agent(self, tool_llm: FunctionCallingLLM, *, streaming: bool) -> None:
        multiplier = _Multiplier()
        agent = FunctionAgent(tools=[multiplier.tool], llm=tool_llm, streaming=streaming)
        # The name is annotated because `run` has no type that a checker understands.
        response: object = await agent.run("Use the multiply tool on 6 and 7.", memory=_memory(tool_llm))
        assert multiplier.calls == [(6, 7)]
        assert isinstance(response, AgentOutput)
        assert str(response)
        assert [call.tool_name for call in response.tool_calls] == ["multiply"]

    async def test_function_agent_without_tools(self, tool_llm: FunctionCallingLLM) -> None:
        agent = FunctionAgent(llm=tool_llm, system_prompt="Be brief.")
        assert str(await agent.run("Hello", memory=_memory(tool_llm)))

    async def test_agent_workflow(self, tool_llm: FunctionCallingLLM) -> None:
        multiplier = _Multiplier()
        workflow = AgentWorkflow.from_tools_or_functions([multiplier.multiply], llm=tool_llm)
        assert str(await workflow.run(user_msg="Use the multiply tool on 6 and 7.", memory=_memory(tool_llm)))
        assert multiplier.calls == [(6, 7)]

    @pytest.mark.parametrize("streaming", [True, False])
    async def test_react_agent(self, llm: LLM, *, streaming: bool) -> None:
        agent = ReActAgent(tools=[_Multiplier().tool], llm=llm, streaming=streaming)
        assert str(await agent.run("Hello", memory=_memory(llm)))

    def test_query(self, llm: LLM) -> None:
        response = _summary().as_query_engine(llm=llm).query(_QUESTION)
        assert str(response)
        assert len(response.source_nodes) == len(_TEXTS)

    async def test_aquery(self, llm: LLM) -> None:
        assert str(await _summary().as_query_engine(llm=llm).aquery(_QUESTION))

    def test_query_is_one_call(self, llm: LLM) -> None:
        with recorded_events() as log:
            _summary().as_query_engine(llm=llm).query(_QUESTION)
        assert log.count(LLMChatStartEvent) + log.count(LLMCompletionStartEvent) == 1

    def test_streaming_query(self, llm: LLM) -> None:
        response = _summary().as_query_engine(llm=llm, streaming=True).query(_QUESTION)
        assert isinstance(response, StreamingResponse)
        assert len(list(response.response_gen)) > 1

    async def test_streaming_aquery(self, llm: LLM) -> None:
        response = await _summary().as_query_engine(llm=llm, streaming=True).aquery(_QUESTION)
        assert isinstance(response, AsyncStreamingResponse)
        assert len([token async for token in response.response_gen]) > 1

    @pytest.mark.parametrize("mode", [ResponseMode.REFINE, ResponseMode.TREE_SUMMARIZE, ResponseMode.ACCUMULATE])
    def test_response_modes(self, llm: LLM, mode: ResponseMode) -> None:
        assert str(_summary().as_query_engine(llm=llm, response_mode=mode).query(_QUESTION))

    def test_vector_query(self, llm: LLM) -> None:
        response = _vectors().as_query_engine(llm=llm, similarity_top_k=2).query(_QUESTION)
        assert str(response)
        assert len(response.source_nodes) == 2

    async def test_vector_aquery(self, llm: LLM) -> None:
        assert str(await _vectors().as_query_engine(llm=llm).aquery(_QUESTION))

    def test_chat_engine(self, llm: LLM) -> None:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=_memory(llm))
        assert str(engine.chat("Hello"))
        assert str(engine.chat("Hello again"))
        assert len(engine.chat_history) == 4

    async def test_chat_engine_async(self, llm: LLM) -> None:
        assert str(await SimpleChatEngine.from_defaults(llm=llm, memory=_memory(llm)).achat("Hello"))

    def test_chat_engine_stream(self, llm: LLM) -> None:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=_memory(llm))
        assert "".join(engine.stream_chat("Hello").response_gen)

    async def test_chat_engine_astream(self, llm: LLM) -> None:
        response = await SimpleChatEngine.from_defaults(llm=llm, memory=_memory(llm)).astream_chat("Hello")
        assert "".join([token async for token in response.async_response_gen()])

    @pytest.mark.parametrize("mode", [ChatMode.CONTEXT, ChatMode.CONDENSE_PLUS_CONTEXT])
    def test_index_chat_engine(self, llm: LLM, mode: ChatMode) -> None:
        engine = _vectors().as_chat_engine(chat_mode=mode, llm=llm, memory=_memory(llm))
        assert str(engine.chat(_QUESTION))
        assert str(engine.chat("And in which winter?"))
