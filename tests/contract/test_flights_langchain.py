"""Single flight and stale answers through LangChain, against OpenAI's own client and a provider that counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool

from tests.langchain_kit import chat, records, thrift
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.caching import flights
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import MemoryStore
from thrift_plugins.testing import Fault, LoopbackProvider

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")  # v3

QUESTION = "What is the capital of France?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        running.faults.rule(lambda _request: Fault.delay(0.2))
        yield running
        assert flights._under_way == {}


def hits(model: Any) -> list[str]:
    return sorted(record.get("extra", {}).get("cache", {}).get("hit", record["outcome"]) for record in records(model))


async def test_tasks_threads_and_streams_share_one_call(provider: LoopbackProvider):
    model = thrift(provider, tiers=1)

    async def streamed() -> str:
        return "".join([chunk.text async for chunk in model.astream(QUESTION)])

    async def v3() -> str:
        stream = await model.astream_events(QUESTION, version="v3")
        return str((await stream).text)

    async def generated() -> str:
        return (await model.agenerate([[HumanMessage(QUESTION)]])).generations[0][0].text

    def pulled() -> str:
        return "".join(chunk.text for chunk in model.stream(QUESTION))

    ways = [
        *(model.ainvoke(QUESTION) for _ in range(20)),
        *(asyncio.to_thread(model.invoke, QUESTION) for _ in range(2)),
    ]
    texts = [*(streamed() for _ in range(10)), *(asyncio.to_thread(pulled) for _ in range(2)), v3(), generated()]
    said = await asyncio.gather(*ways, *texts)
    assert len({each.text if isinstance(each, AIMessage) else each for each in said}) == 1
    assert len(provider.billed) == 1
    kinds = hits(model)
    assert kinds.count("answered") == 1
    assert kinds.count("shared") > 30


def test_a_batch_of_one_question_is_one_call(provider: LoopbackProvider):
    model = thrift(provider, tiers=1)
    answers = model.batch([QUESTION] * 8)
    assert len({answer.text for answer in answers}) == 1
    assert len(provider.billed) == 1
    waited = [
        answer for answer in answers if answer.response_metadata["thrift"]["reasons"] == ["shared a call in flight"]
    ]
    assert waited
    for answer in waited:
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["total_tokens"] == 0


async def test_a_follower_s_stream_has_the_events_of_its_own_kind(provider: LoopbackProvider):
    model = thrift(provider, tiers=1)

    async def kinds() -> list[str]:
        found: list[str] = []
        async for event in model.astream_events(QUESTION, version="v2"):
            if event["event"] not in found:
                found.append(event["event"])
        return found

    first, second = await asyncio.gather(kinds(), kinds())
    assert first == second == ["on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"]
    assert len(provider.billed) == 1


async def test_a_cancelled_leader_costs_one_more_call(provider: LoopbackProvider):
    model = thrift(provider, tiers=1)
    leader = asyncio.create_task(model.ainvoke(QUESTION))
    await asyncio.sleep(0.1)
    followers = [asyncio.create_task(model.ainvoke(QUESTION)) for _ in range(5)]
    await asyncio.sleep(0.01)
    leader.cancel()
    answers = await asyncio.gather(*followers)
    assert len({answer.text for answer in answers}) == 1
    assert len(provider.requests) == 2


async def test_a_leader_s_error_is_its_own(provider: LoopbackProvider):
    provider.faults.clear()
    provider.faults.append(Fault.refuse(400))
    model = thrift(provider, tiers=1)
    said = await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, Exception) for each in said) == 1


async def test_a_storm_of_cancelled_calls_leaks_no_connection(provider: LoopbackProvider):
    provider.faults.clear()
    model, dice = thrift(provider, tiers=1), random.Random(3)

    async def one(number: int) -> None:
        text = f"question {number % 20}"
        call = asyncio.create_task(model.ainvoke(text))
        await asyncio.sleep(dice.random() * 0.05)
        if dice.random() < 0.6:
            call.cancel()
        try:
            assert text in (await call).text
        except asyncio.CancelledError:
            return

    await asyncio.gather(*(one(number) for number in range(200)))
    assert provider.wait_idle()
    for _ in range(100):
        if not provider._connections:
            break
        await asyncio.sleep(0.01)
    assert not provider._connections


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sun in {city}"


async def test_calls_with_tools_share_too(provider: LoopbackProvider):
    model = thrift(provider, tiers=1).bind_tools([get_weather])
    answers = await asyncio.gather(*(model.ainvoke("What is the weather in Rome?") for _ in range(5)))
    assert len({str(answer.tool_calls) for answer in answers}) == 1
    assert len(provider.billed) == 1


# Stale answers ----------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Ear(BaseCallbackHandler):
    def __init__(self) -> None:
        self.starts = 0

    def on_chat_model_start(self, *_given: Any, **_told: Any) -> None:
        self.starts += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aging(clock: Clock) -> Iterator[Runtime]:
    made = Runtime(Config(store="memory:", cache=CacheConfig(ttl=60, stale=600)), clock=clock)
    yield made
    made.close()


async def renewed(model: Any, many: int = 1) -> dict[str, Any]:
    """The event of a renewal, once it has happened."""
    for _ in range(500):
        found = [record for record in records(model) if record.get("extra", {}).get("cache", {}).get("renewal")]
        if len(found) >= many:
            return found[-1]
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was renewed")


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_stale_answer_is_shown_and_renewed_unheard(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, way: str
):
    provider.faults.clear()
    ear, own = Ear(), Ear()
    model = ThriftChatModel(tiers=[chat(provider, callbacks=[own])], runtime=aging)

    async def ask() -> str:
        config: Any = {"callbacks": [ear]}
        match way:
            case "invoke":
                return model.invoke(QUESTION, config).text
            case "ainvoke":
                return (await model.ainvoke(QUESTION, config)).text
            case "stream":
                return "".join(chunk.text for chunk in model.stream(QUESTION, config))
            case _:
                return "".join([chunk.text async for chunk in model.astream(QUESTION, config)])

    first = await ask()
    clock.now += 100
    assert [await ask() for _ in range(5)] == [first] * 5
    event = await renewed(model)
    assert len(provider.billed) == 2
    assert (ear.starts, own.starts) == (6, 6), "the renewal is in nobody's callbacks"
    assert event["bill"]["baseline"] == 0
    assert event["bill"]["overheads"]["cache"] == -event["bill"]["actual"] < 0
    assert event["id"].endswith("-renewal")
    await ask()
    assert hits(model)[:2] == ["answered", "answered"]
    assert [record["extra"]["cache"] for record in records(model) if record["outcome"] == "hit"][-1] == {
        "hit": "exact",
        "age": 0.0,
    }


def test_a_renewal_asks_what_was_asked_whatever_the_app_does_with_its_messages(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """An app goes on with the list that it has passed in; its next question is no answer's question but its own."""
    provider.faults.clear()
    model, later = thrift(provider, aging, tiers=1), list[Any]()
    monkeypatch.setattr(aging.background, "submit", lambda _name, job: later.append(job))
    model.invoke([HumanMessage(QUESTION)])
    clock.now += 100
    history: list[BaseMessage] = [HumanMessage(QUESTION)]
    history.append(model.invoke(history))
    history.append(HumanMessage("And what does it cost?"))
    history[0].content = "Something else."
    for job in later:
        job()
    first, second = provider.requests
    assert first.body == second.body


async def test_what_an_app_adds_to_its_messages_while_a_call_waits_is_not_asked(provider: LoopbackProvider, aging: Runtime):
    provider.faults.clear()
    history: list[BaseMessage] = [HumanMessage(QUESTION)]

    class Slow(MemoryStore):
        async def aget(self, key: str) -> bytes | None:
            history.append(HumanMessage("And what does it cost?"))
            return await super().aget(key)

    aging.store = Slow()
    await thrift(provider, aging, tiers=1).ainvoke(history)
    [request] = provider.requests
    assert [message["content"] for message in request.body["messages"]] == [QUESTION]


async def test_a_renewal_of_a_bound_model_offers_its_tools(provider: LoopbackProvider, aging: Runtime, clock: Clock):
    provider.faults.clear()
    model = thrift(provider, aging, tiers=1).bind_tools([get_weather])
    await model.ainvoke("What is the weather in Rome?")
    clock.now += 100
    await model.ainvoke("What is the weather in Rome?")
    await renewed(model)
    first, second = provider.requests
    assert first.body == second.body


async def test_a_renewal_that_fails_is_not_shown_and_not_tried_again_at_once(
    provider: LoopbackProvider, aging: Runtime, clock: Clock
):
    provider.faults.clear()
    model = thrift(provider, aging, tiers=1)
    first = await model.ainvoke(QUESTION)
    clock.now += 100
    provider.faults.append(Fault.refuse(500))
    for _ in range(5):
        assert (await model.ainvoke(QUESTION)).text == first.text
    event = await renewed(model)
    assert (event["outcome"], event["bill"]["actual"]) == ("error", 0)
    assert len(provider.requests) == 2


def test_a_closed_runtime_renews_nothing(provider: LoopbackProvider, aging: Runtime, clock: Clock):
    provider.faults.clear()
    model = thrift(provider, aging, tiers=1)
    model.invoke(QUESTION)
    clock.now += 100
    aging.background.close()
    model.invoke(QUESTION)
    assert len(provider.requests) == 1


def test_an_answer_with_other_settings_is_not_kept(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Its key says with which settings it was asked for; a renewal, or a call that waits, may be made with others."""
    provider.faults.clear()
    own, later = chat(provider), list[Any]()
    model = ThriftChatModel(tiers=[own], runtime=aging)
    monkeypatch.setattr(aging.background, "submit", lambda _name, job: later.append(job))
    model.invoke(QUESTION)
    clock.now += 100
    model.invoke(QUESTION)
    own.model_name = "gpt-4.1"
    [job] = later
    job()
    own.model_name = "gpt-4o-mini"
    answer = model.invoke(QUESTION)
    assert answer.response_metadata["model_name"] == "gpt-4o-mini"
    assert [request.model for request in provider.requests] == ["gpt-4o-mini", "gpt-4.1"]
