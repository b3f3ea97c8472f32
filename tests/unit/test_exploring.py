"""Exploration, the guard against drift, and the tier that the settings have for a feature."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.test_engine import ANSWER, TIERS, play
from tests.unit.test_learned_router import EASY, HARD, NAMED, request, world
from tests.unit.test_learned_router import TIERS as TWO
from thrift_plugins.engine import Engine
from thrift_plugins.errors import ConfigError
from thrift_plugins.prices import Prices
from thrift_plugins.routing import Conversations, DriftGuard, Exploring, RuleRouter
from thrift_plugins.routing.drift import WINDOW, Histogram
from thrift_plugins.routing.training import train
from thrift_plugins.types import Decision, Message, Request, Scope, Tier, decision_record


def test_a_bounded_share_is_explored_and_its_propensity_told() -> None:
    router = Exploring(RuleRouter(), 0.1)
    made = [router.decide(request(f"What is number {at}?"), TIERS, 2) for at in range(3_000)]
    explored = [decision for decision in made if decision.policy == "explore"]
    assert 0.07 < len(explored) / len(made) < 0.13
    assert {decision.name for decision in explored} == {"mid", "big"}
    assert {decision.propensity for decision in explored} == {0.05}
    assert {decision.propensity for decision in made if decision.policy == "rules"} == {0.9}
    assert decision_record(explored[0])["propensity"] == 0.05
    assert explored[0].reasons[0] == "explored instead of small"
    again = router.decide(request("What is number 7?"), TIERS, 2)
    assert again == router.decide(request("What is number 7?"), TIERS, 2)


def test_weighed_by_propensity_exploration_is_unbiased() -> None:
    router = Exploring(RuleRouter(), 0.2)
    made = [router.decide(request(f"What is number {at}?"), TIERS, 2) for at in range(4_000)]
    weights = [1 / decision.propensity for decision in made if decision.name == "big" and decision.propensity]
    assert sum(weights) / len(made) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("share", [-0.1, 0.3])
def test_too_much_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="explore must be 0 to"):
        Exploring(RuleRouter(), share)


def test_what_is_forced_is_not_explored() -> None:
    router = Exploring(RuleRouter(), 0.2)
    made = [router.decide(request(f"What is number {at}?", forced="small"), TIERS, 2) for at in range(200)]
    assert {decision.policy for decision in made} == {"forced"}


def test_traffic_that_has_changed_goes_to_the_strong_model() -> None:
    guard = DriftGuard(train(world(600), NAMED, quality=0.95))
    usual = [each.request for each in world(2 * WINDOW, seed=7)]
    assert {guard.decide(each, TWO, 1).policy for each in usual} == {"learned"}
    assert guard.changed() == []
    only_hard = [request(f"Please tell me about the {HARD[0]} of case {at}, thanks.") for at in range(WINDOW)]
    for each in only_hard:
        guard.decide(each, TWO, 1)
    assert guard.changed() == [""]
    easy = request(f"Please tell me about the {EASY[0]} of case 7, thanks.")
    decision = guard.decide(easy, TWO, 1)
    assert (decision.name, decision.policy) == ("large", "drift")
    assert decision.reasons[0] == "its traffic is not what was learnt from"
    for each in usual:
        guard.decide(each, TWO, 1)
    assert guard.changed() == []


def test_histograms() -> None:
    known = Histogram.fit([at / 100 for at in range(100)])
    assert known.distance([10] * 10) == pytest.approx(0.0, abs=1e-6)
    assert known.distance([100] + [0] * 9) > 1
    assert Histogram.of(list(known.edges), list(known.shares)) == known
    for edges, shares in (([1], [1]), ([2, 1], [0, 0, 1]), ([float("nan")], [0, 1]), ([1], [-1, 2])):
        with pytest.raises(ValueError, match="histogram"):
            Histogram.of(edges, shares)


def test_a_feature_has_its_tier() -> None:
    engine = Engine(router=RuleRouter(), fixed={"checkout": "big", "gone": "retired"})
    asked = Request("1", 1_780_000_000.0, "gpt-4o", (Message("user", "Hi"),), scope=Scope(feature="checkout"))
    assert play(engine, asked, calls=[ANSWER]).asked == ["big"]
    other = Request("1", 1_780_000_000.0, "gpt-4o", (Message("user", "Hi"),), scope=Scope(feature="gone"))
    played = play(engine, other, calls=[ANSWER])
    assert played.asked == ["small"]
    assert "routing: no tier is called retired" in played.event.fallbacks


def test_without_a_price_the_baseline_serves() -> None:
    prices = Prices()
    prices.load()
    conversations = Conversations(prices)
    asked = replace(request("Where is it?"), at=1_780_000_000.0)
    decision = Decision(0, "small", "learned", alternatives=(1,), chances={"small": 0.9, "large": 0.95})
    known = conversations.priced(asked, TWO, 1, decision)
    assert 0 < known.costs["small"] < known.costs["large"]
    nobody = (Tier("small", "a-model-of-ours"), TWO[1])
    refused = conversations.priced(asked, nobody, 1, decision)
    assert (refused.tier, refused.policy, refused.reasons[0]) == (1, "unpriced", "no price for a-model-of-ours")
