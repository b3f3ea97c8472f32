"""A hard budget against the provider's own counters: every way to call a wrapped model, times everything that may happen."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import threading
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
        model: whom the app asks.
        call: makes a call of the app's.
    """

    provider: LoopbackProvider
    runtime: Runtime
    model: Any
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


def _events(model: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda text: _adrain(model.astream_events(text, version="v2"))


def _agent(model: Any) -> Callable[[str], Awaitable[Any]]:
    agent = create_agent(model, tools=[])
    return lambda text: agent.ainvoke({"messages": [("user", text)]})


def _astream_chat(llm: Any) -> Callable[[str], Awaitable[Any]]:
    async def call(text: str) -> Any:
        return await _adrain(await llm.astream_chat(user(text)))

    return call


def _function_agent(llm: Any) -> Callable[[str], Awaitable[Any]]:
    async def call(text: str) -> Any:
        return await FunctionAgent(tools=[], llm=llm, system_prompt="You answer.").run(text)

    return call


BLOCKING: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("langchain", "invoke"): lambda model, text: model.invoke(text),
    ("langchain", "stream"): lambda model, text: _drain(model.stream(text)),
    ("langchain", "batch"): lambda model, text: model.batch([text]),
    ("llama_index", "chat"): lambda llm, text: llm.chat(user(text)),
    ("llama_index", "stream_chat"): lambda llm, text: _drain(llm.stream_chat(user(text))),
    ("llama_index", "complete"): lambda llm, text: llm.complete(text),
    ("llama_index", "query_engine"): lambda llm, text: _index().as_query_engine(llm=llm).query(text),
    ("llama_index", "structured_predict"): lambda llm, text: llm.structured_predict(City, PromptTemplate(text)),
}


def _index() -> SummaryIndex:
    return SummaryIndex([TextNode(text="The lighthouse is from 1871.")])


def _threaded(framework: str, way: str) -> Callable[[Any], Callable[[str], Awaitable[Any]]]:
    return lambda model: lambda text: asyncio.to_thread(BLOCKING[framework, way], model, text)


LANGCHAIN: dict[str, Callable[[Any], Callable[[str], Awaitable[Any]]]] = {
    "invoke": _threaded("langchain", "invoke"),
    "ainvoke": lambda model: model.ainvoke,
    "stream": _threaded("langchain", "stream"),
    "astream": lambda model: lambda text: _adrain(model.astream(text)),
    "batch": _threaded("langchain", "batch"),
    "abatch": lambda model: lambda text: model.abatch([text]),
    "astream_events": _events,
    "agent": _agent,
}
LLAMA_INDEX: dict[str, Callable[[Any], Callable[[str], Awaitable[Any]]]] = {
    "chat": _threaded("llama_index", "chat"),
    "achat": lambda llm: lambda text: llm.achat(user(text)),
    "stream_chat": _threaded("llama_index", "stream_chat"),
    "astream_chat": _astream_chat,
    "complete": _threaded("llama_index", "complete"),
    "query_engine": _threaded("llama_index", "query_engine"),
    "structured_predict": _threaded("llama_index", "structured_predict"),
    "agent": _function_agent,
}
WAYS = [("langchain", name) for name in LANGCHAIN] + [("llama_index", name) for name in LLAMA_INDEX]
ASYNC = {"ainvoke", "astream", "abatch", "astream_events", "achat", "astream_chat", "agent"}
STREAMED = {"stream", "astream", "astream_events", "stream_chat", "astream_chat"}
STREAMS: dict[tuple[str, str], Callable[[Any, str], Any]] = {
    ("langchain", "stream"): lambda model, text: model.stream(text),
    ("langchain", "astream"): lambda model, text: model.astream(text),
    ("langchain", "astream_events"): lambda model, text: model.astream_events(text, version="v2"),
    ("llama_index", "stream_chat"): lambda llm, text: llm.stream_chat(user(text)),
    ("llama_index", "astream_chat"): lambda llm, text: llm.astream_chat(user(text)),
}


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
            model: Any
            if framework == "langchain":
                model, ways = _langchain(provider, runtime), LANGCHAIN
            else:
                model, ways = _llama_index(provider, runtime), LLAMA_INDEX
            return Made(provider, runtime, model, ways[way](model))

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


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """It interrupts, also where tests run in the background: a shell has that ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("framework", "way"), BLOCKING)
def test_interrupt(make: Callable[..., Made], framework: str, way: str) -> None:
    """What blocks is cancelled by the user's Ctrl+C."""
    made = make(framework, way, 100_000)
    made.provider.faults.append(Fault.stall_after(5))

    ended = threading.Event()

    def interrupt() -> None:
        while not made.provider.requests and not ended.wait(0.01):
            pass
        if not ended.wait(0.1):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        BLOCKING[framework, way](made.model, QUESTION)
    ended.set()
    billed, charged = _billed(made.provider), _settled(made)
    assert charged > 0
    assert charged >= billed or way not in STREAMED
    gc.collect()  # the frameworks' own event loops, which they leave open then, are this test's


@pytest.mark.parametrize(("framework", "way"), STREAMS)
async def test_leave(make: Callable[..., Made], framework: str, way: str) -> None:
    """The reader of a stream breaks off: the provider is left, and what was shown is charged."""
    made = make(framework, way, 100_000)
    stops = way != "astream_events"  # LangChain reads on there until the next piece, of the bare model too
    if stops:
        made.provider.faults.append(Fault.stall_after(5))
    stream = STREAMS[framework, way](made.model, QUESTION)
    if inspect.iscoroutine(stream):
        stream = await stream
    if hasattr(stream, "__anext__"):
        for _ in range(4):
            await anext(stream)
        await stream.aclose()
    else:
        for _ in range(4):
            await asyncio.to_thread(next, stream)
        stream.close()
    await asyncio.to_thread(made.provider.wait_idle)  # a connection is closed by the loop
    billed, charged = _billed(made.provider), _settled(made)
    assert 0 < charged <= billed
    assert billed <= charged + OVERSHOOT or not stops


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
