"""Leaks: what is counted, and under which name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.leaks import Leaks, leaks
from thrift_plugins.prices import Prices
from thrift_plugins.stores.eventlog import MemoryEventLog
from thrift_plugins.types import NO_USAGE, Outcome, Overhead, Scope, Usage

PRICES = Prices({"large": {"input": 2.5, "output": 10}})
USED = Usage(100, 10, source="provider")


def event(number: int, outcome: Outcome = "answered", feature: str = "faq", usage: Usage = USED, **told: Any) -> Event:
    model = told.pop("model", "large")
    return Event(str(number), number, "test", Scope(feature=feature), outcome, Cost(model, usage), model, usage, **told)


def counted(events: Sequence[Event]) -> Leaks:
    ledger = Ledger(MemoryEventLog(), PRICES)
    for one in events:
        ledger.append(one)
    found = leaks(ledger.records(), lost=ledger.dropped)
    ledger.close()
    return found


def test_nothing_leaks():
    assert counted([event(1, finish_reason="stop"), event(2, "hit")]) == Leaks(calls=2)
    assert counted([]).estimated_share == 0


@pytest.mark.parametrize("word", ["length", "max_tokens", "MAX_TOKENS", "incomplete"])
def test_truncations(word: str):
    assert counted([event(1, finish_reason=word)]).truncated == {"faq": 1}


@pytest.mark.parametrize("word", ["content_filter", "SAFETY", "refusal"])
def test_refusals(word: str):
    assert counted([event(1, finish_reason=word), event(2, finish_reason=word, feature="")]).refused == {
        "faq": 1,
        "": 1,
    }


def test_calls_without_an_answer():
    found = counted(
        [
            event(1, "error", error="BudgetExceeded", usage=NO_USAGE),
            event(2, "error", error="APITimeoutError"),
            event(3, "aborted", error="StreamClosed"),
            event(4, "cancelled", error="CancelledError"),
        ]
    )
    assert found.over_budget == {"faq": 1}
    assert found.failed == {"APITimeoutError": 1, "aborted": 1, "cancelled": 1}
    assert found.calls == 4


def test_orphans_are_leases_and_no_calls():
    nothing = Cost("large", NO_USAGE, made=False)
    orphan = Event(
        "1/1/orphan", 1.0, "test", Scope(), "error", nothing, error="Orphaned", extra={"budget": {"orphaned": {"a": 5}}}
    )
    assert counted([orphan, event(2)]) == Leaks(calls=1, orphans=1)


def test_unpriced_estimated_and_lost():
    found = counted([event(1, model="nobody-1"), event(2, usage=Usage(5, 5, source="estimated")), event(3), event(4)])
    assert found.unpriced == {"nobody-1": 1}
    assert (found.estimated, found.estimated_share, found.lost) == (1, 0.25, 0)
    assert leaks([], lost=7).lost == 7


def test_a_renewal_is_no_call_but_its_price_may_be_missing():
    renewal = Event("r", 1.0, "test", Scope(feature="faq"), "answered", Cost("large", NO_USAGE, made=False),
                    overheads=(Overhead("cache", "nobody-1", USED, "renewal"),), extra={"cache": {"renewal": True}})  # fmt: skip
    found = counted([renewal])
    assert (found.calls, found.unpriced) == (0, {"nobody-1": 1})
