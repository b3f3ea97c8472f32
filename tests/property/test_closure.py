"""Bills close in integers, whatever the tactics did, and each tactic's share is its Shapley value."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.ledger import Cost, Event, Line, bill, shapley
from thrift_plugins.ledger.bill import patched
from thrift_plugins.types import Overhead, Patch, Scope, Usage

MODELS = ("large", "medium", "small")
MODES = ("standard", "batch", "flex")
RATES = {"large": (2507, 10009), "medium": (401, 1607), "small": (7, 13)}
TACTICS = ("cache", "distillation", "routing", "compression", "budgeting", "batching")


class Rates:
    """Prices with nothing round about them."""

    @property
    def snapshot(self) -> dict[str, str]:
        return {"source": "test", "version": "1"}

    def cost(self, model: str, usage: Usage, *, at: float | None = None, processing: Any = "standard") -> int:
        sent, got = RATES[model]
        whole = sent * usage.input_tokens + got * usage.output_tokens - usage.cache_read * (sent // 2)
        return whole if processing == "standard" else whole * 609 // 1000


PRICES = Rates()
counts = st.integers(0, 50_000)
usages = st.builds(lambda sent, got, read: Usage(sent, got, cache_read=min(read, sent)), counts, counts, counts)


@st.composite
def changes(draw: st.DrawFn, baseline: Cost) -> list[Patch]:
    """What 1 to 6 tactics did, one after the other. Several may change the usage; one alone sets each other field."""
    tactics = draw(st.permutations(TACTICS))[: draw(st.integers(1, len(TACTICS)))]
    free = ["made", "model", "processing"]
    made: list[Patch] = []
    usage = baseline.usage
    for tactic in tactics:
        kinds = draw(st.sets(st.sampled_from([*free, "usage"]), min_size=1, max_size=3))
        for kind in sorted(kinds):
            match kind:
                case "made":
                    made.append(Patch(tactic, "made", before=True, after=False))
                case "model":
                    made.append(Patch(tactic, "model", baseline.model, draw(st.sampled_from(MODELS))))
                case "processing":
                    made.append(Patch(tactic, "processing", "standard", draw(st.sampled_from(MODES))))
                case _:
                    after = draw(usages)
                    made.append(Patch(tactic, "usage", usage, after))
                    usage = after
            if kind != "usage":
                free.remove(kind)
    return made


@st.composite
def events(draw: st.DrawFn) -> Event:
    baseline = Cost(draw(st.sampled_from(MODELS)), draw(usages))
    beside = st.builds(
        Overhead, st.sampled_from(TACTICS), st.sampled_from(MODELS), usages, st.just("failed"), st.sampled_from(MODES)
    )
    overheads = tuple(draw(st.lists(beside, max_size=4)))
    return Event(
        "1", 0.0, "test", Scope(), "answered", baseline, patches=tuple(draw(changes(baseline))), overheads=overheads
    )


def price(cost: Cost) -> int:
    return PRICES.cost(cost.model, cost.usage, processing=cost.processing) if cost.made else 0


def shares(baseline: Cost, patches: Sequence[Patch]) -> dict[str, Fraction]:
    """The definition: the mean, over every order, of what the bill drops when a tactic joins."""
    tactics = sorted({patch.tactic for patch in patches})
    orders = list(permutations(tactics))
    sums = dict.fromkeys(tactics, 0)
    known: dict[frozenset[str], int] = {}

    def value(members: frozenset[str]) -> int:
        if members not in known:
            known[members] = price(patched(baseline, [patch for patch in patches if patch.tactic in members]))
        return known[members]

    for order in orders:
        for place, tactic in enumerate(order):
            before = frozenset(order[:place])
            sums[tactic] += value(before) - value(before | {tactic})
    return {tactic: Fraction(total, len(orders)) for tactic, total in sums.items()}


@given(events())
@settings(max_examples=120, deadline=None)
def test_rows_overheads_and_actual_are_the_baseline(event: Event):
    made = bill(event, PRICES)
    paid = price(patched(event.baseline, event.patches))
    beside = sum(PRICES.cost(o.model, o.usage, processing=o.processing) for o in event.overheads)

    assert sum(made.rows.values()) + sum(made.overheads.values()) + made.actual == made.baseline
    assert made.baseline == price(event.baseline)
    assert made.actual == paid + beside, "found without the rows"
    assert all(type(amount) is int for amount in (made.actual, made.baseline, *made.rows.values()))
    assert all(amount <= 0 for amount in made.overheads.values())
    assert set(made.rows) == {patch.tactic for patch in event.patches}


@given(events(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_the_patches_is_nothing_to_the_bill(event: Event, chance: Any):
    shuffled = list(event.patches)
    chance.shuffle(shuffled)
    assert shapley(event.baseline, shuffled, price) == shapley(event.baseline, event.patches, price)


@given(events())
@settings(max_examples=60, deadline=None)
def test_a_row_is_the_shapley_value_within_a_nano_dollar(event: Event):
    rows = shapley(event.baseline, event.patches, price)
    exact = shares(event.baseline, event.patches)
    assert rows.keys() == exact.keys()
    assert all(abs(rows[tactic] - exact[tactic]) < 1 for tactic in rows)
    assert sum(rows.values()) == sum(exact.values())


@given(st.lists(events(), max_size=20))
@settings(max_examples=20, deadline=None)
def test_every_sum_closes(some: list[Event]):
    line = Line()
    for event in some:
        made = bill(event, PRICES)
        line.add(
            {
                "bill": {"baseline": made.baseline, "actual": made.actual, "rows": made.rows,
                         "overheads": made.overheads, "unpriced": []},
                "outcome": event.outcome, "fallbacks": [], "usage": {},
            }
        )  # fmt: skip
    assert line.closes()
    assert line.requests == len(some)


@given(events())
@settings(max_examples=60, deadline=None)
def test_the_usage_after_all_patches_is_the_last_one_seen(event: Event):
    seen = [patch.after for patch in event.patches if patch.field == "usage"]
    after = patched(event.baseline, event.patches).usage
    assert after == (seen[-1] if seen else event.baseline.usage)
