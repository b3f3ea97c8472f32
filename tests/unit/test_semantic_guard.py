"""The promise of the semantic tier, by simulation with fixed seeds: false switch-offs, true ones, and what processes tell."""

from __future__ import annotations

import math
import os
import random
from dataclasses import replace

import pytest

from thrift_plugins.caching.semantic.guard import Guard, Limits
from thrift_plugins.caching.semantic.records import Check

SCOPE, NAME = b"s" * 16, "faq on gpt-4o"
RUNS = int(100 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))
CHECK = Check(SCOPE, b"o" * 8, 5.0, 0.5, 10, 4, 2, 1, NAME)


def guard(seed: int = 0, origin: bytes = b"a" * 8, **limits: float) -> Guard:
    return Guard(Limits(**limits), origin, random.Random(seed).random)


def lookups(watched: Guard, count: int, chance: random.Random, *, rate: float, hits: float, at_once: int = 1) -> bool:
    """Whether the scope was switched off, over lookups of which so many are hits, and so many wrong."""
    for _ in range(0, count, at_once):
        comparing = []
        for _ in range(at_once):
            why = watched.why_off(SCOPE, NAME, 0.0)
            if why is not None and " off " in why:
                return True
            if why is not None:
                continue
            if chance.random() >= hits:
                watched.missed(SCOPE, 0.0)
                continue
            drawn = watched.draw(SCOPE, 0.0)
            if drawn is not None:
                comparing.append(drawn)
        for drawn in comparing:
            watched.compared(SCOPE, 0.0, drawn, agreed=chance.random() >= rate / hits)
    return False


@pytest.mark.parametrize(
    ("at_once", "hits"), [(1, 0.2), (200, 0.2), (1_000, 0.5), (1_000, 0.05)], ids=["one", "200", "1000", "rare hits"]
)
def test_a_good_scope_is_hardly_ever_switched_off(at_once: int, hits: float):
    """Wrong answers at exactly half the bound, alone and in bursts, whose misses are known before their comparisons."""
    off = sum(
        lookups(guard(seed), 5_000, random.Random(-seed - 1), rate=0.01, hits=hits, at_once=at_once)
        for seed in range(RUNS)
    )
    assert off <= 0.01 * RUNS + 3 * (0.01 * RUNS) ** 0.5


@pytest.mark.parametrize("at_once", [1, 100])
def test_a_bad_scope_is_switched_off(at_once: int):
    for seed in range(20):
        chance = random.Random(seed)
        assert lookups(guard(seed), 2_000, chance, rate=0.2, hits=0.3, at_once=at_once)


def test_a_scope_that_turns_bad_is_switched_off():
    for seed in range(10):
        watched, chance = guard(seed), random.Random(seed)
        assert not lookups(watched, 5_000, chance, rate=0.0, hits=0.3)
        assert watched.standings()[0].mode == "on"
        assert lookups(watched, 5_000, chance, rate=0.2, hits=0.3)


def test_a_trial_compares_no_more_than_it_needs():
    watched = guard(first=3)
    drawn = []
    while watched.why_off(SCOPE, NAME, 0.0) is None:
        drawn.append(watched.draw(SCOPE, 0.0))
    assert len(drawn) == 3
    assert "on trial" in str(watched.why_off(SCOPE, NAME, 0.0))
    for number in drawn:
        assert number is not None
        watched.compared(SCOPE, 0.0, number, agreed=True)
    assert watched.why_off(SCOPE, NAME, 0.0) is None
    assert watched.standings()[0].mode == "on"


def test_a_comparison_that_never_comes_is_not_waited_for_for_ever():
    watched = guard(first=1)
    assert watched.draw(SCOPE, 0.0) is not None
    assert watched.why_off(SCOPE, NAME, 59.0) is not None
    assert watched.why_off(SCOPE, NAME, 61.0) is None


def test_a_comparison_that_comes_after_its_round_counts_for_nothing():
    watched = guard(first=2)
    number = watched.draw(SCOPE, 0.0)
    assert number is not None
    watched.compared(SCOPE, 0.0, number, agreed=True)
    watched.compared(SCOPE, 0.0, number, agreed=False)
    (standing,) = watched.standings()
    assert (standing.checked, standing.wrong) == (1, 0)


def test_what_cannot_be_told_is_a_lookup_and_no_check():
    watched = guard(first=2)
    number = watched.draw(SCOPE, 0.0)
    assert number is not None
    watched.compared(SCOPE, 0.0, number, agreed=None)
    watched.flush(0.0)
    (standing,) = watched.standings()
    assert (standing.lookups, standing.hits, standing.checked, standing.mode) == (1, 1, 0, "trial")


def test_after_a_rest_there_is_a_longer_trial():
    watched = guard(first=5, rest=100.0)
    while not (why := watched.why_off(SCOPE, NAME, 0.0)):
        number = watched.draw(SCOPE, 0.0)
        assert number is not None
        watched.compared(SCOPE, 0.0, number, agreed=False)
    assert "answers that were compared are wrong" in why
    assert watched.why_off(SCOPE, NAME, 99.0)
    assert watched.why_off(SCOPE, NAME, 101.0) is None
    for _ in range(9):
        number = watched.draw(SCOPE, 101.0)
        assert number is not None, "nothing is given"
        watched.compared(SCOPE, 101.0, number, agreed=True)
    assert watched.standings()[0].mode == "trial"


def test_processes_agree():
    one, other = guard(1, b"a" * 8), guard(2, b"b" * 8)
    lookups(one, 3_000, random.Random(3), rate=0.2, hits=0.3)
    for check in one.outbox:
        told = Check.unpack(check.pack())
        assert told is not None
        other.fold(told)
        one.fold(told)  # what it has told itself
    assert other.standings() == one.standings()
    assert other.standings()[0].mode == "off"
    assert other.standings()[0].name == NAME


def test_of_too_many_scopes_the_oldest_begins_anew():
    watched = guard(first=0)
    for number in range(5_000):
        watched.missed(number.to_bytes(16, "big"), 0.0)
    assert len(watched.standings()) <= 4_096


def test_a_check_survives_the_feed():
    told = Check.unpack(CHECK.pack())
    assert told == CHECK
    long = Check.unpack(replace(CHECK, name="长" * 500).pack())
    assert long is not None
    assert long.name == "长" * 200


@pytest.mark.parametrize(
    "changes",
    [
        {"at": math.inf}, {"at": math.nan}, {"share": 0.0}, {"share": 1.5}, {"share": math.nan},
        {"lookups": 0, "hits": 0, "checked": 0, "wrong": 0}, {"lookups": 1_000_000}, {"hits": 11}, {"checked": 5}, {"wrong": 3},
    ],
)  # fmt: skip
def test_a_check_that_cannot_be_is_none(changes: dict[str, float]):
    assert Check.unpack(replace(CHECK, **changes).pack()) is None  # type: ignore[arg-type]
