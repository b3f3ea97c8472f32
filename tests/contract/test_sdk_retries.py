"""Requests that an SDK repeats inside one call are seen and booked, and a hard budget has room for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import orjson
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI
from llama_index.llms.openai import OpenAI

from tests.cli_kit import SDK_LEAKS
from tests.llama_index_kit import user
from thrift_plugins import Budget, BudgetExceeded, CacheConfig, Config, Runtime
from thrift_plugins.langchain import RoutingRunnable, ThriftChatModel
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Fault, LoopbackProvider
from thrift_plugins.tries import watch

pytestmark = SDK_LEAKS

QUESTION = "How is the weather in the harbour?"
LOST = [Fault.break_after(20), Fault.break_after(0)]


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=40) as made:
        yield made


class App:
    """A model whose SDK asks again, under a budget if one is given, and its books."""

    def __init__(self, provider: LoopbackProvider, *budgets: Budget) -> None:
        self.provider, self.log = provider, MemoryEventLog()
        config = Config(store="memory:", cache=CacheConfig(enabled=False), budgets=budgets)
        self.runtime = Runtime(config, event_log=self.log)
        self.langchain = ThriftChatModel(tiers=[self.chat()], runtime=self.runtime)
        self.routed: RoutingRunnable[Any, str] = RoutingRunnable(
            [self.chat() | StrOutputParser()], models=["gpt-4o"], runtime=self.runtime
        )
        self.llama_index = ThriftLLM(
            tiers=[OpenAI(model="gpt-4o", api_base=provider.base_url, api_key="k", max_retries=3)], runtime=self.runtime
        )

    def chat(self, **settings: Any) -> ChatOpenAI:
        given = {"max_retries": 6, "stream_usage": True, **settings}
        return ChatOpenAI(model="gpt-4o", base_url=self.provider.base_url, api_key="k", **given)

    def event(self) -> dict[str, Any]:
        self.runtime.close()
        [event] = [orjson.loads(body) for _, _, body in self.log.rows()]
        return event


async def _all(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


WAYS: dict[str, Callable[[App], Any]] = {
    "invoke": lambda app: app.langchain.invoke(QUESTION),
    "ainvoke": lambda app: asyncio.run(app.langchain.ainvoke(QUESTION)),
    "generate": lambda app: app.langchain.generate([[HumanMessage(QUESTION)]]),
    "stream": lambda app: list(app.langchain.stream(QUESTION)),
    "routed": lambda app: app.routed.invoke(QUESTION),
    "arouted": lambda app: asyncio.run(app.routed.ainvoke(QUESTION)),
    "routed_stream": lambda app: list(app.routed.stream(QUESTION)),
    "routed_astream": lambda app: asyncio.run(_all(app.routed.astream(QUESTION))),
    "chat": lambda app: app.llama_index.chat(user(QUESTION)),
    "achat": lambda app: asyncio.run(app.llama_index.achat(user(QUESTION))),
    "stream_chat": lambda app: list(app.llama_index.stream_chat(user(QUESTION))),
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between the tries."""
    from openai import _base_client as sdk

    monkeypatch.setattr(sdk, "INITIAL_RETRY_DELAY", 0.0)
    monkeypatch.setattr(sdk, "MAX_RETRY_DELAY", 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_refused_requests_are_counted_and_cost_nothing(provider: LoopbackProvider, way: str) -> None:
    app = App(provider)
    provider.faults.extend([Fault.refuse(500), Fault.refuse(429)])
    WAYS[way](app)
    assert len(provider.requests) == 3
    event = app.event()
    assert event["extra"]["sdk"] == {"requests": 3, "lost": 0}
    assert event["overheads"] == []


@pytest.mark.parametrize("way", WAYS)
def test_lost_answers_are_booked(provider: LoopbackProvider, way: str) -> None:
    app = App(provider)
    faults = [Fault.break_after(0), Fault.break_after(0)] if "stream" in way else LOST
    provider.faults.extend(faults)
    WAYS[way](app)
    event = app.event()
    assert event["extra"]["sdk"] == {"requests": 3, "lost": 2}
    [(tactic, why, _, used, _)] = event["overheads"]
    assert (tactic, why) == ("retries", "lost")
    assert used["source"] == "estimated"
    paid = [event["usage"]["input_tokens"] + used["input_tokens"], event["usage"]["output_tokens"] + used["output_tokens"]]
    assert paid[0] >= sum(usage.input_tokens for usage in provider.billed)
    assert paid[1] >= sum(usage.output_tokens for usage in provider.billed)
    bill = event["bill"]
    assert sum(bill["rows"].values()) + sum(bill["overheads"].values()) + bill["actual"] == bill["baseline"]
    assert bill["overheads"]["retries"] < 0


@pytest.mark.parametrize("way", WAYS)
def test_a_hard_budget_has_room_for_each(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, Budget.tokens("day", 100_000, window="day"))
    provider.faults.extend([Fault.break_after(0), Fault.refuse(500), Fault.break_after(0)])
    WAYS[way](app)
    assert len(provider.requests) == 4
    [day] = app.runtime.budgets()
    assert day.held == 0
    assert day.used >= sum(usage.input_tokens + usage.output_tokens for usage in provider.billed)
    event = app.event()
    assert event["extra"]["sdk"] == {"requests": 4, "lost": 2}
    assert event["extra"]["budget"]["settled"]["day"] == day.used


@pytest.mark.parametrize("way", WAYS)
def test_a_hard_budget_without_room_ends_the_tries(provider: LoopbackProvider, way: str) -> None:
    app = App(provider, Budget.tokens("day", 600, window="day"))
    provider.faults.extend([Fault.break_after(0)] * 3)
    with pytest.raises(BudgetExceeded):
        WAYS[way](app)
    assert len(provider.requests) == 1
    [day] = app.runtime.budgets()
    assert (day.held, day.left) == (0, 0)
    event = app.event()
    assert (event["outcome"], event["error"]) == ("error", "BudgetExceeded")
    assert event["extra"]["sdk"] == {"requests": 1, "lost": 1}


def test_a_call_that_never_succeeds(provider: LoopbackProvider) -> None:
    app = App(provider)
    provider.faults.extend([Fault.break_after(0)] * 7)
    with pytest.raises(Exception, match="onnection"):
        app.langchain.invoke(QUESTION)
    event = app.event()
    assert event["extra"]["sdk"] == {"requests": 7, "lost": 6}
    assert event["usage"]["source"] == "estimated"
    [(_, _, _, used, _)] = event["overheads"]
    assert used["input_tokens"] == 6 * event["usage"]["input_tokens"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "chat", "achat"])
def test_a_hard_budget_lets_no_sdk_repeat_more_often_than_it_would(provider: LoopbackProvider, way: str) -> None:
    """A provider that is down for good: the SDK gives up, and the rest of the budget is there for other calls."""
    app = App(provider, Budget.tokens("day", 1_000_000, window="day"))
    provider.faults.extend([Fault.break_after(0)] * 50)
    with pytest.raises(Exception, match="onnection"):
        WAYS[way](app)
    retries = 3 if "chat" in way else 6
    assert len(provider.requests) == 1 + retries
    [day] = app.runtime.budgets()
    assert day.held == 0
    assert day.used >= sum(usage.input_tokens + usage.output_tokens for usage in provider.billed)
    assert app.event()["extra"]["sdk"] == {"requests": 1 + retries, "lost": retries}


def test_a_soft_budget_is_charged_and_stops_nothing(provider: LoopbackProvider) -> None:
    app = App(provider, Budget.tokens("day", 10, window="day", mode="soft"))
    provider.faults.append(Fault.break_after(0))
    assert app.langchain.invoke(QUESTION).text
    assert app.runtime.budgets()[0].used > 0


def test_other_calls_over_the_same_client_are_not_counted(provider: LoopbackProvider) -> None:
    """Two calls at once, and one of the app's own that we know nothing of."""
    app = App(provider)
    bare = app.chat()
    bare.invoke(QUESTION)
    app.langchain.batch([QUESTION] * 4)
    bare.invoke(QUESTION)
    app.runtime.close()
    events = [orjson.loads(body) for _, _, body in app.log.rows()]
    assert len(events) == 4
    assert all("sdk" not in event.get("extra", {}) for event in events)


def test_the_apps_own_hooks_stay(provider: LoopbackProvider) -> None:
    seen: list[str] = []
    with httpx.Client(event_hooks={"request": [lambda request: seen.append(request.method)]}) as client:
        app = App(provider)
        model = ThriftChatModel(tiers=[app.chat(http_client=client)], runtime=app.runtime)
        provider.faults.append(Fault.break_after(0))
        model.invoke(QUESTION)
        model.invoke(QUESTION)
        assert seen == ["POST"] * 3
        for _ in range(3):
            watch(model.tiers[0] if isinstance(model.tiers, list) else app.chat(http_client=client))
        assert len(client.event_hooks["request"]) == 2
    app.runtime.close()


def test_the_report_tells(provider: LoopbackProvider) -> None:
    app = App(provider)
    provider.faults.extend([Fault.break_after(0), Fault.refuse(500)])
    app.langchain.invoke(QUESTION)
    app.runtime.close()
    found = roll_up(app.log.bodies()).leaks
    assert (found.repeated, found.unanswered) == (2, 1)
