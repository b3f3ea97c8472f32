"""A replay with tactics by name, after they have learnt from the month before."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner, Result

from tests.trace_kit import header, row, week, write
from thrift_plugins.cli import app
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.replay import SWITCHES, Trace, prepared
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
    write(tmp_path / "week.jsonl", [header(), row(0, "Where is the lid?"), row(1, "Where is the lid?", tenant="teapots")])
    saved = []
    for options in ([], ["--shared", "faq"]):
        out = tmp_path / "figures.json"
        done = run(tmp_path / "week", "--framework", framework, "--config", "cache", *options, "--json", str(out))
        assert done.exit_code == 0, done.output
        saved.append(json.loads(out.read_text())["saved_fraction"])
    assert saved == [0.0, 0.5]
