"""Long conversations in an app on either framework: what the provider is sent once turns go, and what its prompt cache is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import CustomLLM
from llama_index.core.tools import FunctionTool

from tests.anthropic_server import AnthropicServer, anthropic_server
from tests.llama_index_kit import openai
from thrift_plugins import CacheConfig, CompressionConfig, Config, ConfigError, OutputConfig, Runtime
from thrift_plugins.langchain import PromptCompressor, ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import LoopbackProvider

RULES = "Never sell a ticket without a name, and be kind to every dog. " * 120
MOST = 1_200


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with anthropic_server() as made:
        yield made
        assert made.problems == []


def _runtime(output: OutputConfig | None = None, **settings: Any) -> Runtime:
    told = CompressionConfig(enabled=True, **settings)
    config = Config(store="memory:", cache=CacheConfig(enabled=False), compression=told, output=output or OutputConfig())
    return Runtime(config)


def _events(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return list(runtime.ledger.records())


def _talk(turns: int) -> list[BaseMessage]:
    """Turns with tool calls, and one more question."""
    made: list[BaseMessage] = [SystemMessage("Be brief.")]
    for number in range(turns):
        made += [
            HumanMessage(f"Question {number}: " + "word " * 60),
            AIMessage("", tool_calls=[{"id": f"c{number}", "name": "look", "args": {"n": number}}]),
            ToolMessage("result " * 60, tool_call_id=f"c{number}"),
            AIMessage("Done."),
        ]
    return [*made, HumanMessage("And now?")]


def _chat(turns: int) -> list[ChatMessage]:
    """The same in LlamaIndex's words."""
    made = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief.")]
    for number in range(turns):
        call = ToolCallBlock(tool_call_id=f"c{number}", tool_name="look", tool_kwargs={"n": number})
        made += [
            ChatMessage(role=MessageRole.USER, content=f"Question {number}: " + "word " * 60),
            ChatMessage(role=MessageRole.ASSISTANT, blocks=[call]),
            ChatMessage(role=MessageRole.TOOL, content="result " * 60, additional_kwargs={"tool_call_id": f"c{number}"}),
            ChatMessage(role=MessageRole.ASSISTANT, content="Done."),
        ]
    return [*made, ChatMessage(role=MessageRole.USER, content="And now?")]


def _whole(sent: list[dict[str, Any]]) -> None:
    """What was sent is shorter, and a conversation that a provider takes."""
    assert sent[0]["content"] == "Be brief."
    assert sent[1]["role"] == "user"
    assert sent[1]["content"].startswith("Question ")
    assert not sent[1]["content"].startswith("Question 0")
    assert sent[-1]["content"].startswith("And now?")
    asked = [call["id"] for message in sent for call in message.get("tool_calls") or ()]
    assert asked == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert asked


def _booked(runtime: Runtime) -> None:
    entry = _events(runtime)[-1]
    assert entry["baseline"]["usage"]["input_tokens"] > entry["usage"]["input_tokens"]
    assert any(reason.startswith("compression: history -") for reason in entry["reasons"])


def test_langchain(provider: LoopbackProvider):
    runtime = _runtime(max_history=MOST)
    model = ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0, stream_usage=True)
    wrapped = ThriftChatModel(tiers=[model], runtime=runtime)
    given = _talk(12)
    wrapped.invoke(given)
    _whole(provider.requests[-1].body["messages"])
    _booked(runtime)
    assert given == _talk(12)
    first = provider.requests[-1].body["messages"]
    list(wrapped.stream(given))
    assert provider.requests[-1].body["messages"] == first
    asyncio.run(wrapped.ainvoke(given))
    assert provider.requests[-1].body["messages"] == first
    wrapped.invoke(_talk(2))
    assert len(provider.requests[-1].body["messages"]) == len(_talk(2))
    runtime.close()


def test_llama_index(provider: LoopbackProvider):
    runtime = _runtime(max_history=MOST)
    model = ThriftLLM(tiers=[openai(provider, "gpt-4o")], runtime=runtime)
    given = _chat(12)
    model.chat(given)
    _whole(provider.requests[-1].body["messages"])
    _booked(runtime)
    assert given == _chat(12)
    list(model.stream_chat(given))
    _whole(provider.requests[-1].body["messages"])
    asyncio.run(model.achat(given))
    _whole(provider.requests[-1].body["messages"])
    tool = FunctionTool.from_defaults(lambda n: n, name="look", description="It looks.")
    model.chat_with_tools([tool], user_msg="And now?", chat_history=given[:-1])
    _whole(provider.requests[-1].body["messages"])
    model.chat_with_tools([tool], chat_history=given)
    _whole(provider.requests[-1].body["messages"])
    model.complete("word " * 3_000)
    runtime.close()


def test_the_note_for_a_shorter_answer_is_on_the_last_message(provider: LoopbackProvider):
    runtime = _runtime(OutputConfig(words=20, mode="soft"), max_history=MOST)
    model = ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0)
    ThriftChatModel(tiers=[model], runtime=runtime).invoke(_talk(12))
    sent = provider.requests[-1].body["messages"]
    _whole(sent)
    assert "20 words" in sent[-1]["content"]
    ThriftLLM(tiers=[openai(provider, "gpt-4o")], runtime=runtime).chat(_chat(12))
    sent = provider.requests[-1].body["messages"]
    _whole(sent)
    assert "20 words" in sent[-1]["content"]
    runtime.close()


def test_a_prompt_compressor_lists_what_went():
    compressor = PromptCompressor(max_history=MOST)
    told = compressor.compress(_talk(12))
    assert told.kept is not None
    assert [compressor.fetch(one.id) for one in told.dropped] == [one.text for one in told.dropped]
    assert told.tokens_after <= MOST < told.tokens_before
    assert len(compressor.invoke(_talk(12))) == len(told.kept)
    only = [SystemMessage("word " * 2_000)]
    assert compressor.invoke(only) is only


def test_a_setting_that_cannot_work():
    with pytest.raises(ConfigError, match="max_history must be 1 or more, not 0"):
        _runtime(max_history=0)
    with pytest.raises(ConfigError, match="max_history must be 1 or more, not -1"):
        _runtime(features={"chat": {"max_history": -1}})


# ---- breakpoints for Anthropic's models ----


def _claude(server: AnthropicServer, runtime: Runtime, **settings: Any) -> ThriftChatModel:
    model = ChatAnthropic(model="claude-sonnet-4-6", base_url=server.base_url, api_key="k", max_retries=0, **settings)
    return ThriftChatModel(tiers=[model], runtime=runtime)


def _unmarked(body: dict[str, Any]) -> bool:
    return "cache_control" not in str(body)


def _read(server: AnthropicServer) -> list[int]:
    return [usage["cache_read_input_tokens"] for usage in server.usages]


def test_langchain_marks_what_claude_is_to_keep(server: AnthropicServer):
    runtime = _runtime(cache_control=True, turns=4)
    model = _claude(server, runtime)
    talk: list[BaseMessage] = [SystemMessage(RULES)]
    for number in range(4):
        talk += [
            HumanMessage(f"Question {number}?"),
            AIMessage("", tool_calls=[{"id": f"c{number}", "name": "look", "args": {}}]),
            ToolMessage(f"It is {number}.", tool_call_id=f"c{number}"),
        ]
        talk.append(model.invoke(talk))
    read = _read(server)
    assert read[0] == 0
    assert min(read[1:]) > 1_024
    assert read == sorted(read)
    entries = _events(runtime)
    assert entries[0]["bill"]["rows"]["compression"] < 0, "writing costs more than sending"
    assert all(entry["bill"]["rows"]["compression"] > 0 for entry in entries[1:])
    assert sum(entry["bill"]["rows"]["compression"] for entry in entries) > 0
    for entry in entries:
        bill = entry["bill"]
        assert bill["baseline"] == bill["actual"] + sum(bill["rows"].values()) + sum(bill["overheads"].values())
        assert entry["baseline"]["usage"].get("cache_read", 0) == 0
    assert talk[0].content == RULES
    runtime.close()


def test_it_is_off_by_default_and_leaves_the_apps_own_marks_alone(server: AnthropicServer):
    runtime = _runtime(turns=4)
    _claude(server, runtime).invoke([SystemMessage(RULES), HumanMessage("Hello?")])
    assert _read(server) == [0]
    assert server.usages[-1]["cache_creation_input_tokens"] == 0
    runtime.close()
    runtime = _runtime(cache_control=True, turns=4)
    own = [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}]
    _claude(server, runtime).invoke([SystemMessage(own), HumanMessage("Hello?")])
    assert _events(runtime)[-1]["patches"] == []
    _claude(server, runtime).invoke([SystemMessage(RULES), HumanMessage("Hi?")], cache_control={"type": "ephemeral"})
    assert _events(runtime)[-1]["patches"] == []
    assert all(len(str(body["messages"])) < 400 for body in server.bodies)
    runtime.close()


def test_marks_stand_before_the_note_for_a_shorter_answer(server: AnthropicServer):
    runtime = _runtime(OutputConfig(words=20, mode="soft"), cache_control=True, turns=4)
    model = _claude(server, runtime)
    talk: list[BaseMessage] = [SystemMessage(RULES)]
    for number in range(3):
        talk.append(HumanMessage(f"Question {number}?"))
        talk.append(model.invoke(talk))
    assert "20 words" in str(server.bodies[-1]["messages"][-1])
    assert min(_read(server)[1:]) > 1_024
    runtime.close()


class Claude(CustomLLM):
    """Takes blocks as LlamaIndex's class for Anthropic does, and remembers them."""

    model: str = "claude-sonnet-4-6"
    _heard: list[list[list[str]]] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Anthropic_LLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, context_window=200_000)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._heard.append([[block.block_type for block in message.blocks] for message in messages])
        usage = {"input_tokens": 3_000, "output_tokens": 2, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content="Yes."), raw={"usage": usage})

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="Yes.")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        yield CompletionResponse(text="Yes.", delta="Yes.")


def test_llama_index_marks_what_claude_is_to_keep():
    runtime = _runtime(cache_control=True, turns=4)
    own = Claude()
    model = ThriftLLM(tiers=[own], runtime=runtime)
    talk = [ChatMessage(role=MessageRole.SYSTEM, content=RULES)]
    for number in range(2):
        talk.append(ChatMessage(role=MessageRole.USER, content=f"Question {number}?"))
        talk.append(model.chat(talk).message)
    assert own._heard == [
        [["text"], ["text", "cache"]],
        [["text"], ["text"], ["text"], ["text", "cache"]],
    ]
    assert all(type(block) is TextBlock for message in talk for block in message.blocks)
    assert [entry["patches"][0][0] for entry in _events(runtime)] == ["compression", "compression"]
    model.complete(RULES)
    asyncio.run(model.achat(talk[:-1]))
    assert own._heard[-1] == own._heard[1]
    runtime.close()
