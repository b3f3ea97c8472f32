"""An app is interrupted while it waits for what comes after an answer: the answer is paid for, and is booked once all the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from thrift_plugins.audited import Audits
from thrift_plugins.budgeting import Budget
from thrift_plugins.effects import Append, Call, Effect, Reap, Renew, Reserve, Settle, Try
from thrift_plugins.engine import Engine
from thrift_plugins.ledger import Event
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Purse
from thrift_plugins.quality import Consult, Gate, LLMJudge, Terms
from thrift_plugins.routing import RuleRouter
from thrift_plugins.stores import MemoryAccounts
from thrift_plugins.tokens import Bounds
from thrift_plugins.types import Message, Reply, Request, Tier, Usage

PRICES = Prices({"small": {"input": 1, "output": 2}, "large": {"input": 10, "output": 20}})
TIERS = [Tier("small", "small"), Tier("large", "large")]
ANSWER = Reply("Money back.", Usage(10, 5, source="provider"), finish_reason="stop")
REQUEST = Request("r", 0.0, "large", (Message("user", "What is a refund?"),))


class App:
    """Does what a flow asks for; the first effect of one kind is interrupted after it was done."""

    def __init__(self, interrupted: type | None) -> None:
        self.interrupted = interrupted
        self.accounts = MemoryAccounts(clock=lambda: 0.0)
        self.asked = 0
        self.events: list[Event] = []
        self.renewed: list[Renew] = []

    def run(self, flow: Any) -> None:
        step, told = flow.send, None
        while True:
            try:
                effect = step(told)
            except StopIteration:
                return
            step, told = flow.send, self.does(effect)
            if type(effect) is self.interrupted:
                step, told, self.interrupted = flow.throw, asyncio.CancelledError(), None

    def does(self, effect: Effect) -> Any:
        match effect:
            case Reap():
                return []
            case Reserve():
                return self.accounts.reserve(effect.lease, effect.holds, effect.ttl)
            case Settle():
                return self.accounts.settle(effect.lease, effect.amounts)
            case Append(event):
                self.events.append(event)
            case Renew():
                self.renewed.append(effect)
            case Call() | Try() | Consult():
                self.asked += 1
                return replace(ANSWER, content=f"Answer {self.asked}.")
        return None

    def left(self, budget: Budget) -> tuple[int, int]:
        [left] = Purse((budget,), PRICES, Bounds()).remaining(self.accounts, REQUEST.scope, "")
        return left.used, left.held


def test_while_it_is_settled() -> None:
    budget, app = Budget.tokens("all", 1_000_000), App(Settle)
    engine = Engine(purse=Purse((budget,), PRICES, Bounds()))
    with pytest.raises(asyncio.CancelledError):
        app.run(engine.call(REQUEST, TIERS[1:], 0, dialect="test"))
    [event] = app.events
    assert (event.outcome, event.error, event.usage) == ("cancelled", "CancelledError", ANSWER.usage)
    assert app.left(budget) == (15, 0)


@pytest.mark.parametrize("interrupted", [Settle, Consult])
def test_while_a_shadow_is_settled_or_judged(interrupted: type) -> None:
    class Asker:
        tier = Tier("judge", "small")

    budget = Budget.tokens("shadows", 1_000_000)
    gate = Gate(Terms(share=1.0), LLMJudge(Asker()))  # type: ignore[arg-type]
    audits = Audits(gate, Purse((budget,), PRICES, Bounds()))
    app, engine = App(None), Engine(router=RuleRouter(), audits=audits)
    app.run(engine.call(REQUEST, TIERS, 1, dialect="test"))
    [shadow] = app.renewed
    app.events.clear()
    app.interrupted = interrupted
    with pytest.raises(asyncio.CancelledError):
        app.run(shadow.flow)
    [event] = app.events
    assert sum(each.usage.input_tokens + each.usage.output_tokens for each in event.overheads) == app.left(budget)[0]
    assert app.left(budget)[1] == 0
