"""The comparison's sums are exact, and no order or grouping of the strata changes them."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.ledger.holdout import Holdout, compare, in_holdout
from thrift_plugins.types import Request, Scope

names = st.text(max_size=8)


@given(names, names, names, names, st.binary(min_size=1, max_size=80), st.floats(0, 1), st.floats(0, 1))
def test_a_conversation_is_in_one_arm_and_shares_are_nested(
    tenant: str, session: str, one: str, two: str, secret: bytes, low: float, high: float
):
    low, high = sorted((low, high))
    first, second = (Request(call, 0.0, "m", (), scope=Scope(tenant=tenant, session=session)) for call in (one, two))
    if session or one == two:
        assert in_holdout(first, high, secret) == in_holdout(second, high, secret)
    assert in_holdout(first, high, secret) or not in_holdout(first, low, secret)


def entry(number: int, feature: str, model: str, held: bool, size: int, baseline: int, actual: int) -> dict[str, Any]:
    return {
        "id": str(number), "tenant": "", "session": str(number // 3), "feature": feature, "requested_model": model,
        "baseline": {"made": True, "usage": {"input_tokens": size}}, "patches": [] if held or baseline == actual else [["budget"]],
        "bill": {"baseline": actual if held else baseline, "actual": actual, "unpriced": []}, "extra": {"holdout": held},
    }  # fmt: skip


amounts = st.integers(0, 10**10)
calls = st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans(), st.integers(0, 10**6), amounts, amounts)
months = st.lists(calls, max_size=300).map(lambda made: [entry(number, *call) for number, call in enumerate(made)])


@settings(max_examples=60, deadline=None)
@given(months)
def test_sums_are_exact_and_features_do_not_disturb_each_other(month: list[dict[str, Any]]):
    rows = compare(month).rows()
    treated = [one for one in month if not one["extra"]["holdout"]]
    assert sum(row.treated for row in rows) == len(treated)
    assert sum(row.held for row in rows) == len(month) - len(treated)
    assert sum(row.booked for row in rows) == sum(one["bill"]["baseline"] - one["bill"]["actual"] for one in treated)
    for row in rows:
        own = Holdout()
        for one in month:
            if (one["feature"], one["requested_model"]) == (row.feature, row.model):
                own.add(one)
        assert own.rows() == [row]
        assert (row.measured is None) == bool(row.unknown)
        if row.measured:
            assert row.measured.low <= row.measured.value <= row.measured.high
