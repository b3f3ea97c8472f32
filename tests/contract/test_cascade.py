"""A cheap answer that is rejected: nobody hears of it, whatever way it was asked for, and its cost is booked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import PydanticOutputParser
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.prompts import PromptTemplate
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.span_handlers import SimpleSpanHandler
from pydantic import BaseModel, ValidationError

from tests.langchain_kit import CHEAP, STRONG, chat, records
from tests.langchain_kit import thrift as lc_thrift
from tests.llama_index_kit import Callbacks, events, user
from tests.llama_index_kit import thrift as li_thrift
from thrift_plugins import Budget, CacheConfig, Config, RoutingConfig, Runtime
from thrift_plugins.langchain import RoutingRunnable
from thrift_plugins.testing import Answer, Fault, LoopbackProvider
from thrift_plugins.testing.script import WireRequest
from thrift_plugins.types import ToolCall

ASKED = "weather in 'Rome'?"
REJECTED = "Atlantis"
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "The weather.", "parameters": CITY}
WRONG = Answer(tool_calls=(ToolCall("", "weather", {"town": REJECTED}),))
RIGHT = Answer(tool_calls=(ToolCall("", "weather", {"city": "Rome"}),))
REFUSED = Answer(f"I'm sorry, but I can't speak of {REJECTED}.")
SAID = Answer("It is sunny in Rome.")


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as started:
        yield started


class Ears(BaseCallbackHandler):
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.starts = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.starts += 1

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(f"{token}{kwargs.get('chunk')!r}")

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.heard.append(repr(response))


async def _all(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


async def _lc(way: str, model: Any, ears: Ears) -> str:
    config = {"callbacks": [ears]}
    match way:
        case "invoke":
            return repr(model.invoke(ASKED, config))
        case "ainvoke":
            return repr(await model.ainvoke(ASKED, config))
        case "stream":
            return repr(list(model.stream(ASKED, config)))
        case "astream":
            return repr(await _all(model.astream(ASKED, config)))
        case _:
            return repr(await _all(model.astream_events(ASKED, config, version="v2")))


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "events"])
@pytest.mark.parametrize("accepted", [True, False])
async def test_langchain(provider: LoopbackProvider, way: str, accepted: bool) -> None:
    provider.script(lambda request: RIGHT if accepted or request.model == STRONG else WRONG)
    ears = Ears()
    model = lc_thrift(provider)
    bound = model.bind_tools([TOOL])
    shown = await _lc(way, bound, ears)
    heard = shown + "".join(ears.heard)
    assert REJECTED not in heard
    assert "Rome" in heard
    assert ears.starts == 1, "one call of the app's is one run"
    [record] = records(model)
    assert len(provider.billed) == (1 if accepted else 2)
    assert record["served_model"] == (CHEAP if accepted else STRONG)
    reasons = [(tactic, reason) for tactic, reason, *_ in record["overheads"]]
    assert reasons == ([] if accepted else [("routing", "rejected")])


def test_langchain_tokens_of_an_accepted_answer_are_told_once(provider: LoopbackProvider) -> None:
    provider.script(lambda request: SAID)
    answer = lc_thrift(provider).invoke("weather in 'Rome'?")
    [billed] = provider.billed
    told = answer.usage_metadata
    assert told is not None
    assert (told["input_tokens"], told["output_tokens"]) == (billed.input_tokens, billed.output_tokens)
    assert answer.response_metadata["thrift"]["hit"] is False
    assert "saved" not in answer.response_metadata["thrift"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_langchain_refusals(provider: LoopbackProvider, way: str) -> None:
    provider.script(lambda request: SAID if request.model == STRONG else REFUSED)
    ears = Ears()
    heard = await _lc(way, lc_thrift(provider), ears) + "".join(ears.heard)
    assert REJECTED not in heard
    assert "sunny" in heard


class Spans(SimpleSpanHandler):
    """Keeps what calls gave."""

    def prepare_to_exit_span(
        self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **kw: Any
    ) -> Any:
        _RESULTS.append(repr(result))
        return super().prepare_to_exit_span(id_, bound_args, instance, result, **kw)


_RESULTS: list[str] = []


@pytest.mark.parametrize("way", ["chat", "achat", "complete", "acomplete"])
async def test_llama_index(provider: LoopbackProvider, way: str) -> None:
    provider.script(lambda request: SAID if request.model == STRONG else REFUSED)
    llm, ears, spans, dispatcher = li_thrift(provider), Callbacks(), Spans(), get_dispatcher()
    llm.callback_manager = CallbackManager([ears])
    dispatcher.add_span_handler(spans)
    _RESULTS.clear()
    try:
        with events() as seen:
            asked = user(ASKED) if "chat" in way else ASKED
            answer = getattr(llm, way)(asked)
            answer = await answer if way.startswith("a") else answer
    finally:
        dispatcher.span_handlers.remove(spans)
    heard = repr(answer) + "".join(map(repr, seen)) + "".join(_RESULTS)
    assert REJECTED not in heard
    assert "sunny" in heard
    assert len(provider.billed) == 2
    assert llm.runtime.ledger is not None
    [record] = llm.runtime.ledger.records()
    assert [overhead[1] for overhead in record["overheads"]] == ["rejected"]
    assert [kind for _, kind in ears.seen].count(CBEventType.LLM) == 2, "one start, one end"


# Two cheap answers ------------------------------------------------------------------------------------------------

SAME = "The answer is 420420."


def _by_heat(request: WireRequest) -> Answer:
    """A cheap model that says something else when it is asked again."""
    if request.model == STRONG:
        return SAID
    return Answer(SAME if not request.body.get("temperature") else f"The answer is {REJECTED}.")


def _twice(**settings: Any) -> Runtime:
    return Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), routing=RoutingConfig(twice=True), **settings))


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "events"])
@pytest.mark.parametrize("agree", [True, False])
async def test_langchain_twice(provider: LoopbackProvider, way: str, agree: bool) -> None:
    provider.script(lambda request: Answer(SAME) if agree and request.model == CHEAP else _by_heat(request))
    ears, model = Ears(), lc_thrift(provider, _twice())
    heard = await _lc(way, model, ears) + "".join(ears.heard)
    assert ("420420" in heard, "sunny" in heard) == (agree, not agree)
    assert REJECTED not in heard
    assert ears.starts == 1
    assert [request.body["temperature"] for request in provider.requests[:2]] == [0, 0.7]
    [record] = records(model)
    reasons = [reason for _, reason, *_ in record["overheads"]]
    assert reasons == (["second"] if agree else ["second", "rejected"])
    bill = record["bill"]
    assert sum(bill["rows"].values()) + sum(bill["overheads"].values()) + bill["actual"] == bill["baseline"]
    paid = sum(overhead[3]["output_tokens"] for overhead in record["overheads"]) + record["usage"]["output_tokens"]
    assert paid == sum(usage.output_tokens for usage in provider.billed)


@pytest.mark.parametrize("way", ["chat", "achat", "stream_complete"])
async def test_llama_index_twice(provider: LoopbackProvider, way: str) -> None:
    provider.script(_by_heat)
    llm, spans, dispatcher = li_thrift(provider, _twice(), temperature=0), Spans(), get_dispatcher()
    dispatcher.add_span_handler(spans)
    _RESULTS.clear()
    try:
        with events() as seen:
            answer = getattr(llm, way)(user(ASKED) if "chat" in way else ASKED)
            answer = await answer if way.startswith("a") else list(answer) if "stream" in way else answer
    finally:
        dispatcher.span_handlers.remove(spans)
    heard = repr(answer) + "".join(map(repr, seen)) + "".join(_RESULTS)
    assert REJECTED not in heard
    assert "sunny" in heard
    assert [(request.model, request.body["temperature"]) for request in provider.requests] == [
        (CHEAP, 0), (CHEAP, 0.7), (STRONG, 0),
    ]  # fmt: skip


def test_the_first_of_two_answers_is_shown(provider: LoopbackProvider) -> None:
    provider.script(lambda request: Answer(SAME if request.body["temperature"] == 0 else "Answer: 420420"))
    model = lc_thrift(provider, _twice())
    assert model.invoke(ASKED).content == SAME
    chain: RoutingRunnable[Any, Any] = RoutingRunnable(
        [model.tiers[0], model.tiers[1]], models=[CHEAP, STRONG], runtime=model.runtime
    )
    assert chain.invoke(ASKED).content == SAME
    assert len(provider.requests) == 4


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_why_there_is_no_second_answer_is_told_alike(provider: LoopbackProvider, framework: str) -> None:
    """Each framework has names of its own for an error, and ledgers are compared."""
    provider.faults.extend([None, Fault.refuse(429)])
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False), routing=RoutingConfig(twice=True)))
    if framework == "langchain":
        lc_thrift(provider, runtime).invoke("What is 2+2?")
    else:
        li_thrift(provider, runtime, temperature=0).chat(user("What is 2+2?"))
    assert runtime.ledger is not None
    [record] = runtime.ledger.records()
    assert record["fallbacks"] == [f"routing: {CHEAP} rejected (no second answer (rate limit))"]


def test_a_budget_without_room_for_two_lets_the_first_stand(provider: LoopbackProvider) -> None:
    long = "really " * 40 + SAME
    provider.script(lambda request: Answer(long))
    model = lc_thrift(provider, _twice(budgets=[Budget.tokens("day", 70, window="day")]), max_tokens=52)
    assert model.invoke("weather?").content == long
    [record] = records(model)
    assert "budget: gpt-4o-mini not asked twice (BudgetExceeded)" in record["fallbacks"]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_a_body_that_nobody_can_read_is_an_outage(provider: LoopbackProvider, framework: str, way: str) -> None:
    """Some gateway answers with a page of its own."""
    provider.script(lambda request: SAID)
    provider.faults.append(Fault.garbage())
    if framework == "langchain":
        assert "sunny" in await _lc(way, lc_thrift(provider), Ears())
    else:
        llm = li_thrift(provider, temperature=0)
        match way:
            case "invoke":
                said = repr(llm.chat(user(ASKED)))
            case "ainvoke":
                said = repr(await llm.achat(user(ASKED)))
            case "stream":
                said = repr(list(llm.stream_chat(user(ASKED))))
            case _:
                said = repr(await _all(await llm.astream_chat(user(ASKED))))
        assert "sunny" in said
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_cheap_stream_that_breaks_has_saved_nothing(provider: LoopbackProvider, framework: str) -> None:
    """Nobody finishes another model's sentence, so the app has no answer, and pays for another one."""
    provider.script(lambda request: Answer("It is sunny in Rome. " * 20))
    provider.faults.append(Fault.break_after(30))
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    pieces: Any
    if framework == "langchain":
        pieces = lc_thrift(provider, runtime).stream(ASKED)
    else:
        pieces = li_thrift(provider, runtime, temperature=0).stream_chat(user(ASKED))
    with pytest.raises(httpx.HTTPError):
        list(pieces)
    assert runtime.ledger is not None
    [record] = runtime.ledger.records()
    assert record["usage"]["output_tokens"] == 30
    assert record["bill"]["rows"] == {}
    assert record["bill"]["baseline"] == record["bill"]["actual"] > 0


# Structured answers, which SDKs and frameworks read inside the call ----------------------------------------------------------


class City(BaseModel):
    """A city."""

    city: str


MISFITS = {
    "wrong": Answer('{"town": "Atlantis"}'),
    "no json": Answer("Atlantis"),
    "cut": Answer('{"city": "Atlan', finish_reason="length"),
    "filtered": Answer("", finish_reason="content_filter"),
}
PREDICT = PromptTemplate("Which city, 'Rome'?")


async def _lc_structured(way: str, model: Any) -> Any:
    structured = model.with_structured_output(City)
    match way:
        case "whole":
            return structured.invoke(ASKED)
        case "awhole":
            return await structured.ainvoke(ASKED)
        case "stream":
            return list(structured.stream(ASKED))[-1]
        case _:
            return (await _all(structured.astream(ASKED)))[-1]


async def _li_structured(way: str, llm: Any) -> Any:
    match way:
        case "whole":
            return llm.structured_predict(City, PREDICT)
        case "awhole":
            return await llm.astructured_predict(City, PREDICT)
        case "stream":
            return list(llm.stream_structured_predict(City, PREDICT))[-1]
        case _:
            return (await _all(await llm.astream_structured_predict(City, PREDICT)))[-1]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LangChain's own, on a parsed answer
@pytest.mark.parametrize("way", ["whole", "awhole", "stream", "astream"])
@pytest.mark.parametrize("misfit", MISFITS)
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_a_structured_answer_of_the_wrong_form_is_repaired(
    provider: LoopbackProvider, framework: str, misfit: str, way: str
) -> None:
    provider.script(lambda request: Answer('{"city": "Rome"}') if request.model == STRONG else MISFITS[misfit])
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    if framework == "langchain":
        found = await _lc_structured(way, lc_thrift(provider, runtime))
    else:
        found = await _li_structured(way, li_thrift(provider, runtime, temperature=0))
    assert found == City(city="Rome")
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
    assert runtime.ledger is not None
    [record] = runtime.ledger.records()
    [(tactic, _, model, used, _)] = record["overheads"]
    assert (record["served_model"], tactic, model) == (STRONG, "routing", CHEAP)
    billed = provider.billed[0]
    assert (used.get("input_tokens", 0), used.get("output_tokens", 0)) == (billed.input_tokens, billed.output_tokens)


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
async def test_what_no_tier_can_repair_is_the_apps_to_see(provider: LoopbackProvider, framework: str) -> None:
    provider.script(lambda request: MISFITS["wrong"])
    asks = _lc_structured if framework == "langchain" else _li_structured
    made = lc_thrift(provider) if framework == "langchain" else li_thrift(provider, temperature=0)
    with pytest.raises(ValidationError, match="city"):
        await asks("whole", made)
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]


def test_a_chain_whose_parser_cannot_read_a_cheap_answer(provider: LoopbackProvider) -> None:
    provider.script(lambda request: Answer('{"city": "Rome"}' if request.model == STRONG else "In Rome."))
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(enabled=False)))
    tiers = [chat(provider, name) | PydanticOutputParser(pydantic_object=City) for name in (CHEAP, STRONG)]
    assert RoutingRunnable(tiers, models=[CHEAP, STRONG], runtime=runtime).invoke(ASKED) == City(city="Rome")
    assert [request.model for request in provider.requests] == [CHEAP, STRONG]
