"""Whoever goes on with a batch run asks what was asked before, whatever the tactics have learnt or drawn meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from tests.cli_kit import SDK_LEAKS
from thrift_plugins import Budget, CacheConfig, Config, OutputConfig, RoutingConfig, Runtime, scope
from thrift_plugins.background import Background
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.config import CompressionConfig, LedgerConfig, QualityConfig
from thrift_plugins.langchain import BatchExecutor, ThriftChatModel
from thrift_plugins.lessons import questions_file
from thrift_plugins.testing import LoopbackBatches

pytestmark = SDK_LEAKS

QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02, external_cap=10)
LONG = "The house has rules for guests, pets, keys, bicycles and the garden. " * 200
MANY = 60


@pytest.fixture
def provider() -> Iterator[LoopbackBatches]:
    with LoopbackBatches(seconds=3600) as made:
        yield made


def asked(number: int) -> list[BaseMessage]:
    """Questions of several kinds: short and long ones, and ends of long talks."""
    question = HumanMessage(f"What does rule {number} say about noise, and why does it follow from rule {number + 1}?")
    match number % 3:
        case 0:
            return [question]
        case 1:
            return [SystemMessage(LONG), question]
        case _:
            turns = [HumanMessage(f"Tell me of rule {number}. {LONG[:3000]}"), AIMessage("It is a rule."), HumanMessage("And?")]
            return [SystemMessage(LONG), *turns, AIMessage("Nothing more."), question]


def test_answers_that_are_given_again_are_not_compared_again(
    provider: LoopbackBatches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quality gate asks at once, and pays for it."""
    begun: list[str] = []
    monkeypatch.setattr(Background, "submit", lambda _, name, __: begun.append(name))
    provider.finish()
    config = Config(
        store=str(tmp_path / "thrift.db"),
        cache=CacheConfig(enabled=False),
        ledger=LedgerConfig(holdout=0),
        quality=QualityConfig(enabled=True, share=1.0, judge="similarity"),
    )
    for _ in range(2):
        with closing(Runtime(config)) as runtime:
            tiers = [
                ChatOpenAI(model=name, api_key="k", base_url=provider.base_url)  # type: ignore[arg-type]
                for name in ("gpt-4o-mini", "gpt-4o")
            ]
            model = ThriftChatModel(tiers=tiers, runtime=runtime)
            client = OpenAIBatchClient("k", base_url=provider.base_url)
            with BatchExecutor(client, tmp_path / "j.db", settings=QUICK) as batches:
                assert not next(batches.run(model.invoke, ["Say one."])).error
        assert len([name for name in begun if name.endswith("-shadow")]) == 1


def test_answers_that_are_given_again_are_not_learnt_from_again(provider: LoopbackBatches, tmp_path: Path) -> None:
    provider.finish()
    config = Config(
        store=str(tmp_path / "thrift.db"),
        cache=CacheConfig(enabled=False),
        ledger=LedgerConfig(holdout=0),
        routing=RoutingConfig(record=["faq"]),
    )
    for _ in range(2):
        with closing(Runtime(config)) as runtime:
            own = ChatOpenAI(model="gpt-4o", api_key="k", base_url=provider.base_url)  # type: ignore[arg-type]
            model = ThriftChatModel(tiers=[own], runtime=runtime)

            def work(text: str, model: ThriftChatModel = model) -> str:
                with scope(feature="faq"):
                    return model.invoke(text).text

            client = OpenAIBatchClient("k", base_url=provider.base_url)
            with BatchExecutor(client, tmp_path / "j.db", settings=QUICK) as batches:
                assert not any(result.error for result in batches.run(work, ["Say one.", "Say two."]))
        assert len(questions_file(config).read_text().splitlines()) == 2


def run_of(provider: LoopbackBatches, folder: Path, inputs: list[int], **how: Any) -> list[Any]:
    """A process that goes on with all of it, and has learnt nothing before."""
    config = Config(
        store=str(folder / "thrift.db"),
        cache=CacheConfig(enabled=False),
        ledger=LedgerConfig(holdout=0.3),
        routing=RoutingConfig(explore=0.2, caution=0.5),
        output=OutputConfig(mode="hard", words=60),
        compression=CompressionConfig(enabled=True, max_history=2_000, cache_control=True),
        budgets=[Budget.usd("all", 100)],
    )
    with closing(Runtime(config)) as runtime:
        tiers = [
            ChatOpenAI(model=name, api_key="k", base_url=provider.base_url, max_tokens=4_000)  # type: ignore[arg-type]
            for name in ("gpt-4o-mini", "gpt-4o")
        ]
        model = ThriftChatModel(tiers=tiers, runtime=runtime)
        client = OpenAIBatchClient("k", base_url=provider.base_url)
        with BatchExecutor(client, folder / "j.db", settings=QUICK) as batches:
            results = list(batches.run(lambda number: model.invoke(asked(number)).text, inputs, **how))
            [left] = runtime.budgets()
            if len(results) == 3 * MANY and not any(result.waiting for result in results):
                assert left.used == batches.progress().cost, "all of it is charged, and once"
            return results


def test_nothing_is_asked_twice(provider: LoopbackBatches, tmp_path: Path) -> None:
    everything = list(range(3 * MANY))
    assert all(result.waiting for result in run_of(provider, tmp_path, everything, waits=False))
    lines = len(provider.batch_ids)
    assert all(result.waiting for result in run_of(provider, tmp_path, everything[::-1], waits=False)), "in another order"
    assert len(provider.batch_ids) == lines
    provider.finish()
    assert not any(result.error for result in run_of(provider, tmp_path, everything[:MANY]))
    assert not any(result.error for result in run_of(provider, tmp_path, everything))
    assert provider.billed == ()
    assert len(provider.paid.lines) == len(everything)
    assert len({line.model for line in provider.paid.lines}) == 2, "the tactics were at work"
