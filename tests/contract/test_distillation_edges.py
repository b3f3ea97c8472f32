"""Students where something else has a hand in the call: a router, a cache of the framework, a schema, somebody who goes away."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from tests import distillation_kit as kit
from tests import langchain_kit, llama_index_kit
from thrift_plugins import RoutingConfig, Runtime, scope
from thrift_plugins.distillation.dataset import Dataset
from thrift_plugins.distillation.forms import Answer as Taught
from thrift_plugins.distillation.student import Student
from thrift_plugins.distillation.training import Material
from thrift_plugins.teaching import current, student_path, trained
from thrift_plugins.testing import Answer, Fault, LoopbackProvider, WireRequest
from thrift_plugins.types import ToolCall

ASKED = kit.PROMPT + "hello, I just lost my card today 7"


@pytest.fixture
def provider(quiet: LoopbackProvider) -> LoopbackProvider:
    quiet.script(lambda request: Answer(text=kit.topic_of(request.last_user)))
    return quiet


def entries(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return list(runtime.ledger.records())


def served(folder: Path, prompt: str, *, answer: Any = Taught, **how: Any) -> Runtime:
    """An app with a student that may answer."""
    config = kit.settings(folder, audit=0.000001, **how.pop("settings", {}))
    version = kit.student(config, prompt, answer=answer)
    runtime = Runtime(config)
    kit.let_serve(runtime.store, config, version, **how)
    assert runtime.school is not None
    runtime.school.exchange()
    return runtime


def seen(folder: Path, ask: Any) -> Any:
    """What is recorded of a call."""
    runtime = Runtime(replace(kit.settings(folder, enabled=False, record=[kit.TASK]), store="memory:"))
    with scope(feature=kit.TASK):
        ask(runtime)
    runtime.close()
    (found,) = Dataset(folder, kit.TASK).examples()
    Dataset(folder, kit.TASK).path.unlink()
    return found


# Money ------------------------------------------------------------------------------------------------------------------


def test_a_confirmation_that_nobody_waited_for_is_booked(provider: LoopbackProvider, tmp_path: Path):
    found = seen(tmp_path, lambda runtime: langchain_kit.thrift(provider, runtime).invoke(ASKED))
    runtime = served(tmp_path, found.prompt, threshold=1.0)
    model, asked = langchain_kit.thrift(provider, runtime), asyncio.Event()

    def held_up(_: WireRequest) -> Fault:
        loop.call_soon_threadsafe(asked.set)
        return Fault.delay(30)

    async def leave() -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        with scope(feature=kit.TASK):
            asking = asyncio.create_task(model.ainvoke(ASKED))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    loop = asyncio.new_event_loop()
    loop.close()
    provider.faults.rule(held_up)
    asyncio.run(leave())
    (entry,) = entries(runtime)
    assert (entry["outcome"], entry["patches"]) == ("cancelled", [])
    (paid,) = entry["overheads"]
    assert paid[:3] == ["distillation", "unconfirmed", "gpt-4o-mini"]
    runtime.close()


# What is recorded as what -----------------------------------------------------------------------------------------------


def test_what_a_router_sends_to_the_teacher_is_told_from_what_chance_does(provider: LoopbackProvider, tmp_path: Path):
    config = replace(kit.settings(tmp_path, enabled=False, record=[kit.TASK]), routing=RoutingConfig())
    runtime = Runtime(config)
    model = langchain_kit.thrift(provider, runtime)

    def refusing(request: WireRequest) -> Answer:
        hard = "mini" in request.model and "hard" in request.last_user
        return Answer(text="I cannot help with that." if hard else kit.topic_of(request.last_user))

    provider.script(refusing)
    with scope(feature=kit.TASK):
        model.invoke(kit.PROMPT + "lost my card")
        model.invoke(kit.PROMPT + "lost my card, and it is hard to say")
        langchain_kit.thrift(provider, runtime, tiers=1).invoke(kit.PROMPT + "top up my account")
    runtime.close()
    assert [example.how for example in Dataset(tmp_path, kit.TASK).examples()] == ["routed", "random"]


def test_what_the_frameworks_own_cache_answers_is_no_word_of_the_teacher(provider: LoopbackProvider, tmp_path: Path):
    runtime = Runtime(replace(kit.settings(tmp_path, enabled=False, record=[kit.TASK]), store="memory:"))
    model, before = langchain_kit.thrift(provider, runtime), len(provider.requests)
    set_llm_cache(InMemoryCache())
    try:
        model.invoke(ASKED)
        with scope(feature=kit.TASK):
            assert model.invoke(ASKED).text == "card_lost"
    finally:
        set_llm_cache(None)
    assert len(provider.requests) == before + 1
    assert not Dataset(tmp_path, kit.TASK).path.exists()
    runtime.close()


@pytest.mark.parametrize(("tier", "asked"), [("gpt-4o", 0), ("gpt-4o-mini", 1)])
def test_a_feature_whose_tier_is_the_teacher_has_a_student_all_the_same(
    provider: LoopbackProvider, tmp_path: Path, tier: str, asked: int
):
    found = seen(tmp_path, lambda runtime: langchain_kit.thrift(provider, runtime).invoke(ASKED))
    runtime = served(tmp_path, found.prompt)
    fixed = Runtime(replace(runtime.config, routing=RoutingConfig(features={kit.TASK: tier})))
    before = len(provider.requests)
    with scope(feature=kit.TASK):
        assert langchain_kit.thrift(provider, fixed).invoke(ASKED).text == "card_lost"
    assert len(provider.requests) == before + asked
    runtime.close()
    fixed.close()


# Learning goes on -------------------------------------------------------------------------------------------------------


def hard_to_tell(text: str) -> str:
    """What the teacher says now: there is a topic that the first student has not met."""
    return "fees" if "fee" in text else kit.topic_of(text)


def test_what_was_deferred_is_learnt_from_and_only_what_chance_chose_says_how_sure_to_be(
    provider: LoopbackProvider, tmp_path: Path
):
    found = seen(tmp_path, lambda runtime: langchain_kit.thrift(provider, runtime).invoke(ASKED))
    config = kit.settings(tmp_path, audit=0.25, record=[kit.TASK], confirms=False)
    first = kit.student(config, found.prompt)
    own = current(tmp_path, kit.TASK).certificate.threshold
    runtime = Runtime(config)
    kit.let_serve(runtime.store, config, first, threshold=own)
    assert runtime.school is not None
    runtime.school.exchange()
    provider.script(lambda request: Answer(text=hard_to_tell(request.last_user)))
    model, before = langchain_kit.thrift(provider, runtime), len(provider.requests)
    fresh = [f"why was a fee of {at} taken from my balance on day {at % 7}" for at in range(60)]
    texts = [kit.PROMPT + text for text in [*fresh, *(text for text, _ in kit.texts(140, seed=31))]]
    with scope(feature=kit.TASK):
        for text in texts:
            model.invoke(text)
    paid = len(provider.requests) - before
    runtime.close()
    new = list(Dataset(tmp_path, kit.TASK).examples())[260:]
    assert len(new) == paid, "the student's own answers are nothing to learn from"
    assert {one.how for one in new} == {"random", "deferred"}
    deferred = [one for one in new if one.how == "deferred"]
    assert sum("fee" in one.text for one in deferred) > len(deferred) / 2
    second = trained(config, kit.TASK)
    assert second.version != first
    material = Material.of(list(Dataset(tmp_path, kit.TASK).examples()))
    assert int(material.drawn.sum()) == 260 + len(new) - len(deferred) == second.certificate.calibrated
    assert second.about["examples"] == 260 + len(new)
    asked = kit.PROMPT + "why was a fee of 99 taken from my balance on day 3"
    known = Student.load(student_path(tmp_path, kit.TASK, first)).mind
    assert known.answer(asked.removeprefix(kit.PROMPT), second.embedder).chance < own
    assert second.mind.answer(asked.removeprefix(kit.PROMPT), second.embedder).values == {"": "fees"}


# Forms ------------------------------------------------------------------------------------------------------------------


class Ticket(BaseModel):
    """A ticket."""

    topic: Literal["card_lost", "top_up", "exchange_rate"]
    tags: list[Literal["urgent", "money"]]


def ticket(topic: str) -> dict[str, Any]:
    return {"topic": topic, "tags": ["urgent", "money"] if topic == "card_lost" else ["money"][: topic == "top_up"]}


def as_record(request: WireRequest) -> Answer:
    record = ticket(kit.topic_of(request.last_user))
    if request.body.get("response_format"):
        return Answer(text=json.dumps(record, separators=(",", ":")))
    return Answer(tool_calls=(ToolCall("c1", "Ticket", record),))


def asker(how: str, provider: LoopbackProvider) -> Any:
    """Gives a parsed object, or the last that a stream shows of one."""
    if how == "llama_index":
        return lambda runtime, text=ASKED: llama_index_kit.thrift(provider, runtime, temperature=0).structured_predict(
            Ticket, PromptTemplate("{text}"), text=text
        )
    if how == "llama_index streamed":
        return lambda runtime, text=ASKED: list(
            llama_index_kit.thrift(provider, runtime, temperature=0).stream_structured_predict(
                Ticket, PromptTemplate("{text}"), text=text
            )
        )[-1]
    if how == "tools":

        def bound(runtime: Runtime, text: str = ASKED) -> Ticket:
            model = langchain_kit.thrift(provider, runtime).bind_tools([Ticket])
            whole = None
            for chunk in model.stream(text):
                whole = chunk if whole is None else whole + chunk
            return Ticket.model_validate(whole.tool_calls[0]["args"])  # type: ignore[union-attr]

        return bound
    method, _, streamed = how.partition(" ")

    def structured(runtime: Runtime, text: str = ASKED) -> Ticket:
        model: Any = langchain_kit.thrift(provider, runtime).with_structured_output(Ticket, method=method)
        return list(model.stream(text))[-1] if streamed else model.invoke(text)

    return structured


HOW = [
    "function_calling", "function_calling streamed", "json_schema", "json_schema streamed", "tools", "llama_index",
    "llama_index streamed",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the SDK, about its own parsed answers
@pytest.mark.parametrize("how", HOW)
def test_a_record_with_tags_comes_back_whole_or_streamed_and_never_against_its_schema(
    provider: LoopbackProvider, tmp_path: Path, how: str
):
    provider.script(as_record)
    ask = asker(how, provider)
    found = seen(tmp_path, ask)

    def answer(topic: str) -> Taught:
        if found.answer.tool:
            return Taught(tool="Ticket", arguments=ticket(topic))
        return Taught(json.dumps(ticket(topic), separators=(",", ":")))

    runtime = served(tmp_path, found.prompt, answer=answer, threshold=0.5, settings={"confirms": False})
    before = len(provider.requests)
    with scope(feature=kit.TASK):
        assert ask(runtime) == Ticket(topic="card_lost", tags=["urgent", "money"])
        assert ask(runtime, kit.PROMPT + "ok I only add money today 3") == Ticket(topic="top_up", tags=["money"])
        assert ask(runtime, kit.PROMPT + "please help, I just need the exchange rate today 3").tags == []
        assert len(provider.requests) == before
        provider.script(lambda _: as_said("exchange_rate", found.answer.tool))
        odd = ask(runtime, kit.PROMPT + "so I really want to delete my profile tomorrow 12")
    assert odd.topic == "exchange_rate"
    assert len(provider.requests) == before + 1
    assert entries(runtime)[-1]["reasons"][0].startswith("student: wrong type for ")
    runtime.close()


def as_said(topic: str, tool: str) -> Answer:
    if tool:
        return Answer(tool_calls=(ToolCall("c1", tool, ticket(topic)),))
    return Answer(text=json.dumps(ticket(topic)))
