"""How good written-down answers were: what counts as a label, and that what a router has chosen itself is no sample of all."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.test_learned_router import request
from thrift_plugins.labels import CHOSEN, COMPARED, GATE, READERS, UNKNOWN, Booked, labelled
from thrift_plugins.lessons import Lesson
from thrift_plugins.routing.example import Example
from thrift_plugins.types import Reply, Usage

TIERS = ("small", "large")


def lesson(name: str, *, served: str = "small", drawn: bool = True, **said: str) -> Lesson:
    asked = request("What is it?")
    object.__setattr__(asked, "id", name)
    replies = {tier: Reply(text, Usage(), finish_reason="stop") for tier, text in said.items()}
    return Lesson(Example(asked, {}, replies), served, drawn)


def call(name: str, propensity: float) -> dict[str, Any]:
    return {"id": name, "extra": {"route": {"propensity": propensity}}}


def liked(name: str, *, good: bool) -> dict[str, Any]:
    return {"id": f"{name}/x", "extra": {"quality": {"what": "feedback", "told": [name, good]}}}


def judged(name: str, loss: float | None) -> dict[str, Any]:
    return {"id": f"{name}-shadow", "extra": {"quality": {"what": "judged", "told": ["routing", "faq", loss, 0, 1]}}}


PROSE = "It depends on many things that nobody can tell from here, as has been said before by others."


@pytest.mark.parametrize(
    ("given", "records", "scores", "how"),
    [
        (lesson("a", small="Yes", large="yes."), [], {"small": 1.0, "large": 1.0}, COMPARED),
        (lesson("a", small="No", large="yes."), [], {"small": 0.0, "large": 1.0}, COMPARED),
        (lesson("a", small="", large="yes."), [], {"small": 0.0, "large": 1.0}, COMPARED),
        (lesson("a", small="No", large="yes."), [liked("a", good=True)], {"small": 1.0, "large": 1.0}, READERS),
        (lesson("a", served="large", small="yes", large="yes."), [liked("a", good=False)], {"small": 0.0, "large": 0.0}, READERS),
        (lesson("a", served="large", small="no", large="yes."), [liked("a", good=False)], None, UNKNOWN),
        (lesson("a", small=PROSE, large=PROSE + " Or so."), [], None, UNKNOWN),
        (lesson("a", small=PROSE, large=PROSE + " Or so."), [liked("a", good=False)], {"small": 0.0, "large": 1.0}, READERS),
        (lesson("a", drawn=False, small="yes"), [], None, UNKNOWN),
        (lesson("a", drawn=False, small="yes"), [liked("a", good=True)], None, CHOSEN),
        (lesson("a", drawn=False, small="yes"), [liked("a", good=True), call("a", 0.1)], {"small": 1.0, "large": 1.0}, READERS),
        (lesson("a", drawn=False, small="yes"), [judged("a", 1.0), call("a", 0.1)], {"small": 0.0, "large": 1.0}, GATE),
        (lesson("a", drawn=False, small="yes"), [judged("a", None), call("a", 0.1)], None, UNKNOWN),
        (lesson("a", served="large", drawn=False, large="yes"), [liked("a", good=True)], None, UNKNOWN),
    ],
)  # fmt: skip
def test_labels(given: Lesson, records: list[dict[str, Any]], scores: dict[str, float] | None, how: str) -> None:
    made, tally = labelled([given], Booked.of(records), TIERS)
    assert dict(tally) == {how: 1}
    assert [dict(example.scores) for example in made] == ([] if scores is None else [scores])


def test_what_was_explored_is_weighed_so_that_it_is_like_all() -> None:
    chance = random.Random(1)
    given, records = [], []
    for number in range(8_000):
        easy = chance.random() < 0.5  # the router sends these to the small tier, but for one in ten
        drawn = chance.random() < 0.1
        if easy != drawn:
            given.append(lesson(str(number), drawn=False, small="yes"))
            records += [call(str(number), 0.9 if easy else 0.1), liked(str(number), good=easy)]
    made, tally = labelled(given, Booked.of(records), TIERS)
    assert sum(example.scores["small"] for example in made) / len(made) == pytest.approx(0.5, abs=0.06)
    assert tally[CHOSEN] > tally[READERS]


def test_three_tiers_need_all_answers() -> None:
    made, _ = labelled([lesson("a", small="a", mid="b", large="b")], Booked(), ("small", "mid", "large"))
    assert dict(made[0].scores) == {"small": 0.0, "mid": 1.0, "large": 1.0}
    assert labelled([lesson("a", small="a", large="b")], Booked(), ("small", "mid", "large"))[0] == []


def test_a_ledger_of_another_version() -> None:
    odd: list[dict[str, Any]] = [{"id": 1, "extra": {"quality": {"what": "feedback", "told": []}}}, {"id": "a"}]
    assert Booked.of(odd) == Booked()
