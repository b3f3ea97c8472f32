"""Single flight and stale answers through LlamaIndex, against OpenAI's own class and a provider that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import PromptTemplate, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.schema import Document
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from tests.llama_index_kit import events, listen, openai, thrift, user
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.caching import flights
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.stores import MemoryStore
from thrift_plugins.testing import Fault, LoopbackProvider

QUESTION = "What is the capital of France?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        running.faults.rule(lambda _request: Fault.delay(0.2))
        yield running
        assert flights._under_way == {}


def records(llm: ThriftLLM) -> list[dict[str, Any]]:
    assert llm.runtime.ledger is not None
    return list(llm.runtime.ledger.records())


def hits(llm: ThriftLLM) -> list[str]:
    return sorted(record.get("extra", {}).get("cache", {}).get("hit", record["outcome"]) for record in records(llm))


async def test_tasks_threads_and_streams_share_one_call(provider: LoopbackProvider):
    llm = thrift(provider)

    def streamed() -> str:
        return [piece.message.content for piece in llm.stream_chat(user(QUESTION))][-1] or ""

    async def astreamed() -> str:
        return [piece.message.content async for piece in await llm.astream_chat(user(QUESTION))][-1] or ""

    async def whole() -> str:
        return (await llm.achat(user(QUESTION))).message.content or ""

    def blocking() -> str:
        return llm.chat(user(QUESTION)).message.content or ""

    said = await asyncio.gather(
        *(whole() for _ in range(20)),
        *(astreamed() for _ in range(10)),
        *(asyncio.to_thread(blocking) for _ in range(4)),
        *(asyncio.to_thread(streamed) for _ in range(4)),
    )
    assert len(set(said)) == 1
    assert len(provider.billed) == 1
    kinds = hits(llm)
    assert kinds.count("answered") == 1
    assert kinds.count("shared") > 25


async def test_a_follower_says_that_it_is_one(provider: LoopbackProvider):
    llm = thrift(provider)
    answers = await asyncio.gather(*(llm.achat(user(QUESTION)) for _ in range(3)))
    told = [answer.additional_kwargs["thrift"] for answer in answers]
    assert sorted(each["hit"] for each in told) == [False, True, True]
    assert {each["reasons"][0] for each in told if each["hit"]} == {"shared a call in flight"}


async def test_completions_tools_and_structured_predictions_share(provider: LoopbackProvider):
    class City(BaseModel):
        name: str

    llm = thrift(provider)
    weather = FunctionTool.from_defaults(lambda city: f"Sun in {city}", name="get_weather", description="Weather")
    await asyncio.gather(*(llm.acomplete(QUESTION) for _ in range(3)))
    assert len(provider.billed) == 1
    await asyncio.gather(*(llm.achat_with_tools([weather], QUESTION) for _ in range(3)))
    assert len(provider.billed) == 2
    made = await asyncio.gather(*(llm.astructured_predict(City, PromptTemplate("Name the capital of France.")) for _ in range(3)))
    assert len({city.name for city in made}) == 1
    assert len(provider.billed) == 3


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's own
async def test_queries_and_agents_share(provider: LoopbackProvider):
    llm = thrift(provider)
    engine = SummaryIndex.from_documents([Document(text="Paris is the capital of France.")]).as_query_engine(llm=llm)
    answers = await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(4)))
    assert len({str(answer) for answer in answers}) == 1
    assert len(provider.billed) == 1
    agent = FunctionAgent(tools=[], llm=llm, system_prompt="You answer.")
    said = await asyncio.gather(*(_run(agent) for _ in range(4)))
    assert len(set(said)) == 1
    assert len(provider.billed) == 2


async def _run(agent: FunctionAgent) -> str:
    return str(await agent.run(QUESTION))


async def test_a_stream_that_is_left_lets_another_lead(provider: LoopbackProvider):
    llm = thrift(provider)
    stream: Any = await llm.astream_chat(user(QUESTION))
    follower = asyncio.create_task(_whole(llm))
    await anext(stream)
    await stream.aclose()
    assert await follower
    assert len(provider.requests) == 2


async def _whole(llm: ThriftLLM) -> str:
    return (await llm.achat(user(QUESTION))).message.content or ""


def test_a_half_read_stream_and_a_call_on_one_thread(provider: LoopbackProvider):
    llm = thrift(provider)
    stream = llm.stream_chat(user(QUESTION))
    next(stream)
    assert llm.chat(user(QUESTION)).message.content
    assert list(stream)
    assert len(provider.billed) == 2


async def test_a_cancelled_leader_costs_one_more_call(provider: LoopbackProvider):
    llm = thrift(provider)
    leader = asyncio.create_task(_whole(llm))
    await asyncio.sleep(0.1)
    followers = [asyncio.create_task(_whole(llm)) for _ in range(5)]
    await asyncio.sleep(0.01)
    leader.cancel()
    assert len(set(await asyncio.gather(*followers))) == 1
    assert len(provider.requests) == 2


# Stale answers ----------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aging(clock: Clock) -> Iterator[Runtime]:
    made = Runtime(Config(store="memory:", cache=CacheConfig(ttl=60, stale=600)), clock=clock)
    yield made
    made.close()


async def renewed(llm: ThriftLLM) -> dict[str, Any]:
    """The event of a renewal, once it has happened."""
    for _ in range(500):
        found = [record for record in records(llm) if record.get("extra", {}).get("cache", {}).get("renewal")]
        if found:
            return found[-1]
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was renewed")


@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_a_stale_answer_is_shown_and_renewed_unheard(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, way: str
):
    provider.faults.clear()
    model = openai(provider)
    llm = ThriftLLM(tiers=[model], runtime=aging)
    heard, own = listen(llm), listen(model)

    async def ask() -> str | None:
        match way:
            case "chat":
                return llm.chat(user(QUESTION)).message.content
            case "achat":
                return (await llm.achat(user(QUESTION))).message.content
            case "stream_chat":
                return [piece.message.content for piece in llm.stream_chat(user(QUESTION))][-1]
            case _:
                return [piece.message.content async for piece in await llm.astream_chat(user(QUESTION))][-1]

    first = await ask()
    clock.now += 100
    with events() as seen:
        assert [await ask() for _ in range(3)] == [first] * 3
        event = await renewed(llm)
    marked = [tags["thrift"] for told in seen if "renewal" in (tags := told.tags or {}).get("thrift", {})]
    assert marked, "instrumentation sees it, with its mark"
    assert len(provider.billed) == 2
    assert len([kind for kind, _ in heard.seen if kind == "start"]) == 4
    assert own.seen == []
    assert event["bill"]["baseline"] == 0
    assert event["bill"]["overheads"]["cache"] == -event["bill"]["actual"] < 0


def test_a_renewal_asks_what_was_asked_whatever_the_app_does_with_its_messages(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """An app goes on with the list that it has passed in; its next question is no answer's question but its own."""
    provider.faults.clear()
    llm, later = ThriftLLM(tiers=[openai(provider)], runtime=aging), list[Any]()
    monkeypatch.setattr(aging.background, "submit", lambda _name, job: later.append(job))
    llm.chat(user(QUESTION))
    clock.now += 100
    history = user(QUESTION)
    history.append(llm.chat(history).message)
    history += user("And what does it cost?")
    history[0].content = "Something else."
    for job in later:
        job()
    first, second = provider.requests
    assert first.body == second.body


async def test_what_an_app_adds_to_its_messages_while_a_call_waits_is_not_asked(provider: LoopbackProvider, aging: Runtime):
    provider.faults.clear()
    history = user(QUESTION)

    class Slow(MemoryStore):
        async def aget(self, key: str) -> bytes | None:
            history.extend(user("And what does it cost?"))
            return await super().aget(key)

    aging.store = Slow()
    await ThriftLLM(tiers=[openai(provider)], runtime=aging).achat(history)
    [request] = provider.requests
    assert [message["content"] for message in request.body["messages"]] == [QUESTION]


async def test_a_structured_prediction_is_renewed(provider: LoopbackProvider, aging: Runtime, clock: Clock):
    class City(BaseModel):
        name: str

    provider.faults.clear()
    llm = ThriftLLM(tiers=[openai(provider)], runtime=aging)
    prompt = PromptTemplate("Name the capital of France.")
    first = await llm.astructured_predict(City, prompt)
    clock.now += 100
    assert await llm.astructured_predict(City, prompt) == first
    assert (await renewed(llm))["outcome"] == "answered"
    assert len(provider.billed) == 2


@pytest.mark.parametrize("structured", [False, True])
def test_an_answer_with_other_settings_is_not_kept(
    provider: LoopbackProvider, aging: Runtime, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, structured: bool
):
    """Its key says with which settings it was asked for; a renewal, or a call that waits, may be made with others."""

    class City(BaseModel):
        name: str

    provider.faults.clear()
    own, later = openai(provider), list[Any]()
    llm = ThriftLLM(tiers=[own], runtime=aging)

    def ask() -> None:
        _ = llm.structured_predict(City, PromptTemplate("Name the capital of France.")) if structured else llm.chat(user(QUESTION))

    monkeypatch.setattr(aging.background, "submit", lambda _name, job: later.append(job))
    ask()
    clock.now += 100
    ask()
    own.max_tokens = 77
    [job] = later
    job()
    own.max_tokens = None
    ask()
    assert len(later) == 2, "what was kept is as stale as before"
    assert [request.max_tokens for request in provider.requests] == [None, 77]
