"""The linear model: what it finds, that it finds it again, and that no damaged file is read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from thrift_plugins.learning.fit import Floats, Likelihood, Rows, fit
from thrift_plugins.learning.linear import LinearModel
from thrift_plugins.learning.minimise import minimise

EXAMPLES = [["sun", "hot"], ["sun", "warm"], ["snow", "cold"], ["snow", "ice"], ["rain", "cold"], ["rain", "wet"]]
SEASONS = ["summer", "summer", "winter", "winter", "autumn", "autumn"]
LABELS = ("summer", "winter", "autumn")


@pytest.mark.parametrize("dense", [None, np.random.default_rng(2).normal(size=(len(EXAMPLES), 2))])
def test_the_gradient_is_the_slope_of_the_loss(dense: Floats | None) -> None:
    rows = Rows.of(EXAMPLES)
    loss = Likelihood(rows, np.array([LABELS.index(season) for season in SEASONS]), len(LABELS), 0.7, dense)
    at = np.random.default_rng(1).normal(size=loss.size)
    _, slope = loss(at)
    step = 1e-6 * np.eye(loss.size)
    differences = [(loss(at + one)[0] - loss(at - one)[0]) / 2e-6 for one in step]
    np.testing.assert_allclose(slope, differences, atol=1e-6)


def test_the_lowest_point_of_a_skewed_bowl_is_found() -> None:
    centre, widths = np.array([3.0, -2.0, 0.5]), np.array([1.0, 100.0, 0.01])
    found = minimise(
        lambda point: (float(widths @ (point - centre) ** 2), 2 * widths * (point - centre)),
        np.zeros(3),
        tolerance=1e-8,
    )
    np.testing.assert_allclose(found, centre, atol=1e-5)


def test_it_tells_its_examples_apart() -> None:
    model = fit(EXAMPLES, SEASONS, LABELS, l2=0.1)
    for example, season in zip(EXAMPLES, SEASONS, strict=True):
        chances = model.probabilities(example)
        assert LABELS[chances.index(max(chances))] == season
        assert sum(chances) == pytest.approx(1)


def test_the_same_examples_give_the_same_model() -> None:
    assert fit(EXAMPLES, SEASONS, LABELS, l2=0.5) == fit(EXAMPLES, SEASONS, LABELS, l2=0.5)


def test_rare_features_can_be_left_out() -> None:
    assert set(fit(EXAMPLES, SEASONS, LABELS, l2=0.5, least=2).weights) <= {"sun", "snow", "rain", "cold"}


def test_what_is_learnt_of_a_word_holds_for_its_kin() -> None:
    warm, cold = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    vectors = {"sun": warm, "hot": warm, "snow": cold, "ice": cold, "tropics": warm, "glacier": cold}
    model = fit(EXAMPLES, SEASONS, LABELS, l2=0.5, vectors=vectors)
    for unseen, season in (("tropics", "summer"), ("glacier", "winter")):
        chances = model.probabilities([unseen])
        assert LABELS[chances.index(max(chances))] == season
    assert "tropics" not in fit(EXAMPLES, SEASONS, LABELS, l2=0.5).weights


def test_unknown_features_say_nothing() -> None:
    model = LinearModel(("no", "yes"), (0, 0), {"known": (0, 100)})
    assert model.probabilities(["unknown", "known"]) == model.probabilities(["known"])
    assert model.probabilities([]) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("examples", "targets", "l2"), [([], [], 1.0), ([["a"]], ["summer", "winter"], 1.0), ([["a"]], ["summer"], 0.0)]
)
def test_fitting_refuses_what_it_cannot_learn_from(examples: list[list[str]], targets: list[str], l2: float) -> None:
    with pytest.raises(ValueError, match=r"examples cannot have|l2 must be"):
        fit(examples, targets, LABELS, l2=l2)


def test_a_saved_model_comes_back() -> None:
    model = fit(EXAMPLES, SEASONS, LABELS, l2=0.5)
    assert LinearModel.load(model.dump()) == model


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["one"]},
        {"labels": "ab"},
        {"labels": [1, 2]},
        {"bias": [0]},
        {"bias": [0, True]},
        {"bias": [0, 0.5]},
        {"bias": [0, 10**9]},
        {"weights": []},
        {"weights": {"word": [1]}},
        {"weights": {"word": ["1", 2]}},
        {"weights": {"word": {"0": 1}}},
        {"more": 1},
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, object]) -> None:
    sound = {"labels": ["no", "yes"], "bias": [0, 0], "weights": {"word": [1, 2]}}
    assert LinearModel.load(json.dumps(sound))
    with pytest.raises(ValueError, match="no linear model"):
        LinearModel.load(json.dumps(sound | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"labels": ["a", "b"]}'])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no linear model|Expecting|property"):
        LinearModel.load(text)
