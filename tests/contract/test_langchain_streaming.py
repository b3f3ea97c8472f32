"""A wrapped model streams as the bare one does, and a hit streams as a miss does, in every version of the events."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool

from tests.langchain_kit import STRONG, chat, records, thrift
from thrift_plugins import Budget, Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import MemoryAccounts
from thrift_plugins.testing import Fault, LoopbackProvider

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),  # events v3
    pytest.mark.filterwarnings("ignore:astream_events version='v1'"),
]

QUESTION = "Where is the shop?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


def kinds(names: list[str]) -> list[str]:
    """Kinds in their order, runs of one kind as one: a replay need not cut the words where the provider did."""
    return [name for name, _ in groupby(names)]


def shape(chunk: AIMessageChunk) -> str:
    parts = [
        "text" * bool(chunk.content),
        "call" * bool(chunk.tool_call_chunks),
        "usage" * bool(chunk.usage_metadata),
        "finish" * ("finish_reason" in chunk.response_metadata),
        "last" * (chunk.chunk_position == "last"),
    ]
    return "+".join(part for part in parts if part) or "empty"


async def of_stream(model: Any) -> list[str]:
    return [shape(chunk) for chunk in model.stream(QUESTION)]


async def of_astream(model: Any) -> list[str]:
    return [shape(chunk) async for chunk in model.astream(QUESTION)]


async def of_events_v1(model: Any) -> list[str]:
    return [e["event"] async for e in model.astream_events(QUESTION, version="v1")]  # v1 names the root by its class


async def of_events_v2(model: Any) -> list[str]:
    return [f"{e['event']} {e['name']}" async for e in model.astream_events(QUESTION, version="v2")]


async def of_events_v3(model: Any) -> list[str]:
    return [event["event"] for event in model.stream_events(QUESTION, version="v3")]


async def of_aevents_v3(model: Any) -> list[str]:
    async with await model.astream_events(QUESTION, version="v3") as stream:  # leaving it waits for the run's end
        return [event["event"] async for event in stream]


async def of_agent(model: Any) -> list[str]:
    agent = create_agent(model, tools=[])
    asked = {"messages": [("user", QUESTION)]}
    return [shape(chunk) async for chunk, _ in agent.astream(asked, stream_mode="messages")]


WAYS = [of_stream, of_astream, of_events_v1, of_events_v2, of_events_v3, of_aevents_v3, of_agent]
"""The last binds tools by itself."""


@pytest.mark.parametrize("way", WAYS)
async def test_bare_miss_and_hit_look_alike(provider: LoopbackProvider, way: Callable[[Any], Any]) -> None:
    bare = await way(chat(provider, STRONG))
    model = thrift(provider, tiers=1)
    miss = await way(model)
    calls = len(provider.billed)
    hit = await way(model)
    assert miss == bare
    assert kinds(hit) == kinds(miss)
    assert len(provider.billed) == calls
    assert [record["outcome"] for record in records(model)] == ["answered", "hit"]


@pytest.mark.parametrize("way", WAYS[:-1])
async def test_tool_calls_too(provider: LoopbackProvider, way: Callable[[Any], Any]) -> None:
    @tool
    def find_shop(street: str) -> str:
        """Find a shop."""
        return street

    bare = await way(chat(provider, STRONG).bind_tools([find_shop]))
    model = thrift(provider, tiers=1).bind_tools([find_shop])
    miss, hit = await way(model), await way(model)
    assert miss == bare
    assert kinds(hit) == kinds(miss)
    assert len(provider.billed) == 2


async def test_whatever_way_filled_the_cache_every_other_is_served(provider: LoopbackProvider) -> None:
    for fill in WAYS[:-1]:
        model = thrift(provider, tiers=1)
        await fill(model)
        calls = len(provider.billed)
        for way in WAYS[:-1]:
            await way(model)
        assert model.invoke(QUESTION).content == (await model.ainvoke(QUESTION)).content
        assert isinstance(model.invoke(QUESTION).content, str)
        assert len(provider.billed) == calls


@pytest.mark.parametrize("way", [of_stream, of_astream, of_events_v3, of_aevents_v3])
async def test_usage_is_counted_once_and_a_hit_counts_none(
    provider: LoopbackProvider, way: Callable[[Any], Any]
) -> None:
    counter = UsageMetadataCallbackHandler()
    model = thrift(provider)
    counted = model.with_config(callbacks=[counter]) if "events" not in way.__name__ else model
    if counted is model:
        model.callbacks = [counter]
    await way(counted)
    await way(counted)
    [billed] = provider.billed
    [told] = counter.usage_metadata.values()
    assert (told["input_tokens"], told["output_tokens"]) == (billed.input_tokens, billed.output_tokens)
    paid, hit = records(model)
    assert (paid["usage"]["input_tokens"], paid["usage"]["output_tokens"]) == (
        billed.input_tokens,
        billed.output_tokens,
    )
    assert hit["usage"].keys() == {"source"}


def test_the_text_of_a_hit_is_that_of_the_answer(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    first = model.invoke(QUESTION)
    pieces = list(model.stream(QUESTION))
    assert len(pieces) > 5
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert whole.content == first.content
    assert whole.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.response_metadata["thrift"]["hit"] is True
    assert whole.response_metadata["thrift"]["saved"]["input_tokens"] == provider.billed[0].input_tokens


def test_a_stream_closed_early_is_booked_as_aborted_and_not_stored(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    stream = model.stream(QUESTION)
    for _ in range(4):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    [record] = records(model)
    assert record["outcome"] == "aborted"
    assert record["usage"]["input_tokens"] == provider.billed[0].input_tokens
    assert 1 <= record["usage"]["output_tokens"] <= 4
    model.invoke(QUESTION)
    assert records(model)[1]["outcome"] == "answered"


async def test_an_astream_closed_early_is_booked_as_aborted_and_not_stored(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    stream: Any = model.astream(QUESTION)
    for _ in range(4):
        await anext(stream)
    await stream.aclose()
    await model.ainvoke(QUESTION)
    assert [record["outcome"] for record in records(model)] == ["aborted", "answered"]


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_the_garbage_collector_finds_in_a_circle_is_booked(provider: LoopbackProvider, way: str) -> None:
    """Of all that is in a circle it ends some first, and a call that is ended before its stream would never be settled."""
    runtime = Runtime(Config(store="memory:", budgets=[Budget.usd("day", 5, window="day")]))
    model = ThriftChatModel(tiers=[chat(provider)], runtime=runtime)
    for _ in range(20):
        stream: Any = getattr(model, way)(QUESTION)
        circle: list[Any] = [stream]
        circle.append(circle)
        for _ in range(3):
            _ = await anext(stream) if way == "astream" else next(stream)
        del stream, circle
        gc.collect()
    while len(records(model)) < 20:  # noqa: ASYNC110  the loop ends each in a task of its own
        await asyncio.sleep(0.02)
    assert [record["outcome"] for record in records(model)] == ["aborted"] * 20
    assert [left.held for left in runtime.budgets()] == [0]
    runtime.close()


def test_a_stream_that_is_found_in_a_circle_inside_of_a_lock_waits_for_nobody(provider: LoopbackProvider) -> None:
    """The collector comes by wherever an object is made: also while the accounts are changed, which that stream has to change."""

    def clock() -> float:
        gc.collect()
        return time.time()

    budgets = [Budget.usd("day", 5, window="day")]
    runtime = Runtime(Config(store="memory:", budgets=budgets), accounts=MemoryAccounts(clock=clock))
    model = ThriftChatModel(tiers=[chat(provider)], runtime=runtime)

    def ask() -> None:
        stream: Any = model.stream(QUESTION)
        next(stream)
        circle: list[Any] = [stream]
        circle.append(circle)
        del stream, circle
        model.invoke("Another question?")

    app = threading.Thread(target=ask, daemon=True)
    app.start()
    app.join(60)
    assert not app.is_alive()
    assert sorted(record["outcome"] for record in records(model)) == ["aborted", "answered"]
    assert [left.held for left in runtime.budgets()] == [0]
    runtime.close()


def test_streams_that_are_open_when_the_loop_ends_are_booked_as_aborted(provider: LoopbackProvider) -> None:
    """It closes all that it knows of at the same time, those inside of others too."""
    model, left = thrift(provider), []

    async def leave() -> None:
        left.append(stream := model.astream(QUESTION))
        for _ in range(3):
            await anext(stream)

    for _ in range(5):
        asyncio.run(leave())
    assert [record["outcome"] for record in records(model)] == ["aborted"] * 5


async def test_a_v3_stream_that_is_thrown_away_is_booked() -> None:
    with LoopbackProvider(pace=0.01) as provider:
        await _thrown_away(thrift(provider))


async def _thrown_away(model: ThriftChatModel) -> None:
    stream = model.stream_events(QUESTION, version="v3")
    next(iter(stream))
    del stream
    gc.collect()
    assert [record["outcome"] for record in records(model)] == ["aborted"]
    async with await model.astream_events(QUESTION, version="v3") as other:
        async for _ in other:
            break
    assert records(model)[1]["outcome"] == "cancelled"
    model.invoke(QUESTION)
    assert records(model)[2]["outcome"] == "answered"


def test_a_v3_answer_is_booked_when_the_loop_ends_at_once(provider: LoopbackProvider) -> None:
    model = thrift(provider)

    async def once() -> AIMessage:
        return await (await model.astream_events(QUESTION, version="v3")).output

    for _ in range(2):
        asyncio.run(once())
    gc.collect()
    assert [record["outcome"] for record in records(model)] == ["answered", "hit"]
    assert len(provider.billed) == 1


def test_a_v3_stream_that_cannot_be_made_is_booked_as_an_error(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    provider.faults.append(Fault.refuse(400))
    with pytest.raises(Exception, match="refused"):
        _ = model.stream_events(QUESTION, version="v3").output
    assert [record["outcome"] for record in records(model)] == ["error"]


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_a_cancelled_call_is_booked_as_cancelled_and_not_stored(provider: LoopbackProvider, way: str) -> None:
    model = thrift(provider)
    provider.faults.append(Fault.stall_after(3))

    async def ask() -> None:
        if way == "ainvoke":
            await model.ainvoke(QUESTION)
        else:
            async for _ in model.astream(QUESTION):
                pass

    task = asyncio.create_task(ask())
    while not provider.billed or (way == "astream" and provider.billed[0].output_tokens < 3):  # noqa: ASYNC110  a thread
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await model.ainvoke(QUESTION)
    cancelled, answered = records(model)
    assert (cancelled["outcome"], answered["outcome"]) == ("cancelled", "answered")
    assert cancelled["usage"]["input_tokens"] == provider.billed[0].input_tokens


def test_a_stream_that_breaks_is_an_error_and_nobody_else_answers(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    provider.faults.append(Fault.break_after(3))
    seen = []
    with pytest.raises(httpx.RemoteProtocolError):
        seen.extend(model.stream(QUESTION))
    [record] = records(model)
    assert record["outcome"] == "error"
    assert len(provider.billed) == 1


def test_without_usage_in_the_stream_the_tokens_are_counted(provider: LoopbackProvider) -> None:
    model = thrift(provider, stream_usage=False)
    list(model.stream(QUESTION))
    [record], [billed] = records(model), provider.billed
    assert record["usage"] == {
        "input_tokens": billed.input_tokens,
        "output_tokens": billed.output_tokens,
        "source": "estimated",
    }
    hit = list(model.stream(QUESTION))
    assert all(chunk.usage_metadata is None for chunk in hit)


@pytest.mark.parametrize("with_tools", [False, True])
async def test_content_in_standard_blocks(provider: LoopbackProvider, with_tools: bool) -> None:
    """`output_version="v1"` repeats tool calls in the content; replayed, each must come once."""

    @tool
    def find_shop(street: str) -> str:
        """Find a shop."""
        return street

    model: Any = thrift(provider, tiers=1, output_version="v1")
    bound = model.bind_tools([find_shop]) if with_tools else model
    first = bound.invoke(QUESTION)
    whole: Any = None
    for chunk in bound.stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    again = bound.invoke(QUESTION)
    assert len(provider.billed) == 1
    assert again.content == first.content
    assert again.content_blocks == first.content_blocks
    assert whole.text == first.text
    assert whole.tool_calls == first.tool_calls == again.tool_calls
    assert (await of_astream(bound))[-1].endswith("last")
