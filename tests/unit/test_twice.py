"""Second answers of cheap models: when they are asked for, when two say the same, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_engine import ANSWER, REQUEST, TIERS, TOOL, USED, Broken, Fixed, play
from thrift_plugins.effects import Call
from thrift_plugins.engine import Engine
from thrift_plugins.prices import Prices
from thrift_plugins.routing import Twice, alike
from thrift_plugins.routing.agreement import result
from thrift_plugins.types import Decision, Message, Reply, Request, Scope, Tier, ToolCall, Usage

TWO = (TIERS[0], TIERS[2])
FIRST = Decision(0, "small", "rules", ("short request",), (1,))


def question(text: str, **fields: Any) -> Request:
    return Request("1", 1_780_000_000.0, "gpt-4o", (Message("user", text),), **fields)


def said(text: str, *calls: ToolCall) -> Reply:
    return Reply(text, USED, calls, "stop")


def called(**arguments: Any) -> ToolCall:
    return ToolCall(str(arguments), "get_weather", arguments)


SUM = question("How many apples does Tom have if he buys 3 and then 4?")
FACT = question("What is the capital of France?")
EXAM = question("Which of the following is a prime number? A. 4 B. 6 C. 7 D. 8")


@pytest.mark.parametrize(
    ("asked", "first", "second", "same"),
    [
        (SUM, "3 + 4 = 7, so Tom has 7 apples.", "He has **7**.", True),
        (SUM, "He has 7.", "He has -7.", False),
        (SUM, "He has 7.", "He has 17.", False),
        (SUM, "It is 1,200.00", "1200", True),
        (SUM, "He has 7.", "He has some.", False),
        (SUM, "The answer is 7%", "The answer is 7", False),
        (SUM, "The answer is not 7", "The answer is 7", False),
        (SUM, "The answer is 3/4", "The answer is 3/5", False),
        (SUM, "The answer is 1.5e3", "The answer is 1.5", False),
        (SUM, "He has 7 to 9 apples", "8 to 9", False),
        (SUM, "He has 7 apples after step 2", "He has 5, 2 too few. The answer: 2", False),
        (SUM, "3 + 4 = 7\nSo he has 7 apples.", "The answer is 7.", True),
        (FACT, "The answer is Paris", "The answer: paris.", True),
        (FACT, "The answer is a matter of taste", "The answer is a mystery", False),
        (FACT, "The answer is I.", "The answer is I think B", False),
        (FACT, "The answer is Apollo 11", "The answer is Gemini 11", False),
        (FACT, "The answer is between 5 and 6", "The answer is between 5 and 9", False),
        (FACT, "The answer is 10:30", "The answer is 10:45", False),
        (FACT, "Paris.", "paris", True),
        (FACT, "**Paris**", "Paris", True),
        (FACT, "Paris, since 987.", "Rome, since 987.", False),
        (FACT, "", "", False),
        (EXAM, "The answer is (C).", "7 has two divisors.\nAnswer: C", True),
        (EXAM, "The answer is B. No: the answer is C.", "Answer: B", False),
        (EXAM, "7", "C. 7", False),
        (question("三加四是多少?"), "答案是7。", "3加4等于7,答案是 7", True),
    ],
)
def test_texts(asked: Request, first: str, second: str, same: bool) -> None:
    assert alike(asked, said(first), said(second)) is same
    assert alike(asked, said(second), said(first)) is same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((called(city="Rome", days=2),), (called(days=2.0, city="Rome"),), True),
        ((called(city="Rome"), called(city="Oslo")), (called(city="Oslo"), called(city="Rome")), True),
        ((called(city="Rome"), called(city="Rome")), (called(city="Rome"),), False),
        ((called(city="Rome"),), (called(city="rome"),), False),
        ((called(now=True),), (called(now=1),), False),
        ((called(to=["a", "b"]),), (called(to=["b", "a"]),), False),
        ((called(city="Rome"),), (), False),
        ((replace(called(city="Rome"), arguments='{"city": '),), (called(city="Rome"),), False),
    ],
)
def test_tool_calls(first: tuple[ToolCall, ...], second: tuple[ToolCall, ...], same: bool) -> None:
    asked = question("Weather?", tools=(TOOL,))
    assert alike(asked, said("", *first), said("I look it up.", *second)) is same


def test_structured_answers() -> None:
    asked = question("Where?", schema={"type": "object", "properties": {"city": {"type": "string"}}})
    assert alike(asked, said('{"city": "Rome", "n": 1}'), said('```json\n{"n": 1, "city": "Rome"}\n```'))
    assert not alike(asked, said('{"city": "Rome"}'), said('{"city": "Oslo"}'))
    assert not alike(asked, said("Rome"), said("Rome"))


def test_results_of_any_text() -> None:
    assert result("the answer is " * 20_000 + "5", numeric=True) == "5"
    assert result("#### " + "1," * 20_000, numeric=True) == "1" * 60
    assert result("nothing", numeric=True) is None
    assert result("5", numeric=False) is None
    assert result("((" * 20_000, numeric=True) is None


# When it pays -----------------------------------------------------------------------------------------------------


def plans(wanted: Callable[[str], bool] = lambda _: True) -> Twice:
    prices = Prices()
    prices.load()
    return Twice(prices, wanted)


def test_only_where_it_is_wanted_and_can_be() -> None:
    twice = plans(lambda feature: feature == "faq")
    assert twice.plan(FACT, TWO, FIRST) is FIRST
    asked = replace(FACT, scope=Scope(feature="faq"))
    planned = twice.plan(asked, TWO, FIRST)
    assert (planned.twice, planned.tier) == (True, 0)
    alone = replace(FIRST, alternatives=())
    assert twice.plan(asked, TWO, alone) is alone, "nobody could be asked where they differ"
    several = replace(asked, params={"n": 2})
    assert twice.plan(several, TWO, FIRST) is FIRST


@pytest.mark.parametrize(
    ("tiers", "why"),
    [
        ((Tier("small", "gpt-4.1"), Tier("big", "gpt-4o")), "two answers of small cost as much as one of big"),
        ((Tier("small", "nobody-knows-it"), Tier("big", "gpt-4o")), "no price for nobody-knows-it"),
    ],
)
def test_where_it_cannot_pay_the_strong_model_answers(tiers: tuple[Tier, ...], why: str) -> None:
    planned = plans().plan(FACT, tiers, FIRST)
    assert (planned.name, planned.policy, planned.twice, planned.alternatives) == ("big", "twice", False, ())
    assert why in planned.reasons[0]


def test_a_tool_loop_stays_where_it_is() -> None:
    asked = question("Weather?", tools=(TOOL,))
    loop = replace(asked, messages=(*asked.messages, Message("assistant", "", (called(city="Rome"),)), Message("tool", "Rain")))
    dear = (Tier("small", "gpt-4.1"), Tier("big", "gpt-4o"))
    assert plans().plan(asked, dear, FIRST).name == "big"
    assert plans().plan(loop, dear, FIRST) is FIRST
    assert plans().plan(loop, TWO, FIRST).twice


def test_where_answers_differ_too_often_few_are_asked_for() -> None:
    twice = plans()
    for _ in range(40):
        twice.learn(FACT, TWO[0], USED, agreed=False)
    planned = [twice.plan(FACT, TWO, FIRST) for _ in range(100)]
    assert sum(each.twice for each in planned) == 5
    assert {each.name for each in planned if not each.twice} == {"big"}
    for _ in range(50):
        twice.learn(FACT, TWO[0], USED, agreed=True)
    assert twice.plan(FACT, TWO, FIRST).twice, "what has changed is seen"


def test_in_a_batch_run_the_same_models_are_asked_again_whatever_was_learnt() -> None:
    twice, asked = plans(), replace(FACT, waits=True)
    before = twice.plan(asked, TWO, FIRST)
    for _ in range(40):
        twice.learn(asked, TWO[0], USED, agreed=False)
    assert all(twice.plan(asked, TWO, FIRST) == before for _ in range(100))


# In a call --------------------------------------------------------------------------------------------------------


def engine() -> Engine:
    return Engine(router=Fixed(), twice=plans())


def test_two_that_agree_stand_and_both_are_paid() -> None:
    played = play(engine(), tiers=TWO, calls=(ANSWER, replace(ANSWER, content="paris.")))
    assert played.asked == ["small", "small"]
    event = played.event
    assert event.served == "gpt-4o-mini"
    [overhead] = event.overheads
    assert (overhead.tactic, overhead.reason, overhead.model, overhead.usage) == ("routing", "second", "gpt-4o-mini", USED)


def test_two_that_differ_are_followed_by_the_strong_one() -> None:
    played = play(engine(), tiers=TWO, calls=(ANSWER, replace(ANSWER, content="Rome"), replace(ANSWER, content="Paris")))
    assert played.asked == ["small", "small", "big"]
    event = played.event
    assert event.served == "gpt-4o"
    assert [overhead.reason for overhead in event.overheads] == ["second", "rejected"]
    assert event.fallbacks == ("routing: small rejected (two answers differ)",)


def test_an_answer_of_the_wrong_form_is_not_asked_for_twice() -> None:
    played = play(engine(), tiers=TWO, calls=(replace(ANSWER, content=""), ANSWER))
    assert played.asked == ["small", "big"]


def test_without_a_second_answer_the_strong_one_is_asked() -> None:
    played = play(engine(), tiers=TWO, calls=(ANSWER, Broken(), ANSWER))
    assert played.asked == ["small", "small", "big"]
    assert "no second answer (server error)" in played.event.fallbacks[0]


def test_an_interrupted_second_answer_ends_the_call_and_the_first_is_booked() -> None:
    played = play(engine(), tiers=TWO, calls=(ANSWER, KeyboardInterrupt()))
    assert isinstance(played.raised, KeyboardInterrupt)
    assert played.event.outcome == "cancelled"
    assert played.event.usage == USED


def test_the_middle_tier_is_asked_twice_too_and_the_last_is_not() -> None:
    answers = [replace(ANSWER, content=text) for text in ("a", "b", "c", "d", "e")]
    played = play(engine(), tiers=TIERS, calls=tuple(answers))
    assert played.asked == ["small", "small", "mid", "mid", "big"]


def test_a_stream_is_held_back_until_both_are_there() -> None:
    played = play(engine(), tiers=TWO, streamed=True, calls=(ANSWER, ANSWER))
    assert played.asked == ["small", "small"]
    assert not any(call.delivered for call in played.effects if hasattr(call, "delivered"))


def test_hot_enough_to_differ() -> None:
    call = Call(0, REQUEST, FIRST, least_heat=0.7)
    assert [call.heat(own) for own in (0, 0.5, 1.0, None)] == [0.7, 0.7, None, None]
    assert replace(call, least_heat=None).heat(0) is None


def test_usage_is_learnt() -> None:
    twice = plans()
    twice.learn(FACT, TWO[0], Usage(10, 5), agreed=True)
    assert twice._of("", TWO[0]).output() == 5
