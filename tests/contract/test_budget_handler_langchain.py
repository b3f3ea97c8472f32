"""LangChain's own models under `TokenBudgetHandler`, against the provider's own counters."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

from thrift_plugins import CacheConfig, Config, Runtime, run, scope
from thrift_plugins.budgeting import Budget
from thrift_plugins.errors import BudgetExceeded, ConfigError, UnknownModelPrice
from thrift_plugins.langchain import ThriftChatModel, TokenBudgetHandler
from thrift_plugins.metering import Heard, Meter
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.types import Message, Reply, Scope, Tier, Usage

pytestmark = [  # the framework's own
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning"),
    # It makes a coroutine for each handler, and awaits none after one that has refused.
    pytest.mark.filterwarnings("ignore:coroutine 'ahandle_event' was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ANSWER = 300  # tokens, if nobody limits it
PROMPT = 22  # tokens
QUESTION = "How is the weather in the harbour of Zürich in a wet November?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=ANSWER) as made:
        yield made


RESERVED = 16_384
"""Tokens for an answer of a length that nobody limits."""


class App:
    """A handler with a total budget, its ledger, and models that know nothing of it."""

    def __init__(self, provider: LoopbackProvider, tokens: int, *, budgets: Sequence[Budget] | None = None) -> None:
        self.provider = provider
        self.log = MemoryEventLog()
        self.runtime = Runtime(Config(store="memory:", budget_url="memory:"), event_log=self.log)
        own = budgets or [Budget.tokens("all", tokens, window="total")]
        self.handler = TokenBudgetHandler(own, runtime=self.runtime)
        self.config: Any = {"callbacks": [self.handler]}

    def model(self, **settings: Any) -> ChatOpenAI:
        given = {"model": "gpt-4o", "base_url": self.provider.base_url, "api_key": "k", "max_retries": 0}
        return ChatOpenAI(**{**given, "stream_usage": True, **settings})

    async def quiet(self) -> None:
        """Until the tasks of the framework's own have told of the end."""
        for _ in range(100):
            if not self.handler.remaining()[0].held:
                return
            await asyncio.sleep(0.02)

    def settled(self) -> int:
        """What is charged, once nothing is reserved any more."""
        standing = self.handler.remaining()[0]
        assert standing.held == 0, "a lease leaked"
        return standing.used

    def billed(self) -> int:
        assert self.provider.wait_idle()
        return sum(usage.input_tokens + usage.output_tokens for usage in self.provider.totals.values())

    def events(self) -> list[dict[str, Any]]:
        self.runtime.close()
        return [orjson.loads(body) for _, _, body in self.log.rows()]


async def call(way: str, target: Runnable[Any, Any], config: Any, text: str = QUESTION) -> Any:  # noqa: PLR0911
    """Make a call in one of LangChain's ways."""
    match way:
        case "invoke":
            return await asyncio.to_thread(target.invoke, text, config)
        case "ainvoke":
            return await target.ainvoke(text, config)
        case "stream":
            return await asyncio.to_thread(lambda: list(target.stream(text, config)))
        case "astream":
            return [piece async for piece in target.astream(text, config)]
        case "batch":
            return await asyncio.to_thread(target.batch, [text], config)
        case "abatch":
            return await target.abatch([text], config)
        case "astream_events":
            return [event async for event in target.astream_events(text, config, version="v2")]
        case "stream_events_v3":
            return await asyncio.to_thread(lambda: list(target.stream_events(text, config, version="v3")))
        case "astream_events_v3":
            stream: Any = await target.astream_events(text, config, version="v3")
            return [event async for event in stream]
        case _:
            agent = create_agent(target, tools=[])
            return await agent.ainvoke({"messages": [("user", text)]}, config)


WAYS = [
    "invoke", "ainvoke", "stream", "astream", "batch", "abatch", "astream_events", "stream_events_v3",
    "astream_events_v3", "agent",
]  # fmt: skip
STREAMED = ["stream", "astream", "astream_events", "stream_events_v3", "astream_events_v3"]


@pytest.mark.parametrize("way", WAYS)
async def test_settles_what_was_used(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    await call(way, app.model(), app.config)
    await app.quiet()
    assert app.settled() == app.billed() > ANSWER
    [event] = app.events()
    assert event["outcome"] == "answered"
    assert event["usage"]["source"] == "provider"


@pytest.mark.parametrize("way", WAYS)
async def test_refuses_before_it_is_paid(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 20)
    with pytest.raises(BudgetExceeded, match="'all' refuses"):
        await call(way, app.model(), app.config)
    assert provider.requests == ()
    assert app.settled() == 0


@pytest.mark.parametrize("way", WAYS)
async def test_with_a_limit_it_holds_to_the_token(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 400)
    model = app.model(max_tokens=100)
    with pytest.raises(BudgetExceeded):  # noqa: PT012
        for _ in range(9):
            await call(way, model, app.config)
            await app.quiet()
    assert 200 < app.settled() == app.billed() <= 400


@pytest.mark.parametrize("way", STREAMED)
async def test_stops_a_stream_in_the_middle(provider: LoopbackProvider, way: str) -> None:
    """The provider would wait for ever three chunks later."""
    app = App(provider, 190)
    provider.faults.append(Fault.stall_after(190 - PROMPT + 3))
    with pytest.raises(BudgetExceeded, match="stopped after the"):
        await call(way, app.model(), app.config)
    await app.quiet()
    assert 100 < app.settled() <= 190
    assert await asyncio.to_thread(app.billed) <= 190 + 3


@pytest.mark.parametrize("way", [way for way in WAYS if way not in STREAMED])
async def test_a_whole_answer_goes_over_once(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 190)
    await call(way, app.model(), app.config)
    assert app.settled() == app.billed() > 190
    with pytest.raises(BudgetExceeded):
        await call(way, app.model(), app.config)
    first, refused = app.events()
    assert any("more than was reserved" in fallback for fallback in first["fallbacks"])
    assert refused["error"] == "BudgetExceeded"


@pytest.mark.parametrize("way", ["ainvoke", "astream", "abatch", "astream_events", "agent"])
async def test_a_cancelled_call_is_settled(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.stall_after(5))
    task = asyncio.ensure_future(call(way, app.model(), app.config))
    while not provider.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    if way in STREAMED:
        assert 0 < app.settled() < 100
    else:  # the provider may have made the answer all the same
        assert app.settled() > RESERVED


async def test_a_time_out_in_the_same_task(provider: LoopbackProvider) -> None:
    """Nobody tells of the end; the next call of the same caller does."""
    app = App(provider, 100_000)
    provider.faults.append(Fault.delay(5))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await app.model().ainvoke(QUESTION, app.config)
    assert app.handler.remaining()[0].held > 0
    await app.model().ainvoke(QUESTION, app.config)
    assert app.settled() > ANSWER


@pytest.mark.parametrize("way", STREAMED)
async def test_a_broken_stream_is_settled(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.break_after(5))
    with pytest.raises(Exception):  # noqa: B017, PT011  every SDK has its own
        await call(way, app.model(), app.config)
    await app.quiet()
    assert app.settled() == app.billed() > 5


def test_a_stream_that_is_left_is_settled(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    for number, _ in enumerate(app.model().stream(QUESTION, app.config)):
        if number == 9:
            break
    gc.collect()
    assert 15 < app.settled() < 60


def test_a_failed_call_is_charged_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.refuse(400))
    with pytest.raises(Exception, match="400"):
        app.model().invoke(QUESTION, app.config)
    assert app.settled() == 0


def test_an_answer_that_the_sdk_throws_away_is_charged(provider: LoopbackProvider) -> None:
    class City(BaseModel):
        name: str

    app = App(provider, 100_000)
    provider.faults.append(Fault.truncate(3))
    model = app.model().with_structured_output(City, method="json_schema")
    with pytest.raises(Exception, match=r"(?i)length"):
        model.invoke(QUESTION, app.config)
    assert app.settled() == app.billed() > 3


class Strict(BaseCallbackHandler):
    """Somebody else's, who refuses too."""

    raise_error = True

    def on_chat_model_start(self, *_args: Any, **_kwargs: Any) -> None:
        raise PermissionError("not today")


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_another_handler_refuses(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    both = {"callbacks": [app.handler, Strict()]}
    with pytest.raises(PermissionError):
        await asyncio.ensure_future(call(way, ChatPromptTemplate.from_template("{input}") | app.model(), both))
    assert app.settled() == 0
    with pytest.raises(PermissionError):
        await asyncio.ensure_future(call(way, app.model(), both))
    await asyncio.sleep(0)
    if way in ("invoke", "stream"):  # its thread may go on
        assert app.handler.remaining()[0].held > 0
        app.handler.close()
        assert app.settled() > RESERVED, "nobody knows what became of it"
    else:
        assert app.settled() == 0
    assert provider.requests == ()


def test_another_handler_refuses_in_this_thread(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    with pytest.raises(PermissionError):
        app.model().invoke(QUESTION, {"callbacks": [app.handler, Strict()]})
    assert app.handler.remaining()[0].held > 0
    app.model().invoke(QUESTION, app.config)
    assert app.settled() == app.billed()


def test_several_at_once_of_which_one_is_refused(provider: LoopbackProvider) -> None:
    """`generate` announces them all before it makes one; none is made."""
    app = App(provider, 400)
    model = app.model(max_tokens=100, callbacks=[app.handler])
    with pytest.raises(BudgetExceeded):
        model.generate([[HumanMessage(QUESTION)]] * 9)
    assert provider.requests == ()
    assert app.settled() == 0


@pytest.mark.filterwarnings("ignore:Unexpected type for token usage:UserWarning")  # the framework's own
def test_several_at_once(provider: LoopbackProvider) -> None:
    app = App(provider, 10_000)
    app.model(max_tokens=100, callbacks=[app.handler]).generate([[HumanMessage(QUESTION)]] * 4)
    assert len(provider.requests) == 4
    assert app.settled() == app.billed()


def test_a_herd(provider: LoopbackProvider) -> None:
    app = App(provider, 140)
    model = app.model(max_tokens=100)
    with pytest.raises(BudgetExceeded):
        model.batch([QUESTION] * 50, app.config)
    assert len(provider.requests) == 1
    assert app.settled() == app.billed() <= 140


async def test_a_herd_of_tasks(provider: LoopbackProvider) -> None:
    app = App(provider, 140)
    model = app.model(max_tokens=100)
    ended = await asyncio.gather(*(model.ainvoke(QUESTION, app.config) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(end, BudgetExceeded) for end in ended) == 49
    assert len(provider.requests) == 1
    assert app.settled() == app.billed() <= 140


def test_branches_of_which_one_fails(provider: LoopbackProvider) -> None:
    def fail(_: Any) -> Any:
        raise ValueError

    app = App(provider, 100_000)
    with pytest.raises(ValueError):  # noqa: PT011
        RunnableParallel(a=app.model(), b=RunnableLambda(fail)).invoke(QUESTION, app.config)
    assert app.settled() == app.billed() > ANSWER


def test_hits_of_langchains_own_cache_cost_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    model = app.model(cache=InMemoryCache())
    for _ in range(3):
        model.invoke(QUESTION, app.config)
    assert len(provider.requests) == 1
    assert app.settled() == app.billed()


def test_a_retry_is_reserved_for_again(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    provider.faults.extend([Fault.refuse(500), Fault.refuse(500)])
    app.model().with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke(QUESTION, app.config)
    assert len(provider.requests) == 3
    assert app.settled() == app.billed()


def test_a_refusal_that_is_retried_pays_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, 20)
    with pytest.raises(BudgetExceeded):
        app.model().with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke(QUESTION, app.config)
    assert provider.requests == ()


def test_a_fallback(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.refuse(503))
    app.model().with_fallbacks([app.model(model="gpt-4o-mini")]).invoke(QUESTION, app.config)
    assert app.settled() == app.billed() > ANSWER


def test_tools_and_reasoning(provider: LoopbackProvider) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    provider.script(lambda _: Answer(text="Rain.", reasoning_tokens=70))
    app = App(provider, 100_000)
    app.model().bind_tools([weather]).invoke(QUESTION, app.config)
    assert app.settled() == app.billed() > 70


def test_completions(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    llm = OpenAI(model="gpt-3.5-turbo-instruct", base_url=provider.base_url, api_key="k", max_retries=0, max_tokens=50)
    llm.invoke(QUESTION, app.config)
    llm.generate([QUESTION, "Why?"], callbacks=[app.handler])
    assert app.settled() == app.billed()


def test_without_usage_it_is_counted(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    for _ in app.model(stream_usage=False).stream(QUESTION, app.config):
        pass
    assert app.settled() == app.billed()


# --- whose it is


def test_each_run_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.tokens("run", 400, window="run")])
    model = app.model(max_tokens=100)

    def thrice(text: str) -> list[Any]:
        return [model.invoke(text) for _ in range(3)]

    with pytest.raises(BudgetExceeded, match="'run'"):
        RunnableLambda(lambda text: [RunnableLambda(thrice).invoke(text) for _ in range(3)]).invoke(
            QUESTION, app.config
        )
    made = len(provider.requests)
    assert 2 <= made <= 3
    (RunnableLambda(lambda text: text) | model).invoke(QUESTION, app.config)
    assert len(provider.requests) == made + 1


def test_a_run_by_name(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.tokens("run", 400, window="run")])
    with run("job-7"):
        app.model(max_tokens=100).invoke(QUESTION, app.config)
        assert app.handler.remaining()[0].used == app.billed()


def test_each_tenant_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.tokens("each", 200, per=("tenant",))])
    model = app.model(max_tokens=100)
    with scope(tenant="a"):
        model.invoke(QUESTION, app.config)
        with pytest.raises(BudgetExceeded):
            model.invoke(QUESTION, app.config)
    model.invoke(QUESTION, {**app.config, "metadata": {"thrift_tenant": "b"}})


def test_dollars(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.usd("day", "0.01", window="day")])
    app.model().invoke(QUESTION, app.config)
    used = app.settled()
    [event] = app.events()
    assert used == event["bill"]["actual"] == event["bill"]["baseline"] > 0


def test_the_accounts_are_the_apps(provider: LoopbackProvider, tmp_path: Path) -> None:
    """Other handlers of other runtimes spend from the same ones."""
    used = []
    for _ in range(2):
        app = App(provider, 1)
        runtime = Runtime(Config(store=str(tmp_path / "thrift.db")))
        handler = TokenBudgetHandler([Budget.tokens("all", 100_000, window="total")], runtime=runtime)
        app.model().invoke(QUESTION, {"callbacks": [handler]})
        used.append(handler.remaining()[0].used)
        handler.close()
        runtime.close()
    assert used[1] == 2 * used[0] == app.billed()


def test_a_model_without_a_price(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.usd("day", 5, window="day")])
    with pytest.raises(UnknownModelPrice):
        app.model(model="nobody-knows-me").invoke(QUESTION, app.config)
    assert provider.requests == ()
    assert app.settled() == 0


# --- beside wrapped models


def _wrapped(app: App, runtime: Runtime) -> ThriftChatModel:
    return ThriftChatModel(tiers=[app.model()], runtime=runtime)


def test_a_wrapped_model_is_not_counted_twice(provider: LoopbackProvider) -> None:
    log = MemoryEventLog()
    budget = Budget.tokens("all", 100_000, window="total")
    runtime = Runtime(Config(store="memory:", budgets=[budget]), event_log=log)
    handler = TokenBudgetHandler(runtime=runtime)
    app = App(provider, 1)
    _wrapped(app, runtime).invoke(QUESTION, {"callbacks": [handler]})
    assert runtime.budgets()[0].used == app.billed()
    app.model().invoke(QUESTION, {"callbacks": [handler]})
    assert runtime.budgets()[0].used == app.billed()
    runtime.close()
    assert len(list(log.rows())) == 2


def test_a_budget_of_the_handlers_own_holds_for_a_wrapped_model(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    app = App(provider, 1_000)
    model = _wrapped(app, runtime)
    for _ in range(3):  # two of which are hits of its cache
        model.invoke(QUESTION, app.config)
    assert len(provider.requests) == 1
    assert app.settled() == app.billed()
    assert app.events() == []  # the call is in the books of the wrapped model
    runtime.close()


# --- what is wrong


def test_no_budgets() -> None:
    with pytest.raises(ConfigError, match="no budgets"):
        TokenBudgetHandler(runtime=Runtime(Config(store="memory:")))


def test_two_of_one_name() -> None:
    with pytest.raises(ConfigError, match="two budgets"):
        TokenBudgetHandler([Budget.tokens("a", 1), Budget.tokens("a", 2)], runtime=Runtime(Config(store="memory:")))


def test_it_is_there_twice(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    app.model(callbacks=[app.handler]).invoke(QUESTION, app.config)
    assert app.settled() == app.billed()


def test_a_call_taken_for_dead_that_lives(provider: LoopbackProvider, caplog: pytest.LogCaptureFixture) -> None:
    """Two v3 streams that are opened before one is read."""
    caplog.set_level(logging.WARNING)
    app = App(provider, 100_000)
    streams = [app.model().stream_events(QUESTION, app.config, version="v3") for _ in range(2)]
    for stream in streams:
        for _ in stream:
            pass
    assert app.settled() >= app.billed()
    assert not caplog.records


class TestACallThatIsTakenForDeadWhereNothingIsLeft:
    """It has been made, so it is charged, whatever is left."""

    @pytest.fixture
    def meter(self) -> Iterator[Meter]:
        runtime = Runtime(Config(store="memory:", budget_url="memory:"), event_log=MemoryEventLog())
        meter = Meter([Budget.tokens("all", 100, window="total")], runtime, dialect="test")
        yield meter
        meter.close()
        runtime.close()

    def started(self, meter: Meter, name: str) -> None:
        request = meter.runtime.request(
            dialect="test",
            model="gpt-4o",
            identities=[None],
            messages=[Message("user", "Hi")],
            params={},
            scope=Scope(),
        )
        meter.start(name, Heard(request, Tier("gpt-4o", "gpt-4o", limit=60)))

    def test_it_was_answered(self, meter: Meter) -> None:
        for name in ("dead", "alive"):
            self.started(meter, name)
        meter.end("dead", Reply("Fine.", Usage(10, 50, source="provider")))
        meter.end("alive", Reply("Fine.", Usage(10, 50, source="provider")))
        [left] = meter.remaining()
        assert (left.used, left.held, left.left) == (120, 0, 0)

    def test_it_goes_on(self, meter: Meter) -> None:
        for name in ("dead", "alive"):
            self.started(meter, name)
        meter.piece("alive", "Fine.")
        with pytest.raises(BudgetExceeded):
            meter.piece("dead", "It rains.")
        meter.fail("dead", ValueError("stopped"), Reply("It rains.", Usage(10, 3, source="estimated"), complete=False))
        meter.end("alive", Reply("Fine.", Usage(10, 50, source="provider")))
        [left] = meter.remaining()
        assert (left.used, left.held) == (73, 0)


def test_a_budget_that_disagrees_with_the_runtimes() -> None:
    runtime = Runtime(Config(store="memory:", budgets=[Budget.tokens("day", 100, window="day")]))
    TokenBudgetHandler([Budget.tokens("day", 100, window="day")], runtime=runtime)
    with pytest.raises(ConfigError, match="'day' is another one"):
        TokenBudgetHandler([Budget.tokens("day", 50, window="day")], runtime=runtime)


def test_threads(provider: LoopbackProvider) -> None:
    app = App(provider, 1_000_000)
    model = app.model(max_tokens=20)

    def ask() -> None:
        for _ in range(5):
            model.invoke(QUESTION, app.config)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert app.settled() == app.billed()
    assert len(provider.requests) == 40
