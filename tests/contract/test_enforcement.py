"""A hard budget against the provider's own counters: every way to call a wrapped model, times everything that may happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from llama_index.core import PromptTemplate, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.schema import TextNode
from pydantic import BaseModel

from tests.llama_index_kit import CHEAP, STRONG, openai, user
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.budgeting import Budget
from thrift_plugins.errors import BudgetExceeded
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import Fault, LoopbackProvider

pytestmark = [  # the framework's own, of its agents
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]

ANSWER = 300  # tokens, if nobody limits it
TIGHT = {"query_engine": 300, "structured_predict": 400}
"""Tokens: room for the prompt and for part of an answer."""
OVERSHOOT = 3  # chunks


class City(BaseModel):
    """A city."""

    name: str


class Made(NamedTuple):
    """What a test looks at.

    Attributes:
        call: makes a call of the app's.
    """

    provider: LoopbackProvider
    runtime: Runtime
    call: Callable[[str], Awaitable[Any]]


# --- the ways to call


def _langchain(provider: LoopbackProvider, runtime: Runtime) -> ThriftChatModel:
    def model(name: str) -> BaseChatModel:
        return ChatOpenAI(
            model=name, base_url=provider.base_url, api_key="k", max_retries=0, temperature=0, stream_usage=True
        )

    return ThriftChatModel(tiers=[model(CHEAP), model(STRONG)], runtime=runtime)


def _llama_index(provider: LoopbackProvider, runtime: Runtime) -> ThriftLLM:
    return ThriftLLM(tiers=[openai(provider, CHEAP), openai(provider, STRONG)], runtime=runtime)


def _drain(pieces: Iterator[Any]) -> list[Any]:
    return list(pieces)


async def _adrain(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


def _invoke(model: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda text: asyncio.to_thread(model.invoke, text)


def _stream(model: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda text: asyncio.to_thread(lambda: _drain(model.stream(text)))


def _events(model: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda text: _adrain(model.astream_events(text, version="v2"))


def _agent(model: Any) -> Callable[[str], Awaitable[Any]]:
    agent = create_agent(model, tools=[])
    return lambda text: agent.ainvoke({"messages": [("user", text)]})


def _astream_chat(llm: Any) -> Callable[[str], Awaitable[Any]]:
    async def call(text: str) -> Any:
        return await _adrain(await llm.astream_chat(user(text)))

    return call


def _engine(llm: Any) -> Callable[[str], Awaitable[Any]]:
    engine = SummaryIndex([TextNode(text="The lighthouse is from 1871.")]).as_query_engine(llm=llm)
    return lambda text: asyncio.to_thread(engine.query, text)


def _predict(llm: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda text: asyncio.to_thread(llm.structured_predict, City, PromptTemplate(text))


def _function_agent(llm: Any) -> Callable[[str], Awaitable[Any]]:
    async def call(text: str) -> Any:
        return await FunctionAgent(tools=[], llm=llm, system_prompt="You answer.").run(text)

    return call


LANGCHAIN: dict[str, Callable[[Any], Callable[[str], Awaitable[Any]]]] = {
    "invoke": _invoke,
    "ainvoke": lambda model: model.ainvoke,
    "stream": _stream,
    "astream": lambda model: lambda text: _adrain(model.astream(text)),
    "batch": lambda model: lambda text: asyncio.to_thread(model.batch, [text]),
    "abatch": lambda model: lambda text: model.abatch([text]),
    "astream_events": _events,
    "agent": _agent,
}
LLAMA_INDEX: dict[str, Callable[[Any], Callable[[str], Awaitable[Any]]]] = {
    "chat": lambda llm: lambda text: asyncio.to_thread(llm.chat, user(text)),
    "achat": lambda llm: lambda text: llm.achat(user(text)),
    "stream_chat": lambda llm: lambda text: asyncio.to_thread(lambda: _drain(llm.stream_chat(user(text)))),
    "astream_chat": _astream_chat,
    "complete": lambda llm: lambda text: asyncio.to_thread(llm.complete, text),
    "query_engine": _engine,
    "structured_predict": _predict,
    "agent": _function_agent,
}
WAYS = [("langchain", name) for name in LANGCHAIN] + [("llama_index", name) for name in LLAMA_INDEX]
ASYNC = {"ainvoke", "astream", "abatch", "astream_events", "achat", "astream_chat", "agent"}
STREAMED = {"stream", "astream", "astream_events", "stream_chat", "astream_chat"}


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Made]]:
    runtimes: list[Runtime] = []
    with LoopbackProvider(answer_tokens=ANSWER) as provider:

        def made(framework: str, way: str, tokens: int) -> Made:
            config = Config(
                store="memory:",
                cache=CacheConfig(kinds=False),
                budgets=[Budget.tokens("all", tokens, window="total")],
            )
            runtime = Runtime(config)
            runtimes.append(runtime)
            if framework == "langchain":
                return Made(provider, runtime, LANGCHAIN[way](_langchain(provider, runtime)))
            return Made(provider, runtime, LLAMA_INDEX[way](_llama_index(provider, runtime)))

        yield made
        for runtime in runtimes:
            runtime.close()


def _billed(provider: LoopbackProvider) -> int:
    assert provider.wait_idle()
    return sum(usage.input_tokens + usage.output_tokens for usage in provider.totals.values())


def _settled(made: Made) -> int:
    """What is charged, once nothing is reserved any more."""
    [standing] = made.runtime.budgets()
    assert standing.held == 0, "a lease leaked"
    return standing.used


async def _until(happened: Callable[[], bool]) -> None:
    for _ in range(200):
        if happened():
            return
        await asyncio.sleep(0.02)


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(error, BudgetExceeded):
        error = cause
    return error


QUESTION = "How is the weather in the harbour of Zürich in a wet November?"


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_refuse(make: Callable[..., Made], framework: str, way: str) -> None:
    made = make(framework, way, 20)
    with pytest.raises(Exception) as caught:  # noqa: PT011  an agent may wrap it
        await made.call(QUESTION)
    assert isinstance(_root(caught.value), BudgetExceeded)
    assert made.provider.requests == ()
    assert _settled(made) == 0


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_cap(make: Callable[..., Made], framework: str, way: str) -> None:
    limit = TIGHT.get(way, 190)
    made = make(framework, way, limit)
    with suppress(ValueError):  # an object that was cut cannot be parsed
        await made.call(QUESTION)
    assert [request.max_tokens is not None for request in made.provider.requests] == [True]
    billed = _billed(made.provider)
    assert billed == _settled(made) <= limit


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_stop_in_mid_stream(make: Callable[..., Made], framework: str, way: str) -> None:
    """A provider that goes on for ever: a stream is cut; of a whole answer the excess is charged and told."""
    limit = TIGHT.get(way, 190)
    made = make(framework, way, limit)
    made.provider.faults.append(Fault.overrun())
    with suppress(ValueError):
        await made.call(QUESTION)
    billed, [request] = _billed(made.provider), made.provider.requests
    charged = _settled(made)
    if request.stream and way != "structured_predict":
        assert request.max_tokens is not None
        assert charged <= limit + OVERSHOOT
    else:
        assert charged == billed


@pytest.mark.parametrize(("framework", "way"), [each for each in WAYS if each[1] in ASYNC])
async def test_cancel(make: Callable[..., Made], framework: str, way: str) -> None:
    made = make(framework, way, 100_000)
    lives_on = (framework, way) == ("llama_index", "agent")  # its step runs to its end, whoever is cancelled
    made.provider.faults.append(Fault.delay(0.5) if lives_on else Fault.stall_after(5))
    task = asyncio.ensure_future(made.call(QUESTION))
    await _until(lambda: bool(made.provider.requests))
    await asyncio.sleep(0.1)
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task
    await _until(lambda: not made.runtime.budgets()[0].held)  # a workflow ends its steps by and by
    billed = _billed(made.provider)
    charged = _settled(made)
    assert charged > 0
    assert charged >= billed or way not in STREAMED


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_break(make: Callable[..., Made], framework: str, way: str) -> None:
    made = make(framework, way, 100_000)
    made.provider.faults.rule(lambda _: Fault.break_after(5))
    with pytest.raises(Exception):  # noqa: B017, PT011  every SDK has its own
        await made.call(QUESTION)
    _billed(made.provider)
    assert _settled(made) > 0


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_retry(make: Callable[..., Made], framework: str, way: str) -> None:
    """The app asks again after an error: both are reserved for, one is charged."""
    made = make(framework, way, 100_000)
    made.provider.faults.extend([Fault.refuse(400)])
    with suppress(Exception):
        await made.call(QUESTION)
    assert _settled(made) == 0
    await made.call(QUESTION)
    assert _settled(made) == _billed(made.provider)


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_fallback(make: Callable[..., Made], framework: str, way: str) -> None:
    made = make(framework, way, 100_000)
    made.provider.faults.rule(lambda request: Fault.refuse(503) if request.model == CHEAP else None)
    await made.call(QUESTION)
    assert made.provider.requests[-1].model == STRONG
    assert _settled(made) == _billed(made.provider)


@pytest.mark.parametrize(("framework", "way"), WAYS)
async def test_cache_hit(make: Callable[..., Made], framework: str, way: str) -> None:
    made = make(framework, way, 100_000)
    await made.call(QUESTION)
    charged, asked = _settled(made), len(made.provider.requests)
    await made.call(QUESTION)
    assert len(made.provider.requests) == asked
    assert _settled(made) == charged == _billed(made.provider)
