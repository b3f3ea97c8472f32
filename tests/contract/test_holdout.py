"""A share of the calls is left alone by every tactic, marked, and still held to the budgets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import orjson
import pytest
from langchain_openai import ChatOpenAI

from thrift_plugins import (
    Budget,
    BudgetExceeded,
    CacheConfig,
    Config,
    ConfigError,
    LedgerConfig,
    OutputConfig,
    Runtime,
    scope,
)
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import LoopbackProvider

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
QUESTION = "What is a refund?"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


def _model(provider: LoopbackProvider, log: MemoryEventLog, share: float, *budgets: Budget) -> ThriftChatModel:
    config = Config(
        store="memory:",
        cache=CacheConfig(kinds=False),
        output=OutputConfig(mode="soft", words=60),
        ledger=LedgerConfig(holdout=share),
        budgets=budgets,
    )
    tiers = [
        ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0, temperature=0)
        for name in (CHEAP, STRONG)
    ]
    return ThriftChatModel(tiers=tiers, runtime=Runtime(config, event_log=log))


def test_no_tactic_touches_it(provider: LoopbackProvider) -> None:
    log = MemoryEventLog()
    model = _model(provider, log, 1.0)
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    model.runtime.close()
    assert [(request.model, request.last_user) for request in provider.requests] == [(STRONG, QUESTION)] * 2
    for _, _, body in log.rows():
        event = orjson.loads(body)
        assert (event["extra"]["holdout"], event["policy"], event["patches"]) == (True, "holdout", [])
        assert event["bill"]["baseline"] == event["bill"]["actual"] > 0


def test_a_budget_holds_it_all_the_same(provider: LoopbackProvider) -> None:
    model = _model(provider, MemoryEventLog(), 1.0, Budget.tokens("b", 5))
    with pytest.raises(BudgetExceeded):
        model.invoke(QUESTION)


def test_conversations_stay_whole(provider: LoopbackProvider) -> None:
    log = MemoryEventLog()
    model = _model(provider, log, 0.5)
    for turn in range(2):
        for session in range(30):
            with scope(session=f"s{session}"):
                model.invoke(f"{QUESTION} {turn}")
    model.runtime.close()
    held = defaultdict(set)
    for _, _, body in log.rows():
        event = orjson.loads(body)
        held[event["session"]].add("holdout" in event.get("extra", {}))
    assert all(len(ways) == 1 for ways in held.values())
    assert {way for ways in held.values() for way in ways} == {True, False}


def test_a_share_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="0 to 1"):
        LedgerConfig(holdout=2)


def test_the_share_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LedgerConfig().holdout == 0.0, "as the tests say"
    monkeypatch.delenv("THRIFT_HOLDOUT")
    assert LedgerConfig().holdout == 0.02
    monkeypatch.setenv("THRIFT_HOLDOUT", "0.5")
    assert LedgerConfig().holdout == 0.5
    assert LedgerConfig(holdout=0.1).holdout == 0.1
    for wrong in ("2", "a few"):
        monkeypatch.setenv("THRIFT_HOLDOUT", wrong)
        with pytest.raises(ConfigError, match="0 to 1"):
            LedgerConfig()
