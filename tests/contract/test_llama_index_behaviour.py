"""What an app sees of `ThriftLLM`: hits like misses, one event a call, endings booked, walls between tenants."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai as sdk
import pytest
from llama_index.core import Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.extractors import KeywordExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation.dispatcher import instrument_tags
from pydantic import BaseModel

from tests.llama_index_kit import CHEAP, STRONG, Callbacks, events, kinds, listen, openai, thrift, user
from thrift_plugins import CacheConfig, Config, Runtime, route, scope
from thrift_plugins.errors import ConfigError
from thrift_plugins.llama_index import ThriftLLM, install
from thrift_plugins.testing import Fault, LoopbackProvider


class City(BaseModel):
    """A city."""

    name: str
    people: int


class Town(BaseModel):
    """A town."""

    name: str


def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


def tools() -> list[Any]:
    return [FunctionTool.from_defaults(multiply)]


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture
def provider(shared_provider: LoopbackProvider) -> LoopbackProvider:
    shared_provider.wait_idle()
    shared_provider.reset()
    return shared_provider


@pytest.fixture
def slow_provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=3_000, pace=0.005) as running:
        yield running


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    yield runtime
    runtime.close()


@pytest.fixture
def llm(provider: LoopbackProvider, runtime: Runtime) -> ThriftLLM:
    return thrift(provider, runtime)


@pytest.fixture
def settings() -> Iterator[Any]:
    """`Settings`, put back afterwards."""
    before = Settings._llm, Settings._callback_manager
    yield Settings
    Settings._llm, Settings._callback_manager = before


def booked(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return list(runtime.ledger.records())


def outcomes(runtime: Runtime) -> list[str]:
    return [record["outcome"] for record in booked(runtime)]


def used(record: dict[str, Any]) -> tuple[int, int]:
    return record["usage"].get("input_tokens", 0), record["usage"].get("output_tokens", 0)


# Every way of asking, as a coroutine; what it gives back is the answer in words. ------------------------------------

TEMPLATE = PromptTemplate("Describe {what}.")
USE = "Use the multiply tool on 6 and 7."


async def _gathered(stream: Any) -> list[Any]:
    return [piece async for piece in await stream]


def _memory(llm: ThriftLLM) -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(llm=llm)


def _engine(llm: ThriftLLM, **options: Any) -> Any:
    return SummaryIndex([TextNode(text="The lighthouse is from 1871.")]).as_query_engine(llm=llm, **options)


async def _function_agent(llm: ThriftLLM, *, streaming: bool) -> str:
    agent = FunctionAgent(tools=tools(), llm=llm, streaming=streaming)
    return str(await agent.run(USE, memory=_memory(llm)))


async def _react_agent(llm: ThriftLLM) -> str:
    return str(await ReActAgent(tools=tools(), llm=llm).run("Hello", memory=_memory(llm)))


async def _query_stream(llm: ThriftLLM) -> str:
    response = await _engine(llm, streaming=True).aquery("From when?")
    return "".join([token async for token in response.response_gen])


Way = Callable[[ThriftLLM], Any]
WAYS: dict[str, Way] = {
    "chat": lambda m: m.chat(user("Hi")).message.content,
    "achat": lambda m: m.achat(user("Hi")),
    "stream_chat": lambda m: [p.delta for p in m.stream_chat(user("Hi"))],
    "astream_chat": lambda m: _gathered(m.astream_chat(user("Hi"))),
    "complete": lambda m: m.complete("Hi").text,
    "acomplete": lambda m: m.acomplete("Hi"),
    "stream_complete": lambda m: [p.delta for p in m.stream_complete("Hi")],
    "astream_complete": lambda m: _gathered(m.astream_complete("Hi")),
    "chat_with_tools": lambda m: m.chat_with_tools(tools(), USE),
    "achat_with_tools": lambda m: m.achat_with_tools(tools(), user_msg=USE),
    "stream_chat_with_tools": lambda m: list(m.stream_chat_with_tools(tools(), USE)),
    "astream_chat_with_tools": lambda m: _gathered(m.astream_chat_with_tools(tools(), USE)),
    "predict_and_call": lambda m: m.predict_and_call(tools(), USE).response,
    "apredict_and_call": lambda m: m.apredict_and_call(tools(), USE),
    "predict": lambda m: m.predict(TEMPLATE, what="rain"),
    "apredict": lambda m: m.apredict(TEMPLATE, what="rain"),
    "stream": lambda m: list(m.stream(TEMPLATE, what="rain")),
    "astream": lambda m: _gathered(m.astream(TEMPLATE, what="rain")),
    "structured_predict": lambda m: m.structured_predict(City, TEMPLATE, what="Rome"),
    "astructured_predict": lambda m: m.astructured_predict(City, TEMPLATE, what="Rome"),
    "stream_structured_predict": lambda m: list(m.stream_structured_predict(City, TEMPLATE, what="Rome")),
    "astream_structured_predict": lambda m: _gathered(m.astream_structured_predict(City, TEMPLATE, what="Rome")),
    "structured_llm": lambda m: m.as_structured_llm(City).complete("Describe Rome.").raw,
    "query": lambda m: str(_engine(m).query("From when?")),
    "aquery": lambda m: _engine(m).aquery("From when?"),
    "streaming_query": lambda m: list(_engine(m, streaming=True).query("From when?").response_gen),
    "streaming_aquery": _query_stream,
    "chat_engine": lambda m: str(SimpleChatEngine.from_defaults(llm=m, memory=_memory(m)).chat("Hi")),
    "function_agent": lambda m: _function_agent(m, streaming=False),
    "function_agent_streaming": lambda m: _function_agent(m, streaming=True),
    "react_agent": _react_agent,
}

framework_noise = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]
pytestmark = framework_noise


async def ask(way: Way, llm: ThriftLLM) -> Any:
    given = way(llm)
    return await given if isinstance(given, Awaitable) else given


def _said(value: Any) -> str:
    """What an answer says, without ids and usage."""
    last = value[-1] if isinstance(value, list) else value
    if isinstance(value, list) and all(isinstance(piece, str) for piece in value):
        return "".join(value)
    for name in ("message", "text", "response"):
        if hasattr(last, name):
            found = getattr(last, name)
            return str(getattr(found, "content", found))
    return str(last.model_dump() if isinstance(last, BaseModel) else last)


@pytest.mark.parametrize("name", WAYS)
async def test_hit_is_like_a_miss(name: str, llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    way = WAYS[name]
    callbacks = listen(llm)
    with events() as first_seen:
        first = await ask(way, llm)
    made, first_called = len(provider.billed), list(callbacks.seen)
    callbacks.seen.clear()
    with events() as second_seen:
        second = await ask(way, llm)

    assert made >= 1
    assert len(provider.billed) == made, "the second time nothing is asked"
    assert _said(second) == _said(first)
    assert kinds(second_seen) == kinds(first_seen)
    assert callbacks.seen == first_called
    starts = [e for e in first_seen if isinstance(e, LLMChatStartEvent | LLMCompletionStartEvent)]
    assert len([e for e in first_seen if isinstance(e, LLMChatEndEvent | LLMCompletionEndEvent)]) == len(starts)
    records = booked(runtime)
    assert [r["outcome"] for r in records] == ["answered"] * made + ["hit"] * made
    if "structured_llm" not in name:
        assert len(starts) == made
    for record, bill in zip(records, provider.billed, strict=False):
        assert (record["served_model"], *used(record)) == (bill.model, bill.input_tokens, bill.output_tokens)
    assert all(r["bill"]["actual"] == 0 for r in records[made:])


@pytest.mark.parametrize("name", [name for name in WAYS if "structured" not in name])
async def test_events_are_those_of_the_bare_model(name: str, provider: LoopbackProvider, runtime: Runtime) -> None:
    """The same events in the same order, and the model's own spans: nothing of ours around them."""
    bare: Any = openai(provider)
    wrapped = ThriftLLM(tiers=[openai(provider)], runtime=runtime)
    bare_calls, wrapped_calls = listen(bare), listen(wrapped)
    with events() as bare_seen:
        await ask(WAYS[name], bare)
    with events() as wrapped_seen:
        await ask(WAYS[name], wrapped)
    assert kinds(wrapped_seen) == kinds(bare_seen)
    assert wrapped_calls.seen == bare_calls.seen
    spans = {(e.span_id or "").split("-")[0] for e in wrapped_seen if isinstance(e, LLMChatStartEvent)}
    assert spans <= {"OpenAI.chat", "OpenAI.achat", "OpenAI.stream_chat", "OpenAI.astream_chat"}


# The decision is visible. ----------------------------------------------------------------------------------------------


def test_decision_on_responses_and_events(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    with events() as seen, instrument_tags({"mine": 1}):
        asked = llm.chat(user("Hi"))
        again = llm.chat(user("Hi"))
        pieces = list(llm.stream_chat(user("Hello there")))
    mark, hit = asked.additional_kwargs["thrift"], again.additional_kwargs["thrift"]
    assert (mark["tier"], mark["hit"]) == (CHEAP, False)
    assert mark["reasons"]
    assert mark["request_id"] != hit["request_id"]
    assert (hit["hit"], hit["policy"]) == (True, "cache")
    assert hit["saved"]["input_tokens"] == provider.billed[0].input_tokens
    assert all(piece.additional_kwargs["thrift"]["tier"] == CHEAP for piece in pieces)
    assert all(event.tags["thrift"]["tier"] == CHEAP and event.tags["mine"] == 1 for event in seen)


def test_forced_route(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    llm.chat(user("one"), thrift_route=STRONG)
    with route(STRONG):
        llm.complete("two")
        llm.predict(TEMPLATE, what="rain")
    llm.structured_predict(City, TEMPLATE, llm_kwargs={"thrift_route": STRONG}, what="Rome")
    list(llm.stream_chat_with_tools(tools(), USE, thrift_route=STRONG))
    assert {bill.model for bill in provider.billed} == {STRONG}
    assert not any("thrift_route" in request.body for request in provider.requests)
    with pytest.raises(ConfigError):
        llm.chat(user("three"), thrift_route="nobody")


def test_tool_calls_are_read_by_the_tier_that_answered(llm: ThriftLLM) -> None:
    for _ in range(2):
        response = llm.chat_with_tools(tools(), USE)
        (call,) = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, sorted(call.tool_kwargs)) == ("multiply", ["a", "b"])


# Endings. ---------------------------------------------------------------------------------------------------------------


def test_closed_stream(slow_provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(slow_provider, runtime)
    stream: Any = llm.stream_chat(user("a long story"))
    pieces = [next(stream) for _ in range(5)]
    stream.close()
    assert slow_provider.wait_idle(), "the connection is closed"
    (record,) = booked(runtime)
    assert (record["outcome"], record["served_model"]) == ("aborted", CHEAP)
    assert used(record)[0] == slow_provider.billed[0].input_tokens
    assert 0 < used(record)[1] <= slow_provider.billed[0].output_tokens < 100
    assert pieces[-1].message.content
    next(iter(llm.stream_chat(user("a long story"))))
    assert len(slow_provider.billed) == 2, "what was broken off is not stored"


@pytest.mark.parametrize("operation", ["chat", "complete", "chat_with_tools"])
async def test_closed_async_stream(operation: str, slow_provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(slow_provider, runtime)
    ways: dict[str, Any] = {
        "chat": lambda: llm.astream_chat(user("a story")),
        "complete": lambda: llm.astream_complete("a story"),
        "chat_with_tools": lambda: llm.astream_chat_with_tools(tools(), "a story"),
    }
    stream = await ways[operation]()
    for _ in range(5):
        await anext(stream)
    await stream.aclose()
    assert await asyncio.to_thread(slow_provider.wait_idle)
    assert outcomes(runtime) == ["aborted"]


def test_closed_stream_with_handlers_that_keep_its_exception(slow_provider: LoopbackProvider, runtime: Runtime) -> None:
    """A callback handler that keeps the exception keeps every frame of the stream."""
    kept: list[Any] = []

    class Keeps(Callbacks):
        def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **_: Any) -> None:
            kept.append(payload)

    llm = thrift(slow_provider, runtime)
    llm.callback_manager = CallbackManager([Keeps()])
    stream: Any = llm.stream_complete("a long story")
    next(stream)
    stream.close()
    assert slow_provider.wait_idle()
    assert kept


def test_closed_structured_stream(slow_provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(slow_provider, runtime)
    stream: Any = llm.stream_structured_predict(City, TEMPLATE, what="Rome")
    next(stream)
    stream.close()
    assert slow_provider.wait_idle()
    assert outcomes(runtime) == ["aborted"]


def test_dropped_stream(slow_provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(slow_provider, runtime)
    for piece in llm.stream_chat(user("a long story")):
        assert piece
        break
    gc.collect()
    assert slow_provider.wait_idle()
    assert outcomes(runtime) == ["aborted"]


async def test_stream_that_nobody_reads(llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    llm.stream_chat(user("Hi"))
    stream = await llm.astream_chat(user("Hello"))
    del stream
    gc.collect()
    await asyncio.sleep(0.01)
    assert provider.billed == ()
    assert [(r["outcome"], *used(r)) for r in booked(runtime)] == [("aborted", 0, 0)] * 2


def test_closed_hit_is_a_hit(llm: ThriftLLM, runtime: Runtime) -> None:
    list(llm.stream_chat(user("Hi")))
    stream: Any = llm.stream_chat(user("Hi"))
    next(stream)
    stream.close()
    assert outcomes(runtime) == ["answered", "hit"]


@pytest.mark.parametrize("streamed", [True, False])
async def test_cancelled_call(streamed: bool, provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(provider, runtime)
    provider.faults.append(Fault.stall_after(3))

    async def read() -> None:
        if streamed:
            await _gathered(llm.astream_chat(user("Hi")))
        else:
            await llm.achat(user("Hi"))

    task = asyncio.create_task(read())
    while not provider.billed or (streamed and provider.billed[0].output_tokens < 3):  # noqa: ASYNC110  it is a server
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(provider.wait_idle)
    (record,) = booked(runtime)
    assert record["outcome"] == "cancelled"
    assert used(record)[0] == provider.billed[0].input_tokens
    assert used(record)[1] == (3 if streamed else 0)
    await llm.achat(user("Hi"))
    assert len(provider.billed) == 2


def test_broken_stream(llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    """The app has seen a part, so nobody else may go on; what came is booked, and not stored."""
    provider.faults.append(Fault.break_after(4))
    with pytest.raises(Exception, match=r".+"):
        list(llm.stream_chat(user("Hi")))
    (record,) = booked(runtime)
    assert record["outcome"] == "error"
    assert used(record) == (provider.billed[0].input_tokens, 4)
    assert len(list(llm.stream_chat(user("Hi")))) > 1
    assert len(provider.billed) == 2


@pytest.mark.parametrize("fault", [Fault.truncate(3), Fault.content_filter()], ids=["length", "content_filter"])
@pytest.mark.parametrize("streamed", [True, False])
def test_unfinished_answers_are_not_stored(
    fault: Fault, streamed: bool, provider: LoopbackProvider, runtime: Runtime
) -> None:
    llm = ThriftLLM(tiers=[openai(provider)], runtime=runtime)
    provider.faults.extend([fault, None])
    for _ in range(3):
        if streamed:
            list(llm.stream_chat(user("Hi")))
        else:
            llm.chat(user("Hi"))
    assert len(provider.billed) == 2
    assert outcomes(runtime) == ["answered", "answered", "hit"]


@pytest.mark.parametrize(
    "fault",
    [Fault.refuse(429, "rate_limit_exceeded"), Fault.refuse(503), Fault.break_after(0)],
    ids=["429", "503", "broken"],
)
@pytest.mark.parametrize(
    "name", ["chat", "acomplete", "stream_chat", "astream_complete", "chat_with_tools", "structured_predict"]
)
async def test_fallback(name: str, fault: Fault, llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    provider.faults.append(fault)
    given = await ask(WAYS[name], llm)
    assert given
    assert [bill.model for bill in provider.billed] == [CHEAP, STRONG]
    (record,) = booked(runtime)
    assert (record["outcome"], record["served_model"], record["policy"]) == ("answered", STRONG, "fallback")


def test_fallback_sends_the_same_messages(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    """OpenAI's class appends to the history it is given; the app's own list stays as it is."""
    history = user("Hello")
    provider.faults.append(Fault.refuse(503))
    llm.chat_with_tools(tools(), USE, chat_history=history)
    first, second = provider.requests
    assert first.messages == second.messages
    assert len(history) == 1


def test_time_out_falls_back(provider: LoopbackProvider, runtime: Runtime) -> None:
    cheap = openai(provider, CHEAP, timeout=0.2)
    llm = ThriftLLM(tiers=[cheap, openai(provider)], runtime=runtime)
    provider.faults.append(Fault.stall_after(0))
    assert llm.chat(user("Hi")).additional_kwargs["thrift"]["tier"] == STRONG
    (record,) = booked(runtime)
    assert record["overheads"][0][:3] == ["routing", "failed", CHEAP]


def test_refused_everywhere(llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    provider.faults.rule(lambda _request: Fault.refuse(401, "invalid_api_key"))
    with pytest.raises(sdk.AuthenticationError):
        llm.chat(user("Hi"))
    assert [(r["outcome"], *used(r)) for r in booked(runtime)] == [("error", 0, 0)]
    assert len(provider.billed) == 1, "another tier would be refused too"


# What makes two calls the same. ------------------------------------------------------------------------------------------


def test_tenants_never_share(llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    for tenant in ("a", "b", "a"):
        with scope(tenant=tenant, feature="faq"):
            llm.chat(user("Hi"))
    assert len(provider.billed) == 2
    assert [(r["tenant"], r["feature"], r["outcome"]) for r in booked(runtime)] == [
        ("a", "faq", "answered"), ("b", "faq", "answered"), ("a", "faq", "hit"),
    ]  # fmt: skip


async def test_scope_reaches_threads_and_tasks(llm: ThriftLLM, runtime: Runtime) -> None:
    with scope(tenant="agent"):
        await _function_agent(llm, streaming=True)
        stream = llm.stream_chat(user("Hi"))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(list, stream).result()

    async def one(tenant: str) -> None:
        with scope(tenant=tenant):
            await llm.achat(user(tenant))

    await asyncio.gather(*(one(f"t{number}") for number in range(5)))
    tenants = [record["tenant"] for record in booked(runtime)]
    assert sorted(tenants) == ["agent", "agent", "agent", *(f"t{number}" for number in range(5))]


def test_streams_and_whole_answers_share(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    whole = llm.chat(user("Hi")).message.content
    assert "".join(piece.delta or "" for piece in llm.stream_chat(user("Hi"))) == whole
    assert len(provider.billed) == 1


def test_transport_settings_are_not_in_the_key(provider: LoopbackProvider, runtime: Runtime) -> None:
    for settings in (
        {},
        {"timeout": 3.0},
        {"max_retries": 5},
        {"api_key": "sk-other"},
        {"default_headers": {"X-A": "1"}},
    ):
        thrift(provider, runtime, **settings).chat(user("Hi"), timeout=settings.get("timeout", 9))
    assert len(provider.billed) == 1


@pytest.mark.parametrize(
    "settings",
    [{"max_tokens": 50}, {"temperature": 0.0}, {"additional_kwargs": {"seed": 1}}, {"system_prompt": "Brief."}],
)
def test_deciding_settings_are_in_the_key(
    settings: dict[str, Any], provider: LoopbackProvider, runtime: Runtime
) -> None:
    thrift(provider, runtime).chat(user("Hi"))
    thrift(provider, runtime, **settings).chat(user("Hi"))
    assert len(provider.billed) == 2


def test_changed_settings_are_seen(provider: LoopbackProvider, runtime: Runtime) -> None:
    own = openai(provider)
    llm = ThriftLLM(tiers=[own], runtime=runtime)
    llm.chat(user("Hi"))
    own.temperature = 0.05
    llm.chat(user("Hi"))
    own.additional_kwargs["seed"] = 7
    llm.chat(user("Hi"))
    llm.chat(user("Hi"))
    assert len(provider.billed) == 3


def test_arguments_are_in_the_key(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    other = [FunctionTool.from_defaults(multiply, description="Another one")]
    calls: list[Callable[[], Any]] = [
        lambda: llm.chat(user("Hi")),
        lambda: llm.chat(user("Hi"), stop=["x"]),
        lambda: llm.complete("Hi"),
        lambda: llm.complete("Hi", formatted=True),
        lambda: llm.chat_with_tools(tools(), USE),
        lambda: llm.chat_with_tools(other, USE),
        lambda: llm.chat_with_tools(tools(), USE, tool_required=True),
        lambda: llm.structured_predict(City, TEMPLATE, what="Rome"),
        lambda: llm.structured_predict(Town, TEMPLATE, what="Rome"),
    ]
    for call in calls:
        call()
    assert len(provider.billed) == len(calls)
    for call in calls:
        call()
    assert len(provider.billed) == len(calls)


def test_high_temperature_is_not_cached(provider: LoopbackProvider, runtime: Runtime) -> None:
    llm = thrift(provider, runtime, temperature=0.7)
    llm.chat(user("Hi"))
    llm.chat(user("Hi"))
    assert len(provider.billed) == 2


# In an app. --------------------------------------------------------------------------------------------------------------


def test_install(settings: Any, provider: LoopbackProvider, runtime: Runtime) -> None:
    own = openai(provider)
    settings.llm = own
    wrapped = install(cheaper=[openai(provider, CHEAP)], runtime=runtime)
    assert settings.llm is wrapped
    assert install() is wrapped
    engine = SummaryIndex([TextNode(text="The lighthouse is from 1871.")]).as_query_engine()
    assert str(engine.query("From when?")) == str(engine.query("From when?"))
    assert outcomes(runtime) == ["answered", "hit"]
    with pytest.raises(ConfigError):
        install(cheaper=[own])


def test_callback_manager_of_settings(settings: Any, llm: ThriftLLM) -> None:
    own = llm.tiers[1].callback_manager
    handler = Callbacks()
    settings.llm = llm
    settings.callback_manager = CallbackManager([handler])
    settings.llm.chat(user("Hi"))
    settings.llm.structured_predict(City, TEMPLATE, what="Rome")
    assert [kind for kind in handler.seen if kind[1] == CBEventType.LLM] == [
        ("start", CBEventType.LLM),
        ("end", CBEventType.LLM),
    ] * 2
    assert llm.tiers[1].callback_manager is own


def test_handlers_of_the_baseline_see_every_tier(provider: LoopbackProvider, runtime: Runtime) -> None:
    own = openai(provider)
    handler = listen(own)
    llm = ThriftLLM(tiers=[openai(provider, CHEAP), own], runtime=runtime)
    llm.chat(user("Hi"))
    assert provider.billed[0].model == CHEAP
    assert len(handler.seen) == 2


def test_ingestion(llm: ThriftLLM, provider: LoopbackProvider) -> None:
    pipeline = IngestionPipeline(transformations=[KeywordExtractor(llm=llm, num_workers=2)])
    nodes = [TextNode(text=f"Text about {what}.", id_=what) for what in ("rain", "snow")]
    assert all(node.metadata["excerpt_keywords"] for node in pipeline.run(nodes=nodes))
    made = len(provider.billed)
    again = IngestionPipeline(transformations=[KeywordExtractor(llm=llm, num_workers=2)])
    again.run(nodes=[TextNode(text=node.text, id_=node.id_) for node in nodes])
    assert len(provider.billed) == made == 2


async def test_concurrent_calls_do_not_mix(llm: ThriftLLM, provider: LoopbackProvider, runtime: Runtime) -> None:
    async def one(number: int) -> None:
        asked = user(f"Repeat exactly: marker{number % 15:02d}")
        response: Any = await llm.achat(asked) if number % 2 else (await _gathered(llm.astream_chat(asked)))[-1]
        assert f"marker{number % 15:02d}" in response.message.content

    await asyncio.gather(*(one(number) for number in range(60)))
    assert len(booked(runtime)) == 60
    assert len(provider.billed) == outcomes(runtime).count("answered")
