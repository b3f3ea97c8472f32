"""The ledger's claim beside the holdout: who is in it, what is compared, and when nothing is said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.benchmarks.holdout import APP, World
from tests.benchmarks.holdout import month as month_of
from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.holdout import FEW, OTHERS, Comparison, Holdout, compare, in_holdout
from thrift_plugins.prices import Prices
from thrift_plugins.stores.eventlog import MemoryEventLog
from thrift_plugins.types import NO_USAGE, Outcome, Overhead, Patch, Request, Scope, Usage

PRICES = Prices({"large": {"input": 2.5, "output": 10}, "small": {"input": 0.25, "output": 1}})
MONTHS = max(10, int(20 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))))
SECRET = b"of this app"


def request(call: str = "1", session: str = "", tenant: str = "") -> Request:
    return Request(call, 0.0, "large", (), scope=Scope(tenant=tenant, session=session))


def test_a_share_of_the_calls_is_drawn_and_the_same_ones_each_time():
    drawn = [in_holdout(request(str(call)), 0.02, SECRET) for call in range(20_000)]
    assert 320 <= sum(drawn) <= 480
    assert drawn == [in_holdout(request(str(call)), 0.02, SECRET) for call in range(20_000)]
    assert drawn != [in_holdout(request(str(call)), 0.02, b"another") for call in range(20_000)]


def test_conversations_stay_whole():
    for session in map(str, range(200)):
        assert len({in_holdout(request(str(call), session), 0.5, SECRET) for call in range(5)}) == 1


def test_sessions_of_two_tenants_are_two():
    drawn = [[in_holdout(request("1", str(session), tenant), 0.5, SECRET) for session in range(200)] for tenant in "ab"]
    assert drawn[0] != drawn[1]


def test_a_larger_share_keeps_those_of_a_smaller():
    calls = [request(str(call)) for call in range(2_000)]
    few, more = ({call.id for call in calls if in_holdout(call, share, SECRET)} for share in (0.02, 0.2))
    assert few < more


@pytest.mark.parametrize(("share", "drawn"), [(0.0, False), (1.0, True)])
def test_none_and_all(share: float, drawn: bool):
    assert {in_holdout(request(str(call)), share, SECRET) for call in range(500)} == {drawn}


def test_a_name_that_no_store_can_write_is_drawn_too():
    assert in_holdout(request("1", "half a pair: \ud800"), 1.0, SECRET)


def call(
    number: int, used: Usage, *, held: bool = False, feature: str = "faq", claimed: Usage | None = None, at: float | None = None,
    model: str = "large", outcome: Outcome = "answered", overheads: tuple[Overhead, ...] = (), **told: Any,
) -> Event:  # fmt: skip
    """A call that used something; where something else is claimed, by an output budget."""
    patches = () if claimed is None else (Patch("budget", "usage", claimed, used, "modelled"),)
    cost = Cost(model, claimed or used)
    return Event(
        str(number), number if at is None else at, "test", Scope(feature=feature), outcome, cost, model, used,
        patches=patches, overheads=overheads, extra={**told, **({"holdout": True} if held else {})},
    )  # fmt: skip


def records(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """The events as a real ledger has them."""
    ledger = Ledger(MemoryEventLog(), PRICES)
    for event in events:
        ledger.append(event)
    yield from ledger.records()
    ledger.close()


def told(events: Sequence[Event]) -> list[Comparison]:
    return compare(records(events)).rows()


def month(guess: int, calls: int = 4_000, *, every: int = 20) -> list[Event]:
    """Answers of 200 to 400 tokens, 300 in the mean, of which an output budget leaves 100."""
    events = []
    for number in range(calls):
        plain, held = Usage(400, 200 + number * 37 % 201, source="provider"), number % every == 7
        used = plain if held else replace(plain, output_tokens=100)
        events.append(call(number, used, held=held, claimed=None if held else Usage(400, guess)))
    return events


@pytest.mark.parametrize("guess", [150, 300, 600])
def test_a_wrong_guess_is_corrected(guess: int):
    (row,) = told(month(guess))
    treated = 3_800
    assert (row.treated, row.held) == (treated, 200)
    assert row.booked == treated * (guess - 100) * 10_000
    assert row.baseline == treated * (400 * 2_500 + guess * 10_000)
    assert row.corrected == pytest.approx(treated * 200 * 10_000, rel=0.05)
    assert row.measured is not None
    assert row.measured.value == pytest.approx(treated * 200 * 10_000, rel=0.05)
    assert row.measured.low < treated * 200 * 10_000 < row.measured.high
    assert row.measured.high - row.measured.low < 0.15 * row.measured.value
    assert row.agrees


def test_a_correction_has_not_seen_the_answers_that_come_after():
    """The holdout's answers grow from 300 to 500 tokens in the second half; the claims of the first half stay."""
    first = month(300, 2_000)
    second = [replace(event, id=f"2{event.id}", at=event.at + 2_000) for event in month(300, 2_000)]
    longer = [
        replace(event, usage=Usage(400, 500), baseline=Cost("large", Usage(400, 500))) if event.extra else event
        for event in second
    ]
    alone, (before,), (after,) = told(first)[0], told([*first, *second]), told([*first, *longer])
    half = alone.corrected
    assert before.corrected == pytest.approx(2 * half, rel=0.03)
    assert half < after.corrected < 2.9 * half
    assert after.measured is not None
    assert after.measured.value == pytest.approx(2 * 1.5 * half, rel=0.03)
    assert after.agrees is False


def test_nothing_is_said_of_few_calls():
    events = [event for event in month(600, 1_160) if event.extra or int(event.id) % 3]
    held = sum(bool(event.extra) for event in events)
    assert held == 58
    (row,) = told(events)
    assert row.measured is not None
    few = [event for event in events if not event.extra or int(event.id) < 20 * (FEW - 1)]
    (row,) = told(few)
    assert (row.held, row.measured, row.agrees) == (FEW - 1, None, None)
    assert row.unknown == f"{FEW - 1} calls in the holdout, {FEW} needed"
    assert row.corrected == row.booked
    total = compare(records(few)).total()
    assert (total.measured, total.unknown, total.treated) == (None, "no feature with enough calls", 0)


def test_nothing_is_said_of_few_conversations():
    talks = [replace(event, scope=Scope(feature="faq", session=str(int(event.id) // 20 % 5))) for event in month(600)]
    (row,) = told(talks)
    assert (row.held, row.measured, row.corrected) == (200, None, row.booked)
    assert row.unknown == "5 conversations in the holdout, 10 needed"


def test_the_total_is_of_what_is_known():
    events = month(300) + [call(10_000 + n, Usage(10, 10), feature="rare", claimed=Usage(10, 90)) for n in range(50)]
    holdout = compare(records(events))
    known, rare = holdout.rows()
    total = holdout.total()
    assert (known.feature, rare.feature, rare.unknown) == ("faq", "rare", "0 calls in the holdout, 30 needed")
    assert total == replace(known, feature="", model="")


def test_the_dearest_comes_first_and_models_are_apart():
    small = [
        replace(event, id=f"s{event.id}", baseline=replace(event.baseline, model="small"), served="small")
        for event in month(300)
    ]
    rows = told([*small, *month(300)])
    assert [row.model for row in rows] == ["large", "small"]
    assert rows[0].booked == 10 * rows[1].booked


def test_what_is_paid_beside_an_answer_is_no_saving():
    beside = (Overhead("routing", "large", Usage(400, 100), "rejected"),)
    dearer = [event if event.extra else replace(event, overheads=beside) for event in month(300)]
    (plain,), (row,) = told(month(300)), told(dearer)
    assert plain.measured is not None
    assert row.measured is not None
    cost = 3_800 * (400 * 2_500 + 100 * 10_000)
    assert row.measured.value == pytest.approx(plain.measured.value - cost)
    assert row.booked == plain.booked - cost


def test_a_renewal_is_a_cost_and_no_call_and_an_orphan_is_neither():
    paid = Overhead("cache", "large", Usage(400, 100), "renewal")
    renewal = Event("r", 9_000.0, "test", Scope(feature="faq"), "answered", Cost("large", NO_USAGE, made=False),
                    overheads=(paid,), extra={"cache": {"renewal": True}})  # fmt: skip
    orphan = Event("o", 9_000.0, "test", Scope(), "error", Cost("large", NO_USAGE, made=False), error="Orphaned")
    (plain,), (row,) = told(month(300)), told([*month(300), renewal, orphan])
    assert row.treated == plain.treated
    assert row.booked == plain.booked - (400 * 2_500 + 100 * 10_000)


def test_calls_without_a_price_are_told():
    unknown = [call(9_000 + n, Usage(1, 1), model="nobody-1") for n in range(3)]
    rows = told([*month(300), *unknown])
    assert [(row.model, row.unknown) for row in rows] == [
        ("large", ""),
        ("nobody-1", "0 calls in the holdout, 30 needed"),
    ]
    beside = (Overhead("routing", "nobody-1", Usage(1, 1), "failed"),)
    some = [event if event.extra or int(event.id) % 10 else replace(event, overheads=beside) for event in month(300)]
    (row,) = told(some)
    assert (row.measured, row.unknown) == (None, "400 calls without a price")


def test_all_in_the_holdout():
    (row,) = told([call(n, Usage(10, 10 + n), held=True) for n in range(40)])
    assert (row.treated, row.held, row.unknown) == (0, 40, "no call outside the holdout")


def test_what_is_known_of_most_calls_is_not_scaled_by_noise():
    """Of 4,000 calls 1 % are changed: the holdout cannot tell what those few would have cost, and the claim stays near."""
    events = [
        event
        if event.extra or number % 100 == 3
        else replace(event, patches=(), usage=plain, baseline=Cost("large", plain))
        for number, event in enumerate(month(300))
        for plain in [Usage(400, 200 + number * 53 % 201)]
    ]
    (row,) = told(events)
    assert abs(row.corrected - row.booked) < 3 * row.booked
    assert row.agrees


def test_months_with_wrong_guesses():
    """What `tests.benchmarks.holdout` measures on a thousand, on a few."""
    months = [month_of(World(APP, 20_000), seed) for seed in range(MONTHS)]
    agreeing, right = (sum(one.low <= figure <= one.high for one, figure in zip(months, figures, strict=True)) for figures in
                       ([one.corrected for one in months], [one.truth for one in months]))  # fmt: skip
    as_booked = sum(one.low <= one.booked <= one.high for one in months)
    assert agreeing >= 0.93 * MONTHS
    assert right >= 0.8 * MONTHS
    assert as_booked <= 0.6 * MONTHS


def test_there_is_an_end_to_features():
    holdout = Holdout()
    for entry in records([call(n, Usage(1, 1), feature=f"f{n}") for n in range(1_200)]):
        holdout.add(entry)
    rows = holdout.rows()
    assert len(rows) == 1_001
    assert sum(row.treated for row in rows) == 1_200
    assert next(row for row in rows if row.feature == OTHERS).treated == 200
