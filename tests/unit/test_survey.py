"""Totals from samples: by hand where that can be done, and by simulation with fixed seeds where it cannot."""

from __future__ import annotations

import math
import os
import random

import pytest

from thrift_plugins.learning.survey import GROUPS, Estimate, Sample, Stratum, total

RUNS = int(120 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))


def sample(*units: tuple[float, float]) -> Sample:
    """Each unit in a group of its own."""
    drawn = Sample()
    for place, (x, y) in enumerate(units):
        drawn.add(place % GROUPS, x, y)
    return drawn


def test_a_mean_stands_for_everybody():
    value, low, high = total([Stratum(sample(*((1.0, float(y)) for y in range(11))), 100, 100.0)])
    assert value == pytest.approx(500)
    spread = 100 * math.sqrt(
        11 / 11 * (1 + 11 / 100)
    )  # of a mean of eleven whose variance is 11, and of a hundred others
    reach = 2.228 * spread  # Student's 97.5 % quantile at 10 degrees of freedom
    assert (value - low, high - value) == pytest.approx((reach, reach), rel=0.01)


def test_what_is_known_of_everybody_takes_its_noise_out():
    line = [(float(x), 3.0 * x + 5) for x in range(1, 41)]
    value, low, high = total([Stratum(sample(*line), 1_000, 22_000.0)])
    assert value == pytest.approx(3 * 22_000 + 5 * 1_000)
    assert high - low < 1e-3 * value


@pytest.mark.parametrize(
    "units",
    [
        pytest.param([(7.0, float(y)) for y in range(40)], id="x is the same for all"),
        pytest.param([(float(x), float(x * 7919 % 41)) for x in range(40)], id="y does not depend on x"),
        pytest.param([(1.0, 2.0), (2.0, 4.0)], id="too few"),
    ],
)
def test_where_a_line_does_not_help_the_plain_mean_counts(units: list[tuple[float, float]]):
    mean = sum(y for _, y in units) / len(units)
    assert total([Stratum(sample(*units), 10, 10 * 7.3)]).value == pytest.approx(10 * mean)


def test_a_quantity_that_treatment_has_changed_moves_nothing():
    line = [(10.0 + x % 7, 30.0 + 3 * (x % 7)) for x in range(2_000)]
    plain = sum(y for _, y in line) / len(line)
    alike, other = (total([Stratum(sample(*line), 50_000, 50_000 * mean)]).value / 50_000 for mean in (13.05, 16.0))
    assert alike == pytest.approx(plain + 3 * (13.05 - sum(x for x, _ in line) / len(line)))
    assert other == pytest.approx(plain)


def test_units_drawn_together_count_as_one_draw():
    alone, together = Sample(), Sample()
    for place in range(400):
        y = float(place // 10 % 2)
        alone.add(place % GROUPS, 0.0, y)
        together.add(place // 10, 0.0, y)
    narrow, wide = (total([Stratum(drawn, 1_000, 0.0)]) for drawn in (alone, together))
    assert narrow.value == wide.value
    assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_an_interval_reaches_further_to_the_long_tail():
    dear = [(0.0, 1.0)] * 58 + [(0.0, 40.0)] * 2
    value, low, high = total([Stratum(sample(*dear), 1_000, 0.0)])
    assert high - value > 1.3 * (value - low)
    cheap = [(0.0, -y) for _, y in dear]
    value, low, high = total([Stratum(sample(*cheap), 1_000, 0.0)])
    assert value - low > 1.3 * (high - value)


def test_strata_add_up_and_their_intervals_do_not():
    parts = [Stratum(sample(*((0.0, float(y + add)) for y in range(50))), 100, 0.0) for add in (0, 5)]
    both, (one, two) = total(parts), (total([part]) for part in parts)
    assert both.value == pytest.approx(one.value + two.value)
    whole = (both.high - both.low) / (one.high - one.low)
    assert whole == pytest.approx(2, rel=0.1)  # units of a group are taken for one conversation: alike in both strata


def test_nothing_and_all_the_same():
    assert total([]) == Estimate(0.0, 0.0, 0.0)
    assert total([Stratum(sample(*[(1.0, 5.0)] * 40), 10, 10.0)]) == Estimate(50.0, 50.0, 50.0)
    one = Sample()
    one.add(3, 1.0, 5.0)
    assert total([Stratum(one, 10, 10.0)]) == Estimate(50.0, 50.0, 50.0)


@pytest.mark.parametrize("tail", [0.3, 1.0])
def test_the_truth_is_inside_as_often_as_is_said(tail: float):
    inside = 0
    for seed in range(RUNS):
        dice = random.Random(seed)
        drawn, others, known = Sample(), 0.0, 0.0
        for cluster in range(1_500):
            group, shared = dice.randrange(GROUPS), dice.gauss(0, tail / 2)
            held = cluster < 60
            for _ in range(3):
                x = dice.lognormvariate(0, 0.5)
                y = x * math.exp(shared + dice.gauss(0, tail))
                if held:
                    drawn.add(group, x, y)
                else:
                    others, known = others + y, known + x
        found = total([Stratum(drawn, 3 * 1_440, known)])
        inside += found.low <= others <= found.high
    assert inside >= 0.95 * RUNS - 3 * math.sqrt(0.95 * 0.05 * RUNS)
