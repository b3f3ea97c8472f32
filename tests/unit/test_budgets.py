"""Budgets on paper: what they are, whom they cover, what a call may cost, and when a stream is too long."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrift_plugins.budgeting import Budget, Estimate, Fuse, affordable, most_output
from thrift_plugins.config import Config
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Warned
from thrift_plugins.stores.accounts import Standing
from thrift_plugins.types import Message, Request, Scope, Tier

REQUEST = Request("r1", 0.0, "gpt-4o", (Message("user", "Hello"),))
RATES = Prices({"m": {"input": 1.0, "output": 4.0}}).rates("m", at=0.0, input_tokens=10)


@pytest.mark.parametrize(
    ("limit", "told"),
    [(0, "above 0"), (-5, "above 0"), ("NaN", "above 0"), ("five", "above 0"), (True, "above 0"), ("1e-10", "finer")],
)
def test_a_limit_in_dollars_that_cannot_work(limit: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Budget.usd("b", limit)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "100", 2**60])
def test_a_limit_in_tokens_that_cannot_work(limit: Any) -> None:
    with pytest.raises(ConfigError, match="'b'"):
        Budget.tokens("b", limit)


@pytest.mark.parametrize(
    "settings",
    [
        {"window": "week"},
        {"rolling": -1.0},
        {"rolling": float("inf")},
        {"per": ("team",)},
        {"rolling": "1h"},
        {"rolling": True},
        {"rolling": 0.5},
        {"rolling": 1e300},
        {"per": "tenant"},
        {"per": ("tenant", 5)},
        {"match": {"team": "x"}},
        {"match": "tenant"},
        {"match": {"tenant": 5}},
        {"window": ["day"]},
        {"mode": None},
        {"mode": "firm"},
        {"warn": (0.0,)},
        {"warn": (1.5,)},
        {"warn": 0.8},
        {"warn": ("half",)},
        {"warn": (True,)},
        {"on_outage": "panic"},
        {"orphans": "forget"},
    ],
)
def test_a_setting_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="'b'"):
        Budget.usd("b", 1, **settings)


def test_dollars_are_exact() -> None:
    assert Budget.usd("b", 0.1).limit == 100_000_000
    assert Budget.usd("b", "0.000000001").limit == 1


def test_from_a_file() -> None:
    budgets = Config(
        budgets=[{"name": "a", "usd": 5, "window": "day", "per": ["tenant"]}, {"name": "b", "tokens": 9}]
    ).budgets  # type: ignore[list-item]
    assert budgets == (Budget.usd("a", 5, window="day", per=("tenant",)), Budget.tokens("b", 9))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"name": "a"}, "needs one limit"),
        ({"name": "a", "usd": 1, "tokens": 1}, "needs one limit"),
        ({"usd": 1}, "needs a name"),
        ({"name": "a", "usd": 1, "windw": "day"}, "Did you mean 'window'"),
    ],
)
def test_a_table_that_cannot_work(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Config(budgets=[table])  # type: ignore[list-item]


def test_two_budgets_of_one_name() -> None:
    with pytest.raises(ConfigError, match="2 budgets named 'a'"):
        Config(budgets=[Budget.usd("a", 1), Budget.tokens("a", 1)])


def test_whom_it_covers() -> None:
    faq = Budget.usd("faq", 1, match={"feature": "faq", "tag": "beta", "key:region": "eu"})
    scope = Scope(feature="faq", tags=("alpha", "beta"), keys=(("region", "eu"),))
    assert faq.covers(scope)
    assert not faq.covers(replace(scope, tags=()))
    assert not faq.covers(replace(scope, keys=()))
    assert Budget.usd("all", 1).covers(Scope())


def test_accounts_are_apart_where_their_names_are() -> None:
    def account(budget: Budget, **names: Any) -> str:
        return budget.account(replace(REQUEST, scope=Scope(**names)))

    per = Budget.usd("b", 1, per=("tenant", "user"))
    assert account(per, tenant="a", user="bc") != account(per, tenant="ab", user="c")
    assert account(per, tenant="a") != account(per, tenant="")
    assert account(per, tenant="a", user="x").split("}")[0] == account(per, tenant="a", user="y").split("}")[0]
    assert account(Budget.usd("b", 1), tenant="a") == account(Budget.usd("b", 1), tenant="b")
    assert account(Budget.usd("b", 1)) != account(Budget.usd("c", 1)) != account(Budget.tokens("c", 1))


def test_the_accounts_of_runs_and_calls() -> None:
    by_run, by_call = Budget.usd("b", 1, window="run"), Budget.usd("b", 1, window="call")
    one, two = replace(REQUEST, run="x"), replace(REQUEST, id="r2", run="x")
    assert by_run.account(one) == by_run.account(two) != by_run.account(replace(one, run="y"))
    assert by_call.account(one) != by_call.account(two)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(1, 4), st.integers(0, 10**8))
def test_what_is_affordable_fits_and_one_more_does_not(prompt: int, most: int, answers: int, left: int) -> None:
    estimate = Estimate.of(replace(REQUEST, params={"n": answers}), prompt, most, RATES)
    for unit in ("usd", "tokens"):
        tokens = affordable(estimate, unit, left)
        assert 0 <= tokens <= most
        assert tokens == 0 or estimate.amount(unit, tokens) <= left
        assert tokens == most or estimate.amount(unit, tokens + 1) > left


def test_how_long_an_answer_may_be() -> None:
    assert most_output(Tier("a", "m", limit=100, max_output=4_000)) == (100, True)
    assert most_output(Tier("a", "m", max_output=4_000)) == (4_000, True)
    assert most_output(Tier("a", "m")) == (16_384, False)


def test_a_fuse_burns_with_the_first_token_too_many() -> None:
    fuse = Fuse(3, "gpt-4o")
    assert [fuse.burns(piece) for piece in ("one", " two", " three", "", " four")] == [False, False, False, False, True]
    assert not Fuse(None, "gpt-4o").burns("word " * 1000)


def test_pieces_inside_a_token_do_not_burn_a_fuse() -> None:
    fuse = Fuse(2, "gpt-4o")
    assert not any(fuse.burns(letter) for letter in "hello")


def test_an_estimate_has_leeway() -> None:
    fuse = Fuse(100, "claude-sonnet-4-5")
    assert not any(fuse.burns(" word") for _ in range(100))
    assert any(fuse.burns(" word") for _ in range(100))


def test_a_warning_is_given_once_in_a_window() -> None:
    budget, warned = Budget.tokens("b", 100, window="day", warn=(0.5, 0.8)), Warned()

    def due(used: int, resets: float = 1.0) -> float | None:
        return warned.due(budget, Standing("a", 100, used, 0, resets))

    assert warned.due(budget, Standing("a", 100, 40, 60, 1.0)) is None, "what is reserved is not spent"
    assert [due(40), due(50), due(60), due(95), due(99), due(60, 2.0)] == [None, 0.5, None, 0.8, None, 0.5]


def test_the_error_says_what_is_left_and_until_when() -> None:
    error = BudgetExceeded("day", 2_000_000, 1_500_000, 5_000_000_000, "usd", 86_400.0)
    assert str(error) == (
        "budget 'day' refuses the call: $0.001500 of $5.000000 left, and the call may need $0.002000;"
        " it starts anew at 1970-01-02 00:00:00 UTC"
    )
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.left) == (str(error), error.left)


CACHED = Prices({"m": {"input": 1.0, "output": 4.0, "cache_write": 1.25}}).rates("m", at=0.0, input_tokens=10)
MARK: Any = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    "marked",
    [
        {"params": MARK},
        {"params": {"tools": [{"name": "search", **MARK}]}},
        {"params": {"extra_body": MARK}},
        {"tools": ({"name": "search", **MARK},)},
        {"messages": (Message("user", ({"type": "text", "text": "Hello", **MARK},)),)},
    ],
)
def test_what_is_written_to_a_prompt_cache_is_reserved_at_its_price(marked: Any) -> None:
    assert Estimate.of(replace(REQUEST, **marked), 100, 0, CACHED).amount("usd") == 125_000
    assert Estimate.of(REQUEST, 100, 0, CACHED).amount("usd") == 100_000
