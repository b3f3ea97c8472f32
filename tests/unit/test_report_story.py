"""What a report is made of: flaws, intervals, steps, what to do next, charts and words."""

from __future__ import annotations

import random
from datetime import date

import orjson
import pytest

from tests import report_kit
from tests.ledger_kit import events
from thrift_plugins.learning.survey import Estimate
from thrift_plugins.ledger import Cost, Event, Line
from thrift_plugins.ledger.flaws import Arm, flaws
from thrift_plugins.ledger.holdout import Comparison, compare
from thrift_plugins.ledger.ledger import row
from thrift_plugins.ledger.rollup import Rollup, roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.report.actions import actions
from thrift_plugins.report.charts import bars, trend
from thrift_plugins.report.soundness import changed, soundness
from thrift_plugins.report.story import tell
from thrift_plugins.report.waterfall import Checked, checked, waterfall
from thrift_plugins.report.wording import digits_of, discreet, less, money, percent, points
from thrift_plugins.types import Patch, Scope, Usage


@pytest.fixture(scope="module")
def bodies() -> list[str]:
    return [row(event, report_kit.PRICES)[2] for event in report_kit.events(4_000)]


@pytest.fixture(scope="module")
def rollup(bodies: list[str]) -> Rollup:
    return roll_up(bodies)


def test_flaws_are_those_that_are_counted_one_by_one(bodies: list[str], rollup: Rollup):
    plain = roll_up(row(event, Prices())[2] for event in events(500))
    assert plain.flaws.held == {}
    found = flaws(map(orjson.loads, bodies))
    assert rollup.flaws == found
    cut = sum(arm.flaws["cut"] for arms in (found.treated, found.held) for arm in arms.values())
    assert cut == rollup.leaks.truncated.total() > 0
    assert sum(arm.calls for arms in (found.treated, found.held) for arm in arms.values()) == rollup.total.requests


def test_who_refused_for_a_budget_gave_no_bad_answer():
    usage = Usage(10, 5)
    made = [
        Event(f"{outcome}{error}", 1e9, "test", Scope(), outcome, Cost("gpt-4o", usage), "gpt-4o", usage, error=error)
        for outcome, error in (("error", "BudgetExceeded"), ("error", "Orphaned"), ("aborted", ""), ("error", "Timeout"))
    ]
    arm = roll_up(row(event, Prices())[2] for event in made).flaws.treated[""]
    assert (arm.calls, arm.unjudged, dict(arm.flaws)) == (4, 3, {"failed": 1})
    assert arm.sound == 0.0
    assert Arm().sound is None


def test_newcombe_s_interval():
    # Newcombe (1998), table II, case (a): 56/70 less 48/80 = +0.2000 (+0.0524 to +0.3339)
    found = changed(48, 80, 56, 70)
    assert [round(value, 4) for value in found] == [0.2, 0.0524, 0.3339]
    low, high = changed(30, 30, 30, 30)[1:]
    assert low < -0.09, "no flaw among thirty is not no flaw"
    assert high > 0.09


def test_the_interval_has_the_truth_in_it_as_often_as_it_says():
    chance, held = random.Random(4), 0
    for _ in range(1_000):
        before = sum(chance.random() < 0.97 for _ in range(200))
        after = sum(chance.random() < 0.95 for _ in range(2_000))
        found = changed(before, 200, after, 2_000)
        held += found.low <= -0.02 <= found.high
    assert held >= 930


def test_below_thirty_answers_nothing_is_compared(rollup: Rollup):
    whole, each = soundness(rollup)
    assert whole.change is not None
    few = next(one for one in each if one.feature == "")
    assert (few.change, few.sound) == (None, None)


def test_the_steps_close_whatever_tactics_are_called():
    line = Line(baseline=1_000, actual=470)
    line.by_tactic.update({"a tactic of tomorrow": 700, "cache": -20, "zero": 0})
    line.overheads.update({"cache": -100, "gate": -50})
    steps = waterfall(line, Checked(530, 500, 480, 520))
    assert line.closes()
    assert [step.name for step in steps] == [
        "without thrift-plugins", "saved by a tactic of tomorrow", "saved by zero", "saved by cache",
        "paid beside the answers by cache", "paid beside the answers by gate", "paid",
    ]  # fmt: skip
    assert steps[-2].end == steps[-1].end == line.actual
    assert (steps[0].low, steps[0].high) == (950, 990)


def test_what_the_holdout_cannot_check_is_as_booked():
    line = Line(baseline=1_000, actual=400)
    told = Comparison("", "", 9, 9, baseline=500, booked=300, corrected=310, measured=Estimate(280.0, 250.0, 330.0))
    found = checked(line, told)
    assert (found.claimed, found.measured, found.low, found.high, found.share, found.agrees) == (600, 580, 550, 630, 0.5, True)
    assert checked(line, Comparison("", "", 0, 0, 0, 0, 0, unknown="few")) == Checked(600)


def test_a_feature_s_check_is_the_sum_of_its_models(bodies: list[str]):
    holdout = compare(map(orjson.loads, bodies))
    for feature, told in holdout.by_feature().items():
        known = [one for one in holdout.rows() if one.feature == feature and one.measured is not None]
        assert told.booked == sum(one.booked for one in known)
        assert (told.measured is None) == (not known)
        if len(known) == 1:
            assert told.measured == known[0].measured


def test_what_to_do_next_is_ranked_and_is_in_the_ledger(rollup: Rollup):
    story = tell(rollup)
    amounts = [one.amount for one in story.actions if one.amount is not None]
    assert amounts == sorted(amounts, reverse=True)
    assert [one.amount for one in story.actions[len(amounts) :]] == [None] * (len(story.actions) - len(amounts))
    told = {one.what: one for one in story.actions}
    small = rollup.by["feature"]["small talk"]
    losing = told["Leave “small talk” out of distillation"]
    assert losing.amount == -(small.by_tactic["distillation"] + small.overheads["distillation"])
    cut = told["Raise the limit on answers of “contract review”, or ask for shorter ones"]
    arms = [arms["contract review"] for arms in (rollup.flaws.treated, rollup.flaws.held)]
    assert cut.amount == sum(arm.paid.get("cut", 0) for arm in arms)
    tried = [one for one in story.actions if one.basis == "modelled"]
    assert len({one.what.partition(" for ")[2] for one in tried}) == len(tried), "one for each feature: they would overlap"
    assert {"Give prices for 1 model", "See why the ledger was down", "See why processes die"} <= told.keys()


def test_what_to_do_next_with_nothing_on():
    usage = Usage(10, 5)
    plain = [Event(f"{n}", 1e9, "test", Scope(), "answered", Cost("gpt-4o", usage), "gpt-4o", usage) for n in range(5)]
    found = tell(roll_up(row(event, Prices())[2] for event in plain))
    assert [one.what for one in found.actions] == ["Turn a tactic on"]
    assert actions(Rollup(), Checked(0)) == []


def test_bars_lie_where_the_money_is():
    line = Line(baseline=1_000, actual=700)
    line.by_tactic.update({"cache": 400})
    line.overheads.update({"cache": -100})
    found = bars(waterfall(line))
    assert [(bar.x, bar.width) for bar in found] == [(0, 1000), (600, 400), (600, 100), (0, 700)]
    dearer = Line(baseline=1_000, actual=2_000)
    dearer.by_tactic.update({"odd": -1_000})
    assert [(bar.x, bar.width) for bar in bars(waterfall(dearer))] == [(0, 500), (500, 500), (0, 1000)]
    assert bars(waterfall(Line()))


@pytest.mark.parametrize(("days", "per", "columns"), [(1, "day", 1), (92, "day", 92), (93, "week", 14), (800, "month", 27)])
def test_a_trend_has_every_day_and_not_too_many_columns(days: int, per: str, columns: int):
    first = date(2024, 1, 1).toordinal()
    lines = {
        f"{date.fromordinal(first + number)}": Line(requests=1, baseline=10, actual=4)
        for number in range(days)
        if number in (0, days - 1) or number % 3
    }
    found = trend(Rollup(by={"tenant": {}, "feature": {}, "model": {}, "day": lines}))
    assert (found.per, len(found.columns)) == (per, columns)
    assert sum(column.calls for column in found.columns) == len(lines)
    assert all(0 <= column.paid <= column.before <= 1000 for column in found.columns)
    assert all(left.x + left.width <= right.x for left, right in zip(found.columns, found.columns[1:], strict=False))
    assert found.top >= max(column.baseline for column in found.columns)


def test_any_tactic_name_gets_a_row():
    usage = Usage(1_000, 100)
    patch = Patch("squeezing 2.0 <beta>", "usage", usage, Usage(500, 100), "counted")
    event = Event("1", 1e9, "test", Scope(feature="f"), "answered", Cost("gpt-4o", usage), "gpt-4o", usage, patches=(patch,))
    steps = tell(roll_up([row(event, Prices())[2]])).steps
    assert "saved by squeezing 2.0 <beta>" in {step.name for step in steps}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("acme", "acme"),
        ("", "-"),
        (report_kit.MAIL, "j… (mail)"),
        (f"for {report_kit.KEY} only", "for s… (key) only"),
        (report_kit.PHONE, "+… (phone)"),
        ("\x1b[31m", "\\x1b[31m"),
        ("x" * 90, "x" * 79 + "…"),
        ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
        ("tenant-1234567890", "tenant-1234567890"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("skunkworks-engineering-team-europe", "skunkworks-engineering-team-europe"),
    ],
)
def test_a_page_names_no_person(text: str, told: str):
    assert discreet(text) == told


def test_words_for_numbers():
    assert [digits_of(amount) for amount in (0, 10**6, 10**9, 10**10, -(10**12))] == [4, 6, 4, 2, 2]
    assert (money(-1_234_567_890_000, 2), percent(None), percent(0.12345, 2), points(-0.00125, 2)) == (
        "-$1,234.57", "-", "12.35%", "-0.12",
    )  # fmt: skip
    assert (less(0.356), less(0.0), less(-0.05)) == ("35.6% less", "0.0% less", "5.0% more")
