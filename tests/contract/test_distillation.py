"""Students from the app's call to the ledger, in both frameworks, over real clients and stores."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from tests import distillation_kit as kit
from tests import langchain_kit, llama_index_kit
from thrift_plugins import RoutingConfig, Runtime, route, scope
from thrift_plugins.distillation.dataset import Dataset, Example
from thrift_plugins.distillation.forms import Answer as Taught
from thrift_plugins.distillation.student import Student
from thrift_plugins.langchain import RoutingRunnable
from thrift_plugins.teaching import current, trained
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest
from thrift_plugins.types import ToolCall

FRAMEWORKS = pytest.mark.parametrize("framework", ["langchain", "llama_index"])
ASKED = kit.PROMPT + "hello, I just lost my card today 7"


@pytest.fixture
def provider(quiet: LoopbackProvider) -> LoopbackProvider:
    quiet.script(labelling)
    return quiet


def labelling(request: WireRequest) -> Answer:
    """Both models know the topics."""
    return Answer(text=kit.topic_of(request.last_user))


def model_of(framework: str, provider: LoopbackProvider, runtime: Runtime) -> Callable[[str], str]:
    """Asks a wrapped model."""
    if framework == "langchain":
        model = langchain_kit.thrift(provider, runtime)
        return lambda question: model.invoke(question).text
    llm = llama_index_kit.thrift(provider, runtime, temperature=0)
    return lambda question: llm.chat([ChatMessage(content=question)]).message.content or ""


def entries(runtime: Runtime) -> list[dict[str, Any]]:
    assert runtime.ledger is not None
    return list(runtime.ledger.records())


def recorded_prompt(folder: Path) -> str:
    """The prompt of what was recorded, as an app's own call tells it."""
    return next(iter(Dataset(folder, kit.TASK).examples())).prompt


def prompt_of(framework: str, provider: LoopbackProvider, folder: Path) -> str:
    """The digest of the prompt in the app's calls."""
    runtime = Runtime(replace(kit.settings(folder, enabled=False, record=[kit.TASK]), store="memory:"))
    with scope(feature=kit.TASK):
        model_of(framework, provider, runtime)(ASKED)
    runtime.close()
    return recorded_prompt(folder)


def serving(framework: str, provider: LoopbackProvider, folder: Path, **how: Any) -> Runtime:
    """An app with a student that may answer."""
    config = kit.settings(folder, **{"audit": 0.000001, **how.pop("settings", {})})
    version = kit.student(config, prompt_of(framework, provider, folder))
    runtime = Runtime(config)
    kit.let_serve(runtime.store, config, version, **how)
    assert runtime.school is not None
    runtime.school.exchange()
    return runtime


@FRAMEWORKS
def test_a_student_answers_what_it_is_sure_of(provider: LoopbackProvider, tmp_path: Path, framework: str):
    runtime = serving(framework, provider, tmp_path)
    before = len(provider.requests)
    with scope(feature=kit.TASK):
        assert model_of(framework, provider, runtime)(ASKED) == "card_lost"
    assert len(provider.requests) == before
    (entry,) = entries(runtime)
    assert (entry["outcome"], entry["policy"], entry["served_model"]) == ("answered", "student", "(student)")
    assert entry["patches"] == [["distillation", "made", True, False, "modelled"]]
    assert entry["baseline"]["usage"]["input_tokens"] > 5
    assert entry["extra"]["distillation"] == {"task": "intent", "state": "active", "answer": "student"}
    runtime.close()


@FRAMEWORKS
def test_a_call_of_another_feature_or_prompt_or_by_force_goes_its_way(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    runtime = serving(framework, provider, tmp_path)
    ask, before = model_of(framework, provider, runtime), len(provider.requests)
    ask(ASKED)
    with scope(feature=kit.TASK):
        ask("Answer in French. " + ASKED)
        with route("gpt-4o-mini"):
            ask(ASKED)
    assert len(provider.requests) == before + 3
    assert ["student: the prompt has changed since it was trained" in entry["reasons"] for entry in entries(runtime)] == [
        False, True, False,
    ]  # fmt: skip
    runtime.close()


@FRAMEWORKS
def test_a_cheap_model_confirms_what_the_student_is_not_sure_of(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    runtime = serving(framework, provider, tmp_path, threshold=1.0)
    ask, before = model_of(framework, provider, runtime), len(provider.requests)
    with scope(feature=kit.TASK):
        assert ask(ASKED) == "card_lost"
        provider.script(lambda request: Answer(text="unheard of" if "mini" in request.model else "card_lost"))
        assert ask(ASKED) == "card_lost"
    first, second = entries(runtime)
    assert [request.model for request in provider.requests[before:]] == ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"]
    assert first["patches"] == [["distillation", "model", "gpt-4o", "gpt-4o-mini", "modelled"]]
    assert first["extra"]["distillation"]["answer"] == "confirmed"
    assert first["usage"]["input_tokens"] > 0
    assert [line[:3] for line in second["overheads"]] == [["distillation", "unconfirmed", "gpt-4o-mini"]]
    assert second["served_model"] == "gpt-4o"
    assert not second["patches"]
    runtime.close()


@FRAMEWORKS
def test_in_the_shadow_the_teacher_answers_and_is_compared_until_the_student_may(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    config = kit.settings(tmp_path, shadow=100, canary_for=20)
    kit.student(config, prompt_of(framework, provider, tmp_path))
    runtime = Runtime(config)
    assert runtime.school is not None
    ask = model_of(framework, provider, runtime)
    asked = [kit.PROMPT + text for text, _ in kit.texts(260, seed=5)]
    with scope(feature=kit.TASK):
        states = [ask(text) and runtime.school.students.lives()[kit.TASK].state for text in asked]
    assert states[0] == "shadow"
    assert "canary" in states
    assert states[-1] == "active"
    assert [kit.topic_of(text) for text in asked[-20:]] == [ask_again(ask, text) for text in asked[-20:]]
    runtime.close()

    later = Runtime(config)  # a restart loses nothing
    assert later.school is not None
    life = later.school.students.lives()[kit.TASK]
    assert (life.state, life.threshold) == ("active", runtime.school.students.lives()[kit.TASK].threshold)
    assert life.audits[1] == 0
    later.close()


def ask_again(ask: Callable[[str], str], text: str) -> str:
    with scope(feature=kit.TASK):
        return ask(text)


@FRAMEWORKS
def test_a_student_that_comes_to_differ_is_demoted_in_every_worker(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    runtime = serving(framework, provider, tmp_path, settings={"audit": 1.0})
    other = Runtime(runtime.config)
    ask = model_of(framework, provider, runtime)
    provider.script(lambda _: Answer(text="top_up"))  # the teacher has changed its mind
    with scope(feature=kit.TASK):
        for text, _ in kit.texts(40, seed=3, topics=["card_lost"]):
            ask(kit.PROMPT + text)
    assert runtime.school is not None
    assert other.school is not None
    runtime.school.exchange()
    other.school.exchange()
    for school in (runtime.school, other.school):
        life = school.students.lives()[kit.TASK]
        assert life.state == "demoted"
        assert life.why.startswith("broken agreement")
    assert any("student: demoted" in reason for reason in entries(runtime)[-1]["reasons"])
    runtime.close()
    other.close()


@FRAMEWORKS
def test_another_teacher_ends_it(provider: LoopbackProvider, tmp_path: Path, framework: str):
    runtime = serving(framework, provider, tmp_path)
    if framework == "langchain":
        model: Any = langchain_kit.ThriftChatModel(tiers=[langchain_kit.chat(provider, "gpt-4.1")], runtime=runtime)
        ask = lambda text: model.invoke(text).text  # noqa: E731
    else:
        llm: Any = llama_index_kit.ThriftLLM(tiers=[llama_index_kit.openai(provider, "gpt-4.1")], runtime=runtime)
        ask = lambda text: llm.chat([ChatMessage(content=text)]).message.content  # noqa: E731
    with scope(feature=kit.TASK):
        ask(ASKED)
    assert runtime.school is not None
    assert "another teacher" in runtime.school.students.lives()[kit.TASK].why
    runtime.close()


class Ticket(BaseModel):
    """A ticket."""

    topic: Literal["card_lost", "top_up", "exchange_rate", "close_account"]
    urgent: bool
    priority: int


def ticket(topic: str) -> dict[str, Any]:
    return {"topic": topic, "urgent": topic == "card_lost", "priority": 1 if topic == "card_lost" else 3}


def as_record(request: WireRequest) -> Answer:
    """As JSON text, or as a tool call: each framework asks for it in its own way."""
    if request.body.get("response_format"):
        return Answer(text=json.dumps(ticket(kit.topic_of(request.last_user)), separators=(",", ":")))
    return Answer(tool_calls=(ToolCall("c1", "Ticket", ticket(kit.topic_of(request.last_user))),))


def predictor(framework: str, provider: LoopbackProvider, runtime: Runtime) -> Callable[[str], Ticket]:
    if framework == "langchain":
        model = langchain_kit.thrift(provider, runtime).with_structured_output(Ticket, method="function_calling")
        return model.invoke
    llm = llama_index_kit.thrift(provider, runtime, temperature=0)
    return lambda text: llm.structured_predict(Ticket, PromptTemplate("{text}"), text=text)


@FRAMEWORKS
def test_a_record_comes_back_as_the_object_that_the_teacher_would_give(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    provider.script(as_record)
    recording = Runtime(kit.settings(tmp_path, enabled=False, record=[kit.TASK]))
    with scope(feature=kit.TASK):
        predictor(framework, provider, recording)(ASKED)
    recording.close()
    (seen,) = Dataset(tmp_path, kit.TASK).examples()
    assert bool(seen.answer.tool) is (framework == "langchain")

    def answer(topic: str) -> Taught:
        if seen.answer.tool:
            return Taught(tool="Ticket", arguments=ticket(topic))
        return Taught(json.dumps(ticket(topic), separators=(",", ":")))

    config = kit.settings(tmp_path, audit=0.000001)
    version = kit.student(config, seen.prompt, answer=answer)
    runtime = Runtime(config)
    kit.let_serve(runtime.store, config, version)
    assert runtime.school is not None
    runtime.school.exchange()
    before = len(provider.requests)
    with scope(feature=kit.TASK):
        given = predictor(framework, provider, runtime)(kit.PROMPT + "ok I only add money today 3")
    assert given == Ticket(topic="top_up", urgent=False, priority=3)
    assert len(provider.requests) == before
    runtime.close()


def test_a_student_streams_and_answers_asynchronously(provider: LoopbackProvider, tmp_path: Path):
    runtime = serving("langchain", provider, tmp_path)
    model, llm = langchain_kit.thrift(provider, runtime), llama_index_kit.thrift(provider, runtime, temperature=0)
    before = len(provider.requests)

    async def later() -> list[str]:
        streamed = [chunk.text async for chunk in model.astream(ASKED)]
        whole = (await model.ainvoke(ASKED)).text
        other = (await llm.achat([ChatMessage(content=ASKED)])).message.content
        return ["".join(streamed), whole, str(other)]

    with scope(feature=kit.TASK):
        assert "".join(chunk.text for chunk in model.stream(ASKED)) == "card_lost"
        assert next(piece.delta for piece in llm.stream_chat([ChatMessage(content=ASKED)])) == "card_lost"
        assert asyncio.run(later()) == ["card_lost"] * 3
    assert len(provider.requests) == before
    assert {entry["served_model"] for entry in entries(runtime)} == {"(student)"}
    runtime.close()


def test_a_stream_is_confirmed_before_its_first_piece(provider: LoopbackProvider, tmp_path: Path):
    runtime = serving("langchain", provider, tmp_path, threshold=1.0)
    model = langchain_kit.thrift(provider, runtime)

    async def later() -> str:
        return "".join([chunk.text async for chunk in model.astream(ASKED)])

    with scope(feature=kit.TASK):
        assert "".join(chunk.text for chunk in model.stream(ASKED)) == "card_lost"
        assert asyncio.run(later()) == "card_lost"
    assert {entry["served_model"] for entry in entries(runtime)} == {"gpt-4o-mini"}
    runtime.close()


# What is recorded -------------------------------------------------------------------------------------------------------


@FRAMEWORKS
def test_what_is_recorded_is_named_private_clean_and_once(provider: LoopbackProvider, tmp_path: Path, framework: str):
    runtime = Runtime(replace(kit.settings(tmp_path, enabled=False, record=[kit.TASK])))
    ask = model_of(framework, provider, runtime)
    with scope(feature=kit.TASK):
        ask(kit.PROMPT + "I lost my card, write to ann.lee@example.com or +44 20 7946 0958")
        ask(kit.PROMPT + "I LOST my card, write to ann.lee@example.com or +44 20 7946 0958!")
        provider.script(lambda _: Answer(text="card_", finish_reason="length"))
        ask(kit.PROMPT + "cut")
    with scope(feature="another"):
        ask(kit.PROMPT + "not this one")
    runtime.close()
    dataset = Dataset(tmp_path, kit.TASK)
    (example,) = dataset.examples()
    assert example.text == kit.PROMPT + "I lost my card, write to <email> or <phone>"
    assert (example.answer.text, example.how) == ("card_lost", "random")
    assert example.teacher.startswith("gpt-4o")
    assert stat.S_IMODE(dataset.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(dataset.folder.stat().st_mode) == 0o700
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [kit.TASK]


@FRAMEWORKS
def test_what_a_student_has_deferred_is_recorded_as_that_and_what_it_said_is_not(
    provider: LoopbackProvider, tmp_path: Path, framework: str
):
    runtime = serving(framework, provider, tmp_path, settings={"record": [kit.TASK], "confirms": False})
    version = current(tmp_path, kit.TASK)
    kit.let_serve(runtime.store, runtime.config, version.version, threshold=version.certificate.threshold)
    assert runtime.school is not None
    runtime.school.exchange()
    ask = model_of(framework, provider, runtime)
    known = len(list(Dataset(tmp_path, kit.TASK).examples()))
    with scope(feature=kit.TASK):
        ask(kit.PROMPT + "nobody has ever said such a thing, or has he")
        ask(kit.PROMPT + "ok I only add money today 5151")
    runtime.close()
    (found,) = list(Dataset(tmp_path, kit.TASK).examples())[known:]
    assert (found.how, found.answer.text) == ("deferred", "other")


# What goes wrong --------------------------------------------------------------------------------------------------------


def test_a_file_that_was_edited_is_refused(provider: LoopbackProvider, tmp_path: Path):
    config = kit.settings(tmp_path)
    version = kit.student(config, "")
    path = tmp_path / kit.TASK / f"{version}.student"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"card_lost"', b'"card_best"', 1))
    with pytest.raises(Exception, match="was cut or changed since it was trained"):
        Runtime(config)
    path.write_bytes(data[:-10])
    with pytest.raises(Exception, match="was cut or changed since it was trained"):
        Student.load(path)
    path.write_bytes(b"\x80\x04not one of ours")
    with pytest.raises(Exception, match="is no student of this version"):
        Student.load(path)


def test_an_answer_goes_on_where_the_store_is_down(provider: LoopbackProvider, tmp_path: Path):
    runtime = serving("langchain", provider, tmp_path)
    runtime.store.close()
    model = langchain_kit.thrift(provider, runtime)
    with scope(feature=kit.TASK):
        assert model.invoke(ASKED).text == "card_lost"


def test_training_again_makes_a_version_that_begins_anew(tmp_path: Path):
    config = kit.settings(tmp_path)
    first = kit.student(config, "p")
    Dataset(tmp_path, kit.TASK).append(
        [Example(kit.PROMPT + text, Taught(topic), kit.TEACHER, "p") for text, topic in kit.texts(100, seed=9)]
    )
    second = trained(config, kit.TASK)
    assert second.version != first
    assert current(tmp_path, kit.TASK).version == second.version
    assert json.loads((tmp_path / kit.TASK / "manifest.json").read_text())["examples"] == second.about["examples"]


# Models that are not wrapped, and students alone ------------------------------------------------------------------------


def test_calls_of_bare_models_are_recorded_by_handlers_and_students_read_them(
    provider: LoopbackProvider, tmp_path: Path
):
    from llama_index_instrumentation import get_dispatcher

    from thrift_plugins import langchain, llama_index

    handler = langchain.TrafficRecorder(tmp_path / "langchain", [kit.TASK])
    bare = langchain_kit.chat(provider, "gpt-4o")
    bare.invoke(ASKED, {"callbacks": [handler], "tags": ["thrift:task=intent"]})
    "".join(
        chunk.text
        for chunk in bare.stream(
            kit.PROMPT + "top up my account", {"callbacks": [handler], "metadata": {"thrift_feature": "intent"}}
        )
    )
    bare.invoke(kit.PROMPT + "not named", {"callbacks": [handler]})
    first, second = Dataset(tmp_path / "langchain", kit.TASK).examples()
    assert (first.answer.text, second.answer.text) == ("card_lost", "top_up")
    assert first.prompt == second.prompt == prompt_of("langchain", provider, tmp_path / "wrapped")

    events = llama_index.TrafficRecorder(tmp_path / "llama_index", [kit.TASK])
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(events)
    try:
        llm = llama_index_kit.openai(provider, temperature=0)
        with scope(feature=kit.TASK):
            llm.chat([ChatMessage(content=ASKED)])
            list(llm.stream_chat([ChatMessage(content=kit.PROMPT + "top up my account")]))
        llm.chat([ChatMessage(content=kit.PROMPT + "not named")])
    finally:
        dispatcher.event_handlers.remove(events)
    found = list(Dataset(tmp_path / "llama_index", kit.TASK).examples())
    assert [example.answer.text for example in found] == ["card_lost", "top_up"]
    assert found[0].prompt == first.prompt


def test_a_student_alone_before_its_teacher(provider: LoopbackProvider, tmp_path: Path):
    from thrift_plugins import Config
    from thrift_plugins.langchain import StudentModel
    from thrift_plugins.llama_index import StudentLLM

    config = kit.settings(tmp_path)
    version = kit.student(config, prompt_of("langchain", provider, tmp_path))
    path = tmp_path / kit.TASK / f"{version}.student"
    own = Config(
        store="memory:",
        ledger=replace(config.ledger, holdout=0.0),
        distillation=replace(config.distillation, audit=0.000001),
    )
    before = len(provider.requests)
    model = StudentModel(student=path, teacher=langchain_kit.chat(provider, "gpt-4o"), trusted=True, config=own)
    llm = StudentLLM(student=path, teacher=llama_index_kit.openai(provider), trusted=True, config=own)
    assert model.invoke(ASKED).text == "card_lost"
    assert llm.chat([ChatMessage(content=ASKED)]).message.content == "card_lost"
    assert len(provider.requests) == before
    assert model.invoke("What is the capital of France?").text == "other"
    assert len(provider.requests) == before + 1
    waiting = StudentModel(student=path, teacher=langchain_kit.chat(provider, "gpt-4o"), config=own)
    assert waiting.invoke(ASKED).response_metadata["thrift"]["reasons"] == ["in the shadow"]


def routed(provider: LoopbackProvider, folder: Path, threshold: float = 0.5) -> Runtime:
    """An app with a student that may answer, and a router for what it does not."""
    config = replace(kit.settings(folder, audit=0.000001, confirms=False), routing=RoutingConfig())
    version = kit.student(config, prompt_of("langchain", provider, folder))
    runtime = Runtime(config)
    kit.let_serve(runtime.store, config, version, threshold=threshold)
    assert runtime.school is not None
    runtime.school.exchange()
    return runtime


def test_the_student_is_the_first_tier_of_a_routed_model(provider: LoopbackProvider, tmp_path: Path):
    runtime = routed(provider, tmp_path)
    ask, before = model_of("langchain", provider, runtime), len(provider.requests)
    with scope(feature=kit.TASK):
        assert ask(ASKED) == "card_lost"
        ask("What is the capital of France?")
        ask("Prove step by step that the sum of two odd integers is even, and explain why each step holds.")
        provider.script(lambda request: Answer("" if "mini" in request.model else "Paris"))
        assert ask("What is the capital of France?") == "Paris"
    assert [entry["served_model"] for entry in entries(runtime)] == ["(student)", "gpt-4o-mini", "gpt-4o", "gpt-4o"]
    assert [request.model for request in provider.requests[before:]] == [
        "gpt-4o-mini", "gpt-4o", "gpt-4o-mini", "gpt-4o",
    ]  # fmt: skip
    runtime.close()


def test_what_the_student_is_not_sure_of_is_routed(provider: LoopbackProvider, tmp_path: Path):
    runtime = routed(provider, tmp_path, threshold=1.0)
    before = len(provider.requests)
    with scope(feature=kit.TASK):
        assert model_of("langchain", provider, runtime)(ASKED) == "card_lost"
    [entry] = entries(runtime)
    assert [request.model for request in provider.requests[before:]] == [entry["served_model"]]
    assert (entry["policy"], any("sure, and 1.00 is needed" in why for why in entry["reasons"])) == ("rules", True)
    runtime.close()


async def test_the_student_is_the_first_tier_of_routed_chains(provider: LoopbackProvider, tmp_path: Path):
    runtime = routed(provider, tmp_path)
    models, before = [langchain_kit.chat(provider, name) for name in ("gpt-4o-mini", "gpt-4o")], len(provider.requests)

    def over(*tiers: Any) -> RoutingRunnable[Any, Any]:
        return RoutingRunnable(tiers, models=["gpt-4o-mini", "gpt-4o"], runtime=runtime)

    with scope(feature=kit.TASK):
        texts = over(*(model | StrOutputParser() for model in models))
        assert texts.invoke(ASKED) == await texts.ainvoke(ASKED) == "".join(texts.stream(ASKED)) == "card_lost"
        message = over(*models).invoke(ASKED)
        assert (type(message), message.text) == (AIMessage, "card_lost")
        assert len(provider.requests) == before
        assert over(*(model | (lambda told: [told.text]) for model in models)).invoke(ASKED) == ["card_lost"]
    assert len(provider.requests) == before + 1, "of an answer whose form nobody knows, a student can give none"
    runtime.close()


# The command line -------------------------------------------------------------------------------------------------------


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.cli_kit import command, stranger

    stranger(monkeypatch, tmp_path)
    Dataset(tmp_path / "students", kit.TASK).append(kit.examples(300, "p"))
    (tmp_path / "thrift.toml").write_text(
        f'store = "sqlite:///{tmp_path}/store.db"\n[distillation]\nfolder = "{tmp_path}/students"\nenabled = true\n'
    )
    planned = command("distill", "plan", kit.TASK, "--requests", "10000", "--json", "plan.json")
    assert planned.exit_code == 0, planned.output
    told = json.loads((tmp_path / "plan.json").read_text())
    assert told["coverage"] > 0.5
    assert told["saved_usd_per_month"] > 0
    refused = command("distill", "run", kit.TASK)
    assert refused.exception is not None
    assert "--i-have-read-terms" in str(refused.exception)
    done = command("distill", "run", kit.TASK, "--i-have-read-terms")
    assert done.exit_code == 0, done.output
    assert "Version " in done.output
    assert command("distill", "report", kit.TASK, "--json", "report.json").exit_code == 0
    assert json.loads((tmp_path / "report.json").read_text())["teacher"] == kit.TEACHER
    shown = command("distill", "status", "--json", "status.json")
    assert shown.exit_code == 0
    assert json.loads((tmp_path / "status.json").read_text())["students"][0]["state"] == "shadow"
    early = command("distill", "promote", kit.TASK)
    assert "0 of 400 comparisons in the shadow were made" in str(early.exception)
    assert "is demoted" in command("distill", "rollback", kit.TASK).output
    assert command("distill", "promote", kit.TASK, "--again").exit_code == 0


def test_examples_are_taken_from_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from tests import logs_kit
    from tests.cli_kit import command, stranger

    stranger(monkeypatch, tmp_path)
    (tmp_path / "app.jsonl").write_bytes(logs_kit.lines([logs_kit.openai(call) for call in logs_kit.calls()]))
    (tmp_path / "thrift.toml").write_text(f'[distillation]\nfolder = "{tmp_path}/students"\n')
    done = command("distill", "take", "faq", "app.jsonl", "--model", logs_kit.BIG)
    assert done.exit_code == 0, done.output
    found = list(Dataset(tmp_path / "students", "faq").examples())
    assert f"{len(found)} kept" in done.output
    assert {example.teacher for example in found} == {logs_kit.BIG}
    assert all(example.answer.text == f"About: {example.text}" for example in found if not example.answer.tool)
    assert "0 kept" in command("distill", "take", "faq", "app.jsonl", "--model", logs_kit.BIG).output


def test_sentiment_and_free_text_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import random

    from tests.cli_kit import command, stranger

    stranger(monkeypatch, tmp_path)
    chance = random.Random(1)
    guessed = [replace(one, answer=Taught(chance.choice(["good", "bad"]))) for one in kit.examples(300, "p")]
    Dataset(tmp_path, "mood").append(guessed)
    Dataset(tmp_path, "essay").append(
        [
            replace(one, answer=Taught(f"A long answer about {one.text}, which nobody else gets. " * 4))
            for one in guessed
        ]
    )
    (tmp_path / "thrift.toml").write_text(f'[distillation]\nfolder = "{tmp_path}"\n')
    mood = command("distill", "plan", "mood")
    assert mood.exit_code == 1
    assert "Refused: not distillable" in mood.output
    assert "free text" in str(command("distill", "plan", "essay").exception)
