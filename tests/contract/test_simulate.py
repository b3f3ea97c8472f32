"""What-ifs on a ledger: every change is the bill of the same calls, priced again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.cli_kit import command, stranger
from tests.ledger_kit import CHEAP, STRONG, events, fill
from thrift_plugins.errors import ConfigError
from thrift_plugins.learning.spread import monthly, ratio
from thrift_plugins.ledger.bill import bill
from thrift_plugins.ledger.event import Event
from thrift_plugins.ledger.ledger import row
from thrift_plugins.ledger.whatif import EVERY, Simulation, WhatIf, event_of, simulate
from thrift_plugins.prices import Prices
from thrift_plugins.stores import SQLiteEventLog

PRICES, NOW = Prices(), 1_796_000_000.0
EVENTS = list(events(600))


def entries(told: list[Event] = EVENTS) -> Iterator[dict]:
    return (orjson.loads(row(event, PRICES)[2]) for event in told)


def of(*whats: WhatIf) -> Simulation:
    return simulate(entries(), whats, PRICES, at=NOW)


def test_a_record_gives_back_the_event_and_its_bill():
    for event, entry in zip(EVENTS, entries(), strict=True):
        again = event_of(entry)
        assert (again.baseline, again.patches, again.overheads, again.usage) == (
            event.baseline, event.patches, event.overheads, event.usage,
        )  # fmt: skip
        assert bill(again, PRICES) == bill(event, PRICES)


def test_nothing_but_what_is_asked_for_is_otherwise():
    found = of(WhatIf("batch", "faq"), WhatIf("batch", "nobody"), WhatIf("off", EVERY, "nothing"))
    assert found.booked == found.repriced > 0
    batch, nobody, nothing = found.results
    assert (nobody.calls, nothing.calls) == (0, 0)
    answered = [
        event for event in EVENTS if event.scope.feature == "faq" and event.outcome == "answered" and event.served
    ]
    priced = [event for event in answered if not bill(event, PRICES).unpriced]
    assert batch.calls == len(priced)
    assert batch.paid == sum(bill(event, PRICES).actual for event in priced)
    assert batch.saved == sum(batch.by_day.values())


def test_batch_is_half_the_price_of_what_a_model_was_paid_for_and_nothing_else():
    (batch,) = of(WhatIf("batch")).results
    beside = sum(
        -sum(bill(event, PRICES).overheads.values())
        for event in EVENTS
        if event.outcome == "answered" and event.served and not bill(event, PRICES).unpriced
    )
    assert batch.would == pytest.approx((batch.paid - beside) / 2 + beside, rel=1e-6)


def test_another_model_takes_the_place_of_the_router_s():
    (strong, cheap) = of(WhatIf("model", EVERY, STRONG), WhatIf("model", EVERY, CHEAP)).results
    assert strong.saved < 0 < cheap.saved
    assert strong.calls == cheap.calls


def test_shorter_answers_cost_less_and_longer_ones_more():
    shorter, longer = of(WhatIf("output", "rag", share=0.5), WhatIf("output", "rag", share=2.0)).results
    assert shorter.saved > 0 > longer.saved
    assert longer.saved == pytest.approx(-2 * shorter.saved, rel=0.01)


def test_without_a_tactic_its_savings_and_its_overheads_are_gone():
    (routing,) = of(WhatIf("off", EVERY, "routing")).results
    booked = [bill(event, PRICES) for event in EVENTS]
    worth = sum(each.rows.get("routing", 0) + each.overheads.get("routing", 0) for each in booked)
    assert routing.saved == -worth


def test_a_model_without_a_price_is_said_to_have_none():
    (house,) = of(WhatIf("model", EVERY, "house-7b")).results
    assert (house.calls, house.saved) == (0, 0)
    assert house.unpriced > 0


def test_prices_that_have_changed_since_are_seen():
    found = simulate(entries(), [], Prices({STRONG: {"input": 5.0, "output": 20.0}}), at=NOW)
    assert found.repriced > found.booked


def test_a_month_is_known_from_three_whole_days_on():
    assert monthly([1.0, 2.0]) is None
    flat = monthly([2.0] * 10)
    assert flat is not None
    assert (flat.value, flat.low, flat.high) == pytest.approx((60.88, 60.88, 60.88))
    some = monthly([1.0, 2.0, 3.0, 2.0, 1.0, 3.0])
    assert some is not None
    assert some.low < some.value < some.high
    assert ratio([(1.0, 2.0)] * 2) is None
    assert ratio([(1.0, 0.0)] * 5) is None
    half = ratio([(1.0, 2.0), (1.1, 2.0), (0.9, 2.0), (1.0, 2.0)])
    assert half is not None
    assert half.value == pytest.approx(0.5)
    assert half.low < 0.5 < half.high


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stranger(monkeypatch, tmp_path)
    log = SQLiteEventLog(tmp_path / "ledger.db")
    fill(log, 400)
    log.close()
    return tmp_path


def test_the_command_says_what_a_change_is_worth_a_month(folder: Path):
    words = (
        "--batch",
        "faq",
        "--model",
        "rag=gpt-4o-mini",
        "--output",
        "mail=0.7",
        "--off",
        "cache",
        "--off",
        "faq=routing",
    )
    result = command("simulate", "--ledger", "ledger.db", *words, "--json", "told.json")
    assert result.exit_code == 0, result.output
    told = json.loads((folder / "told.json").read_text())["what_if"]
    assert [one["what"] for one in told] == [
        "batch on for faq", "gpt-4o-mini for rag", "answers of 70% of the length for mail", "without cache for every feature",
        "without routing for faq",
    ]  # fmt: skip
    assert [one["saved_nano"] > 0 for one in told] == [True, True, True, False, False]
    for one in told:
        low, value, high = one["saved_a_month_usd"]
        assert low < value < high
    shown = " ".join(result.output.split())
    assert "how good such answers are is in no ledger" in shown


def test_where_nobody_knows_nothing_is_claimed(folder: Path):
    words = ("--model", "faq=no-such-model", "--batch", "no such feature", "--off", "cache")
    result = command("simulate", "--ledger", "ledger.db", *words, "--json", "told.json")
    told = json.loads((folder / "told.json").read_text())["what_if"]
    assert [one["saved_a_month_usd"] for one in told[:2]] == [None, None]
    assert told[1]["unpriced"] > 0
    shown = " ".join(result.output.split())
    assert "nobody knows what that saves" in shown
    assert shown.count("no call would be otherwise") == 1
    assert "$0.00 (" not in shown
    assert "(-$" in shown
    assert "$-" not in shown


def test_without_a_change_it_shows_batch_for_each_feature(folder: Path):
    shown = " ".join(command("simulate", "--ledger", "ledger.db").output.split())
    assert "batch on for" in shown


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--model", "faq"), "--model wants FEATURE=VALUE, as in faq=gpt-4o-mini"),
        (("--output", "faq=long"), "the share of the length must be above 0"),
        (("--output", "faq=-1"), "the share of the length must be above 0"),
        (("--batch", "faq", "--since", "2030-01-01"), "the ledger has no call in this time"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Path, words: tuple[str, ...], problem: str):
    refused = command("simulate", "--ledger", "ledger.db", *words).exception
    assert isinstance(refused, ConfigError)
    assert problem in str(refused)
