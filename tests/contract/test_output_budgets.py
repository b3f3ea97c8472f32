"""Output budgets in an app: what is asked of the provider, what of the app's own objects stays, and what is claimed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from llama_index.core.tools import FunctionTool

from tests.llama_index_kit import openai, user
from thrift_plugins import CacheConfig, Config, ConfigError, OutputConfig, Runtime, Target, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest

QUESTION = "How is the weather in the harbour?"
NOTE = "60 words"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=40) as made:
        yield made


def _runtime(log: MemoryEventLog | None = None, *, cache: bool = False, **faq: Any) -> Runtime:
    target = Target(**{"words": 60, **faq})
    config = Config(
        store="memory:",
        cache=CacheConfig(enabled=cache, kinds=False),
        output=OutputConfig(features={"faq": target}),
    )
    return Runtime(config, event_log=log)


def _langchain(provider: LoopbackProvider, runtime: Runtime, **settings: Any) -> ThriftChatModel:
    model = ChatOpenAI(
        model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0, stream_usage=True, **settings
    )
    return ThriftChatModel(tiers=[model], runtime=runtime)


def _llama_index(provider: LoopbackProvider, runtime: Runtime, **settings: Any) -> ThriftLLM:
    return ThriftLLM(tiers=[openai(provider, "gpt-4o", **settings)], runtime=runtime)


def _last(provider: LoopbackProvider) -> WireRequest:
    return provider.requests[-1]


def _asked(provider: LoopbackProvider) -> bool:
    return NOTE in _last(provider).last_user


async def _every_way_in_langchain(model: ThriftChatModel) -> list[Any]:
    return [
        model.invoke(QUESTION),
        await model.ainvoke([HumanMessage(QUESTION)]),
        list(model.stream(QUESTION)),
        [piece async for piece in model.astream(QUESTION)],
        model.batch([QUESTION]),
        model.generate([[HumanMessage(QUESTION)]]),
        [event async for event in model.astream_events(QUESTION, version="v2")],
        list(model.stream_events(QUESTION, version="v3").text),
    ]


async def test_every_way_of_langchain_asks_for_it(provider: LoopbackProvider) -> None:
    model = _langchain(provider, _runtime())
    with scope(feature="faq"):
        ways = await _every_way_in_langchain(model)
    assert len(provider.requests) == len(ways)
    assert all(NOTE in request.last_user for request in provider.requests)


async def test_every_way_of_llama_index_asks_for_it(provider: LoopbackProvider) -> None:
    llm = _llama_index(provider, _runtime())
    tools = [FunctionTool.from_defaults(lambda city: city, name="weather", description="Tells the weather.")]
    with scope(feature="faq"):
        llm.chat(user(QUESTION))
        await llm.achat(messages=user(QUESTION))
        list(llm.stream_chat(user(QUESTION)))
        [_ async for _ in await llm.astream_chat(user(QUESTION))]
        llm.complete(QUESTION)
        await llm.acomplete(prompt=QUESTION)
        list(llm.stream_complete(QUESTION, formatted=False))
        llm.chat_with_tools(tools, QUESTION)
        llm.chat_with_tools(tools, chat_history=user(QUESTION))
        await llm.achat_with_tools(tools, user_msg=QUESTION, chat_history=[])
    assert len(provider.requests) == 10
    assert all(request.last_user.count(NOTE) == 1 for request in provider.requests)


def test_the_apps_own_messages_stay_as_they_are(provider: LoopbackProvider) -> None:
    messages = [SystemMessage("You are kind."), HumanMessage(QUESTION)]
    turns = user(QUESTION)
    with scope(feature="faq"):
        _langchain(provider, _runtime()).invoke(messages)
        _llama_index(provider, _runtime()).chat(turns)
    assert messages == [SystemMessage("You are kind."), HumanMessage(QUESTION)]
    assert turns == user(QUESTION)


def test_other_features_are_left_alone(provider: LoopbackProvider) -> None:
    model = _langchain(provider, _runtime())
    model.invoke(QUESTION)
    assert _last(provider).last_user == QUESTION
    with scope(feature="faq"):
        model.with_structured_output({"title": "City", "type": "object", "properties": {}}).invoke(QUESTION)
    assert _last(provider).last_user == QUESTION


def test_in_the_language_of_the_question(provider: LoopbackProvider) -> None:
    with scope(feature="faq"):
        _langchain(provider, _runtime()).invoke(
            "Wie ist das Wetter heute im Hafen von Hamburg, und wie wird es morgen?"
        )
    assert "Wörter" in _last(provider).last_user


def test_a_temperature_is_brought_into_the_range(provider: LoopbackProvider) -> None:
    runtime = _runtime(temperature=(0.0, 0.3))
    with scope(feature="faq"):
        _langchain(provider, runtime, temperature=0.9).invoke(QUESTION)
        _llama_index(provider, runtime, temperature=0.9).chat(user(QUESTION))
        _langchain(provider, runtime, temperature=0.9).invoke(QUESTION, temperature=0.7)
    assert [request.body["temperature"] for request in provider.requests] == [0.3] * 3


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_fuse_is_learnt(provider: LoopbackProvider, framework: str) -> None:
    runtime = _runtime(mode="hard")
    app = (_langchain if framework == "langchain" else _llama_index)(provider, runtime)
    ask = app.invoke if isinstance(app, ThriftChatModel) else app.complete
    with scope(feature="faq"):
        for number in range(60):
            ask(f"{QUESTION} It is day {number}.")
        first, last = provider.requests[0], provider.requests[-1]
        assert first.max_tokens is None
        assert last.max_tokens is not None
        provider.script(lambda _: Answer("word " * 2_000))
        ask(f"{QUESTION} It is the last day.")
    assert provider.billed[-1].output_tokens == last.max_tokens


def test_what_is_claimed(provider: LoopbackProvider) -> None:
    """While nobody knows how long answers would have been, the longer prompt is a cost and nothing is a saving."""
    log = MemoryEventLog()
    runtime = _runtime(log)
    with scope(feature="faq"):
        _langchain(provider, runtime).invoke(QUESTION)
    runtime.close()
    [event] = [orjson.loads(body) for _, _, body in log.rows()]
    [[tactic, field, before, after, provenance]] = event["patches"]
    assert (tactic, field, provenance) == ("budget", "usage", "modelled")
    assert before["output_tokens"] == after["output_tokens"] == event["usage"]["output_tokens"]
    assert before["input_tokens"] < after["input_tokens"]
    assert event["bill"]["rows"]["budget"] < 0
    assert any(reason.startswith("output: asked for 60 words") for reason in event["reasons"])


def test_another_target_is_another_answer(provider: LoopbackProvider) -> None:
    runtime = _runtime(cache=True)
    model = _langchain(provider, runtime, temperature=0)
    with scope(feature="faq"):
        model.invoke(QUESTION)
        model.invoke(QUESTION)
    assert len(provider.requests) == 1
    model.invoke(QUESTION)
    assert len(provider.requests) == 2


def test_settings_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "thrift.toml"
    file.write_text('[output]\nmode = "soft"\nwords = 90\n[output.features.faq]\ntokens = 50\nmode = "hard"\ngo_on = true\n')
    config = Config.load(file).output
    assert config.default() == Target(words=90)
    assert config.features["faq"] == Target(tokens=50, mode="hard", go_on=True)
    for wrong, told in (
        ("[output]\nwords = 0", "above 0"),
        ("[output]\nmode = 'firm'", "must be one of"),
        ("[output]\nwords = 5\ntokens = 5", "leave one"),
        ("[output.features.faq]\nword = 5", "Did you mean 'words'"),
        ("[output.features.faq]\ngo_on = 1", "true or false"),
        ("[output.features]\nfaq = 5", "must be a table"),
    ):
        file.write_text(wrong)
        with pytest.raises(ConfigError, match=told):
            Config.load(file)


def test_an_agents_turns(provider: LoopbackProvider) -> None:
    """What a tool gave is never written into."""
    model = _langchain(provider, _runtime())
    with scope(feature="faq"):
        asyncio.run(model.bind_tools([_weather]).ainvoke(QUESTION))
    assert _asked(provider)


def _weather(city: str) -> str:
    """Tell the weather."""
    return city
