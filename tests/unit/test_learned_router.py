"""A router that learns from answers of known quality: what it sends where, what it promises, and what it refuses."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing import LearnedRouter, learned
from thrift_plugins.routing.drift import EVERY
from thrift_plugins.routing.example import Example
from thrift_plugins.routing.labelled import examples
from thrift_plugins.routing.learned import Goal
from thrift_plugins.routing.pieces import occurrences
from thrift_plugins.routing.promise import LEAST, TOLERANCE
from thrift_plugins.routing.training import train
from thrift_plugins.routing.traits import NAMES, SLOTS, last_turn, traits
from thrift_plugins.routing.trial import better, curve, try_out
from thrift_plugins.types import Message, Reply, Request, Scope, Tier, Usage

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
TIERS = (Tier("small", "gpt-4o-mini"), Tier("large", "gpt-4o"))
NAMED = ("small", "large")
EASY = ("opening hours", "return address", "store location", "phone number", "gift cards")
HARD = ("prove the theorem", "derive the integral", "analyse the contract", "debug this race", "estimate the variance")


def request(text: str, feature: str = "", **fields: Any) -> Request:
    return Request("1", 0.0, "gpt-4o", (Message("user", text),), scope=Scope(feature=feature), **fields)


def world(count: int, *, seed: int = 1, feature: str = "", easy: float = 0.99) -> list[Example]:
    """Easy questions that both answer, and hard ones that the small model answers badly."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        hard = chance.random() < 0.5
        subject = chance.choice(HARD if hard else EASY)
        text = f"Please tell me about the {subject} of case {number}, thanks."
        small = chance.random() < (0.4 if hard else easy)
        made.append(Example(request(text, feature), {"small": float(small), "large": float(chance.random() < 0.97)}))
    return made


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    return train(world(900), NAMED, quality=0.95)


def test_it_learns_what_is_easy(router: LearnedRouter) -> None:
    easy = router.decide(request("Please tell me about the opening hours of case 7, thanks."), TIERS, 1)
    hard = router.decide(request("Please tell me about the prove the theorem of case 7, thanks."), TIERS, 1)
    assert (easy.name, easy.policy, easy.alternatives) == ("small", "learned", (1,))
    assert (hard.name, hard.alternatives) == ("large", ())
    assert easy.reasons[0].startswith("expected quality: small 0.")


def test_the_promise_is_kept_on_others(router: LearnedRouter) -> None:
    promise = router.promises[EVERY]
    assert promise.limit is not None
    assert promise.examples == 900
    assert 0.3 < promise.cheaper < 0.6
    others = world(2_000, seed=9)
    served = [each.scores[router.decide(each.request, TIERS, 1).name] for each in others]
    assert sum(served) / sum(each.scores["large"] for each in others) >= 0.95 - TOLERANCE


def test_promises_are_kept_in_nearly_all_draws() -> None:
    kept = []
    for draw in range(int(40 * SCALE)):
        made = train(world(300, seed=draw, easy=0.95), NAMED, quality=0.97, seed=draw)
        others = world(300, seed=10_000 + draw, easy=0.95)
        served = sum(each.scores[made.decide(each.request, TIERS, 1).name] for each in others)
        kept.append(served >= (0.97 - 0.005) * sum(each.scores["large"] for each in others))
    assert sum(kept) / len(kept) >= 0.9


def test_what_cannot_be_promised_is_not() -> None:
    coin = random.Random(2)
    tossed = [Example(each.request, {"small": float(coin.random() < 0.5), "large": 1.0}) for each in world(300)]
    made = train(tossed, NAMED, quality=0.99)
    assert made.promises[EVERY].limit is None
    decision = made.decide(request("Anything?"), TIERS, 1)
    assert (decision.name, decision.reasons) == ("large", ("no promise for this feature",))


def test_features_have_promises_of_their_own() -> None:
    coin = random.Random(3)
    bad = [
        Example(each.request, {"small": float(coin.random() < 0.3), "large": 1.0}) for each in world(200, feature="law")
    ]
    made = train([*world(900, feature="faq"), *bad, *world(20, feature="rare")], NAMED, quality=0.95)
    assert made.promises["faq"].limit is not None
    assert made.promises["law"].cheaper < 0.05
    assert made.promises["rare"].limit is None, "20 examples support nothing"
    assert made.decide(request("the opening hours of case 7", "new"), TIERS, 1).reasons == (
        "no promise for this feature",
    )
    assert made.promises["faq"].cheaper > 0.2


def test_goals_of_their_own() -> None:
    given = [*world(400, feature="faq"), *world(400, seed=2, feature="law")]
    made = train(given, NAMED, quality=0.9, goals={"law": Goal(1.0, 0.95), "none": Goal(1.0, 0.99)})
    assert (made.goal("faq"), made.goal("law"), made.goals.keys()) == (Goal(0.9, 0.95), Goal(1.0, 0.95), {"law"})
    assert made.promises["faq"].cheaper > made.promises["law"].cheaper
    assert made.short_of("faq", 0.95, None)
    assert not made.short_of("law", 1.0, 0.95)
    left = made.without(["faq"])
    [easy] = world(1, seed=3, feature="faq")
    assert left.decide(easy.request, TIERS, 1).reasons == ("no promise for this feature",)
    trial = try_out(made, [*world(100, seed=5, feature="faq"), *world(100, seed=6, feature="law")])
    assert 0.9 < trial.due < 1.0


def test_three_tiers() -> None:
    def third(each: Example) -> Example:
        return Example(each.request, {**each.scores, "mid": max(each.scores["small"], 0.9 * each.scores["large"])})

    made = train([third(each) for each in world(900)], ("small", "mid", "large"), quality=0.9)
    tiers = (TIERS[0], Tier("mid", "gpt-4.1-mini"), TIERS[1])
    chosen = {made.decide(each.request, tiers, 2).name for each in world(200, seed=4)}
    assert chosen >= {"small", "mid"}
    easy = made.decide(request("Please tell me about the opening hours of case 7, thanks."), tiers, 2)
    assert easy.alternatives == (1, 2)


def test_the_callers_choice_constraints_and_unknown_tiers(router: LearnedRouter) -> None:
    text = "Please tell me about the opening hours of case 7, thanks."
    assert router.decide(request(text, forced="large"), TIERS, 1).policy == "forced"
    blind = (Tier("small", "gpt-4o-mini", tools=False), TIERS[1])
    assert router.decide(request(text, tools=({"name": "f"},)), blind, 1).policy == "only"
    new = (Tier("new", "gpt-4.1-nano"), *TIERS)
    assert router.decide(request(text), new, 2).name == "small"
    gone = (TIERS[0], Tier("other", "gpt-5"))
    assert router.decide(request(text), gone, 1).reasons == ("what is promised is of large's quality, not other's",)


def test_a_file_says_the_same(router: LearnedRouter, tmp_path: Path) -> None:
    file = tmp_path / "router.json"
    router.save(file)
    again = LearnedRouter.load(file)
    assert file.stat().st_size < 1_000_000
    assert "opening" not in file.read_text(encoding="utf-8")
    for each in world(50, seed=5):
        assert again.expected(each.request) == pytest.approx(router.expected(each.request), abs=1e-9)
        assert again.decide(each.request, TIERS, 1).name == router.decide(each.request, TIERS, 1).name


def test_in_training_and_in_use_it_reads_the_same(router: LearnedRouter) -> None:
    """The weights of slots and numbers give what the solution gives, but for rounding."""
    seen = world(900)
    hard = [each for each in seen if "case 7," not in each.request.messages[0].text][:200]
    guessed = [router.expected(each.request)[0] for each in hard]
    right = [each.scores["small"] for each in hard]
    high = [good for good, guess in zip(right, guessed, strict=True) if guess > 0.8]
    low = [good for good, guess in zip(right, guessed, strict=True) if guess < 0.6]
    assert sum(high) / len(high) > 0.9
    assert sum(low) / len(low) < 0.6


BROKEN = {
    "no json": lambda told: "{",
    "another format": lambda told: json.dumps({**told, "format": "thrift-router/9"}),
    "other traits": lambda told: json.dumps({**told, "traits": ["x"]}),
    "one tier": lambda told: json.dumps({**told, "tiers": ["small"]}),
    "a weight too large": lambda told: json.dumps({**told, "slots": {"1": [10**12, 0]}}),
    "a weight that is text": lambda told: json.dumps({**told, "slots": {"1": ["0", 0]}}),
    "a slot that is none": lambda told: json.dumps({**told, "slots": {str(SLOTS): [1, 0]}}),
    "not a number": lambda told: json.dumps({**told, "means": [float("nan"), 1.0]}),
    "too few counts": lambda told: json.dumps({**told, "counts": [1]}),
    "a promise of nothing": lambda told: json.dumps({**told, "promises": {"*": []}}),
    "a check of a tier that is not there": lambda told: json.dumps(
        {**told, "checks": {"x": told["checks"].get("small")}}
    ),
    "a histogram that is none": lambda told: json.dumps({**told, "drift": {"*": [[2, 1], [1, 1, 1]]}}),
    "a list": lambda told: "[]",
    "deep": lambda told: "[" * 100_000,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_was_changed(
    router: LearnedRouter, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "router.json"
    router.save(file)
    whole = file.read_text(encoding="utf-8")
    file.write_text(BROKEN[how](json.loads(whole)), encoding="utf-8")
    with pytest.raises(ConfigError, match="train it anew"):
        LearnedRouter.load(file)
    own = json.loads(whole)["sha256"]
    monkeypatch.setattr(learned, "_digest", lambda _: own)  # as if whoever has changed it had written that anew
    with pytest.raises(ConfigError, match="train it anew"):
        LearnedRouter.load(file)


def test_a_file_that_was_changed_to_what_could_be(router: LearnedRouter, tmp_path: Path) -> None:
    """A line that lets everything through, or a weight, is as good a number as the one that was learnt."""
    file = tmp_path / "router.json"
    router.save(file)
    told = json.loads(file.read_text(encoding="utf-8"))
    told["promises"]["*"][0] = 100.0
    file.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ConfigError, match="not what was written"):
        LearnedRouter.load(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no router can be read"):
        LearnedRouter.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (world(30), f"{LEAST} are needed"),
        ([Example(request("x"), {"small": 1.0, "large": 1.0})] * 200, "nothing to tell apart"),
        ([Example(request("x"), {"small": 1.0})] * 200, "0 examples have a score"),
        ([*world(150), Example(request("x"), {"small": 7.0, "large": 1.0})], "0 to 1"),
    ],
)
def test_examples_that_teach_nothing(given: list[Example], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        train(given, NAMED)


@pytest.mark.parametrize("settings", [{"quality": 0.0}, {"quality": 1.5}, {"confidence": 1.0}, {"confidence": 0.2}])
def test_promises_that_are_none(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        train(world(150), NAMED, **settings)


def test_tiers_that_are_none() -> None:
    with pytest.raises(ConfigError, match="two tiers"):
        train(world(150), ("small",))


def test_what_is_read_of_any_text() -> None:
    for text in ("", "你好，世界？", "\ud800", "a" * 100_000, "\n\n", "A) x\nB) y", "∑" * 50):
        asked = request(text)
        assert len(traits(asked)) == len(NAMES)
        assert all(0 <= slot < SLOTS for slot in occurrences(last_turn(asked.messages)))
        assert len(last_turn(asked.messages)) <= 2_001


LINES = {
    '{"prompt": "x"}': "no `scores`",
    '{"scores": {"a": 1}}': "neither a `prompt`",
    '{"prompt": "x", "scores": {"a": 2}}': "0 to 1",
    '{"messages": [{"role": "boss", "content": "x"}], "scores": {"a": 1}}': "'boss'",
    "[]": "an object",
    "{": "line 2",
    '{"question": "x", "label": 1}': "it has question, label",
    '{"prompt": "x", "scores": {"a": 1}, "tools": [{"function": "f"}]}': "function objects",
    '{"prompt": "x", "scores": {"a": 1}, "schema": 5}': "a JSON schema",
    '{"messages": [5], "scores": {"a": 1}}': "objects with a `role`",
    '{"prompt": "x", "scores": {"a": 1}, "answers": {"a": {"tool_calls": [5]}}}': "a list of objects with a `name`",
    f'{{"prompt": "x", "scores": {{"a": 1}}, "costs": {{"a": {10**400}}}}}': "a cost must be US dollars",
    '{"prompt": "x", "scores": {"a": 1}, "costs": {"a": 1e308}}': "a cost must be US dollars",
    '{"prompt": "x", "scores": {"a": 1}, "feature": "\\ud800"}': "surrogates not allowed",
}


@pytest.mark.parametrize("line", LINES)
def test_lines_that_are_something_else(tmp_path: Path, line: str) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(f'{{"prompt": "x", "scores": {{"a": true}}}}\n{line}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2") as raised:
        list(examples(file))
    assert LINES[line] in str(raised.value)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"prompt": "café", "scores": {"a": true}}\n', encoding="latin-1")
    with pytest.raises(ConfigError, match="is not in UTF-8"):
        list(examples(file))


def test_a_mark_before_the_first_line_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"prompt": "caf\u00e9", "scores": {"a": true}}\n', encoding="utf-8-sig")
    [example] = examples(file)
    assert example.request.messages[0].text == "caf\u00e9"


def test_whose_answers_have_scores_is_said_where_others_were_looked_for() -> None:
    with pytest.raises(ConfigError, match=r"a score for each of tiny, large \(there are scores of large, small\)"):
        train(world(150), ("tiny", "large"))
    made = train(world(150), NAMED)
    with pytest.raises(ConfigError, match=r"none is above 0 \(there are scores of tiny\)"):
        try_out(made, [replace(each, scores={"tiny": 1.0}) for each in world(5)])


def test_costs_of_nothing_are_no_costs() -> None:
    """Local models may all cost nothing; and where some examples do not say, no two units are added up."""
    free = [replace(each, costs={"small": 0.0, "large": 0.0}) for each in world(300)]
    some = [replace(each, costs={"small": 1e-6, "large": 1e-5} if at % 2 else {}) for at, each in enumerate(world(300))]
    made = train(free, NAMED, quality=0.9)
    assert made.promises[EVERY].routes
    assert try_out(made, free).point == try_out(made, some).point == try_out(made, world(300)).point


def test_lines(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    told = {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
    file.write_text(json.dumps({**told, "scores": {"a": 0.5}, "feature": "faq", "note": 1}) + "\n\n", encoding="utf-8")
    [example] = examples(file)
    assert example.scores == {"a": 0.5}
    assert example.request.tools == ({"name": "f"},)
    assert example.request.scope.feature == "faq"
    with pytest.raises(ConfigError, match="cannot read"):
        list(examples(tmp_path / "none"))


def worked(count: int, *, seed: int = 1) -> list[Example]:
    """Solved questions, of which the small model gets those wrong whose answer has a number from nowhere."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        first, second = chance.randrange(2, 40), chance.randrange(2, 40)
        good = chance.random() < 0.7
        other = second if good else second + 41
        said = f"There are {first} and {other}, so {first} + {other} = {first + other}. The answer is {first + other}."
        asked = request(f"Ann has {first} stamps and Ben has {second} stamps. How many do they have together?")
        scores = {"small": float(good), "large": float(chance.random() < 0.98)}
        costs = {"small": 0.0001, "large": 0.002}
        made.append(Example(asked, scores, {"small": Reply(said, Usage(), finish_reason="stop")}, costs))
    return made


def test_answers_are_checked() -> None:
    made = train(worked(500), NAMED, quality=0.97)
    promise = made.promises[EVERY]
    assert promise.accept is not None
    assert promise.limit is None
    assert 0.5 < promise.cheaper < 0.75
    good, bad = (next(each for each in worked(60, seed=8) if each.scores["small"] == score) for score in (1.0, 0.0))
    decision = made.decide(good.request, TIERS, 1)
    assert (decision.name, decision.policy, decision.alternatives) == ("small", "cascade", (1,))
    assert made.rejects(good.request, good.replies["small"], decision) is None
    told = made.rejects(bad.request, bad.replies["small"], decision)
    assert told is not None
    assert told.startswith("a good answer with ")
    assert set(decision.chances) == {"small", "large"}
    trial = try_out(made, worked(400, seed=9))
    assert trial.point.quality >= 0.965
    assert trial.point.cost < 0.6


def test_a_file_with_a_check_says_the_same(tmp_path: Path) -> None:
    made = train(worked(300), NAMED, quality=0.97)
    made.save(tmp_path / "router.json")
    again = LearnedRouter.load(tmp_path / "router.json")
    assert (tmp_path / "router.json").stat().st_size < 1_000_000
    for each in worked(40, seed=4):
        mine, theirs = (one.checks["small"].chances(each.request, each.replies["small"]) for one in (made, again))
        assert theirs == pytest.approx(mine, abs=1e-4)


def test_the_better_router_is_told() -> None:
    bold, careful = (train(worked(500), NAMED, quality=quality) for quality in (0.97, 0.999))
    others = worked(400, seed=9)
    one, other = try_out(bold, others), try_out(careful, others)
    assert one.due == pytest.approx(0.97)
    assert better(one, None, 0.005) is None
    assert better(one, other, 0.005) is None
    assert "does not beat" in str(better(one, one, 0.005))
    assert "is promised" in str(better(replace(one, due=1.2), None, 0.005))
    points = curve(bold, others)
    assert points[0].cost <= 1.06
    assert [point.cost for point in points] == sorted((point.cost for point in points), reverse=True)
