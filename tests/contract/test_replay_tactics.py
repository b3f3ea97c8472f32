"""A replay with tactics by name, after they have learnt from the month before."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from tests import distillation_kit
from tests.trace_kit import PRICES, header, row, week, write
from thrift_plugins.cli import app
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.replay import SWITCHES, Trace, prepared, replay
from thrift_plugins.replay.apps import cheapness
from thrift_plugins.replay.month import Framework
from thrift_plugins.replay.past import Asking, remembered
from thrift_plugins.routing import LearnedRouter

FRAMEWORKS = get_args(Framework)
EASY, HARD = "Where is the kettle number {}?", "Prove that kettle {} boils before the integral converges."


def quiz() -> list[dict[str, Any]]:
    """Questions of which the small model gets the easy ones right."""
    return [_asked(number, 500 + number) for number in range(20)]


def _asked(place: int, number: int) -> dict[str, Any]:
    easy = number % 2 == 0
    arms = {
        "large-1": {"text": "A", "score": 1.0, "usage": {"input_tokens": 30, "output_tokens": 2}},
        "small-1": {"text": "A", "score": float(easy), "usage": {"input_tokens": 30, "output_tokens": 2}},
    }
    return row(place, (EASY if easy else HARD).format(number), feature="quiz", arms=arms)


def month_before(folder: Path, form: str = "scores") -> Path:
    folder.mkdir()
    records = []
    for number in range(1_000):
        easy = number % 2 == 0
        scores = (
            {"scores": {"small-1": easy, "large-1": 1}} if form == "scores" else {"weak_ok": easy, "strong_ok": True}
        )
        records.append({"prompt": (EASY if easy else HARD).format(number), **scores})
    (folder / "labels.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    (folder / "notes.jsonl").write_text('{"words": "of another kind"}\n')
    (folder / "another-app.jsonl").write_text('{"prompt": "Is it raining?", "weak_ok": true, "strong_ok": true}\n')
    return folder


def run(trace: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["replay", str(trace), *options])


def asking(trace: Trace) -> Asking:
    found = Asking()
    for each in trace:
        found.add(each, cheapness(Prices(trace.prices)))
    return found


@pytest.mark.parametrize("form", ["scores", "weak and strong"])
def test_what_is_in_the_replay_is_not_learnt_from_and_tells_the_feature(tmp_path: Path, form: str) -> None:
    trace = Trace(write(tmp_path / "quiz.jsonl", [header(), *quiz()]))
    found = remembered(month_before(tmp_path / "before", form), asking(trace))
    assert list(found) == ["quiz"]
    assert len(found["quiz"]) == 980
    asked = {each.messages[-1]["content"] for each in trace}
    assert not asked & {each.request.messages[-1].text for each in found["quiz"]}
    assert found["quiz"][1].scores == {"small-1": 0.0, "large-1": 1.0}
    assert found["quiz"][1].request.messages[0].text == "You answer questions about kettles."


def test_labels_by_number_are_read_by_their_names(tmp_path: Path) -> None:
    arms = {
        name: {"text": "lid", "score": 1.0, "usage": {"input_tokens": 9, "output_tokens": 1}}
        for name in ("small-1", "large-1")
    }
    trace = Trace(write(tmp_path / "tag.jsonl", [header(), row(0, "Lid broken", feature="tag", arms=arms)]))
    before = tmp_path / "before"
    before.mkdir()
    (before / "tags_labels.json").write_text('["cord", "lid"]')
    lines = [{"text": "Lid broken", "gold": 1, "large1": 1}, {"text": "Cord torn", "gold": 1, "large1": 0, "small1": 7}]
    write(before / "tags_teacher.jsonl", lines)
    (only,) = remembered(before, asking(trace))["tag"]
    assert only.answers == {"large-1": "cord"}, "neither the gold nor a number without a name"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["{"], "cannot be read to its end"),
        (['{"prompt": "Hi", "scores": {}}', "[]"], "line 2: not a JSON object"),
        ([], "no file in it"),
    ],
)
def test_a_month_before_that_cannot_be_used_is_named(tmp_path: Path, lines: list[str], problem: str) -> None:
    write(tmp_path / "week.jsonl", [header(), *week()])
    before = tmp_path / "before"
    before.mkdir()
    write(before / "labels.jsonl", lines)
    done = run(tmp_path / "week", "--warm", str(before))
    assert isinstance(done.exception, ConfigError)
    assert problem in str(done.exception)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_router_learns_from_the_month_before(tmp_path: Path, framework: Framework) -> None:
    trace = write(tmp_path / "quiz.jsonl", [header(), *quiz()])
    out = tmp_path / "figures.json"
    options = ("--framework", framework, "--config", "routing", "--warm", str(month_before(tmp_path / "before")))
    done = run(trace, *options, "--json", str(out))
    assert done.exit_code == 0, done.output
    assert "routing: of 980 answers, for a cheaper model: quiz" in " ".join(done.output.split())
    told = json.loads(out.read_text())
    assert told["quality_actual"] == told["quality_baseline"]
    assert set(told["by_tactic"]) == {"routing"}
    assert told["saved_fraction"] > 0.3


def test_labels_that_teach_nothing_leave_the_rules(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    write(before / "labels.jsonl", [{"prompt": "Hi", "feature": "faq", "scores": {"small-1": 1, "large-1": 1}}] * 200)
    trace = Trace(write(tmp_path / "week.jsonl", [header(), *week()]))
    setup = prepared(["routing"], trace, before, tmp_path / "made")
    assert "router" not in setup.parts
    assert setup.learnt == ("routing: 200 answers of small-1 and large-1 teach nothing",)


def test_all_is_every_switch(tmp_path: Path) -> None:
    trace = Trace(write(tmp_path / "week.jsonl", [header(), *week()]))
    every = prepared(SWITCHES, trace, None, tmp_path).config
    assert every.cache.enabled
    assert every.cache.semantic.enabled
    assert every.routing.enabled
    alone = prepared(["cache"], trace, None, tmp_path).config
    assert alone.cache.enabled
    assert not alone.routing.enabled
    with pytest.raises(ConfigError, match="no tactic is called 'magic'; there are cache, "):
        prepared(["magic"], trace, None, tmp_path)


def test_a_file_of_settings_is_taken_as_it_is(tmp_path: Path) -> None:
    trace = write(tmp_path / "quiz.jsonl", [header(), *quiz()])
    (tmp_path / "thrift.toml").write_text("[routing]\nenabled = false\n")
    done = run(trace, "--config", str(tmp_path / "thrift.toml"), "--warm", str(month_before(tmp_path / "before")))
    assert "--warm changed nothing" in " ".join(done.output.split())


def test_one_router_for_each_set_of_models(tmp_path: Path) -> None:
    trace = Trace(write(tmp_path / "quiz.jsonl", [header(), *quiz()]))
    routers = prepared(["routing"], trace, month_before(tmp_path / "before"), tmp_path).parts["router"]
    assert [type(each) for each in routers.learned] == [LearnedRouter]
    assert routers.learned[0].tiers == ("small-1", "large-1")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_prompt_that_is_not_the_recorded_one_is_billed_as_it_was_sent(tmp_path: Path, framework: Framework) -> None:
    write(tmp_path / "week.jsonl", [header(), row(0, "Where is the lid?")])
    (tmp_path / "thrift.toml").write_text(
        "[cache]\nenabled = false\n[routing]\nenabled = false\n[output.features.faq]\nwords = 20\nmode = 'soft'\n"
    )
    out = tmp_path / "figures.json"
    options = ("--framework", framework, "--config", str(tmp_path / "thrift.toml"), "--json", str(out))
    assert run(tmp_path / "week", *options).exit_code == 0
    told = json.loads(out.read_text())
    assert told["actual_usd"] > (30 * 2_500 + 12 * 10_000) / 1e9, "a sentence more was sent than was recorded"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_tenants_share_answers_only_where_they_are_said_to(tmp_path: Path, framework: Framework) -> None:
    write(
        tmp_path / "week.jsonl", [header(), row(0, "Where is the lid?"), row(1, "Where is the lid?", tenant="teapots")]
    )
    saved = []
    for options in ([], ["--shared", "faq"]):
        out = tmp_path / "figures.json"
        done = run(tmp_path / "week", "--framework", framework, "--config", "cache", *options, "--json", str(out))
        assert done.exit_code == 0, done.output
        saved.append(json.loads(out.read_text())["saved_fraction"])
    assert saved == [0.0, 0.5]


def tagged(place: int, text: str, label: str) -> dict[str, Any]:
    """A request for a label, which the large model knows and the small one does not."""
    used = {"input_tokens": 60, "output_tokens": 3}
    arms = {
        "large-1": {"text": label, "score": 1.0, "usage": used},
        "small-1": {"text": "other", "score": 0.0, "usage": used},
    }
    return row(place, text, feature="intent", arms=arms, check={"kind": "label", "gold": label})


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_student_is_taught_by_the_month_before(tmp_path: Path, framework: Framework) -> None:
    known = list(distillation_kit.texts(440))
    trace = write(
        tmp_path / "tags.jsonl", [header(), *(tagged(place, *each) for place, each in enumerate(known[400:]))]
    )
    before = tmp_path / "before"
    before.mkdir()
    # of the last one the feature is known, as it is in the replay itself
    write(before / "answers.jsonl", [{"prompt": text, "answers": {"large-1": label}} for text, label in known[:401]])
    out = tmp_path / "figures.json"
    options = ("--framework", framework, "--config", "distillation", "--warm", str(before), "--json", str(out))
    done = run(trace, *options)
    assert done.exit_code == 0, done.output
    assert "distillation: of 400 answers, a student for intent" in " ".join(done.output.split())
    told = json.loads(out.read_text())
    assert told["by_tactic"].keys() == {"distillation"}
    assert told["saved_fraction"] > 0.5
    assert told["quality_actual"] > 0.9


def test_answers_that_teach_no_student_say_why(tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    write(
        before / "answers.jsonl",
        [{"prompt": f"Tag {number}", "feature": "faq", "answers": {"large-1": "a"}} for number in range(9)],
    )
    setup = prepared(
        ["distillation"], Trace(write(tmp_path / "week.jsonl", [header(), *week()])), before, tmp_path / "made"
    )
    assert not setup.config.distillation.enabled
    assert setup.learnt[0].startswith("distillation: no student for faq: 9 examples are too few")


def test_what_is_compressed_are_retrieved_passages(tmp_path: Path) -> None:
    facts = "\n\n".join(f"[{number}] Lid {number}\nThe lid of kettle {number} is round. It was made of tin in {1900 + number}. It shines."
                        for number in range(9))  # fmt: skip
    rag = row(0, f"Passages:\n{facts}\n\nQuestion: When was the lid of kettle 3 made?", feature="rag",
              check={"kind": "evidence", "any_of": ["1903"]})  # fmt: skip
    talk = "\n".join(
        f"{name}: We will mend the lid number {number} on Monday." for number in range(9) for name in ("Ada", "Bo")
    )
    digest = row(1, f"{talk}\nWhen will the lids be mended?", feature="digest", check={"kind": "recorded"})
    trace = Trace(write(tmp_path / "both.jsonl", [header(), rag, digest]))
    assert list(prepared(["compression"], trace, None, tmp_path).config.compression.features) == ["rag"]
    (tmp_path / "made").mkdir()
    outcome = replay(trace, "langchain", prepared(["compression"], trace, None, tmp_path), tmp_path / "made").figures()
    assert outcome["by_tactic"].keys() == {"compression"}
    assert outcome["quality_actual"] == 1.0


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_may_wait_for_a_day_costs_what_a_batch_costs(tmp_path: Path, framework: Framework) -> None:
    prices = {
        name: {**rates, "batch_input": rates["input"] / 2, "batch_output": rates["output"] / 2}
        for name, rates in PRICES.items()
    }
    rows = [row(0, "Tag this."), row(1, "Tag that.", deadline_s=86_400), row(2, "Tag it soon.", deadline_s=600)]
    trace = write(tmp_path / "tags.jsonl", [header(prices_usd_per_million_tokens=prices), *rows])
    out = tmp_path / "figures.json"
    assert run(trace, "--framework", framework, "--config", "batch", "--json", str(out)).exit_code == 0
    told = json.loads(out.read_text())
    assert told["by_tactic"] == {"batch": pytest.approx(told["baseline_usd"] / 6)}
    assert told["quality_actual"] == told["quality_baseline"]


def test_what_is_drawn_by_chance_is_the_same_in_every_replay(tmp_path: Path) -> None:
    """The semantic tier compares a share of its hits with real answers: both frameworks must draw the same ones."""
    asked = [
        f"How do I {verb} {what}?"
        for verb in ("open", "close", "clean", "descale")
        for what in ("the lid", "the lid, please")
    ] * 8
    lines = [
        header(),
        *(row(place, text, check={"kind": "same_topic", "topic": text[:14]}) for place, text in enumerate(asked)),
    ]
    write(tmp_path / "week.jsonl", lines)
    told = []
    for framework in FRAMEWORKS:
        out = tmp_path / f"{framework}.json"
        done = run(tmp_path / "week", "--framework", framework, "--config", "semantic", "--json", str(out))
        assert done.exit_code == 0, done.output
        told.append(json.loads(out.read_text()))
    assert told[0] == told[1]
