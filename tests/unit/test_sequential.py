"""What may be said about a rate while it is being watched: validity by simulation, with fixed seeds."""

from __future__ import annotations

import os
import random

import pytest

from thrift_plugins.learning.sequential import Alarm, bounds

RUNS = int(300 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))


def raised_at(rate: float, allowed: float, trials: int, seed: int, *, share: float = 1.0, good: int = 0) -> int | None:
    """The trial that raised the alarm; the first `good` ones have no event."""
    chance, alarm = random.Random(seed), Alarm(allowed)
    for trial in range(good + trials):
        event = trial >= good and chance.random() < rate and chance.random() < share
        alarm.observe(int(event), 1, share)
        if alarm.raised:
            return trial - good
    return None


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_an_alarm_is_hardly_ever_false(share: float):
    false = sum(raised_at(0.01, 0.01, 2_000, seed, share=share) is not None for seed in range(RUNS))
    assert false <= 0.01 * RUNS + 3 * (0.01 * RUNS) ** 0.5


def test_an_alarm_comes_soon():
    found = [raised_at(0.1, 0.01, 2_000, seed) for seed in range(50)]
    assert all(at is not None and at < 400 for at in found)


def test_a_long_good_time_hides_nothing():
    found = [raised_at(0.1, 0.01, 2_000, seed, good=10_000) for seed in range(10)]
    assert all(at is not None and at < 600 for at in found)


def test_an_alarm_stays_raised():
    alarm = Alarm(0.01)
    alarm.observe(50, 50)
    assert alarm.raised
    alarm.observe(0, 100_000)
    assert alarm.raised


def test_no_evidence_overflows():
    alarm = Alarm(0.001)
    for _ in range(5):
        alarm.observe(10_000, 10_000)
    assert alarm.raised


@pytest.mark.parametrize(("allowed", "false_alarms"), [(0, 0.01), (1, 0.01), (0.01, 0), (0.01, 1)])
def test_rates_must_be_rates(allowed: float, false_alarms: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Alarm(allowed, false_alarms=false_alarms)


def test_bounds_hold_at_all_times():
    missed = 0
    for seed in range(RUNS):
        chance, events = random.Random(seed), 0
        for trials in range(1, 201):
            events += chance.random() < 0.1
            if trials % 10 == 0:
                low, high = bounds(events, trials)
                if not low <= 0.1 <= high:
                    missed += 1
                    break
    assert missed <= 0.05 * RUNS


def test_bounds_close_in():
    assert bounds(0, 0) == (0.0, 1.0)
    assert bounds(0, 20)[0] == 0.0
    assert bounds(20, 20)[1] == 1.0
    narrow, wide = bounds(100, 1_000), bounds(10, 100)
    assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]
