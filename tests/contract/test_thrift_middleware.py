"""Agents of `langchain.agents` under `ThriftMiddleware`, against the provider's own counters."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelFallbackMiddleware, ModelRetryMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from thrift_plugins import CacheConfig, Config, Runtime, scope
from thrift_plugins.budgeting import Budget
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.langchain import ThriftChatModel, ThriftMiddleware
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.testing.script import ToolCall, WireRequest

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

QUESTION = "How is the weather in the harbour of Zürich in a wet November?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=300) as made:
        yield made


def weather(city: str) -> str:
    """The weather in a city."""
    return f"In {city} it rains."


def for_ever(request: WireRequest) -> Answer:
    """An agent that never comes to an end."""
    return Answer(text=f"Step {len(request.messages)}.", tool_calls=(ToolCall("", "weather", '{"city": "Zürich"}'),))


class App:
    """An agent with a tool, under budgets, and the books."""

    def __init__(self, provider: LoopbackProvider, *budgets: Budget, model: Any = None, **settings: Any) -> None:
        self.provider, self.log = provider, MemoryEventLog()
        self.runtime = Runtime(Config(store="memory:", budget_url="memory:"), event_log=self.log)
        self.guard = ThriftMiddleware(budgets or None, runtime=self.runtime, **settings)
        self.agent: Any = create_agent(
            model or plain(provider), [weather], middleware=[self.guard], checkpointer=InMemorySaver()
        )

    async def run(self, given: Any = QUESTION, *, way: str = "ainvoke", thread: str = "t", limit: int = 30) -> Any:
        asked = {"messages": [("user", given)]} if isinstance(given, str) else given
        config = {"configurable": {"thread_id": thread}, "recursion_limit": limit}
        if way == "invoke":
            return await asyncio.to_thread(self.agent.invoke, asked, config)
        if way == "astream":
            return [piece async for piece in self.agent.astream(asked, config, stream_mode="messages")]
        return await self.agent.ainvoke(asked, config)

    def used(self, thread: str = "t") -> list[int]:
        with scope(session=thread):
            found = self.guard.remaining()
        assert all(standing.held == 0 for standing in found), "a lease leaked"
        return [standing.used for standing in found]

    def events(self) -> list[dict[str, Any]]:
        self.runtime.close()
        return [orjson.loads(body) for _, _, body in self.log.rows()]


def plain(provider: LoopbackProvider, **settings: Any) -> ChatOpenAI:
    given = {"model": "gpt-4o", "base_url": provider.base_url, "api_key": "k", "max_retries": 0, "stream_usage": True}
    return ChatOpenAI(**{**given, **settings})


def billed(provider: LoopbackProvider) -> int:
    assert provider.wait_idle()
    return sum(usage.input_tokens + usage.output_tokens for usage in provider.totals.values())


def last(result: Any) -> AIMessage:
    message = result["messages"][-1]
    assert isinstance(message, AIMessage)
    return message


WAYS = ["invoke", "ainvoke", "astream"]
THREAD: Callable[[int], Budget] = lambda tokens: Budget.tokens(  # noqa: E731
    "thread", tokens, window="total", per=("session",)
)


@pytest.mark.parametrize("way", WAYS)
async def test_settles_what_was_used(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, THREAD(100_000))
    await app.run(way=way)
    assert app.used() == [billed(provider)]
    assert [event["outcome"] for event in app.events()] == ["answered", "answered"]  # a tool between


@pytest.mark.parametrize("way", WAYS)
async def test_an_error(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, THREAD(30))
    with pytest.raises(BudgetExceeded, match="'thread' refuses"):
        await app.run(way=way)
    assert provider.requests == ()
    assert app.used() == [0]


@pytest.mark.parametrize("way", WAYS)
async def test_an_answer_is_capped(provider: LoopbackProvider, way: str) -> None:
    provider.script(lambda _: Answer(text="rain " * 900))
    app = App(provider, THREAD(600))
    await app.run(way=way)
    assert provider.requests[0].max_tokens is not None
    assert app.used() == [billed(provider)]
    assert 200 < billed(provider) <= 600


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_run_that_does_not_end(provider: LoopbackProvider, way: str) -> None:
    """Its budget ends it, with a message of what was done; the next run has one of its own."""
    provider.script(for_ever)
    app = App(provider, Budget.tokens("run", 800, window="run"), THREAD(1_000_000), exceeded="summary")
    for number in range(2):
        before = billed(provider)
        result = await app.run(way=way)
        told = last(result)
        assert "'run' refuses" in str(told.text)
        assert "Tools used: weather" in str(told.text)
        assert "The last result: In Zürich it rains." in str(told.text)
        assert told.response_metadata["thrift"]["budget"] == "run"
        assert 200 < billed(provider) - before <= 800, number
    assert app.used() == [billed(provider)]


async def test_threads_have_their_own(provider: LoopbackProvider) -> None:
    app = App(provider, THREAD(500), model=plain(provider, max_tokens=100), exceeded="summary")
    for thread in ("a", "b"):
        results = [last(await app.run(thread=thread)) for _ in range(6)]
        assert "'thread' refuses" in str(results[-1].text)
        assert "'thread' refuses" not in str(results[0].text)
        assert app.used(thread)[0] <= 500


async def test_a_summary_of_the_apps_own(provider: LoopbackProvider) -> None:
    def said(error: BudgetExceeded, messages: Sequence[Any]) -> str:
        return f"{error.budget}: {len(messages)}"

    app = App(provider, THREAD(30), exceeded="summary", summary=said)
    assert last(await app.run()).text == "thread: 1"


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_question_to_the_user(provider: LoopbackProvider, way: str) -> None:
    provider.script(for_ever)
    app = App(provider, Budget.tokens("run", 600, window="run"), exceeded="ask")
    result = await app.run(way=way)
    [asked] = result["__interrupt__"]
    assert asked.value["budget"] == "run"
    assert "May it go on" in asked.value["question"]
    first = billed(provider)
    assert first <= 600

    result = await app.run(Command(resume=True), way=way)
    assert "__interrupt__" in result
    second = billed(provider)
    assert first < second <= 1_200

    result = await app.run(Command(resume=300), way=way)
    assert "__interrupt__" in result
    third = billed(provider)
    assert second < third <= 1_500

    result = await app.run(Command(resume=False), way=way)
    assert "I had to stop" in str(last(result).text)
    assert billed(provider) == third


async def test_what_is_allowed_for_a_thread_lasts(provider: LoopbackProvider) -> None:
    app = App(provider, THREAD(250), model=plain(provider, max_tokens=100), exceeded="ask")
    await app.run()
    assert "__interrupt__" in await app.run()
    assert "__interrupt__" not in await app.run(Command(resume=100_000))
    assert "__interrupt__" not in await app.run("And now?")
    assert app.used() == [billed(provider)]


async def test_dollars_and_answers_that_are_no_amount(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.usd("run", "0.0001", window="run"), exceeded="ask")
    for answer in (["yes"], -1):
        assert "__interrupt__" in await app.run(thread=str(answer))
        with pytest.raises(ConfigError, match=r"resume with|above 0"):
            await app.run(Command(resume=answer), thread=str(answer))
    assert "__interrupt__" in await app.run()
    assert "__interrupt__" not in await app.run(Command(resume="0.5"))


async def test_a_failed_call_and_its_retry(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", budget_url="memory:"))
    guard = ThriftMiddleware([THREAD(100_000)], runtime=runtime)
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    agent: Any = create_agent(plain(provider), [weather], middleware=[retry, guard])
    provider.faults.extend([Fault.refuse(500), Fault.refuse(503)])
    await agent.ainvoke({"messages": [("user", QUESTION)]})
    assert len(provider.requests) == 4  # a tool between
    assert guard.remaining()[0].used == billed(provider)


async def test_a_cancelled_run(provider: LoopbackProvider) -> None:
    app = App(provider, THREAD(100_000))
    provider.faults.append(Fault.delay(5))
    task = asyncio.ensure_future(app.run())
    while not provider.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.used()[0] > 16_384, "the provider may have made the answer all the same: what was reserved is charged"


class City(BaseModel):
    """A city."""

    name: str


async def test_structured_answers(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", budget_url="memory:"))
    guard = ThriftMiddleware([THREAD(100_000)], runtime=runtime)
    agent: Any = create_agent(plain(provider), [], middleware=[guard], response_format=City)
    result = await agent.ainvoke({"messages": [("user", QUESTION)]})
    assert isinstance(result["structured_response"], City)
    assert guard.remaining()[0].used == billed(provider)


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_structured_answers_by_either_strategy(provider: LoopbackProvider, strategy: Any) -> None:
    runtime = Runtime(Config(store="memory:", budget_url="memory:"))
    guard = ThriftMiddleware([THREAD(100_000)], runtime=runtime)
    agent: Any = create_agent(plain(provider), [], middleware=[guard], response_format=strategy(City))
    result = await agent.ainvoke({"messages": [("user", QUESTION)]})
    assert isinstance(result["structured_response"], City)
    assert guard.remaining()[0].used == billed(provider)


@pytest.mark.parametrize("guard_first", [True, False])
async def test_a_model_that_takes_over(provider: LoopbackProvider, guard_first: bool) -> None:
    runtime = Runtime(Config(store="memory:", budget_url="memory:"))
    guard = ThriftMiddleware([THREAD(100_000)], runtime=runtime)
    fallback = ModelFallbackMiddleware(plain(provider, model="gpt-4o-mini"))
    agent: Any = create_agent(plain(provider), [], middleware=[guard, fallback] if guard_first else [fallback, guard])
    provider.faults.append(Fault.refuse(500))
    await agent.ainvoke({"messages": [("user", QUESTION)]})
    assert [request.model for request in provider.requests] == ["gpt-4o", "gpt-4o-mini"]
    assert guard.remaining()[0].used == billed(provider)
    assert guard.remaining()[0].held == 0


async def test_agents_in_agents_and_tools_at_once(provider: LoopbackProvider) -> None:
    """All of a run spend from one budget: the run's name goes with the config."""
    runtime = Runtime(Config(store="memory:", budget_url="memory:"))
    guard = ThriftMiddleware([THREAD(100_000)], runtime=runtime)
    inner: Any = create_agent(plain(provider), [], middleware=[guard])

    async def ask(question: str) -> str:
        """Ask somebody else."""
        return str(last(await inner.ainvoke({"messages": [("user", question)]})).text)

    calls = tuple(
        ToolCall("", "ask", f'{{"question": "What about {city}?"}}') for city in ("Uster", "Thalwil", "Meilen")
    )
    provider.script(
        lambda request: (
            Answer(tool_calls=calls) if request.last_user == QUESTION and len(request.messages) < 2 else None
        )
    )
    agent: Any = create_agent(plain(provider), [ask], middleware=[guard])
    await agent.ainvoke({"messages": [("user", QUESTION)]}, {"configurable": {"thread_id": "t"}})
    assert len(provider.requests) == 5
    with scope(session="t"):
        assert guard.remaining()[0].used == billed(provider)


# --- with a wrapped model


async def test_a_wrapped_model_is_not_counted_twice(provider: LoopbackProvider) -> None:
    log = MemoryEventLog()
    budgets = [Budget.tokens("all", 1_200, window="total")]
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), budgets=budgets), event_log=log)
    wrapped = ThriftChatModel(tiers=[plain(provider, max_tokens=100)], runtime=runtime)
    guard = ThriftMiddleware(runtime=runtime, exceeded="summary")
    agent: Any = create_agent(wrapped, [weather], middleware=[guard])
    provider.script(for_ever)
    result = await agent.ainvoke({"messages": [("user", QUESTION)]}, {"recursion_limit": 60})
    assert "'all' refuses" in str(last(result).text)  # the wrapped model's own refusal
    assert runtime.budgets()[0].used == billed(provider) <= 1_200
    runtime.close()
    assert len(list(log.rows())) == len(provider.requests) + 1


async def test_a_budget_of_its_own_holds_for_a_wrapped_model(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    provider.script(lambda _: Answer(text="rain " * 900))
    app = App(provider, THREAD(600), model=ThriftChatModel(tiers=[plain(provider)], runtime=runtime))
    await app.run()
    assert provider.requests[0].max_tokens is not None
    assert app.used() == [billed(provider)]
    assert app.events() == []  # the call is in the books of the wrapped model
    runtime.close()


def test_without_the_extra() -> None:
    """The rest of the package does without, and this says what to install."""
    code = (
        "import sys; sys.modules['langchain'] = None\n"
        "import thrift_plugins.langchain as ours\n"
        "try: ours.ThriftMiddleware\n"
        "except ImportError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "thrift-plugins[agents]" in told.stdout


def test_no_such_way_to_end() -> None:
    with pytest.raises(ConfigError, match="exceeded must be"):
        ThriftMiddleware([THREAD(1)], exceeded="explode")  # type: ignore[arg-type]


class Settings(AgentMiddleware[Any, Any, Any]):
    """Sets arguments of every call, as LangChain's own middleware for prompt caches does."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={**request.model_settings, **self.settings}))


def test_settings_that_other_middleware_makes_are_reserved_for(provider: LoopbackProvider) -> None:
    def reserved(**settings: Any) -> int:
        app = App(provider, THREAD(100_000))
        agent: Any = create_agent(plain(provider, max_tokens=100), [], middleware=[Settings(**settings), app.guard])
        agent.invoke({"messages": [("user", QUESTION)]})
        amount: int = app.events()[0]["extra"]["budget"]["reserved"]["thread"]
        return amount

    assert reserved(n=4) == reserved() + 300


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_requests_that_the_sdk_repeats_are_booked(
    provider: LoopbackProvider, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    app = App(provider, THREAD(100_000), model=plain(provider, max_tokens=400, max_retries=2))
    provider.faults.extend([Fault.break_after(20)] * 2)
    await app.run(way=way)
    assert len(provider.requests) == 4  # the third is answered, and after the tool there is one more
    assert app.used()[0] >= billed(provider)
    first, _ = app.events()
    assert first["extra"]["sdk"] == {"requests": 3, "lost": 2}
    assert [overhead[:2] for overhead in first["overheads"]] == [["retries", "lost"]]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_without_room_for_it_no_request_is_repeated(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, THREAD(700), model=plain(provider, max_tokens=400, max_retries=2))
    provider.faults.extend([Fault.break_after(20)] * 3)
    with pytest.raises(BudgetExceeded):
        await app.run(way=way)
    assert len(provider.requests) == 1
    assert app.used()[0] >= billed(provider)


async def test_an_answer_that_cannot_be_read_is_charged(provider: LoopbackProvider) -> None:
    app = App(provider, THREAD(100_000), model=plain(provider, max_tokens=400))
    provider.faults.append(Fault.garbage())
    with pytest.raises(ValueError, match="Unterminated"):
        await app.run()
    assert app.used()[0] >= billed(provider) > 0
