from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.semantic import adjudicated_figures, neighbour_pairs
from tests.neighbours import PAIRS, frames, pairs
from thrift_plugins.caching.semantic.features import NAMES
from thrift_plugins.caching.semantic.mine import Pair, components, lookups, meanings
from thrift_plugins.caching.semantic.reading import read
from thrift_plugins.caching.semantic.train import calibrate, fit, hastened, neighbourhoods, outcomes
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.caching.semantic.vetoes import veto
from thrift_plugins.learning.boosting import BoostedTrees, fit_boosted
from thrift_plugins.learning.risk import at_most, safe_threshold, upper_bound
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.text.words import plain, words


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("How do I pay by card?", "How do I not pay by card?", "negation"),
        ("可以退款吗？", "不可以退款吗？", "negation"),
        ("Return within 30 days", "Return within 14 days", "numbers"),
        ("保修三年吗？", "保修五年吗？", "numbers"),
        ("Is 5 kg heavy?", "Is 5 lb heavy?", "units"),
        ("Is $5 enough?", "Is €5 enough?", "signs"),
        ("What is C++?", "What is C?", "signs"),
        ("What does print('a') do?", "What does Print('a') do?", "code"),
        ("Open https://a.example/Help", "Open https://a.example/help", "code"),
        ("Are you open next week?", "Are you open this week?", "time"),
        ("Delete one file", "Delete all files", "quantity"),
        ("Who founded it?", "When was it founded?", "asked for"),
        ("How do I enable cookies?", "How do I disable cookies?", "opposites"),
        ("怎么打开通知？", "怎么关闭通知？", "opposites"),
        ("Where is my parcel to Paris?", "Where is my parcel to Berlin?", "names"),
        ("Convert pdf to word", "Convert word to pdf", "direction"),
        ("从北京到上海多远？", "从上海到北京多远？", "direction"),
        ("Is gold heavier than lead?", "Is lead heavier than gold?", "direction"),
    ],
)
def test_a_difference_that_changes_the_answer_is_a_veto_both_ways(first: str, second: str, why: str) -> None:
    assert veto(read(first), read(second)) == veto(read(second), read(first)) == why


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How do I reset my password?", "How can I reset a forgotten password?"),
        ("What is the difference between tea and coffee?", "What is the difference between coffee and tea?"),
        ("Sort a list in Python, how?", "In Python, how do I sort a list?"),
        ("Ship 1,000 boxes", "Ship 1000 boxes"),
        ("这两个有什么区别？", "两个的区别是什么？"),
        ("Why can't I log in?", "Why am I unable to log in?"),
    ],
)
def test_another_wording_is_none(first: str, second: str) -> None:
    assert veto(read(first), read(second)) == ""


@pytest.mark.parametrize("learnt", [False, True])
def test_vectors_are_of_length_one_and_always_the_same(learnt: bool) -> None:
    texts = ["How do I reset my password?", "怎么重置密码？", "", "🙂", "x" * 5_000]
    embedder = StaticEmbedder(learnt=learnt)
    rows = embedder.embed(texts)
    assert rows.shape == (5, embedder.dimensions)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, StaticEmbedder(learnt=learnt).embed(texts))
    np.testing.assert_allclose(np.linalg.norm(rows[:2], axis=1), 1, rtol=1e-5)
    assert not rows[2].any()


HARD_TEXTS = [
    "",
    " ",
    "\ud800 half",
    "\x00",
    "你好" * 3_000,
    "x" * 100_000,
    "1," * 3_000,
    "A." * 3_000,
    "thanks " * 500,
    "(`{" * 900,
]


@pytest.mark.parametrize("learnt", [False, True])
def test_any_text_has_a_vector_and_a_verdict(learnt: bool) -> None:
    assert np.isfinite(StaticEmbedder(learnt=learnt).embed(HARD_TEXTS)).all()
    for text in HARD_TEXTS:
        assert all(0 <= verdict.probability <= 1 for verdict in Verifier.load().judge_many(text, HARD_TEXTS, None))


@pytest.mark.parametrize("learnt", [False, True])
def test_another_wording_is_nearer_than_another_question(learnt: bool) -> None:
    rows = StaticEmbedder(learnt=learnt).embed(["怎么重置密码？", "如何重置我的密码？", "今天的天气怎么样？"])
    assert rows[0] @ rows[1] > 0.5 > rows[0] @ rows[2]


def test_the_hashed_vectors_do_not_change_between_versions() -> None:
    row = StaticEmbedder(learnt=False).embed(["a stable vector"])[0]
    assert float(np.abs(row).sum()) == pytest.approx(_LENGTH_OF_A_STABLE_VECTOR, rel=1e-4)


_LENGTH_OF_A_STABLE_VECTOR = 7.776196479797363


def test_the_shipped_verifier_judges_and_vetoes() -> None:
    verifier = Verifier.load()
    same, other, turned = verifier.judge_many(
        "How do I reset my password?",
        ["How can I reset my password?", "Which flights go to Lima?", "How do I not reset my password?"],
        None,
    )
    assert same.probability > 0.5 > other.probability
    assert turned == (0.0, "negation")
    assert 0 < verifier.threshold <= 1


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Hi, how do I pay by card?", "How do I pay by card"),
        ("Could you please tell me how to pay by card? Thanks!", "how to pay by card"),
        ("你好，请问怎么付款？谢谢", "怎么付款"),
    ],
)
def test_greeting_and_thanks_are_not_part_of_a_question(said: str, meant: str) -> None:
    assert Verifier.load().judge_many(said, [meant], None) == [(1.0, "")]


@pytest.mark.parametrize("text", ["hi", "thanks", "please", "你好"])
def test_a_greeting_alone_stays_what_it_is(text: str) -> None:
    assert words(plain(text))


def test_nothing_below_the_floors_is_compared_and_they_cost_few_hits() -> None:
    verifier = Verifier.load()
    assert verifier.judge_many(
        "How do I reset my password?", ["How can I reset my password?"], [verifier.floor - 0.01]
    ) == [(0.0, "far")]
    pairs = [pair for pair, _ in neighbour_pairs("train")]
    seen = neighbourhoods(pairs, verifier.embedder)
    slow = replace(verifier, floor=-1.0, overlap=0.0)
    hits, all_hits = ((outcomes(each, seen)[0] >= each.threshold).sum() for each in (verifier, slow))
    assert 0.95 * all_hits <= hits <= all_hits
    assert hastened(slow, seen).floor == verifier.floor


def test_the_held_out_frames_stay_below_one_percent() -> None:
    assert adjudicated_figures(Verifier.load())["adjudicated_errors_upper95"] <= 0.01


def test_the_pairs_are_what_the_frames_say_and_no_frame_is_on_both_sides() -> None:
    rows = [json.loads(line) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    assert rows == [row for lang in ("en", "zh") for frame in frames(lang) for row in pairs(frame)]
    assert len(rows) >= 2_000
    assert {row["frame"] for row in rows if row["part"] == "train"}.isdisjoint(
        row["frame"] for row in rows if row["part"] == "held"
    )


def test_a_verifier_is_trained_saved_and_read_back(tmp_path: Path) -> None:
    found = [Pair(f"How do I open box {word}?", f"How can I open box {word}?", same=True) for word in WORDS]
    found += [Pair(f"How do I open box {word}?", f"How do I paint box {word}?", same=False) for word in WORDS]
    embedder = StaticEmbedder(learnt=None)
    mined = neighbourhoods(found, embedder)
    verifier = calibrate(fit(mined, components(found), embedder), mined, max_errors=0.05)
    verifier.save(tmp_path / "mine.json")
    again = Verifier.load(tmp_path / "mine.json")
    scores, right = outcomes(again, mined)
    assert ((scores >= again.threshold) & ~right).mean() <= 0.05
    assert again.probability("How do I open box oak?", "How can I open box oak?", None) == pytest.approx(
        verifier.probability("How do I open box oak?", "How can I open box oak?", None), abs=1e-3
    )


WORDS = [
    "oak",
    "elm",
    "fir",
    "ash",
    "yew",
    "pine",
    "palm",
    "birch",
    "maple",
    "cedar",
    "walnut",
    "cherry",
    "willow",
    "poplar",
    "spruce",
    "hazel",
    "linden",
    "olive",
    "peach",
    "apple",
    "lemon",
    "plum",
]


@pytest.mark.parametrize(
    "harm", [{"version": 9}, {"features": []}, {"threshold": 7}, {"rarity": []}, {"trees": {}}, {"embedder": "x"}]
)
def test_a_tampered_artifact_is_refused(tmp_path: Path, harm: dict[str, object]) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**Verifier.load().dump(), **harm}))
    with pytest.raises(ValueError, match=r".+"):
        Verifier.load(path)


def test_lookups_leave_the_question_itself_out_and_close_equality() -> None:
    found = [Pair("a b c", "a b d", same=True), Pair("a b d", "a b e", same=True), Pair("a b c", "x y z", same=False)]
    groups = meanings(found)
    assert groups.of("a b c") == groups.of("a b e") != groups.of("x y z")
    (lookup,) = lookups(["a b c"], ["a b c", "a b e", "x y z"], groups, StaticEmbedder(learnt=False))
    assert [(candidate.text, candidate.same) for candidate in lookup.candidates] == [("a b e", True), ("x y z", False)]


def test_trees_learn_what_no_line_separates_and_come_back_from_json() -> None:
    draw = np.random.default_rng(1)
    rows = draw.integers(-7, 7, (1_500, 3)) / 3  # few values, many of which have no short form
    answers = rows[:, 0] * rows[:, 1] > 0
    trees = fit_boosted(rows, answers, trees=60)
    assert ((trees.probabilities(rows) > 0.5) == answers).mean() > 0.95
    again = BoostedTrees.load(json.loads(json.dumps(trees.dump())))
    np.testing.assert_allclose(again.log_odds(rows), trees.log_odds(rows), atol=1e-2)
    assert trees.dump() == fit_boosted(rows, answers, trees=60).dump()
    for part, value in (("width", 1), ("features", [[0]]), ("leaves", "x"), ("base", math.nan)):
        with pytest.raises(ValueError, match=r".+"):
            BoostedTrees.load({**trees.dump(), part: value})
    with pytest.raises(ValueError, match="cannot learn"):
        fit_boosted(rows, np.ones(len(rows), bool))


def test_bounds_agree_with_known_values() -> None:
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100), rel=1e-6)
    assert upper_bound(3, 3) == 1
    assert at_most(1, 3, 0.5) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="errors in"):
        upper_bound(4, 3)


def test_a_safe_threshold_keeps_its_promise_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    kept = 0
    for _ in range(200):
        scores = draw.uniform(0, 1, 1_500)
        wrong = draw.uniform(0, 1, 1_500) < 0.2 * (1 - scores)
        threshold = safe_threshold(scores, wrong, 0.02, 0.9)
        kept += 0.1 * (1 - threshold) ** 2 <= 0.02  # the true error rate above the threshold
    assert kept >= 170
    assert safe_threshold(np.array([1.0] * 50), np.ones(50, bool), 0.02) == math.inf


def test_every_feature_has_a_name() -> None:
    verifier = Verifier.load()
    assert len(verifier.comparer.compare(read("a b"), read("b c"), 0.5)) == len(NAMES)
