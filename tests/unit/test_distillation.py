"""What students learn, promise and refuse, part by part; the whole is in `tests/contract/test_distillation.py`."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import distillation_kit as kit
from thrift_plugins.distillation import artifact
from thrift_plugins.distillation.certificate import certifiable, certify
from thrift_plugins.distillation.dataset import Dataset, Example, one_teacher
from thrift_plugins.distillation.forms import Answer, Form
from thrift_plugins.distillation.heads import Judged, learn
from thrift_plugins.distillation.life import Broken, Compared, Life, Seen, Terms
from thrift_plugins.distillation.precedents import Precedents, misfit
from thrift_plugins.distillation.prompts import Frame, asked, redacted
from thrift_plugins.distillation.serving import same_model
from thrift_plugins.distillation.student import Student
from thrift_plugins.distillation.training import Material, plan, train
from thrift_plugins.errors import ConfigError, NotDistillable
from thrift_plugins.learning.kernel import coded, fit
from thrift_plugins.learning.sequential import Alarm, Change
from thrift_plugins.types import Message, Request, ToolCall


def request(text: str, **told: Any) -> Request:
    return Request("r-1", 0.0, "gpt-4o", (Message("user", text),), **told)


# Learning ---------------------------------------------------------------------------------------------------------------


def test_left_out_scores_are_those_of_a_fit_without_the_example():
    rng = np.random.default_rng(3)
    points = rng.normal(size=(30, 4))
    gram = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2))
    targets = coded(rng.integers(3, size=30), 3, balanced=True)
    left_out = fit(gram, targets, 0.1).left_out
    for at in (0, 7, 29):
        rest = np.arange(30) != at
        weights = fit(gram[np.ix_(rest, rest)], targets[rest], 0.1).weights
        assert np.allclose(gram[at, rest] @ weights, left_out[at])


def test_a_mind_tells_records_part_by_part_and_says_how_surely():
    texts, topics = zip(*kit.texts(240), strict=True)
    parts = {
        "topic": list(topics),
        "urgent": [topic == "card_lost" for topic in topics],
        "level": [len(topic) % 3 for topic in topics],
    }
    mind, judged = learn(texts, parts, None)
    assert judged.right.mean() > 0.95
    opinion = mind.answer("please help, I just lost my card today 7", None)
    assert opinion.values == {"topic": "card_lost", "urgent": True, "level": 0}
    assert opinion.chance > mind.answer("which planets have rings", None).chance
    assert opinion.familiar > mind.answer("which planets have rings", None).familiar


def test_a_threshold_keeps_its_promise_and_stops_at_the_first_that_fails():
    chance = np.linspace(0, 1, 1_000)
    right = np.random.default_rng(1).random(1_000) < chance
    told = certify(Judged(chance, right), 0.95)
    assert told.bound <= 0.05 + 1e-9
    assert 0.1 < told.coverage < 0.8
    assert certify(Judged(chance, np.zeros(1_000, np.bool_)), 0.95).coverage < 0.05  # which is what it may be wrong on
    assert not certify(Judged(chance[:50], right[:50]), 0.95).holds
    assert certifiable(0.6, 0.95) == pytest.approx(0.65)


# What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        (kit.examples(20, "p"), "20 examples are too few: record 180 more"),
        ([replace(one, answer=Answer("yes")) for one in kit.examples(240, "p")], "the same answer every time"),
        (
            [replace(one, teacher="a" if at % 2 else "b") for at, one in enumerate(kit.examples(240, "p"))],
            "answers of several teachers: ",
        ),
        (
            [replace(one, answer=Answer(f"{at}")) for at, one in enumerate(kit.examples(240, "p"))],
            "those are no classes",
        ),
        ([replace(one, answer=Answer("word " * 60)) for one in kit.examples(240, "p")], "free text"),
        (
            [
                replace(one, answer=Answer(tool=f"t{at % 2}", arguments={"a": 1}))
                for at, one in enumerate(kit.examples(240, "p"))
            ],
            "calls different tools: 't0', 't1'",
        ),
        (
            [replace(one, answer=Answer(tool="t", arguments={"a": 1.5})) for one in kit.examples(240, "p")],
            "field 'a' has values of type 'float'",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused_in_a_sentence(examples: list[Example], says: str):
    with pytest.raises(NotDistillable, match=says):
        Material.of(examples)


def test_labels_outside_the_schema_are_refused():
    answers = [Answer("yes"), Answer("no"), Answer("perhaps")] * 4
    with pytest.raises(NotDistillable, match="labels outside the schema: 'perhaps'"):
        Form.of(answers, {"enum": ["yes", "no"]})
    records = [Answer(tool="t", arguments={"mood": mood}) for mood in ("good", "bad", "odd")] * 4
    with pytest.raises(NotDistillable, match="field 'mood' has values outside the schema: 'odd'"):
        Form.of(records, {"properties": {"mood": {"enum": ["good", "bad"]}}})


def test_only_answers_that_chance_has_chosen_say_what_may_be_promised():
    examples = [replace(one, how="deferred") for one in kit.examples(300, "p")]
    with pytest.raises(NotDistillable, match="chance has chosen 0 of the examples"):
        Material.of(examples).learn(None)


def test_the_latest_prompt_is_the_one_that_is_learnt():
    old, new = kit.examples(240, "old"), kit.examples(220, "new", seed=4)
    assert {one.prompt for one in one_teacher([*old, *new])} == {"new"}
    with pytest.raises(NotDistillable, match="no answers of 'claude'"):
        one_teacher(old, teacher="claude")


def test_a_plan_says_what_could_be_done_and_when_it_pays():
    _, judged = Material.of(kit.examples(300, "p")).learn(None)
    made = plan(judged, examples=0, shadow=400)
    assert not made.why
    assert made.forecast > 0.9
    assert made.break_even == pytest.approx(400 / made.saving, rel=0.01)
    coin = Judged(np.random.default_rng(0).random(300), np.random.default_rng(1).random(300) < 0.5)
    assert plan(coin, examples=0).why


# Forms ------------------------------------------------------------------------------------------------------------------


def test_tags_come_back_in_the_teachers_order_and_form():
    lists = [["b", "a"], ["a"], [], ["b"], ["b", "a"], ["a"]]
    answers = [Answer(json.dumps({"tags": tags, "ok": bool(tags)}, separators=(",", ":"))) for tags in lists]
    form = Form.of(answers)
    assert form.tags == {"tags": ("b", "a")}
    for answer in answers:
        parts = form.parts(answer)
        assert parts is not None
        assert form.reply(parts, request("x")).content == answer.text
    assert Form.read(json.loads(json.dumps(form.told()))) == form


def test_true_is_not_one():
    answers = [Answer(tool="t", arguments={"a": value}) for value in (1, True, 1, True, 0, False, 0, False)]
    form = Form.of(answers)
    values = [form.parts(answer) for answer in answers]
    assert [type(value["a"]).__name__ for value in values if value] == ["int", "bool"] * 4
    reply = form.reply({"a": True}, request("x"))
    assert reply.tool_calls == (ToolCall("call_r-1", "t", {"a": True}),)
    assert form.parts(Answer("free words")) is None


# Prompts ----------------------------------------------------------------------------------------------------------------


def test_what_stands_around_a_text_is_found_and_asked_for():
    frame = Frame.of(
        [f"Classify this text: {text}\n\nAnswer with a label." for text in ("one two", "on three", "four")]
    )
    assert frame == Frame("Classify this text: ", "\n\nAnswer with a label.")
    assert frame.inside("Classify this text: five\n\nAnswer with a label.") == "five"
    assert frame.inside("Label this text: five\n\nAnswer with a label.") is None
    assert Frame.of(["the cat", "the dog"]) == Frame()


def test_a_prompt_is_all_that_is_around_the_text():
    plain = asked(request("hello"))
    assert not isinstance(plain, str)
    others = [
        asked(replace(request("hello"), messages=(Message("system", "Be brief."), Message("user", "hello")))),
        asked(request("hello", tools=({"name": "f", "parameters": {}},))),
        asked(request("hello", schema={"type": "object"})),
    ]
    digests = {one if isinstance(one, str) else one.prompt for one in (plain, *others)}
    assert len(digests) == 4
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    several = asked(replace(request("x"), messages=turns))
    assert not isinstance(several, str)
    assert (several.text, several.shots) == ("c", ("b",)), "examples, where a student gives such answers, else a conversation"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail me at a.b+c@mail.example.org now", "mail me at <email> now"),
        ("key sk-proj-abcdefghijklmnop1234", "key <key>"),
        ("card 4111 1111 1111 1111", "card <card>"),
        ("iban DE89 3704 0044 0532 0130 00 ok", "iban <iban> ok"),
        ("from 192.168.10.20", "from <address>"),
        ("3 cards and 20 euros in 2024", "3 cards and 20 euros in 2024"),
    ],
)
def test_secrets_are_taken_out(text: str, clean: str):
    assert redacted(text) == clean


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True), ("gpt-4o", "gpt-4o-mini", False), ("openai/gpt-4o", "gpt-4o", True),
        ("gpt-4.1", "gpt-4", False), ("", "gpt-4o", True), ("claude-x@20250101", "claude-x", True),
    ],
)  # fmt: skip
def test_a_snapshot_is_the_model_that_it_is_of(one: str, other: str, same: bool):
    assert same_model(one, other) is same


# Files ------------------------------------------------------------------------------------------------------------------


def test_a_student_outlives_its_process(tmp_path: Path):
    student = train(kit.TASK, Material.of(kit.examples(240, "p")), None)
    version = student.save(tmp_path / "a.student")
    again = Student.load(tmp_path / "a.student")
    assert again.version == version
    assert (again.certificate, again.form, again.frame) == (student.certificate, student.form, student.frame)
    for text, _ in kit.texts(20, seed=8):
        one, other = student.mind.answer(text, None), again.mind.answer(text, None)
        assert one.values == other.values
        assert one.chance == pytest.approx(other.chance, abs=1e-3)


def test_word_vectors_that_are_missing_are_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Own:
        name = "my-vectors"

        def embed(self, texts: Any) -> Any:
            return np.stack([np.random.default_rng(len(text)).normal(size=16).astype(np.float32) for text in texts])

    student = train(kit.TASK, Material.of(kit.examples(240, "p")), Own())
    student.save(tmp_path / "a.student")
    with pytest.raises(ConfigError, match="was trained with the word vectors 'my-vectors'"):
        Student.load(tmp_path / "a.student")
    assert Student.load(tmp_path / "a.student", Own()).embedder is not None


def test_arrays_that_do_not_fit_are_refused():
    data = artifact.dump({"a": 1}, {"x": np.zeros((2, 3), np.float32)})
    assert artifact.load(data, "f")[1]["x"].shape == (2, 3)
    for bad in ("[2,4]", "[-2,3]"):
        body = data.partition(b"\n")[2].replace(b"[2, 3]", bad.encode())
        import hashlib

        forged = f"thrift-student/1 {hashlib.sha256(body).hexdigest()}\n".encode() + body
        with pytest.raises(ConfigError, match="f is no student"):
            artifact.load(forged, "f")


def test_a_line_that_was_cut_short_is_passed_over_and_one_that_is_none_is_not(tmp_path: Path):
    dataset = Dataset(tmp_path, kit.TASK)
    dataset.append(kit.examples(3, "p"))
    with dataset.path.open("a") as file:
        file.write('{"v": 1, "key": "half')
    assert len(list(dataset.examples())) == 3
    dataset.path.write_text('{"no": "example"}\n')
    with pytest.raises(ConfigError, match="line 1: no recorded example"):
        list(dataset.examples())
    with pytest.raises(ConfigError, match="a task's name has letters"):
        Dataset(tmp_path, "../elsewhere")
    with pytest.raises(ConfigError, match="nothing is recorded for 'other'"):
        list(Dataset(tmp_path, "other").examples())


# Lives ------------------------------------------------------------------------------------------------------------------


def lived(**terms: Any) -> Life:
    """A student that has come to answer."""
    life = Life("v", Terms(**{"shadow": 100, "canary": 20, **terms}))
    chance = random.Random(2)
    for _ in range(400):
        life.take(Compared(chance.uniform(0.5, 1), right=True, familiar=chance.random()), 1.0)
    return life


def test_a_student_goes_up_by_what_came_in_production():
    life = lived()
    assert life.state == "active"
    assert isfinite(life.threshold)
    wrong = Life("v", Terms(shadow=100))
    for at in range(600):
        wrong.take(Compared(at % 100 / 100, right=at % 3 > 0, familiar=0.5), 1.0)
    assert wrong.state == "shadow"
    assert "can be promised for" in wrong.promote(2.0)
    assert lived(promotes=False).state == "shadow"


def test_it_goes_down_by_audits_by_news_and_by_a_change_and_stays_there():
    broken = lived()
    for _ in range(40):
        broken.take(Compared(0.99, right=False, familiar=0.9), 2.0)
    assert broken.why.startswith("broken agreement")
    strange = lived()
    strange.take(Seen(1_000, 400), 2.0)
    assert strange.why.startswith("new kinds of requests")
    changed = lived()
    changed.take(Broken("the prompt has changed"), 2.0)
    for life in (broken, strange, changed):
        assert life.state == "demoted"
        life.take(Compared(0.9, right=True, familiar=0.5), 3.0)
        assert life.state == "demoted"
        assert life.promote(3.0) == "it is demoted"
    changed.restart("by hand", 4.0)
    assert (changed.state, changed.compared, changed.threshold) == ("shadow", [], inf)


def test_a_life_goes_on_where_it_was_written_down():
    life = lived()
    life.take(Compared(0.99, right=False, familiar=0.9), 2.0)
    again = Life.read(json.loads(json.dumps(life.told())), life.terms)
    for one in (life, again):
        for _ in range(30):
            one.take(Compared(0.99, right=False, familiar=0.9), 3.0)
    assert again.told() == life.told()
    with pytest.raises(ValueError, match="a life of another version"):
        Life.read({**life.told(), "format": 9}, life.terms)


def test_a_change_is_seen_whenever_it_begins_and_hardly_where_there_is_none():
    chance = random.Random(5)
    quiet = Change(0.08, patience=200_000)
    for _ in range(20_000):
        quiet.observe(int(chance.random() < 0.05), 1)
    assert not quiet.raised
    count = 0
    while not quiet.raised:
        quiet.observe(int(chance.random() < 0.25), 1)
        count += 1
    assert count < 400
    assert Change.resumed(0.08, quiet.state(), patience=200_000).raised
    with pytest.raises(ValueError, match="no state of a change"):
        Change.resumed(0.08, [0.0], patience=10)
    with pytest.raises(ValueError, match="no state of an alarm"):
        Alarm.resumed(0.08, [0.0, 1.0, 1.0])


# Free text --------------------------------------------------------------------------------------------------------------


def test_precedents_are_the_nearest_and_an_answer_that_does_not_fit_is_told():
    examples = kit.examples(60, "p")
    (nearest,) = Precedents(examples).nearest(examples[7].text + " now", 1)
    assert nearest == examples[7]
    shown = [Example("a 5", Answer("five is 5"))]
    assert misfit("it is 5", "a 5", shown) == ""
    assert misfit("it is 6", "a 5", shown) == "it has numbers that its source has not: 6"
    assert misfit(" ", "a 5", shown) == "it is empty"
    assert "longer" in misfit("it is five " * 9, "a 5", shown)
