"""The cache's policy through both frameworks: which repeats are paid for again, and that the ledger says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool

from tests import langchain_kit, llama_index_kit
from thrift_plugins import CacheConfig, Config, FeatureConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import Answer, LoopbackProvider
from thrift_plugins.types import ToolCall

Way: TypeAlias = Literal["call", "acall", "stream", "astream"]
WAYS: tuple[Way, ...] = ("call", "acall", "stream", "astream")
HOUR = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def search_flights(city: str) -> str:
    """Find flights to a city."""
    return f"LX 1 to {city}"


def book_flight(city: str) -> str:
    """Book a flight to a city."""
    return f"Booked to {city}"


@dataclass
class App:
    """One framework's app over the provider."""

    ask: Callable[..., Awaitable[None]]
    provider: LoopbackProvider
    runtime: Runtime
    clock: Clock

    def told(self) -> list[tuple[str, list[str]]]:
        """Each call's outcome, and the reasons that the cache gave, in the ledger's words."""
        assert self.runtime.ledger is not None
        return [
            (record["outcome"], [why for why in record.get("reasons", ()) if why.startswith("cache: ")])
            for record in self.runtime.ledger.records()
        ]


def langchain_app(provider: LoopbackProvider, runtime: Runtime, **settings: Any) -> Callable[..., Awaitable[None]]:
    model = ThriftChatModel(tiers=[langchain_kit.chat(provider, **settings)], runtime=runtime)

    async def ask(text: str, way: Way = "call", *, system: str = "", tools: bool = False) -> None:
        runnable: Any = model.bind_tools([search_flights, book_flight]) if tools else model
        turns = [*([SystemMessage(system)] if system else []), HumanMessage(text)]
        match way:
            case "call":
                runnable.invoke(turns)
            case "acall":
                await runnable.ainvoke(turns)
            case "stream":
                list(runnable.stream(turns))
            case "astream":
                [piece async for piece in runnable.astream(turns)]

    return ask


def llama_index_app(provider: LoopbackProvider, runtime: Runtime, **settings: Any) -> Callable[..., Awaitable[None]]:
    llm = ThriftLLM(tiers=[llama_index_kit.openai(provider, **settings)], runtime=runtime)
    offered = [FunctionTool.from_defaults(search_flights), FunctionTool.from_defaults(book_flight)]

    async def ask(text: str, way: Way = "call", *, system: str = "", tools: bool = False) -> None:
        turns = [ChatMessage(role=MessageRole.SYSTEM, content=system)] if system else []
        turns.append(ChatMessage(role=MessageRole.USER, content=text))
        if tools:
            told: Any = {"tools": offered, "chat_history": turns}
            calls: Any = (
                llm.chat_with_tools,
                llm.achat_with_tools,
                llm.stream_chat_with_tools,
                llm.astream_chat_with_tools,
            )
        else:
            told, calls = {"messages": turns}, (llm.chat, llm.achat, llm.stream_chat, llm.astream_chat)
        match way:
            case "call":
                calls[0](**told)
            case "acall":
                await calls[1](**told)
            case "stream":
                list(calls[2](**told))
            case "astream":
                [piece async for piece in await calls[3](**told)]

    return ask


Opener: TypeAlias = Callable[..., App]


@pytest.fixture(params=[langchain_app, llama_index_app], ids=["langchain", "llama_index"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens an app of one framework, with settings of the cache, and of the model by `settings`."""
    runtimes: list[Runtime] = []
    with LoopbackProvider() as provider:

        def open_app(cache: CacheConfig | None = None, **settings: Any) -> App:
            clock = Clock()
            runtime = Runtime(Config(store="memory:", cache=cache or CacheConfig()), clock=clock)
            runtimes.append(runtime)
            return App(request.param(provider, runtime, **settings), provider, runtime, clock)

        yield open_app
        for runtime in runtimes:
            runtime.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_repeat_in_another_spelling_is_a_hit(opened: Opener, way: Way):
    app = opened()
    await app.ask("How do I reset my password?", way)
    for spelt in ("how do I reset my password", "How do i reset  my password ?", " How do I reset my password??"):
        await app.ask(spelt, way)
    await app.ask("怎么重置密码？", way)
    await app.ask("怎么重置密码", way)
    assert [outcome for outcome, _ in app.told()] == ["answered", "hit", "hit", "hit", "answered", "hit"]
    assert len(app.provider.billed) == 2


async def test_what_may_mean_another_thing_is_paid_for(opened: Opener):
    app = opened()
    apart = ("What is the US?", "What is the us?", "What is 5 mW?", "What is 5 MW?", "What does 'yes' mean?",
             "What does 'Yes' mean?", "Is it safe?", "Is it not safe?")  # fmt: skip
    for text in apart:
        await app.ask(text)
    assert len(app.provider.billed) == len(apart)


async def test_a_system_prompt_counts_by_its_bytes(opened: Opener):
    app = opened()
    for system in ("You answer questions.", "you answer questions.", "You answer questions", "You answer  questions."):
        await app.ask("What is a prime?", system=system)
    assert len(app.provider.billed) == 4


@pytest.mark.parametrize("way", WAYS)
async def test_a_creative_request_is_paid_for_each_time(opened: Opener, way: Way):
    app = opened()
    for text in ["Write a poem about the sea", "Tell me a joke", "写一首关于秋天的诗", "给我讲个笑话"] * 2:
        await app.ask(text, way)
    assert app.told() == [("answered", ["cache: creative request"])] * 8
    assert len(app.provider.billed) == 8


@pytest.mark.parametrize(
    ("text", "hours"), [("What's the weather in Oslo today?", 1), ("今天北京天气怎么样", 1), ("What is the capital of Australia?", 24)]
)  # fmt: skip
async def test_how_long_an_answer_lives(opened: Opener, text: str, hours: float):
    app = opened()
    await app.ask(text)
    app.clock.now += hours * HOUR - 1
    await app.ask(text)
    app.clock.now += 2
    await app.ask(text)
    assert [outcome for outcome, _ in app.told()] == ["answered", "hit", "answered"]


async def test_a_temperature_is_cached_only_when_asked_for(opened: Opener):
    hot, allowed = opened(temperature=0.7), opened(CacheConfig(max_temperature=1), temperature=0.7)
    for app in (hot, allowed):
        for _ in range(2):
            await app.ask("What is a prime?")
    assert hot.told() == [("answered", ["cache: temperature 0.7"])] * 2
    assert [outcome for outcome, _ in allowed.told()] == ["answered", "hit"]


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_that_calls_a_tool_which_may_act_is_never_given_again(opened: Opener, way: Way):
    app = opened()

    def calls(name: str) -> None:
        app.provider.script(lambda _request: Answer(tool_calls=(ToolCall("c1", name, {"city": "Oslo"}),)))

    calls("book_flight")
    for _ in range(2):
        await app.ask("How do I get to Oslo?", way, tools=True)
    assert app.told() == [("answered", ["cache: not kept, calls 'book_flight', which may act"])] * 2
    calls("search_flights")
    for _ in range(2):
        await app.ask("Which airlines fly to Oslo?", way, tools=True)
    assert [outcome for outcome, _ in app.told()[2:]] == ["answered", "hit"]
    assert len(app.provider.billed) == 3


NO_ANSWERS = [
    (Answer("I'm sorry, but I can't help with that."), "refused"),
    (Answer("非常抱歉，我无法提供这方面的帮助。"), "refused"),
    (Answer("The prime numbers are 2, 3,", finish_reason="length"), "cut at the output limit"),
    (Answer("A", finish_reason="content_filter"), "filtered"),
    (Answer("Error: 503 Service Unavailable"), "error text"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_that_is_none_is_not_kept(opened: Opener, way: Way):
    app = opened()
    for answer, _ in NO_ANSWERS:
        app.provider.script(lambda _request, said=answer: said)
        for _ in range(2):
            await app.ask("What is a prime?", way)
    assert app.told() == [("answered", [f"cache: not kept, {why}"]) for _, why in NO_ANSWERS for _ in range(2)]


async def test_a_feature_has_rules_of_its_own(opened: Opener):
    app = opened(
        CacheConfig(
            features={
                "checkout": FeatureConfig(enabled=False),
                "poems": FeatureConfig(kind="general"),
                "news": FeatureConfig(kind="time", ttl=60),
                "agent": FeatureConfig(tool_calls="none"),
            }
        )
    )

    async def twice(feature: str, text: str, **told: Any) -> list[tuple[str, list[str]]]:
        seen = len(app.told())
        with scope(feature=feature):
            for _ in range(2):
                await app.ask(text, **told)
        return app.told()[seen:]

    assert await twice("checkout", "What is a prime?") == [("answered", ["cache: switched off by a rule"])] * 2
    assert [outcome for outcome, _ in await twice("poems", "Write a poem about the sea")] == ["answered", "hit"]
    assert [outcome for outcome, _ in await twice("news", "What is a prime number?")] == ["answered", "hit"]
    app.clock.now += 61
    assert [outcome for outcome, _ in await twice("news", "What is a prime number?")] == ["answered", "hit"]
    app.provider.script(lambda _request: Answer(tool_calls=(ToolCall("c1", "search_flights", {"city": "Oslo"}),)))
    asked = await twice("agent", "Which airlines fly to Oslo?", tools=True)
    assert asked == [("answered", ["cache: not kept, calls a tool"])] * 2
