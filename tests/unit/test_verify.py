"""What must not stand, by the answer alone."""

from __future__ import annotations

import pytest

from thrift_plugins.routing import rejects
from thrift_plugins.routing.arithmetic import sums, wrong
from thrift_plugins.types import Message, Reply, Request, Usage

REQUEST = Request("1", 0.0, "gpt-4o", (Message("user", "How many?"),))


def reply(said: str, finish: str = "stop") -> Reply:
    return Reply(said, Usage(), finish_reason=finish)


@pytest.mark.parametrize(
    "said",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide medical advice.",
        "Sorry, I am unable to answer.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Lo siento, pero no puedo ayudarte.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
        "Je suis désolé, mais je ne peux pas vous aider.",
    ],
)
def test_refusals(said: str) -> None:
    assert rejects(REQUEST, reply(said)) == "refusal"


@pytest.mark.parametrize(
    "said",
    [
        "Sorry to hear that! Your refund is on its way.",
        "You cannot return it after 30 days.",
        "I can help with that.",
        "抱歉让您久等了，您的订单已发货。",
        "I can't stress enough how useful this is. " * 30,
    ],
)
def test_what_is_no_refusal(said: str) -> None:
    assert rejects(REQUEST, reply(said)) is None


@pytest.mark.parametrize(
    "said",
    [
        "3 + 4 = 7, so 7 * 2 = 14.",
        "Half of it: 7 / 2 = 3.5",
        "1,200 x 3 = 3,600",
        "That is (2 + 3) * 4 = 20.",
        "The share is (1 / 4) * 100 = 25%",
        "200 / 3 = 66.67",
        "100 / 3 = 33",
        "$6 * 2 = $12",
        "Solve 2x + 3 = 11.",
        "f(3 + 4) = 9",
        "1 / 0 = 5",
        "10 - 4 - 3 = 3",
        "2 + 2 = 4 + 0",
    ],
)
def test_sums_that_come_out_or_are_none(said: str) -> None:
    assert wrong(said) is None


@pytest.mark.parametrize(("said", "which"), [("So 7 * 8 = 54.", "7 * 8 = 54"), ("9 - 1 = 87", "9 - 1 = 87")])
def test_sums_that_do_not(said: str, which: str) -> None:
    assert wrong(said) == which
    assert rejects(REQUEST, reply(said)) == f"wrong sum: {which}"


def test_any_text_is_read() -> None:
    for said in (
        "",
        "=" * 5_000,
        "1+" * 20_000 + "1 = 3",
        "(" * 9_000 + "1 + 1 = 2",
        "\ud800 1 + 1 = 3",
        "9" * 5_000 + " + 1 = 2",
    ):
        list(sums(said))
