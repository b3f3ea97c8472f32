"""Tools, structured output and agents over wrapped models: each tier by its own method, hits like misses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, create_model

from tests.langchain_kit import CHEAP, STRONG, chat, records, thrift
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.errors import UnsupportedByTier
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest
from thrift_plugins.types import ToolCall

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LangChain's own, on a parsed answer


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class Search(BaseModel):
    """Search the shop."""

    query: str


PLAIN = {
    "name": "lookup",
    "description": "Look up a word.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
WIRED = {"type": "function", "function": PLAIN}


@pytest.mark.parametrize("given", [weather, multiply, Search, PLAIN, WIRED])
@pytest.mark.parametrize("choice", [None, "any", "auto"])
async def test_a_tool_of_any_kind(provider: LoopbackProvider, given: Any, choice: str | None) -> None:
    question = "Please use the tool with 2 and 3 for 'Paris'"
    bare = chat(provider, STRONG).bind_tools([given], tool_choice=choice).invoke(question)
    bound = thrift(provider, tiers=1).bind_tools([given], tool_choice=choice)
    assert isinstance(bound, RunnableBinding)
    answers = [bound.invoke(question), await bound.ainvoke(question)]
    for answer in answers:
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
            (call["name"], call["args"]) for call in bare.tool_calls
        ]
        assert answer.tool_calls
    assert provider.requests[1].body == provider.requests[0].body
    assert len(provider.billed) == 2


def test_tools_given_with_the_call(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    for _ in range(2):
        assert model.invoke("use the tool", tools=[WIRED]).tool_calls
        assert model.bind(tools=[WIRED], tool_choice="required").invoke("use the tool").tool_calls
    assert len(provider.billed) == 2


def test_parallel_calls(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    both = model.bind_tools([weather, multiply]).invoke("weather and multiply, please")
    one = model.bind_tools([weather, multiply], parallel_tool_calls=False).invoke("weather and multiply, please")
    assert [call["name"] for call in both.tool_calls] == ["weather", "multiply"]
    assert [call["name"] for call in one.tool_calls] == ["weather"]


def test_fresh_call_ids_do_not_change_the_key(provider: LoopbackProvider) -> None:
    model = thrift(provider).bind_tools([weather])
    for number in range(3):
        call: Any = {"name": "weather", "args": {"city": "Rome"}, "id": f"call_{number}", "type": "tool_call"}
        history = [HumanMessage("weather?"), AIMessage("", tool_calls=[call]), weather.invoke(call)]
        model.invoke(history)
    assert len(provider.billed) == 1


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="The question.")
    punchline: str


class JokeDict(TypedDict):
    """A joke."""

    setup: str
    punchline: str


SCHEMAS = [Joke, JokeDict, {**Joke.model_json_schema(), "title": "Joke"}]
METHODS = ["json_schema", "function_calling", "json_mode"]
ASKED = "Tell a joke as JSON with keys 'setup' and 'punchline'"


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("include_raw", [False, True])
async def test_structured_output(provider: LoopbackProvider, schema: Any, method: str, include_raw: bool) -> None:
    def last(parts: list[Any]) -> Any:
        """A chain streams whole values one after the other, but those of a map key by key."""
        return {key: part[key] for part in parts for key in part} if include_raw else parts[-1]

    def over(model: Any) -> Any:
        return model.with_structured_output(schema, method=method, include_raw=include_raw)

    def value(answer: Any) -> Any:
        return answer["parsed"] if include_raw else answer

    bare, bound = over(chat(provider, STRONG)), over(thrift(provider, tiers=1))
    expected = bare.invoke(ASKED)
    assert value(expected) is not None
    for answer in (bound.invoke(ASKED), bound.invoke(ASKED), await bound.ainvoke(ASKED)):
        assert value(answer) == value(expected)
        assert not include_raw or answer.keys() == expected.keys()
    assert len(provider.billed) == 2
    assert value(last(list(bound.stream(ASKED)))) == value(expected)
    assert value(last([part async for part in bound.astream(ASKED)])) == value(expected)
    assert len(provider.billed) == 2


@pytest.mark.parametrize("method", METHODS)
async def test_structured_output_streams_partial_objects(provider: LoopbackProvider, method: str) -> None:
    bare = chat(provider, STRONG).with_structured_output(JokeDict, method=method)
    expected = list(bare.stream(ASKED))
    bound = thrift(provider, tiers=1).with_structured_output(JokeDict, method=method)
    assert list(bound.stream(ASKED)) == expected
    hit = [part async for part in bound.astream(ASKED)]
    assert hit[-1] == expected[-1]
    assert (len(hit) > 1) == (len(expected) > 1)
    assert len(provider.billed) == 2


def test_a_changed_schema_of_the_same_name_is_another_question(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    for fields in ({"town": (str, ...)}, {"city": (str, ...)}):
        schema: Any = create_model("Place", **fields)
        assert model.with_structured_output(schema).invoke("Paris").model_dump().keys() == fields.keys()
    assert len(provider.billed) == 2


def test_each_answer_is_read_by_the_parser_of_its_tier(provider: LoopbackProvider) -> None:
    """One tier answers in a tool call, the other in text; a hit is read as the tier that gave it would."""

    class ByTools(ChatOpenAI):
        def with_structured_output(self, schema: Any = None, **kwargs: Any) -> Any:
            return super().with_structured_output(schema, **{**kwargs, "method": "function_calling"})

    cheap = ByTools(**{**_settings(provider), "model": CHEAP})
    model = ThriftChatModel(tiers=[cheap, chat(provider, STRONG)], runtime=Runtime(Config(store="memory:", cache=CacheConfig(kinds=False))))
    bound = model.with_structured_output(Joke)
    for tier in (CHEAP, STRONG):
        routed = bound.with_config(configurable={"thrift_route": tier})
        assert isinstance(routed.invoke(ASKED), Joke)
        assert isinstance(routed.invoke(ASKED), Joke)
        assert isinstance(list(routed.stream(ASKED))[-1], Joke)
    by_tools, by_schema = provider.requests
    assert ("tools" in by_tools.body, "response_format" in by_tools.body) == (True, False)
    assert ("tools" in by_schema.body, "response_format" in by_schema.body) == (False, True)


def _settings(provider: LoopbackProvider) -> dict[str, Any]:
    from tests.langchain_kit import NO_POOL

    return {"base_url": provider.base_url, "api_key": "k", "temperature": 0, "stream_usage": True, **NO_POOL}


def test_a_tier_that_cannot_call_tools_is_passed_over(provider: LoopbackProvider) -> None:
    mute = FakeListChatModel(responses=["Good morning to you."])
    model = ThriftChatModel(
        tiers=[mute, chat(provider, STRONG)], names=["mute", "able"], runtime=Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    )
    assert model.bind_tools([weather]).invoke("use the tool").response_metadata["thrift"]["tier"] == "able"
    assert isinstance(model.with_structured_output(Joke).invoke("Joke"), Joke)
    assert model.invoke("Hi there").response_metadata["thrift"]["tier"] == "mute"


def test_when_no_tier_can_the_error_says_which_and_why() -> None:
    mutes = [FakeListChatModel(responses=["x"]) for _ in range(2)]
    model = ThriftChatModel(tiers=mutes, names=["one", "two"], runtime=Runtime(Config(store="memory:", cache=CacheConfig(kinds=False))))
    with pytest.raises(UnsupportedByTier, match="one: no tool calling; two: no tool calling"):
        model.bind_tools([weather])
    with pytest.raises(UnsupportedByTier, match="one: no structured output"):
        model.with_structured_output(Joke)


def calls_weather_once(request: WireRequest) -> Answer | None:
    if request.functions and not any(message.get("role") == "tool" for message in request.messages):
        return Answer(tool_calls=(ToolCall("", "weather", {"city": "Rome"}),))
    return Answer("It is sunny in Rome.") if not request.body.get("response_format") else None


async def run_invoke(agent: Any, asked: Any) -> Any:
    return agent.invoke(asked)


async def run_ainvoke(agent: Any, asked: Any) -> Any:
    return await agent.ainvoke(asked)


async def run_stream(agent: Any, asked: Any) -> Any:
    return list(agent.stream(asked, stream_mode=["messages", "values"]))[-1][1]


async def run_astream(agent: Any, asked: Any) -> Any:
    return [part async for part in agent.astream(asked, stream_mode=["messages", "values"])][-1][1]


@pytest.mark.parametrize("run", [run_invoke, run_ainvoke, run_stream, run_astream])
async def test_an_agent_with_tools(provider: LoopbackProvider, run: Callable[[Any, Any], Any]) -> None:
    provider.script(calls_weather_once)
    asked = {"messages": [HumanMessage("How is the weather in Rome?")]}
    bare = await run(create_agent(chat(provider, STRONG), tools=[weather]), asked)
    agent = create_agent(thrift(provider), tools=[weather])
    for _ in range(2):
        state = await run(agent, asked)
        assert [(m.type, m.content) for m in state["messages"]] == [(m.type, m.content) for m in bare["messages"]]
        assert state["messages"][1].tool_calls[0]["args"] == {"city": "Rome"}
    assert len(provider.billed) == 4


async def test_an_agent_that_is_a_tool_leaves_the_loop_around_it_on_its_tier(provider: LoopbackProvider) -> None:
    """Both are in one thread of LangGraph, so in one session, and their model is the same object."""

    def script(asked: WireRequest) -> Answer | None:
        if asked.messages[0]["content"] != "You lead.":
            return Answer("Because it is so.")
        given = sum(message["role"] == "tool" for message in asked.messages)
        why = ("Prove step by step that the sum of two odd integers is even, and explain each step.", "Say hello.")
        return Answer("Done.") if given == 2 else Answer(tool_calls=(ToolCall("", "expert", {"question": why[given]}),))

    provider.script(script)
    model = thrift(provider, Runtime(Config(store="memory:", cache=CacheConfig(enabled=False))))
    inner = create_agent(model, tools=[], system_prompt="You know.")

    @tool
    async def expert(question: str) -> str:
        """Knows all."""
        return str((await inner.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].content)

    leader = create_agent(model, tools=[expert], system_prompt="You lead.", checkpointer=InMemorySaver())
    for name, question in (("cheap", "Say hello to Bob."), ("strong", "Prove step by step that 2 is even, and explain why.")):
        told = len(provider.requests)
        await leader.ainvoke({"messages": [HumanMessage(question)]}, {"configurable": {"thread_id": name}})
        asked = provider.requests[told:]
        own = {CHEAP if name == "cheap" else STRONG}
        assert {each.model for each in asked if each.messages[0]["content"] == "You lead."} == own
        assert {each.model for each in asked if each.messages[0]["content"] == "You know."} == {CHEAP, STRONG}


@pytest.mark.parametrize("strategy", [Joke, ProviderStrategy(Joke), ToolStrategy(Joke)])
async def test_an_agent_with_a_response_format(provider: LoopbackProvider, strategy: Any) -> None:
    asked = {"messages": [HumanMessage("Tell me a joke")]}
    expected = create_agent(chat(provider, STRONG), tools=[], response_format=strategy).invoke(asked)
    calls = len(provider.billed)
    # Nothing tells a schema that goes as a tool from a tool that acts.
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False, read_only_tools=["Joke"])))
    model = thrift(provider, runtime)
    agent = create_agent(model, tools=[], response_format=strategy)
    for state in (agent.invoke(asked), await agent.ainvoke(asked)):
        assert isinstance(state["structured_response"], Joke)
        assert state["structured_response"] == expected["structured_response"]
    assert len(provider.billed) == 2 * calls
    assert {record["outcome"] for record in records(model)} == {"answered", "hit"}
