"""What to turn on next, by dollars."""

from __future__ import annotations

from typing import Any

from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.prices import Prices
from thrift_plugins.report.advice import advice, asked_by_feature
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.types import Patch, Scope, Usage

PRICES = Prices({"m": {"input": 1.0, "output": 4.0, "batch_input": 0.5, "batch_output": 2.0}})
START = 1_780_000_000.0


def records(*features: tuple[str, int, int, int], patches: tuple[Patch, ...] = ()) -> list[dict[str, Any]]:
    """Calls over thirty days: for each feature its name, their number, and the tokens of one."""
    ledger = Ledger(MemoryEventLog(), PRICES, capacity=100_000)
    for name, count, prompt, answer in features:
        for number in range(count):
            usage = Usage(prompt, answer, source="provider")
            at = START + number * 30 * 86_400 / (count - 1)
            ledger.append(
                Event(f"{name}{number}", at, "langchain", Scope(feature=name), "answered", Cost("m", usage), "m", usage, "stop", patches=patches)
            )  # fmt: skip
    return list(ledger.records())


def test_the_best_of_each_feature_the_dearest_first():
    found = records(("rag", 100, 8_000, 20), ("mail", 100, 100, 2_000), ("small", 100, 10, 1))
    told = advice(lambda: found, PRICES, at=START)
    assert [(each.feature, each.tactic) for each in told] == [("mail", "batch"), ("rag", "batch")]
    assert told[0].amount == 100 * (100 + 4 * 2_000) // 2 * 1_000
    assert "“rag”" in told[1].told


def test_where_there_is_no_batch_price_something_else_is_best():
    prices = Prices({"m": {"input": 1.0, "output": 4.0}})
    found = records(("rag", 100, 8_000, 20), ("mail", 100, 100, 2_000))
    told = advice(lambda: found, prices, at=START)
    assert [(each.feature, each.tactic) for each in told] == [("rag", "compression"), ("mail", "budget")]
    assert told[0].amount == 100 * 4_000 * 1_000
    assert "8,000 tokens" in told[0].why
    assert told[1].told == "ask for shorter answers in “mail”: [output.features.mail]"


def test_what_does_something_there_already_is_not_advised():
    longer, shorter = Usage(8_000, 20), Usage(4_000, 20)
    done = Patch("compression", "usage", longer, shorter, "counted")
    assert "compression" not in {
        each.tactic for each in advice(lambda: records(("rag", 100, 4_000, 20), patches=(done,)), PRICES, at=START)
    }


def test_few_calls_tell_nothing():
    assert advice(lambda: records(("rag", 20, 8_000, 20)), PRICES, at=START) == []
    assert asked_by_feature([]) == {}
