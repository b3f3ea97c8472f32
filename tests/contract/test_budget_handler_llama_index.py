"""LlamaIndex's own models under `TokenBudgetHandler`, against the provider's own counters."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import orjson
import pytest
from llama_index.core import PromptTemplate, Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from tests.llama_index_kit import openai, user
from thrift_plugins import CacheConfig, Config, Runtime, run, scope
from thrift_plugins.budgeting import Budget
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.llama_index import ThriftLLM, TokenBudgetHandler
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Fault, LoopbackProvider

pytestmark = [  # the framework's own, of its agents
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

ANSWER = 300  # tokens, if nobody limits it
QUESTION = "How is the weather in the harbour of Zürich in a wet November?"


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=ANSWER) as made:
        yield made


class App:
    """A handler with a total budget, its ledger, and models that know nothing of it."""

    def __init__(self, provider: LoopbackProvider, tokens: int, *, budgets: Sequence[Budget] | None = None) -> None:
        self.provider = provider
        self.log = MemoryEventLog()
        self.runtime = Runtime(Config(store="memory:", budget_url="memory:"), event_log=self.log)
        own = budgets or [Budget.tokens("all", tokens, window="total")]
        self.handler = TokenBudgetHandler(own, runtime=self.runtime)

    def model(self, **settings: Any) -> OpenAI:
        return openai(self.provider, callback_manager=CallbackManager([self.handler]), **settings)

    async def settled(self) -> int:
        """What is charged, once nothing is reserved any more."""
        for _ in range(100):
            if not self.handler.remaining()[0].held:
                break
            await asyncio.sleep(0.02)
        standing = self.handler.remaining()[0]
        assert standing.held == 0, "a lease leaked"
        return standing.used

    async def billed(self) -> int:
        assert await asyncio.to_thread(self.provider.wait_idle)
        return sum(usage.input_tokens + usage.output_tokens for usage in self.provider.totals.values())

    def events(self) -> list[dict[str, Any]]:
        self.runtime.close()
        return [orjson.loads(body) for _, _, body in self.log.rows()]


async def _astream(llm: Any, method: str, asked: Any) -> list[Any]:
    return [piece async for piece in await getattr(llm, method)(asked)]


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = Settings._callback_manager
    yield
    Settings._callback_manager = before


def _engine(llm: Any, *, streaming: bool = False) -> Any:
    """A query engine. It has the model called with the callbacks of the settings."""
    Settings.callback_manager = llm.callback_manager
    return SummaryIndex([TextNode(text="The lighthouse is from 1871.")]).as_query_engine(llm=llm, streaming=streaming)


async def _agent(llm: Any) -> Any:
    return await FunctionAgent(tools=[], llm=llm, system_prompt="You answer.").run(QUESTION)


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "chat": lambda llm: asyncio.to_thread(llm.chat, user(QUESTION)),
    "achat": lambda llm: llm.achat(user(QUESTION)),
    "complete": lambda llm: asyncio.to_thread(llm.complete, QUESTION),
    "acomplete": lambda llm: llm.acomplete(QUESTION),
    "structured_predict": lambda llm: asyncio.to_thread(llm.structured_predict, City, PromptTemplate(QUESTION)),
    "query_engine": lambda llm: asyncio.to_thread(_engine(llm).query, QUESTION),
    "stream_chat": lambda llm: asyncio.to_thread(lambda: list(llm.stream_chat(user(QUESTION)))),
    "astream_chat": lambda llm: _astream(llm, "astream_chat", user(QUESTION)),
    "stream_complete": lambda llm: asyncio.to_thread(lambda: list(llm.stream_complete(QUESTION))),
    "astream_complete": lambda llm: _astream(llm, "astream_complete", QUESTION),
    "streaming_query_engine": lambda llm: asyncio.to_thread(
        lambda: list(_engine(llm, streaming=True).query(QUESTION).response_gen)
    ),
    "agent": _agent,
}
ASYNC = ["achat", "acomplete", "astream_chat", "astream_complete"]
STREAMED = ["stream_chat", "astream_chat", "stream_complete", "astream_complete", "streaming_query_engine"]


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(error, BudgetExceeded):
        error = cause
    return error


async def refused(way: str, llm: Any) -> str:
    """What the refusal of a call says."""
    try:
        await CALLS[way](llm)
    except Exception as error:
        root = _root(error)
        assert isinstance(root, BudgetExceeded)
        return str(root)
    raise AssertionError("not refused")


@pytest.mark.parametrize("way", CALLS)
async def test_settles_what_was_used(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    await CALLS[way](app.model())
    assert await app.settled() == await app.billed() > 0
    [event] = app.events()
    assert event["outcome"] == "answered"
    assert event["usage"]["source"] == "provider"


@pytest.mark.parametrize("way", CALLS)
async def test_refuses_before_it_is_paid(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 20)
    assert "'all' refuses" in await refused(way, app.model())
    assert provider.requests == ()
    assert await app.settled() == 0


@pytest.mark.parametrize("way", [way for way in CALLS if way != "structured_predict"])
async def test_with_a_limit_it_holds_to_the_token(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 700)
    model = app.model(max_tokens=100)
    await CALLS[way](model)
    await CALLS[way](model)
    with pytest.raises(BudgetExceeded):  # noqa: PT012
        for _ in range(9):
            try:
                await CALLS[way](model)
            except Exception as error:
                raise _root(error) from None
    assert await app.settled() == await app.billed() <= 700


@pytest.mark.parametrize("way", ["chat", "stream_chat", "astream_complete"])
async def test_an_answer_without_a_limit_goes_over_once(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 190)
    await CALLS[way](app.model())
    assert await app.settled() == await app.billed() > 190
    await refused(way, app.model())
    assert len(provider.requests) == 1
    first, second = app.events()
    assert any("more than was reserved" in fallback for fallback in first["fallbacks"])
    assert second["error"] == "BudgetExceeded"


@pytest.mark.parametrize("way", ASYNC)
async def test_a_cancelled_call_is_settled(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.stall_after(5))
    task = asyncio.ensure_future(CALLS[way](app.model()))
    while not provider.requests:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    if "stream" in way:
        assert 0 < await app.settled() < 100
    else:  # the provider may have made the answer all the same: what was reserved is charged
        assert await app.settled() > 16_384


@pytest.mark.parametrize("way", STREAMED)
async def test_a_broken_stream_is_settled(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.break_after(5))
    with suppress(Exception):
        await CALLS[way](app.model())
    gc.collect()
    assert await app.settled() == await app.billed() > 5


async def test_a_stream_that_is_left_is_settled(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    stream = app.model().stream_chat(user(QUESTION))
    for _ in range(9):
        next(stream)
    stream.close()
    assert 15 < await app.settled() < 60


async def test_a_failed_call_is_charged_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    provider.faults.append(Fault.refuse(400))
    with pytest.raises(Exception, match="400"):
        app.model().chat(user(QUESTION))
    assert await app.settled() == 0


async def test_two_streams_at_once(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    streams = [app.model().stream_chat(user(QUESTION)) for _ in range(2)]
    for _ in zip(*streams, strict=True):
        pass
    assert await app.settled() == await app.billed()


async def test_a_herd(provider: LoopbackProvider) -> None:
    app = App(provider, 140)
    model = app.model(max_tokens=100)

    def ask(_: int) -> None:
        with suppress(BudgetExceeded):
            model.chat(user(QUESTION))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(50)))
    assert len(provider.requests) == 1
    assert await app.settled() == await app.billed() <= 140


async def test_tools(provider: LoopbackProvider) -> None:
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    app = App(provider, 100_000)
    app.model().chat_with_tools([FunctionTool.from_defaults(weather)], user_msg=QUESTION)
    assert await app.settled() == await app.billed()


# --- whose it is


async def test_a_run_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.tokens("run", 200, window="run")])
    model = app.model(max_tokens=100)
    for name in ("a", "b"):
        with run(name):
            await CALLS["chat"](model)
            await refused("chat", model)


async def test_each_tenant_has_its_own(provider: LoopbackProvider) -> None:
    app = App(provider, 0, budgets=[Budget.tokens("each", 200, per=("tenant",))])
    model = app.model(max_tokens=100)
    for tenant in ("a", "b"):
        with scope(tenant=tenant):
            await CALLS["chat"](model)
            await refused("chat", model)


# --- beside wrapped models


async def test_a_wrapped_model_is_not_counted_twice(provider: LoopbackProvider) -> None:
    budget = Budget.tokens("all", 100_000, window="total")
    log = MemoryEventLog()
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False), budgets=[budget]), event_log=log)
    handler = TokenBudgetHandler(runtime=runtime)
    manager = CallbackManager([handler])
    wrapped = ThriftLLM(tiers=[openai(provider)], runtime=runtime, callback_manager=manager)
    app = App(provider, 1)
    for _ in range(2):  # the second is a hit of its cache
        wrapped.chat(user(QUESTION))
    assert runtime.budgets()[0].used == await app.billed()
    openai(provider, callback_manager=manager).chat(user(QUESTION))
    assert runtime.budgets()[0].used == await app.billed()
    runtime.close()
    assert len(list(log.rows())) == 3


async def test_a_budget_of_the_handlers_own_holds_for_a_wrapped_model(provider: LoopbackProvider) -> None:
    app = App(provider, 1_000)
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    wrapped = ThriftLLM(tiers=[openai(provider)], runtime=runtime, callback_manager=CallbackManager([app.handler]))
    for _ in range(2):
        list(wrapped.stream_chat(user(QUESTION)))
    assert len(provider.requests) == 1
    assert await app.settled() == await app.billed()
    assert app.events() == []  # the call is in the books of the wrapped model
    runtime.close()


async def test_a_copied_model_spends_from_the_same_accounts(provider: LoopbackProvider) -> None:
    app = App(provider, 100_000)
    assert copy.deepcopy(app.handler) is app.handler
    await CALLS["chat"](app.model())
    assert await app.settled() == await app.billed()


def test_no_budgets() -> None:
    with pytest.raises(ConfigError, match="no budgets"):
        TokenBudgetHandler(runtime=Runtime(Config(store="memory:")))
