"""Whole calls through a wrapped model: what the app gets, what the provider was asked, what the ledger holds."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel
from langchain_core.runnables.history import RunnableWithMessageHistory

from tests.langchain_kit import CHEAP, STRONG, chat, records, thrift
from thrift_plugins import CacheConfig, Config, Runtime, route, scope
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.types import ToolCall

pytestmark = [
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage"),  # the bare model's own, in `generate`
    pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory`"),
    pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated"),
]

QUESTION = "Where is the shop?"
HARD = "Prove step by step that the sum of 17 and 25 is 42, then explain why 6 * 7 gives the same, in Python code."


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


def spent(provider: LoopbackProvider) -> tuple[int, int]:
    return sum(row.input_tokens for row in provider.billed), sum(row.output_tokens for row in provider.billed)


# How it is called ----------------------------------------------------------------------------------------------------


async def invoke(model: Any) -> list[str]:
    return [model.invoke(QUESTION).content]


async def ainvoke(model: Any) -> list[str]:
    return [(await model.ainvoke(QUESTION)).content]


async def batch(model: Any) -> list[str]:
    return [answer.content for answer in model.batch([QUESTION, "And when?"])]


async def abatch(model: Any) -> list[str]:
    return [answer.content for answer in await model.abatch([QUESTION, "And when?"])]


async def batch_as_completed(model: Any) -> list[str]:
    return [answer.content for _, answer in sorted(model.batch_as_completed([QUESTION, "And when?"]))]


async def generate(model: Any) -> list[str]:
    result = model.generate([[HumanMessage(QUESTION)], [HumanMessage("And when?")]])
    return [generations[0].text for generations in result.generations]


async def agenerate(model: Any) -> list[str]:
    result = await model.agenerate([[HumanMessage(QUESTION)], [HumanMessage("And when?")]])
    return [generations[0].text for generations in result.generations]


async def stream(model: Any) -> list[str]:
    return ["".join(chunk.content for chunk in model.stream(QUESTION))]


WAYS = [invoke, ainvoke, batch, abatch, batch_as_completed, generate, agenerate, stream]


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_answers_as_the_bare_model_and_is_counted_once(
    provider: LoopbackProvider, way: Callable[[Any], Any]
) -> None:
    bare = await way(chat(provider, STRONG))
    asked = [request.body for request in provider.requests]
    provider.reset()
    counter = UsageMetadataCallbackHandler()
    model = thrift(provider, tiers=1)
    model.callbacks = [counter]
    assert await way(model) == bare
    assert sorted(map(str, asked)) == sorted(str(request.body) for request in provider.requests)
    assert await way(model) == bare
    assert len(provider.billed) == len(bare)
    [told] = counter.usage_metadata.values()
    assert (told["input_tokens"], told["output_tokens"]) == spent(provider)
    booked = records(model)
    assert sum(r["usage"].get("input_tokens", 0) for r in booked) == spent(provider)[0]
    assert sum(r["usage"].get("output_tokens", 0) for r in booked) == spent(provider)[1]
    assert sorted(r["outcome"] for r in booked) == ["answered"] * len(bare) + ["hit"] * len(bare)


@pytest.mark.parametrize(
    "given",
    [
        QUESTION,
        [HumanMessage(QUESTION)],
        [("user", QUESTION)],
        [{"role": "user", "content": QUESTION}],
        ChatPromptTemplate.from_messages([("user", "{q}")]).invoke({"q": QUESTION}),
    ],
)
def test_every_kind_of_input_is_the_same_question(provider: LoopbackProvider, given: Any) -> None:
    model = thrift(provider)
    model.invoke(QUESTION)
    assert model.invoke(given).response_metadata["thrift"]["hit"]


def test_pictures(provider: LoopbackProvider) -> None:
    def asks(pixel: str) -> list[HumanMessage]:
        url = {"url": f"data:image/png;base64,{pixel}"}
        return [HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": url}])]

    model = thrift(provider)
    assert [model.invoke(asks(p)).response_metadata["thrift"]["hit"] for p in ("AAAA", "AAAA", "BBBB")] == [
        False,
        True,
        False,
    ]


# Chains and wrappers -------------------------------------------------------------------------------------------------


async def test_chains(provider: LoopbackProvider) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{q}")])
    model = thrift(provider)
    chain = prompt | model | StrOutputParser()
    both = RunnableParallel(one=chain, two=prompt | model | RunnableLambda(lambda message: len(message.content)))
    text = chain.invoke({"q": QUESTION})
    assert "".join(chain.stream({"q": QUESTION})) == text
    assert len([part async for part in chain.astream({"q": QUESTION})]) > 1
    assert both.invoke({"q": QUESTION}) == {"one": text, "two": len(text)}
    assert len(provider.billed) == 1


def test_a_conversation_with_history_hits_in_every_turn(provider: LoopbackProvider) -> None:
    """The second turn holds the first answer, which was a hit for all but the first user."""
    model = thrift(provider)
    for user in range(3):
        history = InMemoryChatMessageHistory()
        talk = RunnableWithMessageHistory(model, lambda session_id, history=history: history)
        for question in (QUESTION, "And when is it open?", "Thanks!"):
            talk.invoke([HumanMessage(question, id=f"{user}")], {"configurable": {"session_id": f"s{user}"}})
    assert len(provider.billed) == 3
    assert {record["outcome"] for record in records(model)[3:]} == {"hit"}


async def test_retry_and_fallbacks(provider: LoopbackProvider) -> None:
    provider.faults.extend([Fault.refuse(500), Fault.refuse(500)])
    model = thrift(provider, tiers=1)
    assert model.with_retry(wait_exponential_jitter=False).invoke(QUESTION).content
    assert [record["outcome"] for record in records(model)] == ["error", "error", "answered"]
    provider.faults.append(Fault.refuse(400))
    other = thrift(provider, tiers=1)
    assert (await other.with_fallbacks([chat(provider)]).ainvoke("Hm?")).response_metadata["model_name"] == CHEAP


def test_a_configured_copy_is_the_same_lineup(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:"))
    tiers = [chat(provider, CHEAP), chat(provider, STRONG)]
    model = ThriftChatModel(tiers=tiers, names=["small", "large"], baseline="small", runtime=runtime)
    tagged = model.configurable_fields(tags=ConfigurableField(id="tags"))
    answer = tagged.with_config(configurable={"tags": ["x"]}).invoke(QUESTION)
    assert answer.response_metadata["thrift"]["tier"] == "small"
    swapped = model.configurable_alternatives(ConfigurableField(id="llm"), bare=chat(provider, STRONG))
    assert "thrift" not in swapped.with_config(configurable={"llm": "bare"}).invoke(QUESTION).response_metadata


def test_settings_of_a_tier_are_refused() -> None:
    from langchain_core.language_models import FakeListChatModel

    with pytest.raises(ConfigError, match="cache belongs to a tier"):
        ThriftChatModel(tiers=[FakeListChatModel(responses=["x"])], config=Config(store="memory:"), cache=False)


# Routing -------------------------------------------------------------------------------------------------------------


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.metadata: list[dict[str, Any]] = []
        self.tags: list[list[str]] = []
        self.ended = 0

    def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any = None, **kwargs: Any) -> None:
        self.metadata.append(metadata)
        self.tags.append(kwargs["tags"])

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ended += 1


def test_the_decision_is_told_to_callbacks_and_on_the_answer(provider: LoopbackProvider) -> None:
    model, runs = thrift(provider), Runs()
    model.tags, model.metadata = ["ours"], {"team": "shop"}
    easy = model.invoke(QUESTION, {"callbacks": [runs], "tags": ["theirs"], "metadata": {"page": 1}})
    hard = model.invoke(HARD, {"callbacks": [runs]})
    again = model.invoke(QUESTION, {"callbacks": [runs]})
    told = [answer.response_metadata["thrift"] for answer in (easy, hard, again)]
    assert [mark["tier"] for mark in told] == [CHEAP, STRONG, CHEAP]
    assert [mark["policy"] for mark in told] == ["rules", "rules", "cache"]
    assert all(mark["reasons"] for mark in told)
    assert [run["thrift_route"] for run in runs.metadata] == [CHEAP, STRONG, CHEAP]
    assert [run["thrift_reasons"] for run in runs.metadata] == [mark["reasons"] for mark in told]
    assert runs.metadata[0] | {"team": "shop", "page": 1} == runs.metadata[0]
    assert set(runs.tags[0]) == {"ours", "theirs"}
    assert runs.ended == 3
    assert [record["id"] for record in records(model)] == [mark["request_id"] for mark in told]


@pytest.mark.parametrize("how", ["config", "with_config", "block"])
async def test_a_call_can_insist_on_a_tier(provider: LoopbackProvider, how: str) -> None:
    model = thrift(provider)
    config: Any = {"configurable": {"thrift_route": STRONG}}
    if how == "config":
        answers = [model.invoke(QUESTION, config), await model.ainvoke(QUESTION, config)]
    elif how == "with_config":
        answers = [model.with_config(config).invoke(QUESTION)]
    else:
        with route(STRONG):
            answers = [model.invoke(QUESTION)]
    assert all(answer.response_metadata["model_name"] == STRONG for answer in answers)
    with pytest.raises(ConfigError, match="no tier is called 'gpt-7'"):
        model.invoke(QUESTION, {"configurable": {"thrift_route": "gpt-7"}})


@pytest.mark.parametrize("fault", [Fault.refuse(429), Fault.refuse(503), Fault.delay(5), Fault.break_after(0)])
@pytest.mark.parametrize("way", [invoke, ainvoke, generate, agenerate, stream])
async def test_another_tier_answers_where_the_chosen_one_is_down(
    provider: LoopbackProvider, fault: Fault, way: Callable[[Any], Any]
) -> None:
    provider.faults.rule(lambda request: fault if request.model == CHEAP else None)
    model = thrift(provider, cheap={"timeout": 0.3})
    assert all(await way(model))
    assert {record["served_model"] for record in records(model)} == {STRONG}
    assert all(f"{CHEAP} failed" in record["fallbacks"][0] for record in records(model))


def test_a_bad_request_reaches_the_app_and_nobody_else_is_asked(provider: LoopbackProvider) -> None:
    provider.faults.append(Fault.refuse(400))
    model = thrift(provider)
    with pytest.raises(Exception, match="refused with 400"):
        model.invoke(QUESTION)
    assert len(provider.billed) == 1


def test_a_rejected_answer_is_repaired_and_its_cost_is_booked(provider: LoopbackProvider) -> None:
    wrong = Answer(tool_calls=(ToolCall("", "weather", {"town": 3}),))
    provider.script(lambda request: wrong if request.model == CHEAP else None)
    city: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    model = thrift(provider)
    bound = model.bind_tools([{"name": "weather", "description": "The weather.", "parameters": city}])
    answer = bound.invoke("weather in 'Rome'?")
    assert answer.response_metadata["thrift"]["tier"] == STRONG
    assert answer.tool_calls[0]["args"].keys() == {"city"}
    [record] = records(model)
    cheap, strong = provider.billed
    assert record["usage"]["input_tokens"] == strong.input_tokens
    [[tactic, reason, served, usage, _]] = record["overheads"]
    assert (tactic, reason, served) == ("routing", "rejected", CHEAP)
    assert (usage["input_tokens"], usage["output_tokens"]) == (cheap.input_tokens, cheap.output_tokens)


def test_a_call_that_names_a_model_is_priced_as_that_model(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    assert model.invoke(QUESTION, model="gpt-4.1").response_metadata["model_name"] == "gpt-4.1"
    [record] = records(model)
    assert (record["requested_model"], record["served_model"]) == ("gpt-4.1", "gpt-4.1")


# The cache -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.truncate(3), Fault.content_filter()])
@pytest.mark.parametrize("way", [invoke, ainvoke, stream])
async def test_an_answer_that_is_not_whole_is_not_stored(
    provider: LoopbackProvider, fault: Fault, way: Callable[[Any], Any]
) -> None:
    provider.faults.append(fault)
    model = thrift(provider, tiers=1)
    [broken] = await way(model)
    [whole] = await way(model)
    assert broken != whole
    assert await way(model) == [whole]
    assert len(provider.billed) == 2


def test_what_decides_the_answer_is_in_the_key_and_nothing_else(provider: LoopbackProvider) -> None:
    runtime = Runtime(Config(store="memory:"))

    def asked(**settings: Any) -> bool:
        answer = thrift(provider, runtime, tiers=1, **settings).invoke([SystemMessage("Be brief."), HumanMessage("Hi")])
        return bool(answer.response_metadata["thrift"]["hit"])

    assert not asked()
    for transport in ({"max_retries": 4}, {"timeout": 9}, {"default_headers": {"x": "y"}}, {"metadata": {"a": 1}}):
        assert asked(**transport)
    for deciding in ({"max_tokens": 7}, {"seed": 1}, {"temperature": 0.1}, {"logit_bias": {1: 1}}):
        assert not asked(**deciding)


def test_a_setting_changed_in_place_is_noticed(provider: LoopbackProvider) -> None:
    tier = chat(provider, logit_bias={1: 1})
    model = ThriftChatModel(tiers=[tier], runtime=Runtime(Config(store="memory:")))
    model.invoke(QUESTION)
    tier.logit_bias[2] = 5  # type: ignore[index]
    assert not model.invoke(QUESTION).response_metadata["thrift"]["hit"]
    tier.temperature = 1.0
    assert not model.invoke(QUESTION).response_metadata["thrift"]["hit"]
    assert not model.invoke(QUESTION).response_metadata["thrift"]["hit"]


def test_the_scope_of_a_block_holds_in_threads(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    chain = model | StrOutputParser()
    with scope(tenant="acme", feature="faq", user="u1"):
        chain.batch([QUESTION, "And when?", "And why?"])
    assert {(r["tenant"], r["feature"], r["user"]) for r in records(model)} == {("acme", "faq", "u1")}


def test_the_scope_of_the_metadata_is_over_that_of_the_block(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    metadata = {"thrift_tenant": "globex", "thrift_feature": "faq", "thrift_keys": {"region": "eu"}}
    with scope(tenant="acme", user="u1"):
        model.invoke(QUESTION, {"metadata": metadata, "configurable": {"thread_id": "t-1"}})
    [record] = records(model)
    assert (record["tenant"], record["user"], record["feature"]) == ("globex", "u1", "faq")
    assert record["keys"] == {"region": "eu"}


@pytest.mark.parametrize("way", [invoke, ainvoke, stream, generate])
async def test_tenants_share_nothing(provider: LoopbackProvider, way: Callable[[Any], Any]) -> None:
    model = thrift(provider)
    for tenant in ("acme", "globex"):
        with scope(tenant=tenant):
            await way(model)
            await way(model)
    assert [record["outcome"] for record in records(model)].count("answered") == len(provider.billed)
    assert {record["tenant"] for record in records(model)} == {"acme", "globex"}
    assert len(provider.billed) % 2 == 0
    assert len(records(model)) == 2 * len(provider.billed)


def test_with_the_cache_off_every_call_is_made(provider: LoopbackProvider) -> None:
    model = thrift(provider, Runtime(Config(store="memory:", cache=CacheConfig(enabled=False))))
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    assert len(provider.billed) == 2


def test_a_hit_can_be_changed_without_changing_the_next(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    model.invoke(QUESTION)
    first = model.invoke(QUESTION)
    first.content = "overwritten"
    first.response_metadata.clear()
    assert model.invoke(QUESTION).content != "overwritten"


# Secrets -------------------------------------------------------------------------------------------------------------


def test_no_key_leaks(provider: LoopbackProvider) -> None:
    secret = "sk-do-not-show-this"
    tier = chat(provider)
    tier.openai_api_key = type(tier.openai_api_key)(secret)  # type: ignore[arg-type,call-arg,misc]
    model = ThriftChatModel(tiers=[tier], runtime=Runtime(Config(store="memory:")))
    runs = Runs()
    model.invoke(QUESTION, {"callbacks": [runs]})
    bound = model.bind_tools([{"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {}}}])
    shown = [repr(model), str(model), dumps(model), str(dumpd(bound)), str(model.model_dump()), str(model.asdict())]
    shown += [repr(bound), str(runs.metadata), str(records(model)), str(model.runtime.store.__dict__)]
    assert not any(secret in text for text in shown)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(model)


def test_an_answer_is_a_plain_message(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    assert type(model.invoke(QUESTION)) is type(model.invoke(QUESTION)) is AIMessage


async def test_one_conversation_that_fails_leaves_the_others_booked(provider: LoopbackProvider) -> None:
    provider.faults.on("forbidden", Fault.refuse(400))
    model = thrift(provider, tiers=1)
    with pytest.raises(Exception, match="refused with 400"):
        await model.agenerate([[HumanMessage("forbidden")], [HumanMessage(QUESTION)]])
    assert sorted(record["outcome"] for record in records(model)) == ["answered", "error"]
