"""`RoutingRunnable` over chains and functions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    RunnableBranch,
    RunnableConfig,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph

from tests.langchain_kit import CHEAP, STRONG, chat
from thrift_plugins import (
    Budget,
    CacheConfig,
    CompressionConfig,
    Config,
    ConfigError,
    OutputConfig,
    QualityConfig,
    RoutingConfig,
    Runtime,
    Target,
    route,
)
from thrift_plugins.langchain import RoutingRunnable, ThriftChatModel
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.testing.script import WireRequest
from thrift_plugins.types import Usage

PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])
EASY = {"question": "What are your opening hours?"}
HARD = {"question": "Prove step by step that the sum of two odd integers is even, and explain why each step holds."}


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as started:
        yield started


def routed(provider: LoopbackProvider) -> RoutingRunnable[Any, str]:
    tiers = [PROMPT | chat(provider, name) | StrOutputParser() for name in (CHEAP, STRONG)]
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    return RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime)


def test_chains_are_routed_and_booked(provider: LoopbackProvider) -> None:
    chain = routed(provider)
    assert isinstance(chain.invoke(EASY), str)
    chain.invoke(HARD)
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
    assert chain.runtime.ledger is not None
    first, second = chain.runtime.ledger.records()
    assert (first["served_model"], second["served_model"]) == (CHEAP, STRONG)
    assert first["usage"]["input_tokens"] == provider.billed[0].input_tokens
    with route(STRONG):
        chain.invoke(EASY)
    assert provider.requests[-1].model == STRONG


async def test_a_failure_and_a_refusal_are_repaired(provider: LoopbackProvider) -> None:
    chain = routed(provider)
    provider.faults.append(Fault.refuse(429))
    assert await chain.ainvoke(EASY)
    provider.script(lambda request: Answer("I'm sorry, but I can't help.") if request.model == CHEAP else None)
    assert "sorry" not in chain.invoke(EASY)
    assert [request.model for request in provider.requests] == [CHEAP, STRONG, CHEAP, STRONG]
    assert chain.runtime.ledger is not None
    _, record = chain.runtime.ledger.records()
    [[tactic, reason, model, usage, _]] = record["overheads"]
    assert (tactic, reason, model) == ("routing", "rejected", CHEAP)
    assert usage["output_tokens"] > 0


async def test_streams(provider: LoopbackProvider) -> None:
    chain = routed(provider)
    assert len(list(chain.stream(HARD))) > 1
    assert "".join([piece async for piece in chain.astream(EASY)])


def test_functions_are_tiers_too() -> None:
    runtime = Runtime(Config(store="memory:"))
    tiers = [RunnableLambda(lambda told: f"small {told}"), RunnableLambda(lambda told: f"large {told}")]
    chain: RoutingRunnable[str, str] = RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime)
    assert chain.invoke("Hello") == "small Hello"
    assert chain.batch(["Hello", "Hi"]) == ["small Hello", "small Hi"]
    with pytest.raises(ConfigError, match="name the model"):
        RoutingRunnable(tiers, models=[CHEAP], runtime=runtime)


def test_a_tier_that_asks_again_by_itself_loses_nothing(provider: LoopbackProvider) -> None:
    """A repetition by the app's own chain is a call of its own, and not one that an SDK has made of a lost one."""

    def read(message: AIMessage) -> str:
        if len(provider.requests) < 2:
            raise ValueError("cannot be read")
        return str(message.text)

    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    tier = (chat(provider, STRONG) | RunnableLambda(read)).with_retry(wait_exponential_jitter=False)
    chain: RoutingRunnable[Any, str] = RoutingRunnable([tier], models=[STRONG], runtime=runtime)
    assert chain.invoke("Hello")
    assert runtime.ledger is not None
    [record] = runtime.ledger.records()
    assert record["overheads"] == []
    assert record["usage"]["input_tokens"] == sum(usage.input_tokens for usage in provider.billed)


async def test_a_stream_that_is_left_is_closed(provider: LoopbackProvider) -> None:
    chain = routed(provider)
    pieces = chain.astream(HARD)
    await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    stream = chain.stream(HARD)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert provider.wait_idle()
    assert chain.runtime.ledger is not None
    assert [record["outcome"] for record in chain.runtime.ledger.records()] == ["aborted", "aborted"]


class Heard(BaseCallbackHandler):
    """Notes every answer of a model that it hears of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.said.append(response.generations[0][0].text)


@pytest.mark.parametrize("bound", [False, True])
async def test_callbacks_of_a_tier_hear_nothing_of_a_rejected_answer(provider: LoopbackProvider, bound: bool) -> None:
    heard = Heard()
    provider.script(lambda request: Answer("I'm sorry, but I can't help." if request.model == CHEAP else "At nine."))
    small = chat(provider, CHEAP, callbacks=None if bound else [heard])
    tier: Any = small.with_config(callbacks=[heard]) if bound else small
    large = PROMPT | chat(provider, STRONG, callbacks=[heard])
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    chain: RoutingRunnable[Any, AIMessage] = RoutingRunnable([PROMPT | tier, large], models=[CHEAP, STRONG], runtime=runtime)
    assert chain.invoke(EASY).text == (await chain.ainvoke(EASY)).text == "At nine."
    assert heard.said == ["At nine.", "At nine."]


async def test_what_is_asked_aside_is_asked_in_the_callers_config() -> None:
    """Streams are asked aside too where an answer must be compared first."""
    told: list[Any] = []

    def small(_: str, config: RunnableConfig) -> str:
        told.append((config.get("configurable"), config.get("tags"), config.get("metadata", {})["mine"]))
        return "4"

    runtime = Runtime(Config(store="memory:", routing=RoutingConfig(twice=True)))
    tiers: Any = [RunnableLambda(small), RunnableLambda(lambda _: "5")]
    chain: RoutingRunnable[str, str] = RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime)
    config = RunnableConfig(configurable={"session_id": "s"}, tags=["t"], metadata={"mine": 1})
    assert list(chain.stream("What is 2+2?", config)) == ["4"]
    assert [piece async for piece in chain.astream("What is 2+2?", config)] == ["4"]
    assert told == [({"session_id": "s"}, ["t"], 1)] * 4


class Caching(FakeListChatModel):
    """Says what of its prompt it has put into its provider's cache, where it does not stream."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        usage = UsageMetadata(
            input_tokens=5_000,
            output_tokens=9,
            total_tokens=5_009,
            input_token_details={"cache_read": 500, "cache_creation": 4_000},
        )
        message = AIMessage("Hi", usage_metadata=usage, response_metadata={"model_name": "claude-sonnet-4-5"})
        result.generations = [ChatGeneration(message=message)]
        return result


def test_usage_is_booked_as_for_a_model_alone() -> None:
    """What is written to a prompt cache costs more; and of a broken stream only what was said is counted."""
    booked = []
    wraps: list[Callable[[Runtime, Caching], Any]] = [
        lambda runtime, model: RoutingRunnable([model], models=["claude-sonnet-4-5"], runtime=runtime),
        lambda runtime, model: ThriftChatModel(tiers=[model], runtime=runtime),
    ]
    for wrap in wraps:
        runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
        model = wrap(runtime, Caching(responses=["Hello there"]))
        model.invoke("Hello")
        stream = model.stream("Hello")
        next(stream)
        stream.close()
        assert runtime.ledger is not None
        booked.append([record["usage"] for record in runtime.ledger.records()])
    assert booked[0] == booked[1]
    assert booked[0][0]["cache_write"] == 4_000


@pytest.mark.parametrize(
    "settings",
    [
        {"compression": CompressionConfig(enabled=True, ratio=3.0)},
        {"output": OutputConfig(features={"": Target(words=20, mode="hard")}, go_on=True)},
    ],
)
def test_what_is_not_done_to_a_tier_is_not_booked(provider: LoopbackProvider, settings: Any) -> None:
    """Nobody else may change what a chain is asked, so nothing is saved by a shorter prompt, or a shorter answer."""
    provider.script(lambda request: Answer("Oslo. " * 50, finish_reason="length"))
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), **settings))
    tiers = [PROMPT | chat(provider, CHEAP, max_tokens=100) | StrOutputParser()]
    passages = (
        "Passages:\n[1] Oslo\nOslo is the capital of Norway. It lies at the head of a fjord. Its opera has a roof to walk on.\n\n"
        "[2] Bread\nBread is made of flour and water. It is baked in an oven.\n\n[3] Rain\nRain falls from clouds. It fills rivers."
    )
    asked = {"question": f"{passages}\n\nQuestion: What is the capital of Norway?"}
    RoutingRunnable(tiers, models=[CHEAP], runtime=runtime).invoke(asked)
    assert runtime.ledger is not None
    [record] = runtime.ledger.records()
    assert len(provider.requests) == 1
    assert (record["patches"], record["reasons"], record["overheads"]) == ([], [], [])


def test_what_may_act_is_not_run_again_to_compare_answers() -> None:
    ran = []

    def tier(name: str) -> RunnableLambda[Any, str]:
        return RunnableLambda(lambda asked: ran.append(name) or "eight")

    settings = Config(store="memory:", cache=CacheConfig(enabled=False), quality=QualityConfig(enabled=True, share=1.0))
    runtime = Runtime(settings)
    chain = RoutingRunnable([tier("small"), tier("large")], models=[CHEAP, STRONG], runtime=runtime)
    for number in range(20):
        chain.invoke(f"How many legs has spider {number}?")
    runtime.background.submit("last", lambda: ran.append("last"))
    until = time.monotonic() + 10
    while "last" not in ran:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert ran == [*["small"] * 20, "last"]


# Our own models in a tier ----------------------------------------------------------------------------------------------


def refusing(request: WireRequest) -> Answer:
    return Answer("I'm sorry, but I can't help.") if request.model == CHEAP else Answer("At nine.")


def nested(provider: LoopbackProvider, runtime: Runtime) -> RoutingRunnable[Any, Any]:
    """A wrapped model, a chain with a chain that is routed in it, and the bare model."""
    wrapped = ThriftChatModel(tiers=[chat(provider, CHEAP)], runtime=runtime)
    inner = PROMPT | RoutingRunnable(
        [chat(provider, CHEAP), wrapped, chat(provider, STRONG)], models=[CHEAP, CHEAP, STRONG], names=["a", "b", "c"], runtime=runtime
    )
    tiers = [PROMPT | wrapped, PROMPT | inner.last, PROMPT | chat(provider, STRONG)]
    return RoutingRunnable(tiers, models=[CHEAP, STRONG, STRONG], names=["one", "two", "three"], runtime=runtime)


async def asked(chain: Any, way: str, given: Any = EASY, config: Any = None) -> str:
    match way:
        case "invoke":
            return str(chain.invoke(given, config).content)
        case "ainvoke":
            return str((await chain.ainvoke(given, config)).content)
        case "stream":
            return "".join(str(piece.content) for piece in chain.stream(given, config))
        case _:
            return "".join([str(piece.content) async for piece in chain.astream(given, config)])


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("script", [refusing, lambda request: Answer("At nine.")])
async def test_what_our_own_models_in_a_tier_use_is_paid_once(provider: LoopbackProvider, way: str, script: Any) -> None:
    provider.script(script)
    day = Budget.usd("day", 5, window="day")
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), budgets=[day]))
    assert await asked(nested(provider, runtime), way)
    paid = sum(
        runtime.prices.cost(each.model, Usage(each.input_tokens, each.output_tokens), at=runtime.clock())
        for each in provider.billed
    )
    assert runtime.ledger is not None
    bills = [record["bill"] for record in runtime.ledger.records()]
    overheads = sum(amount for bill in bills for amount in bill["overheads"].values())
    assert sum(bill["actual"] for bill in bills) == paid
    assert sum(sum(bill["rows"].values()) for bill in bills) + overheads + paid == sum(bill["baseline"] for bill in bills)
    [left] = runtime.budgets()
    assert (left.used, left.held) == (paid, 0)


async def test_a_call_that_is_cancelled_in_a_wrapped_model_is_booked_there_alone(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    wrapped = ThriftChatModel(tiers=[chat(provider, CHEAP), chat(provider, STRONG)], runtime=runtime)
    chain = RoutingRunnable([PROMPT | wrapped, PROMPT | wrapped], models=[CHEAP, STRONG], runtime=runtime)
    provider.faults.append(Fault.delay(5.0))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chain.ainvoke(EASY), 0.3)
    assert runtime.ledger is not None
    booked = list(runtime.ledger.records())
    assert [record["outcome"] for record in booked] == ["cancelled", "cancelled"]
    assert sorted(record["usage"].get("input_tokens", 0) for record in booked) == [0, 13]


def test_the_tier_that_the_app_insists_on_need_not_be_known_inside(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    wrapped = ThriftChatModel(tiers=[chat(provider, CHEAP), chat(provider, STRONG)], runtime=runtime)
    chain = RoutingRunnable([wrapped, wrapped], models=[CHEAP, STRONG], names=["small", "large"], runtime=runtime)
    with route("large"):
        chain.invoke("Hello?")
    chain.invoke("Hello?", {"configurable": {"thrift_route": "large"}})
    with route(STRONG):  # known to both
        chain.invoke("Hello?")
    assert [request.model for request in provider.requests] == [CHEAP, CHEAP, STRONG]
    with route("other"), pytest.raises(ConfigError, match="no tier is called 'other'"):
        chain.invoke("Hello?")


def parallel(model: Any, runtime: Runtime) -> Any:
    return RunnableParallel(said=model) | (lambda told: told["said"])


def assigned(model: Any, runtime: Runtime) -> Any:
    return RunnablePassthrough.assign(said=PROMPT | model) | (lambda told: told["said"])


def branched(model: Any, runtime: Runtime) -> Any:
    return RunnableBranch((lambda given: False, RunnableLambda(str)), PROMPT | model)


def backed(model: Any, runtime: Runtime) -> Any:
    return (PROMPT | model).with_fallbacks([PROMPT | model])


def wrapped(model: Any, runtime: Runtime) -> Any:
    return PROMPT | ThriftChatModel(tiers=[model], runtime=runtime)


def routed_again(model: Any, runtime: Runtime) -> Any:
    return PROMPT | RoutingRunnable([model], models=[CHEAP], runtime=runtime)


def called(model: Any, runtime: Runtime) -> Any:
    inner = wrapped(model, runtime)
    return RunnableLambda(inner.invoke, afunc=inner.ainvoke)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("put", [parallel, assigned, branched, backed, wrapped, routed_again, called])
async def test_callbacks_deep_in_a_tier_hear_nothing_either(provider: LoopbackProvider, put: Any, way: str) -> None:
    provider.script(refusing)
    heard = Heard()
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    tiers = [put(chat(provider, name, callbacks=[heard]), runtime) for name in (CHEAP, STRONG)]
    given = "Hello?" if put is parallel else EASY
    chain = RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime)
    assert await asked(chain, way, given) == "At nine."
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
    assert heard.said == ["At nine."]


def graph(model: Any) -> Any:
    """A graph of one step, which writes to its stream who it is."""

    def step(state: Any) -> Any:
        get_stream_writer()(model.model_name)
        return {"messages": [model.invoke(state["messages"])]}

    async def astep(state: Any) -> Any:
        get_stream_writer()(model.model_name)
        return {"messages": [await model.ainvoke(state["messages"])]}

    made = StateGraph(MessagesState)
    made.add_node("step", RunnableLambda(step, afunc=astep))
    made.add_edge(START, "step")
    return made.compile() | (lambda state: state["messages"][-1])


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_the_stream_of_a_graph_around_shows_nothing_of_a_rejected_graph(provider: LoopbackProvider, way: str) -> None:
    provider.script(refusing)
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    tiers = [graph(chat(provider, name)) for name in (CHEAP, STRONG)]
    chain: RoutingRunnable[Any, Any] = RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime)
    outer = StateGraph(MessagesState)
    outer.add_node(
        "outer",
        RunnableLambda(
            lambda state: {"messages": [chain.invoke(dict(state))]},
            afunc=lambda state: _wrapped_answer(chain, state),
        ),
    )
    outer.add_edge(START, "outer")
    app = outer.compile(checkpointer=InMemorySaver())
    given: Any = {"messages": [HumanMessage("What are your opening hours?")]}
    options: Any = {"stream_mode": ["messages", "updates", "custom"], "subgraphs": True}
    config: Any = {"configurable": {"thread_id": "1"}}
    if way == "stream":
        shown = list(app.stream(given, config, **options))
    else:
        shown = [part async for part in app.astream(given, config, **options)]
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
    assert "At nine." in repr(shown)
    assert "sorry" not in repr(shown)
    assert [part for _, kind, part in shown if kind == "custom"] == [STRONG]


async def _wrapped_answer(chain: Any, state: Any) -> Any:
    return {"messages": [await chain.ainvoke(dict(state))]}
