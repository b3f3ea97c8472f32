"""Budgets over batches: what is sent is reserved until it is read, once, whoever reads it and however often it is asked for."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import orjson
import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from llama_index.llms.openai import OpenAI

from tests.batch_kit import until
from tests.cli_kit import SDK_LEAKS
from tests.redis_server import RedisServer
from thrift_plugins import Budget, BudgetExceeded, CacheConfig, Config, Runtime, run, scope
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.langchain import BatchExecutor, ThriftChatModel, ThriftMiddleware
from thrift_plugins.ledger.summary import summarise
from thrift_plugins.llama_index import BatchExecutor as LlamaIndexExecutor
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.prices import Prices
from thrift_plugins.stores import MemoryEventLog, RedisAccounts, accounts_beside, open_accounts
from thrift_plugins.stores.accounts import Hold
from thrift_plugins.testing import LoopbackBatches
from thrift_plugins.types import Request

pytestmark = SDK_LEAKS

MODEL = "gpt-4o-mini"
PRICES = {MODEL: {"input": 2, "output": 8, "batch_input": 1, "batch_output": 4}}
QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02, external_cap=10)
MOST = 100
SAYS = ["say 1", "say 2"]


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> Iterator[LoopbackBatches]:
    with LoopbackBatches(seconds=getattr(request, "param", 3600)) as made:
        yield made


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer) -> str:
    """Where what is spent is kept."""
    if request.param == "redis":
        redis_server.ask("FLUSHALL")
        return redis_server.url
    return "memory:" if request.param == "memory" else str(tmp_path / "thrift.db")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def app(provider: LoopbackBatches, store: str, *budgets: Budget, repeats: int = 0) -> tuple[Runtime, ThriftChatModel]:
    # On a busy machine, a server is given time.
    accounts = RedisAccounts(store, timeout=10) if store.startswith("redis") else open_accounts(accounts_beside(store))
    config = Config(store="memory:", cache=CacheConfig(enabled=False), prices=PRICES, budgets=budgets)
    runtime = Runtime(config, accounts=accounts)
    model = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url, max_tokens=MOST, max_retries=repeats)  # type: ignore[arg-type]
    return runtime, ThriftChatModel(tiers=[model], runtime=runtime)


def executor(provider: LoopbackBatches, journal: Path, settings: BatchSettings = QUICK) -> BatchExecutor:
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    return BatchExecutor(client, journal, settings=settings, prices=Prices(PRICES))


def account(runtime: Runtime) -> str:
    [budget] = [left.budget for left in runtime.budgets()]
    return budget.account(Request(id="", at=0.0, model="", messages=()))


def stands(runtime: Runtime) -> tuple[int, int]:
    [left] = runtime.budgets()
    return left.used, left.held


def paid(provider: LoopbackBatches) -> int:
    """The tokens of all lines that the provider has worked on."""
    assert provider.paid.twice == 0
    assert provider.billed == ()
    return sum(line.usage.input_tokens + line.usage.output_tokens for line in provider.paid.lines)


def all_is_answered_and_paid(provider: LoopbackBatches, runtime: Runtime, model: ThriftChatModel, journal: Path) -> None:
    """The run goes on with what was left in the journal, and nothing is reserved after it."""
    provider.finish()
    with executor(provider, journal) as batches:
        assert [result.error for result in batches.run(model, SAYS)] == [None, None]
    assert stands(runtime) == (paid(provider), 0)
    runtime.close()


def test_a_hard_budget_knows_what_was_submitted(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    runtime, model = app(provider, store, Budget.tokens("all", 3 * (MOST + 20)))
    with executor(provider, tmp_path / "j.db") as batches:
        assert batches.submit(model, SAYS).waiting == 2
        used, held = stands(runtime)
        assert used == 0
        assert 2 * MOST < held < 3 * MOST
        more = ["say 3", "say 4"]
        [third] = [text for text, result in zip(more, batches.resume(model, more), strict=True) if result.waiting]
        *_, refused = sorted(batches.resume(model, [*SAYS, *more]), key=lambda result: not result.waiting)
        assert isinstance(refused.error, BudgetExceeded)
        provider.finish()
        assert [result.error for result in batches.run(model, [*SAYS, third])] == [None] * 3
        assert stands(runtime) == (paid(provider), 0)
    runtime.close()
    assert len(provider.paid.lines) == 3


def test_what_was_submitted_twice_over_is_reserved_for_each(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    """The same question twice is two samples, as it is without batches; and another journal pays for lines of its own."""
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))
    with executor(provider, tmp_path / "j.db") as one, executor(provider, tmp_path / "other.db") as other:
        one.submit(model, ["say 1"])
        each = stands(runtime)[1]
        one.submit(model, ["say 1", "say 1"])
        assert stands(runtime) == (0, 2 * each)
        other.submit(model, ["say 1"])
        assert stands(runtime) == (0, 3 * each)
        provider.finish()
        for batches, inputs in ((one, ["say 1", "say 1"]), (other, ["say 1"])):
            assert [result.error for result in batches.run(model, inputs)] == [None] * len(inputs)
    used, held = stands(runtime)
    runtime.close()
    assert held == 0
    assert used == sum(line.usage.input_tokens + line.usage.output_tokens for line in provider.paid.lines)
    assert len(provider.paid.lines) == 3


def test_a_run_may_be_run_again_at_once(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    """What is in the journal is delivered again, is charged once, and nobody is refused for it, however little is left."""
    provider.finish()
    runtime, model = app(provider, store, Budget.tokens("all", 2 * (MOST + 20)))
    with executor(provider, tmp_path / "j.db") as batches:
        for _ in range(3):
            assert [result.error for result in batches.run(model, SAYS)] == [None, None]
            assert stands(runtime) == (paid(provider), 0)
        runtime.accounts.reserve("another", [Hold(account(runtime), 2 * (MOST + 20), "month", 0, 150, True, "charge")], 60)
        assert [result.error for result in batches.run(model, SAYS)] == [None, None]
        assert isinstance(next(batches.run(model, ["say 3"])).error, BudgetExceeded)
    runtime.close()
    assert len(provider.paid.lines) == 2


@pytest.mark.parametrize("place", ["file", "server"])
def test_every_line_of_a_chain_is_booked_once(place: str, redis_server: RedisServer, tmp_path: Path) -> None:
    """Each time that a chain is gone on with, it asks anew what is in the journal already."""
    redis_server.ask("FLUSHALL")
    journal: Any = tmp_path / "j.db" if place == "file" else f"{redis_server.url}#chain"
    log = MemoryEventLog()
    with LoopbackBatches(seconds=0.3) as provider:
        config = Config(store="memory:", cache=CacheConfig(enabled=False), prices=PRICES, budgets=[Budget.usd("all", 1)])
        runtime = Runtime(config, event_log=log)
        bare = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url, max_tokens=MOST)  # type: ignore[arg-type]
        model = ThriftChatModel(tiers=[bare], runtime=runtime)
        chain = RunnableLambda(lambda text: text) | model
        for _ in range(3):
            chain = chain | RunnableLambda(lambda said: f"go on from {said.text[:20]}") | model
        rounds, waiting = 0, True
        while waiting:
            with executor(provider, journal) as batches:
                results = list(batches.resume(chain, SAYS))
                waiting = any(result.waiting for result in results)
                cost = batches.progress().cost
            assert not any(result.error for result in results)
            rounds += 1
            time.sleep(0.1)
        assert rounds > 3
        assert len(provider.paid.lines) == 8
        (left,) = runtime.budgets()
        runtime.close()
        total = summarise([orjson.loads(body) for body in log.bodies()]).total
        assert (left.used, left.held) == (cost, 0)
        assert total.actual == cost
        assert total.baseline == 2 * cost
        assert total.closes()


@pytest.mark.parametrize("place", ["file", "server"])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_what_was_paid_is_given_again_where_nothing_is_left(
    place: str, asynchronous: bool, redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.ask("FLUSHALL")
    journal: Any = tmp_path / "j.db" if place == "file" else f"{redis_server.url}#spent"
    with LoopbackBatches(seconds=0.05) as provider:
        runtime, model = app(provider, "memory:", Budget.tokens("all", 2 * (MOST + 20)))
        work: Any = model if asynchronous else model.invoke
        with executor(provider, journal) as batches:
            assert not any(result.error for result in batches.run(work, SAYS))
            assert not any(result.error for result in batches.run(work, ["say 3"]))
            before = stands(runtime)
            assert before[0] > MOST + 20, "there is no room for two"
            told = list(batches.run(work, [*SAYS, "say 3", "say 4", "say 5"]))
        assert [result.error for result in told[:3]] == [None] * 3
        assert sum(isinstance(result.error, BudgetExceeded) for result in told[3:]) > 0
        left = stands(runtime)
        runtime.close()
        assert left == (paid(provider), 0)


def test_what_was_taken_for_paid_and_is_asked_anew_is_charged(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    """A model's settings say less than what it sends."""
    provider.finish()
    runtime, _ = app(provider, store, Budget.tokens("all", MOST + 20))
    sent = {"user": "one"}

    class Model(ChatOpenAI):
        def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**super()._get_request_payload(*args, **kwargs), **sent}

    own = Model(model=MODEL, api_key="k", base_url=provider.base_url, max_tokens=MOST)  # type: ignore[arg-type]
    model = ThriftChatModel(tiers=[own], runtime=runtime)
    with executor(provider, tmp_path / "j.db") as batches:
        assert [result.error for result in batches.run(model, ["say 1"])] == [None]
        sent["user"] = "another"
        assert [result.error for result in batches.run(model, ["say 1"])] == [None]
    used, held = stands(runtime)
    runtime.close()
    assert held == 0
    assert used == sum(line.usage.input_tokens + line.usage.output_tokens for line in provider.paid.lines)
    assert len(provider.paid.lines) == 2


def test_runs_that_ask_the_same_at_the_same_time_pay_for_it_once(store: str, tmp_path: Path) -> None:
    with LoopbackBatches(seconds=0.2) as provider:
        runtime, model = app(provider, store, Budget.tokens("all", 100_000))
        with executor(provider, tmp_path / "j.db") as batches, ThreadPoolExecutor(4) as pool:
            for turn in range(3):
                inputs = [f"say {turn}, {number}" for number in range(5)]
                runs = [pool.submit(lambda: list(batches.run(model, inputs))) for _ in range(4)]  # noqa: B023
                assert not any(result.error for one in runs for result in one.result(timeout=60))
        assert stands(runtime) == (paid(provider), 0)
        runtime.close()
        assert len(provider.paid.lines) == 15


def test_lines_that_are_shared_are_booked_once(tmp_path: Path) -> None:
    with LoopbackBatches(seconds=0.05) as provider:
        runtime, model = app(provider, "memory:", Budget.tokens("all", 100_000))
        settings = replace(QUICK, samples="share")
        with executor(provider, tmp_path / "j.db", settings) as batches:
            assert not any(result.error for result in batches.run(model, ["say 1"] * 5))
            assert not any(result.error for result in batches.run(model, ["say 1"] * 5))
        assert stands(runtime) == (paid(provider), 0)
        runtime.close()
        assert len(provider.paid.lines) == 1


def test_what_is_paid_and_has_left_the_journal_is_charged_anew(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    provider.finish()
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))
    for _ in range(2):
        with executor(provider, tmp_path / "j.db") as batches:
            assert [result.error for result in batches.run(model, SAYS)] == [None, None]
        with closing(sqlite3.connect(tmp_path / "j.db")) as journal, journal:
            journal.execute("DELETE FROM lines")
    used, held = stands(runtime)
    runtime.close()
    assert held == 0
    assert used == sum(line.usage.input_tokens + line.usage.output_tokens for line in provider.paid.lines)
    assert len(provider.paid.lines) == 4


def test_a_run_that_is_left_before_it_asks_leaves_what_another_one_has_sent(
    provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))
    with executor(provider, tmp_path / "j.db") as batches:
        assert batches.submit(model, SAYS).waiting == 2
    held = stands(runtime)[1]
    slow = BatchSettings(poll=0.03, grace=1, linger=30, external_cap=60)

    async def main(batches: BatchExecutor) -> None:
        reserved = asyncio.Event()

        async def work(text: str) -> str:
            asking = asyncio.ensure_future(model.ainvoke(text))
            while sum(session.arrivals for session in batches._host._sessions) < 2:  # noqa: ASYNC110  another thread's state
                await asyncio.sleep(0.01)
            reserved.set()
            return (await asking).text

        async def run_it() -> None:
            async for _ in batches.arun(work, SAYS):
                pass

        task = asyncio.create_task(run_it())
        await reserved.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with executor(provider, tmp_path / "j.db", slow) as batches:
        asyncio.run(main(batches))
    assert stands(runtime) == (0, held)
    runtime.close()


def test_a_call_that_ends_before_it_asks_leaves_what_another_run_has_sent(
    provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    runtime, _ = app(provider, store, Budget.tokens("all", 100_000))
    stuck: list[str] = []

    class Model(ChatOpenAI):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            if stuck:
                stuck.append("here")
                await asyncio.Event().wait()
            return await super()._agenerate(*args, **kwargs)

    own = Model(model=MODEL, api_key="k", base_url=provider.base_url, max_tokens=MOST)  # type: ignore[arg-type]
    model = ThriftChatModel(tiers=[own], runtime=runtime)

    async def main(batches: BatchExecutor) -> None:
        async def run_it() -> None:
            async for _ in batches.arun(model, ["say 1"]):
                pass

        stuck.append("now")
        task = asyncio.create_task(run_it())
        while len(stuck) < 2:  # noqa: ASYNC110  the call's state
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with executor(provider, tmp_path / "j.db") as batches:
        assert batches.submit(model, ["say 1"]).waiting == 1
        held = stands(runtime)[1]
        asyncio.run(main(batches))
    assert stands(runtime)[1] == held, "whatever the one that was interrupted is charged, who knows what it had sent"
    runtime.close()


def test_a_run_that_asks_nothing_takes_nothing_from_another_one_that_asks_the_same(
    provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    """It has reserved first, and is left while the other one waits for the answer."""
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))

    async def main(slow: BatchExecutor, batches: BatchExecutor) -> None:
        async def run_it() -> None:
            async for _ in slow.arun(model, ["say 1"]):
                pass

        task = asyncio.create_task(run_it())
        while not slow._host._sessions:  # noqa: ASYNC110  another thread's state
            await asyncio.sleep(0.01)
        batches._journal_id = slow._journal_id  # as two workers have it that share one
        other = asyncio.ensure_future(asyncio.to_thread(lambda: list(batches.run(model, ["say 1"]))))
        await asyncio.to_thread(until, lambda: batches.journal.counts()["sent"])
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        provider.finish()
        assert [result.error for result in await other] == [None]

    settings = BatchSettings(poll=0.03, grace=1, linger=30, external_cap=60)
    with executor(provider, tmp_path / "slow.db", settings) as slow, executor(provider, tmp_path / "j.db") as batches:
        asyncio.run(main(slow, batches))
    assert stands(runtime) == (paid(provider), 0)
    runtime.close()


def test_what_no_batch_takes_is_reserved_for_each_who_asks_it(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    """It is paid each time that it is asked, whoever else asks the same at the same time."""
    runtime, _ = app(provider, store, Budget.tokens("all", 100_000))
    asked: list[tuple[int, int]] = []
    together = Barrier(3)

    class Model(ChatOpenAI):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            if not asked:
                together.wait(timeout=60)  # all have reserved
            return super()._generate(*args, **kwargs)

    own = Model(model="gpt-4o-mini-search-preview", api_key="k", base_url=provider.base_url, max_tokens=MOST, max_retries=0)  # type: ignore[arg-type]
    model = ThriftChatModel(tiers=[own], runtime=runtime)
    with executor(provider, tmp_path / "j.db") as batches, ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(lambda: list(batches.run(model.invoke, ["say 1"]))) for _ in range(3)]
        assert [result.error for one in runs for result in one.result(timeout=60)] == [None] * 3
    assert stands(runtime) == (sum(call.input_tokens + call.output_tokens for call in provider.billed), 0)
    runtime.close()
    assert len(provider.billed) == 3


def test_what_is_not_sent_by_http_is_charged_for_each_who_asks_it(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    runtime, _ = app(provider, store, Budget.tokens("all", 100_000))
    together = Barrier(1)

    class Local(FakeListChatModel):
        def _call(self, *args: Any, **kwargs: Any) -> str:
            together.wait(timeout=60)
            return super()._call(*args, **kwargs)

    model = ThriftChatModel(tiers=[Local(responses=["It is so."])], runtime=runtime)
    model.invoke("say 1")
    [each] = [left.used for left in runtime.budgets()]
    together = Barrier(2)
    with executor(provider, tmp_path / "j.db") as batches, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(lambda: list(batches.run(model.invoke, ["say 1"]))) for _ in range(2)]
        assert [result.error for one in runs for result in one.result(timeout=60)] == [None] * 2
    [used] = [left.used for left in runtime.budgets()]
    runtime.close()
    assert used == 3 * each


def test_calls_under_other_budgets_of_the_run_are_other_calls(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    budgets = Budget.tokens("all", 100_000), Budget.tokens("each run", 100_000, window="run", match={"feature": "a"})
    runtime, model = app(provider, store, *budgets)

    def work(feature: str) -> str:
        with scope(feature=feature):
            return model.invoke("say 1").text

    with executor(provider, tmp_path / "j.db") as batches:
        batches.submit(work, ["a"])
        batches.submit(work, ["b"])
        assert stands(runtime)[1] > 2 * MOST
        provider.finish()
        assert [result.error for result in batches.run(work, ["b", "a"])] == [None, None]
    assert stands(runtime)[1] == 0
    runtime.close()


def test_an_agent_of_a_model_that_is_not_wrapped(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    runtime, _ = app(provider, store, Budget.tokens("all", 2 * (MOST + 20)))
    own = ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url, max_tokens=MOST, max_retries=0)  # type: ignore[arg-type]
    agent = create_agent(own, middleware=[ThriftMiddleware(runtime=runtime)])

    def work(text: str) -> str:
        return agent.invoke({"messages": [("user", text)]})["messages"][-1].text  # type: ignore[no-any-return]

    with executor(provider, tmp_path / "j.db") as batches:
        for _ in range(2):
            assert batches.submit(work, SAYS).waiting == 2
            assert stands(runtime)[1] > 2 * MOST
        provider.finish()
        for _ in range(2):
            assert [result.error for result in batches.run(work, SAYS)] == [None, None]
            assert stands(runtime) == (paid(provider), 0)
    runtime.close()


@pytest.mark.parametrize("repeats", [0, 2])
def test_an_executor_that_is_closed_leaves_what_it_sent_reserved(
    repeats: int, provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    """Also where an SDK in a thread takes that for a lost connection."""
    runtime, model = app(provider, store, Budget.tokens("all", 2 * (MOST + 20)), repeats=repeats)
    with executor(provider, tmp_path / "j.db") as batches, ThreadPoolExecutor(1) as pool:
        results = pool.submit(lambda: list(batches.run(model.invoke if repeats else model, SAYS)))
        until(lambda: batches.journal.counts()["sent"] == 2)
        batches.close()
        assert all(result.error for result in results.result(timeout=60))
        assert stands(runtime)[1] > 2 * MOST
    all_is_answered_and_paid(provider, runtime, model, tmp_path / "j.db")


def test_what_was_never_sent_is_not_reserved(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))
    settings = BatchSettings(poll=0.03, grace=1, linger=30, external_cap=60)

    async def main(batches: BatchExecutor) -> None:
        async def work() -> None:
            async for _ in batches.arun(model, SAYS):
                pass

        task = asyncio.create_task(work())
        while sum(session.arrivals for session in batches._host._sessions) < 2:  # noqa: ASYNC110  another thread's state
            await asyncio.sleep(0.01)
        assert stands(runtime)[1] > 2 * MOST
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    with executor(provider, tmp_path / "j.db", settings) as batches:
        asyncio.run(main(batches))
    assert stands(runtime) == (0, 0)
    runtime.close()
    assert provider.batch_ids == ()


def test_what_was_stopped_is_given_back_when_it_is_asked_for(
    provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    runtime, model = app(provider, store, Budget.tokens("all", 100_000))
    with executor(provider, tmp_path / "j.db") as batches:
        batches.submit(model, SAYS)
        batches.journal.stop()
        provider.finish()
        until(lambda: not batches.journal.unfinished())
        list(batches.run(model, SAYS))
    assert stands(runtime) == (paid(provider), 0)
    runtime.close()


def test_a_run_that_was_counted_by_itself_is_gone_on_with_by_another(
    provider: LoopbackBatches, store: str, tmp_path: Path
) -> None:
    budgets = Budget.tokens("all", 2 * (MOST + 20)), Budget.tokens("each run", 2 * (MOST + 20), window="run")
    runtime, model = app(provider, store, *budgets)
    with executor(provider, tmp_path / "j.db") as batches:
        with run("monday"):
            assert batches.submit(model, SAYS).waiting == 2
        provider.finish()
        with run("tuesday"):
            assert [result.error for result in batches.run(model, SAYS)] == [None, None]
    [left] = [left for left in runtime.budgets() if left.budget.name == "all"]
    assert (left.used, left.held) == (paid(provider), 0)
    runtime.close()


def test_a_wrapped_llm_of_llama_index(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    runtime, _ = app(provider, store, Budget.tokens("all", 2 * (MOST + 20)))
    own = OpenAI(model=MODEL, api_key="k", api_base=provider.base_url, max_tokens=MOST, max_retries=0)
    llm = ThriftLLM(tiers=[own], runtime=runtime)
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with LlamaIndexExecutor(client, tmp_path / "j.db", settings=QUICK) as batches:
        assert batches.submit(llm.acomplete, SAYS).waiting == 2
        assert stands(runtime)[1] > 2 * MOST
        provider.finish()
        assert [result.error for result in batches.run(llm.acomplete, SAYS)] == [None, None]
    assert stands(runtime) == (paid(provider), 0)
    runtime.close()


KILLED = """
import sys
from pathlib import Path
from tests.contract.test_batch_budgets import SAYS, app, executor
from thrift_plugins import Budget

class Provider:
    base_url = sys.argv[1]

_, model = app(Provider, sys.argv[2], Budget.tokens("all", int(sys.argv[3])))
with executor(Provider, Path(sys.argv[4])) as batches:
    list(batches.run(model, SAYS))
"""


@pytest.mark.parametrize("store", ["sqlite", "redis"], indirect=True)
def test_a_killed_run_is_gone_on_with(provider: LoopbackBatches, store: str, tmp_path: Path) -> None:
    most = 2 * (MOST + 20)
    given = [provider.base_url, store, str(most), str(tmp_path / "j.db")]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *given])
    try:
        until(lambda: provider.batch_ids)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    runtime, model = app(provider, store, Budget.tokens("all", most))
    assert stands(runtime)[1] > 2 * MOST
    all_is_answered_and_paid(provider, runtime, model, tmp_path / "j.db")


def test_a_limit_on_answers_is_advised_where_none_is_known(provider: LoopbackBatches, tmp_path: Path) -> None:
    runtime, _ = app(provider, "memory:", Budget.tokens("all", 20_000))
    model = ThriftChatModel(
        tiers=[ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url)],  # type: ignore[arg-type]
        runtime=runtime,
    )
    with executor(provider, tmp_path / "j.db") as batches:
        told = list(batches.resume(model, SAYS))
    runtime.close()
    assert sorted(result.waiting for result in told) == [False, True]
    assert ["max_tokens" in str(result.error) for result in told if result.error] == [True]
