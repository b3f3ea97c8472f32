"""A cut answer is asked for its rest once, by the feature's choice; the app gets one answer, and the ledger both costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from llama_index.core.tools import FunctionTool

from tests.llama_index_kit import openai, user
from thrift_plugins import Budget, CacheConfig, Config, OutputConfig, Runtime, Target, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Answer, Fault, LoopbackProvider, WireRequest

QUESTION = "How is the weather in the harbour?"
TEXT = " ".join(f"wind{hour} sky{hour}" for hour in range(100, 140))


def rest(request: WireRequest) -> Answer:
    """The whole text, or what of it comes after what is there, from the last words on."""
    last = request.last_user[-20:]
    return Answer(TEXT[TEXT.index(last) :] if last in TEXT else TEXT)


class App:
    """A feature whose answers go on, over a provider that cuts the first of them."""

    def __init__(self, provider: LoopbackProvider, *, go_on: bool = True, cuts: int = 1, **config: Any) -> None:
        self.provider = provider
        self.log = MemoryEventLog()
        output = OutputConfig(features={"faq": Target(mode="hard", go_on=go_on)})
        config = {"cache": CacheConfig(enabled=False), **config}
        self.runtime = Runtime(Config(store="memory:", output=output, **config), event_log=self.log)
        provider.script(rest)
        provider.faults.extend([Fault.truncate(40)] * cuts)

    def langchain(self, **settings: Any) -> ThriftChatModel:
        url = self.provider.base_url
        model = ChatOpenAI(model="gpt-4o", base_url=url, api_key="k", max_retries=0, stream_usage=True, **settings)
        return ThriftChatModel(tiers=[model], runtime=self.runtime)

    def llama_index(self, **settings: Any) -> ThriftLLM:
        return ThriftLLM(tiers=[openai(self.provider, "gpt-4o", **settings)], runtime=self.runtime)

    def event(self) -> dict[str, Any]:
        self.runtime.close()
        [event] = [orjson.loads(body) for _, _, body in self.log.rows()]
        return event

    def check_money(self) -> None:
        """Every request is on the bill: the first as the call's own, the second as what the output budget costs."""
        event = self.event()
        [(tactic, why, _, used, _)] = event["overheads"]
        assert (tactic, why) == ("budget", "continued")
        assert event["bill"]["overheads"]["budget"] < 0
        first, second = self.provider.billed
        assert (event["usage"]["input_tokens"], event["usage"]["output_tokens"]) == (first.input_tokens, first.output_tokens)
        assert (used["input_tokens"], used["output_tokens"]) == (second.input_tokens, second.output_tokens)


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


LANGCHAIN: dict[str, Callable[[ThriftChatModel], Any]] = {
    "invoke": lambda model: model.invoke(QUESTION).text,
    "ainvoke": lambda model: asyncio.run(model.ainvoke([HumanMessage(QUESTION)])).text,
    "batch": lambda model: model.batch([QUESTION])[0].text,
    "generate": lambda model: model.generate([[HumanMessage(QUESTION)]]).generations[0][0].text,
    "agenerate": lambda model: asyncio.run(model.agenerate([[HumanMessage(QUESTION)]])).generations[0][0].text,
}


def city(name: str) -> str:
    """The weather in a city."""
    return name


TOOL = FunctionTool.from_defaults(city)
LLAMA_INDEX: dict[str, Callable[[ThriftLLM], Any]] = {
    "chat": lambda llm: llm.chat(user(QUESTION)).message.content,
    "achat": lambda llm: asyncio.run(llm.achat(messages=user(QUESTION))).message.content,
    "complete": lambda llm: llm.complete(QUESTION).text,
    "acomplete": lambda llm: asyncio.run(llm.acomplete(QUESTION)).text,
    "chat_with_tools": lambda llm: llm.chat_with_tools([TOOL], QUESTION).message.content,
    "history": lambda llm: llm.chat_with_tools([TOOL], chat_history=user(QUESTION)).message.content,
}


@pytest.mark.parametrize("way", LANGCHAIN)
def test_langchain_gets_one_answer(provider: LoopbackProvider, way: str) -> None:
    app = App(provider)
    with scope(feature="faq"):
        assert LANGCHAIN[way](app.langchain()) == TEXT
    assert len(provider.requests) == 2
    app.check_money()


@pytest.mark.parametrize("way", LLAMA_INDEX)
def test_llama_index_gets_one_answer(provider: LoopbackProvider, way: str) -> None:
    app = App(provider)
    with scope(feature="faq"):
        assert LLAMA_INDEX[way](app.llama_index()) == TEXT
    assert len(provider.requests) == 2
    app.check_money()


def test_what_the_answer_says_of_itself(provider: LoopbackProvider) -> None:
    given = [HumanMessage(QUESTION)]
    with scope(feature="faq"):
        message = App(provider).langchain().invoke(given)
    assert given == [HumanMessage(QUESTION)]
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["thrift"]["tier"] == "gpt-4o"
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == sum(usage.output_tokens for usage in provider.billed)
    with scope(feature="faq"):
        response = App(provider).llama_index().chat(user(QUESTION))
    assert response.raw.choices[0].finish_reason == "stop"
    assert response.additional_kwargs["completion_tokens"] == sum(usage.output_tokens for usage in provider.billed[2:])


def test_only_where_it_is_chosen(provider: LoopbackProvider) -> None:
    app = App(provider, go_on=False)
    with scope(feature="faq"):
        assert TEXT.startswith(app.langchain().invoke(QUESTION).text)
    assert len(provider.requests) == 1


def test_only_once(provider: LoopbackProvider) -> None:
    app = App(provider, cuts=2)
    with scope(feature="faq"):
        message = app.langchain().invoke(QUESTION)
    assert len(provider.requests) == 2
    assert TEXT.startswith(message.text)
    assert message.response_metadata["finish_reason"] == "length"
    app.check_money()


def test_what_the_apps_own_limit_has_cut_stays(provider: LoopbackProvider) -> None:
    app = App(provider, cuts=0)
    with scope(feature="faq"):
        app.langchain(max_tokens=40).invoke(QUESTION)
        app.llama_index(max_tokens=40).chat(user(QUESTION))
        app.langchain().invoke(QUESTION, max_tokens=40)
    assert len(provider.requests) == 3


def test_the_rest_has_what_the_apps_limit_leaves(provider: LoopbackProvider) -> None:
    """A budget has room for a first answer of less than the app allows, and for nothing after it."""
    app = App(provider, cuts=0, budgets=[Budget.tokens("small", 150, window="call")])
    with scope(feature="faq"):
        message = app.langchain(max_tokens=400).invoke(QUESTION)
    assert TEXT.startswith(message.text)
    assert len(provider.requests) == 1
    assert any("not asked for the rest" in told for told in app.event()["fallbacks"])


def test_a_learnt_limit(provider: LoopbackProvider) -> None:
    """The fuse learns from the whole of what it has cut, and so is not too low for long."""
    app = App(provider, cuts=0)
    model = app.langchain(max_tokens=4_000)
    with scope(feature="faq"):
        for number in range(80):
            provider.script(lambda _: Answer("It is fine."))
            model.invoke(f"{QUESTION} It is day {number}.")
        assert (provider.requests[-1].max_tokens or 4_000) < 200
        provider.script(rest)
        assert model.invoke(QUESTION).text == TEXT
    first, second = provider.requests[-2:]
    assert first.max_tokens is not None
    assert second.max_tokens == 4_000 - provider.billed[-2].output_tokens


def test_a_rest_that_does_not_come(provider: LoopbackProvider) -> None:
    app = App(provider)
    provider.faults.append(Fault.refuse(500))
    with scope(feature="faq"):
        message = app.langchain().invoke(QUESTION)
    assert TEXT.startswith(message.text)
    assert message.response_metadata["finish_reason"] == "length"
    event = app.event()
    assert event["outcome"] == "answered"
    assert any(told.startswith("output: no rest") for told in event["fallbacks"])


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_rest_that_does_not_join(provider: LoopbackProvider, framework: str) -> None:
    app = App(provider)
    provider.script(lambda request: Answer(TEXT if request.last_user == QUESTION else "Certainly! What next?"))
    with scope(feature="faq"):
        if framework == "langchain":
            text = app.langchain().invoke(QUESTION).text
        else:
            text = str(app.llama_index().chat(user(QUESTION)).message.content)
    assert text
    assert TEXT.startswith(text)
    app.check_money()


def _second(provider: LoopbackProvider) -> None:
    """Wait for the second request."""
    pause = threading.Event()
    while len(provider.requests) < 2:
        pause.wait(0.01)


async def test_a_cancelled_rest(provider: LoopbackProvider) -> None:
    app = App(provider)
    provider.faults.append(Fault.stall_after(5))
    with scope(feature="faq"):
        asking = asyncio.create_task(app.langchain().ainvoke(QUESTION))
    await asyncio.to_thread(_second, provider)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    event = app.event()
    assert event["outcome"] == "cancelled"
    assert event["usage"]["output_tokens"] == provider.billed[0].output_tokens
    assert event["overheads"]


def test_a_stream_is_not(provider: LoopbackProvider) -> None:
    app = App(provider)
    with scope(feature="faq"):
        pieces = list(app.langchain().stream(QUESTION))
    assert len(provider.requests) == 1
    assert pieces[-1].response_metadata.get("finish_reason", "length") == "length"


def test_a_whole_answer_is_kept(provider: LoopbackProvider) -> None:
    app = App(provider, cache=CacheConfig(kinds=False))
    with scope(feature="faq"):
        model = app.langchain(temperature=0)
        assert model.invoke(QUESTION).text == model.invoke(QUESTION).text == TEXT
        llm = app.llama_index(temperature=0)
        provider.faults.append(Fault.truncate(40))
        assert llm.chat(user(QUESTION)).message.content == llm.chat(user(QUESTION)).message.content == TEXT
    assert len(provider.requests) == 4


def test_budgets_hold_for_both(provider: LoopbackProvider) -> None:
    app = App(provider, budgets=[Budget.tokens("day", 100_000, window="day")])
    with scope(feature="faq"):
        app.langchain().invoke(QUESTION)
        [day] = app.runtime.budgets()
    assert day.used == sum(usage.input_tokens + usage.output_tokens for usage in provider.billed)
    assert day.held == 0


def test_an_agents_messages_stay_valid(provider: LoopbackProvider) -> None:
    app = App(provider)
    with scope(feature="faq"):
        message = app.langchain().invoke([HumanMessage(QUESTION), AIMessage("Fair."), HumanMessage("And at noon?")])
    assert [turn["role"] for turn in provider.requests[-1].body["messages"]] == ["user", "assistant", "user", "assistant", "user"]  # fmt: skip
    assert message.text
