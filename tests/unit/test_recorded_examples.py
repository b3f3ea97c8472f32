"""What is written down of a teacher's answers: clean, once, for the reason for which it was asked, and whatever befalls the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import distillation_kit as kit
from tests import logs_kit
from thrift_plugins.distillation.dataset import Dataset, Example, How, one_teacher
from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.prompts import LARGEST, Frame, asked, redacted
from thrift_plugins.distillation.recorder import Recorder
from thrift_plugins.distillation.student import CHANGED, Unreadable
from thrift_plugins.distillation.training import Material, train
from thrift_plugins.replay.logs import langsmith
from thrift_plugins.types import Message, Reply, Request, Scope, ToolCall, Usage


def request(text: str, **told: Any) -> Request:
    return Request("r", 0.0, kit.TEACHER, (Message("user", text),), scope=Scope(feature=kit.TASK), **told)


def reply(text: str = "", arguments: Any = None) -> Reply:
    calls = (ToolCall("c", "t", arguments),) if arguments else ()
    return Reply(text, Usage(5, 1, source="provider"), calls, finish_reason="stop", model=kit.TEACHER)


def recorded(folder: Path) -> list[Example]:
    return list(Dataset(folder, kit.TASK).examples())


# Clean ------------------------------------------------------------------------------------------------------------------


def test_what_must_not_be_kept_is_taken_out_however_deep_it_is(tmp_path: Path):
    told = {
        "who": {"mail": "ann.lee@example.com", "name": "Ann Lee"},
        "all": ["bob@example.com", 4111111111111111],
        "ok": True,
        "level": 3,
    }
    recorder = Recorder(tmp_path, [kit.TASK], redact=lambda text: text.replace("Ann Lee", "<name>"))
    recorder.record(request("I am Ann Lee, ann.lee@example.com"), reply(arguments=told))
    recorder.record(request("and who are you"), reply("Ann Lee"))
    kept = Dataset(tmp_path, kit.TASK).path.read_text()
    assert not [word for word in ("Ann", "ann.lee", "bob", "4111") if word in kept]
    first, second = recorded(tmp_path)
    assert first.answer.arguments == {
        "who": {"mail": "<email>", "name": "<name>"}, "all": ["<email>", "<card>"], "ok": True, "level": 3,
    }  # fmt: skip
    assert second.answer.text == "<name>"


def test_a_long_word_is_looked_at_once():
    assert redacted("a" * 300_000) == "a" * 300_000
    assert redacted(f"{'a.' * 100_000} me@example.com") == f"{'a.' * 100_000} <email>"


def test_a_document_is_no_question():
    assert asked(request("a" * (LARGEST + 1))) == "a document, and no single question"


def test_a_prompt_may_hold_what_is_taken_out_of_texts():
    prompt = "Sort mails to help@bank.example, or call +44 20 7946 0958. Text: "
    examples = [
        Example(redacted(prompt + text), Answer(topic), kit.TEACHER) for text, topic in kit.texts(240)
    ]
    student = train(kit.TASK, Material.of(examples), None)
    assert student.text_of(request(prompt + "I lost my card, me@example.com")) == "I lost my card, <email>"
    with pytest.raises(Unreadable, match=CHANGED):
        student.text_of(request(prompt.replace("Sort", "Read") + "I lost my card"))


def test_a_student_gives_one_answer_and_no_more():
    student = train(kit.TASK, Material.of(kit.examples(240, "")), None)
    assert student.text_of(request(kit.PROMPT + "a", params={"n": 1, "logprobs": False})) == "a"
    for wanted in ({"n": 2}, {"logprobs": True}):
        with pytest.raises(Unreadable, match="more is asked for than one answer"):
            student.text_of(request(kit.PROMPT + "a", params=wanted))


def test_what_a_tool_is_said_to_do_is_part_of_the_prompt():
    tool = {"name": "f", "description": "Sorts.", "parameters": {"type": "object"}}
    forms: list[dict[str, Any]] = [
        tool, {"type": "function", "function": tool}, {**tool, "description": "Sorts by urgency."}, {**tool, "name": "g"},
    ]  # fmt: skip
    found = [asked(request("a", tools=(form,))) for form in forms]
    prompts = [one.prompt for one in found if not isinstance(one, str)]
    assert prompts[0] == prompts[1]
    assert len(set(prompts)) == 3


# Once, and for which reason ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "counts_as"),
    [
        (["deferred", "random"], "random"), (["random", "deferred"], "random"), (["deferred", "deferred"], "deferred"),
        (["routed", "random", "deferred"], "random"), (["deferred", "routed"], "routed"),
    ],
)  # fmt: skip
def test_a_text_that_chance_has_chosen_once_counts_as_that(tmp_path: Path, times: list[How], counts_as: How):
    for how in times:  # each time by another process
        Recorder(tmp_path, [kit.TASK]).record(request("my card"), reply("card_lost"), how=how)
    recorder = Recorder(tmp_path, [kit.TASK])
    for how in times:
        recorder.record(request("MY card!"), reply("another"), how=how)
    (found,) = recorded(tmp_path)
    assert (found.how, found.answer.text) == (counts_as, "card_lost")
    assert len(Dataset(tmp_path, kit.TASK).path.read_text().splitlines()) <= len(times)


def test_only_the_tenants_that_are_named_are_recorded(tmp_path: Path):
    recorder = Recorder(tmp_path, [kit.TASK], tenants=["acme"])
    for tenant in ("", "other", "acme"):
        asked = replace(request(f"my card of {tenant}"), scope=Scope(tenant, feature=kit.TASK))
        recorder.record(asked, reply("card_lost"))
    assert [one.text for one in recorded(tmp_path)] == ["my card of acme"]


def test_what_a_router_has_chosen_says_how_sure_to_be_only_where_there_is_nothing_else():
    made = kit.examples(500, "p")
    routed = [Example(one.text, one.answer, one.teacher, one.prompt, "routed") for one in made]
    own = Material.of(routed)
    assert (int(own.drawn.sum()), own.routed) == (500, 500)
    both = Material.of([*made[:250], *routed[250:]])
    assert (int(both.drawn.sum()), both.routed) == (250, 0)


@pytest.mark.parametrize(
    ("told", "again"),
    [
        ({}, False),
        ({"response_metadata": {"finish_reason": "stop", "thrift": {"hit": True, "policy": "student"}}}, True),
        ({"response_metadata": {"finish_reason": "stop", "thrift": {"tier": "gpt-4o"}}}, False),
        ({"usage_metadata": {"input_tokens": 9, "output_tokens": 1, "total_cost": 0}}, True),
    ],
)
def test_a_trace_tells_what_no_model_has_said(told: dict[str, Any], again: bool):
    record = logs_kit.langsmith(next(call for call in logs_kit.calls() if not call["failed"] and not call["tool"]))
    record["outputs"]["generations"][0][0]["message"]["kwargs"].update(told)
    found = langsmith.read(record)
    assert found is not None
    assert found.cached is again


# Whatever befalls the file ----------------------------------------------------------------------------------------------


def test_a_line_that_was_cut_short_costs_that_line_alone(tmp_path: Path):
    dataset = Dataset(tmp_path, kit.TASK)
    dataset.append([Example("one", Answer("a")), Example("zwei Käse", Answer("b"))])
    data = dataset.path.read_bytes()
    dataset.path.write_bytes(data[: data.index("ä".encode()) + 1])  # the disk was full in the middle of a letter
    assert [one.text for one in recorded(tmp_path)] == ["one"]
    dataset.append([Example("three", Answer("c"))])
    Recorder(tmp_path, [kit.TASK]).record(request("four"), reply("d"))
    assert [one.text for one in recorded(tmp_path)] == ["one", "three", "four"]


def test_a_stray_prompt_is_not_the_prompt_in_use():
    stray = [Example("what is this", Answer("top_up"), kit.TEACHER, "tried")]
    changed = [Example(f"{one.text} again", one.answer, one.teacher, "new") for one in kit.examples(12, "p")]
    made = kit.examples(300, "p")
    assert {one.prompt for one in one_teacher([*made, *stray])} == {"p"}
    assert {one.prompt for one in one_teacher([*made, *changed])} == {"new"}
    within = [Example(f"Now in French, please: {at}", Answer("top_up"), kit.TEACHER, "p") for at in range(5)]
    material = Material.of([*made, *within])
    assert material.frame.before == kit.PROMPT
    assert (len(material.texts), material.left_out, material.strays) == (300, 5, ())
    few = [one.text for one in made[:40]]
    assert Frame.of([*few, *(one.text for one in within)]).before == "", "too many for strays"


# Answers of another form than the rest ----------------------------------------------------------------------------------


def with_strays(answer: Any, strays: list[Answer]) -> list[Example]:
    made = kit.examples(300, "p", answer=answer)
    odd = [Example(kit.PROMPT + f"something else {at}", one, kit.TEACHER, "p") for at, one in enumerate(strays)]
    return [*made, *odd]


@pytest.mark.parametrize(
    ("answer", "stray"),
    [
        (Answer, Answer("I am sorry, but I cannot say what this is about, as it could be any of a number of things. " * 3)),
        (Answer, Answer("write to <email>")),
        (lambda topic: Answer(f'{{"topic": "{topic}"}}'), Answer("I cannot help with that.")),
        (lambda topic: Answer(f'{{"topic": "{topic}"}}'), Answer('{"topic": "top_up", "sure": false}')),
        (lambda topic: Answer(tool="t", arguments={"topic": topic}), Answer("Which card?")),
        (lambda topic: Answer(tool="t", arguments={"topic": topic}), Answer(tool="t", arguments={"topic": "<phone>"})),
        (lambda topic: Answer(tool="t", arguments={"topic": topic}), Answer(tool="t", arguments={"topic": 1.5})),
        (lambda topic: Answer(tool="t", arguments={"topic": topic}), Answer(tool="t", arguments={"topic": ["top_up"]})),
        (lambda topic: Answer(tool="t", arguments={"all": [topic]}), Answer(tool="t", arguments={"all": "top_up"})),
        (lambda topic: Answer(tool="t", arguments={"all": [topic]}), Answer(tool="t", arguments={"all": ["<email>"]})),
    ],
)
def test_a_few_odd_answers_are_left_out_and_count_as_wrong(answer: Any, stray: Answer):
    material = Material.of(with_strays(answer, [stray] * 6))
    assert (len(material.texts), material.left_out, len(material.strays)) == (300, 6, 6)
    _, judged = material.learn(None)
    assert len(judged.right) == 306
    assert not judged.right[300:].any()


def test_what_a_schema_does_not_allow_is_left_out_too():
    examples = with_strays(Answer, [Answer("perhaps")] * 6)
    assert Material.of(examples, schema={"enum": list(kit.TOPICS)}).left_out == 6
    records = with_strays(lambda topic: Answer(tool="t", arguments={"a": topic}), [Answer(tool="t", arguments={"a": "odd"})] * 6)
    schema = {"properties": {"a": {"enum": list(kit.TOPICS)}}}
    assert Material.of(records, schema=schema).left_out == 6


def test_answers_that_hold_what_is_not_kept_are_refused_where_they_are_many():
    from thrift_plugins.errors import NotDistillable

    examples = kit.examples(240, "p", answer=lambda topic: Answer(f"{topic} <email>"))
    with pytest.raises(NotDistillable, match="holds addresses, keys or numbers, which are not kept"):
        Material.of(examples)
