"""Bills by hand: what each tactic saved on one call, in whole nano-dollars."""

from __future__ import annotations

from typing import Any

import pytest

from thrift_plugins.ledger import Bill, Cost, Event, bill, shapley, summarise
from thrift_plugins.ledger.bill import patched
from thrift_plugins.prices import Prices
from thrift_plugins.types import NO_USAGE, Overhead, Patch, Scope, Usage

PRICES = Prices({"big": {"input": 2, "output": 10, "batch_input": 1, "batch_output": 5}, "small": {"input": 0.2, "output": 1}})
USED = Usage(1_000, 100, source="provider")  # big: 3,000,000; small: 300,000 nano-dollars


def event(*patches: Patch, usage: Usage = USED, overheads: tuple[Overhead, ...] = (), model: str = "big") -> Event:
    return Event("1", 0.0, "test", Scope(), "answered", Cost(model, usage), patches=patches, overheads=overheads)


HIT = Patch("cache", "made", before=True, after=False)
ROUTED = Patch("routing", "model", "big", "small")
BATCHED = Patch("batching", "processing", "standard", "batch")


def test_nothing_done_saves_nothing():
    assert bill(event(), PRICES) == Bill(3_000_000, 3_000_000)


@pytest.mark.parametrize(("patch", "saved"), [(HIT, 3_000_000), (ROUTED, 2_700_000), (BATCHED, 1_500_000)])
def test_one_tactic_alone(patch: Patch, saved: int):
    assert bill(event(patch), PRICES) == Bill(3_000_000, 3_000_000 - saved, {patch.tactic: saved})


def test_two_tactics_share_what_they_save_together():
    made = bill(event(ROUTED, HIT), PRICES)
    # Routing first saves 2.7, then the hit 0.3; the hit first saves 3, then routing nothing.
    assert made == Bill(3_000_000, 0, {"cache": 1_650_000, "routing": 1_350_000})


def test_an_odd_nano_dollar_goes_to_the_first_by_name():
    rows = shapley(
        Cost("big", NO_USAGE), (HIT, ROUTED, BATCHED), lambda cost: 0 if not cost.made or cost.model == "small" else 100
    )
    assert rows == {"cache": 50, "routing": 50, "batching": 0}
    rows = shapley(Cost("big", NO_USAGE), (HIT, ROUTED), lambda cost: 0 if not cost.made or cost.model == "small" else 101)
    assert rows == {"cache": 51, "routing": 50}


def test_a_loss_is_a_negative_row():
    longer = Patch("routing", "usage", USED, Usage(1_000, 500))
    made = bill(event(longer), PRICES)
    assert made == Bill(3_000_000, 7_000_000, {"routing": -4_000_000})


def test_overheads_are_on_their_tactic_s_bill():
    beside = (Overhead("routing", "small", USED, "rejected"), Overhead("routing", "big", USED, "failed", "batch"))
    made = bill(event(overheads=beside), PRICES)
    assert made == Bill(3_000_000, 4_800_000, {}, {"routing": -1_800_000})


@pytest.mark.parametrize("where", ["baseline", "patch", "overhead"])
def test_a_model_without_a_price_is_said_and_not_a_zero(where: str):
    unknown = {
        "baseline": event(model="nobody-1"),
        "patch": event(Patch("routing", "model", "big", "nobody-1")),
        "overhead": event(overheads=(Overhead("routing", "nobody-1", USED, "failed"),)),
    }[where]
    assert bill(unknown, PRICES) == Bill(unpriced=("nobody-1",))


def test_usages_are_changed_by_differences():
    less_in = Patch("compression", "usage", Usage(1_000, 100), Usage(400, 100))
    less_out = Patch("budgeting", "usage", Usage(400, 100), Usage(400, 60))
    assert patched(Cost("big", USED), (less_out,)).usage == Usage(1_000, 60, source="provider")
    assert patched(Cost("big", USED), (less_out, less_in)).usage == Usage(400, 60, source="provider")
    assert bill(event(less_in, less_out), PRICES).rows == {"compression": 1_200_000, "budgeting": 400_000}
    absurd = Patch("compression", "usage", Usage(9_000), Usage(0))
    assert patched(Cost("big", USED), (absurd,)).usage.input_tokens == 0


def entry(feature: str, made: Bill, **told: Any) -> dict[str, Any]:
    amounts = {"baseline": made.baseline, "actual": made.actual, "rows": made.rows, "overheads": made.overheads,
               "unpriced": made.unpriced}  # fmt: skip
    return {"feature": feature, "bill": amounts, "outcome": "answered", "fallbacks": [], "usage": {}, **told}


def test_a_summary_adds_up_and_divides_by_feature():
    summary = summarise(
        [
            entry("faq", bill(event(HIT), PRICES), outcome="hit"),
            entry("faq", bill(event(ROUTED, overheads=(Overhead("routing", "small", USED, "failed"),)), PRICES)),
            entry("chat", bill(event(), PRICES), usage={"source": "estimated"}, fallbacks=["cache: store down, call made"]),
            entry("chat", bill(event(model="nobody-1"), PRICES)),
        ]
    )
    total, faq = summary.total, summary.by_feature["faq"]
    assert (total.requests, total.baseline, total.actual) == (4, 9_000_000, 3_600_000)
    assert total.by_tactic == {"cache": 3_000_000, "routing": 2_700_000}
    assert total.overheads == {"routing": -300_000}
    assert total.outcomes == {"hit": 1, "answered": 3}
    assert (total.unpriced, total.estimated) == ({"nobody-1": 1}, 1)
    assert total.fallbacks == {"cache: store down, call made": 1}
    assert total.saved_fraction == pytest.approx(0.6)
    assert faq.actual == 600_000
    assert all(line.closes() for line in (total, *summary.by_feature.values()))
    assert summarise([]).total.saved_fraction == 0


def test_what_priced_models_were_paid_in_an_unpriced_call_is_told_apart():
    made = bill(Event("1", 0.0, "test", Scope(), "answered", Cost("unknown-1", USED), served="small", usage=USED,
                      overheads=(Overhead("routing", "big", USED, "failed"),)), PRICES)  # fmt: skip
    assert made == Bill(unpriced=("unknown-1",), apart=300_000 + 3_000_000)
