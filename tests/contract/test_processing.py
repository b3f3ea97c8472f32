"""A provider that is asked to work when it has room, or before others, is paid accordingly, and budgets and ledger know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from langchain_openai import ChatOpenAI

from tests.cli_kit import SDK_LEAKS
from tests.llama_index_kit import openai, user
from thrift_plugins import Budget, BudgetExceeded, CacheConfig, Config, Runtime
from thrift_plugins.effects import Append, Call, Reap, Reserve, Settle
from thrift_plugins.engine import Engine
from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.langchain import ThriftChatModel, TokenBudgetHandler
from thrift_plugins.ledger import bill
from thrift_plugins.ledger.summary import summarise
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Purse
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.stores.accounts import Grant, Standing
from thrift_plugins.testing import Answer, LoopbackProvider
from thrift_plugins.tokens import Bounds
from thrift_plugins.types import Message, Reply, Request, Tier, Usage

pytestmark = SDK_LEAKS

MODEL, CHEAP = "gpt-4o", "gpt-4o-mini"
PRICES: Mapping[str, Mapping[str, float]] = {
    MODEL: {"input": 10, "output": 20, "cached_input": 2, "flex_input": 5, "flex_output": 9, "flex_cached_input": 1,
            "priority_input": 17, "priority_output": 31},
    CHEAP: {"input": 1, "output": 2},
}  # fmt: skip
QUESTION = "How is the weather in the harbour?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider(answer_tokens=40) as made:
        yield made


class App:
    """A model that asks its provider to work in some way, and its books."""

    def __init__(self, provider: LoopbackProvider, mode: str | None, *budgets: Budget, **given: Any) -> None:
        self.provider, self.log = provider, MemoryEventLog()
        config = Config(store="memory:", cache=CacheConfig(enabled=False), prices=PRICES, budgets=budgets)
        self.runtime = Runtime(config, event_log=self.log)
        self.chat = ChatOpenAI(
            model=MODEL, base_url=provider.base_url, api_key="k", max_retries=0, max_tokens=60, stream_usage=True,
            service_tier=mode, **given,
        )  # fmt: skip
        extra = {"service_tier": mode} if mode else {}
        self.llm = openai(provider, MODEL, max_tokens=60, additional_kwargs=extra)
        self.langchain = ThriftChatModel(tiers=[self.chat], runtime=self.runtime)
        self.llama_index = ThriftLLM(tiers=[self.llm], runtime=self.runtime)

    def event(self) -> dict[str, Any]:
        self.runtime.close()
        [event] = [orjson.loads(body) for _, _, body in self.log.rows()]
        assert summarise([event]).total.closes()
        return event


WAYS: dict[str, Callable[[App], Any]] = {
    "invoke": lambda app: app.langchain.invoke(QUESTION),
    "stream": lambda app: list(app.langchain.stream(QUESTION)),
    "ainvoke": lambda app: asyncio.run(app.langchain.ainvoke(QUESTION)),
    "chat": lambda app: app.llama_index.chat(user(QUESTION)),
    "stream_chat": lambda app: list(app.llama_index.stream_chat(user(QUESTION))),
    "complete": lambda app: app.llama_index.complete(QUESTION),
}


def owed(provider: LoopbackProvider, mode: str) -> int:
    """What the provider's own count costs, by the list above."""
    [usage] = provider.totals.values()
    rates = PRICES[MODEL] if mode == "standard" else {
        name.removeprefix(f"{mode}_"): rate for name, rate in PRICES[MODEL].items() if name.startswith(f"{mode}_")
    }  # fmt: skip
    fresh = usage.input_tokens - usage.cache_read
    read = rates.get("cached_input", rates["input"])
    return int(1000 * (fresh * rates["input"] + usage.cache_read * read + usage.output_tokens * rates["output"]))


@pytest.mark.parametrize("mode", ["flex", "priority", "standard"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_charged_is_what_the_mode_costs(provider: LoopbackProvider, way: str, mode: str) -> None:
    provider.script(lambda _: Answer("It rains, as it does in a wet November.", cached_tokens=8))
    app = App(provider, None if mode == "standard" else mode, Budget.usd("all", 1))
    WAYS[way](app)
    [left] = app.runtime.budgets()
    event, due = app.event(), owed(provider, mode)
    assert event["usage"]["cache_read"] == 8
    assert event["bill"]["actual"] == event["bill"]["baseline"] == left.used == due
    assert event["baseline"]["processing"] == mode
    assert event["patches"] == [], "the app's own choice is no saving of ours"
    assert event["extra"]["budget"]["reserved"]["all"] >= due


def test_a_budget_refuses_what_only_the_usual_price_would_fit(provider: LoopbackProvider) -> None:
    app = App(provider, "priority", Budget.usd("all", "0.001"))
    with pytest.raises(BudgetExceeded):
        app.langchain.invoke(QUESTION, max_tokens=60)
    with pytest.raises(BudgetExceeded):
        app.langchain.invoke(QUESTION)
    assert provider.requests == ()
    App(provider, None, Budget.usd("all", "0.0015")).langchain.invoke(QUESTION)


def test_a_provider_that_worked_otherwise_is_believed(provider: LoopbackProvider) -> None:
    """Asked for "auto", it says "default"; so it does of what is asked for in a call, over the model's own setting."""
    app = App(provider, "priority", Budget.usd("all", 1))
    app.langchain.invoke(QUESTION, service_tier="auto")
    assert app.event()["bill"]["actual"] == owed(provider, "standard")


def test_a_callback_knows_too(provider: LoopbackProvider) -> None:
    app = App(provider, "flex")
    handler = TokenBudgetHandler([Budget.usd("all", 1)], runtime=app.runtime)
    app.chat.invoke(QUESTION, {"callbacks": [handler]})
    assert handler.remaining()[0].used == owed(provider, "flex") == app.event()["bill"]["actual"]
    handler.close()


def test_a_mode_without_a_price() -> None:
    """Refused where it is asked for; where the provider says that it worked so unasked, charged as reserved, and shown."""
    prices = Prices(PRICES)
    purse = Purse((Budget.usd("all", 1),), prices, Bounds())
    with pytest.raises(UnknownModelPrice, match="priority_input"):
        played(purse, Tier(CHEAP, CHEAP, limit=60, processing="priority"))
    told = played(purse, Tier(CHEAP, CHEAP, limit=60))
    assert told[Settle].amounts == (told[Reserve].holds[0].amount,) > (0,)
    assert told[Append].event.fallbacks == (f"budget: no price for {CHEAP}, charged as reserved",)
    assert bill(told[Append].event, prices).unpriced == (CHEAP,)


def played(purse: Purse, tier: Tier) -> dict[type, Any]:
    """What is asked to be done for a call, which the provider answers in a mode of its own choice."""
    request = Request("a", 1_790_000_000.0, CHEAP, (Message("user", QUESTION),))
    reply = Reply("Fine.", Usage(10, 2, source="provider"), processing="priority")
    grant = Grant("a/1", True, (Standing("", 10**9, 0, 0, 0.0),), -1)
    answers: Mapping[type, Any] = {Reap: [], Reserve: grant, Call: reply}
    flow, seen, told = Engine(purse=purse).call(request, [tier], 0, dialect="test"), {}, None
    with suppress(StopIteration):
        while True:
            effect = flow.send(told)
            seen[type(effect)] = effect
            told = answers.get(type(effect))
    return seen


def test_another_model_in_another_mode_is_routings_doing(provider: LoopbackProvider) -> None:
    log = MemoryEventLog()
    config = Config(store="memory:", cache=CacheConfig(enabled=False), prices=PRICES)
    runtime = Runtime(config, event_log=log)
    cheap = ChatOpenAI(model=CHEAP, base_url=provider.base_url, api_key="k", max_retries=0)
    dear = ChatOpenAI(model=MODEL, base_url=provider.base_url, api_key="k", max_retries=0, service_tier="flex")
    ThriftChatModel(tiers=[cheap, dear], runtime=runtime).invoke("Hello!")
    runtime.close()
    [event] = [orjson.loads(body) for _, _, body in log.rows()]
    assert event["baseline"]["processing"] == "flex"
    assert ["routing", "processing", "flex", "standard", "modelled"] in event["patches"]
    used = Usage(**event["usage"])
    assert event["bill"]["baseline"] == Prices(PRICES).cost(MODEL, used, at=event["at"], processing="flex")
    assert event["bill"]["actual"] == Prices(PRICES).cost(CHEAP, used, at=event["at"])
    assert summarise([event]).total.closes()
