"""A run that is left, set aside or closed while its calls wait: nobody waits with it, and nothing of it is asked at full price."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

from tests.batch_kit import found_by_sdks, until
from tests.cli_kit import SDK_LEAKS
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import BatchExecutor
from thrift_plugins.testing import LoopbackBatches

pytestmark = SDK_LEAKS

QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02)
SOON_S = 15.0
"""Far less than the batch takes."""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackBatches]:
    with found_by_sdks(monkeypatch, 120) as made:
        yield made


@pytest.fixture
def executor(provider: LoopbackBatches, tmp_path: Path) -> Iterator[BatchExecutor]:
    with BatchExecutor(OpenAIBatchClient(), tmp_path / "j.db", settings=QUICK) as made:
        yield made


def model() -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", temperature=0)


def in_a_thread(text: str) -> str:
    if text == "at once":
        return text
    answer: str = model().invoke(text).text
    return answer


def in_a_loop_of_its_own(text: str) -> str:
    async def ask() -> str:
        return str((await model().ainvoke(text)).text)

    return text if text == "at once" else asyncio.run(ask())


async def in_the_loop(text: str) -> str:
    return text if text == "at once" else (await model().ainvoke(text)).text


def many_in_threads(text: str) -> list[str]:
    return [text] if text == "at once" else [one.text for one in model().batch([text, text + "!"])]


WORKS: dict[str, Any] = {
    "thread": in_a_thread,
    "own loop": in_a_loop_of_its_own,
    "loop": in_the_loop,
    "batch": many_in_threads,
    "lambda": RunnableLambda(in_a_thread),
}
each_work = pytest.mark.parametrize("name", WORKS)


def nobody_waits(provider: LoopbackBatches) -> None:
    until(lambda: not any(thread.name.startswith("thrift-batch-call") for thread in threading.enumerate()))
    assert len(provider.billed) == 0


@each_work
def test_whoever_leaves_a_run_does_not_wait_for_it(name: str, executor: BatchExecutor, provider: LoopbackBatches):
    began = time.monotonic()
    for result in executor.run(WORKS[name], ["at once", "say 1", "say 2"]):
        assert result.error is None
        until(lambda: provider.batch_ids)
        break
    assert time.monotonic() - began < SOON_S
    nobody_waits(provider)


@each_work
def test_whoever_only_sends_does_not_wait_for_it(name: str, executor: BatchExecutor, provider: LoopbackBatches):
    began = time.monotonic()
    told = executor.submit(WORKS[name], ["at once", "say 1", "say 2"])
    assert (told.done, told.failed, told.waiting) == (1, 0, 2)
    assert time.monotonic() - began < SOON_S
    nobody_waits(provider)
    assert len(provider.batch_ids) == 1


@each_work
def test_a_run_whose_executor_is_closed_ends(name: str, executor: BatchExecutor, provider: LoopbackBatches):
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(lambda: list(executor.run(WORKS[name], ["at once", "say 1"])))
        until(lambda: executor.journal.counts()["sent"])
        executor.close()
        done, failed = results.result(timeout=SOON_S)
    assert done.error is None
    assert failed.error is not None
    nobody_waits(provider)


def test_a_thread_that_a_left_run_leaves_behind_asks_nothing(executor: BatchExecutor, provider: LoopbackBatches):
    """It was busy with something else, and the run has ended when it asks."""
    busy, left = threading.Event(), threading.Event()
    told: list[BaseException] = []

    def work(text: str) -> str:
        if text == "at once":
            return text
        busy.set()
        left.wait(60)
        try:
            return model().invoke(text).text
        except BaseException as error:
            told.append(error)
            raise

    results = executor.run(work, ["at once", "say 1"])
    next(results)
    busy.wait(60)
    threading.Timer(0.2, left.set).start()  # closing waits for the thread, and nothing tells when it has begun to
    results.close()
    until(lambda: told)
    assert [type(error) for error in told] == [asyncio.CancelledError]
    nobody_waits(provider)
    assert provider.batch_ids == ()


@each_work
def test_a_run_that_is_cancelled_ends(name: str, executor: BatchExecutor, provider: LoopbackBatches):
    async def main() -> None:
        async def run() -> None:
            async for _ in executor.arun(WORKS[name], ["say 1", "say 2"]):
                pass

        task = asyncio.create_task(run())
        await asyncio.to_thread(until, lambda: provider.batch_ids)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < SOON_S
    nobody_waits(provider)


def test_an_account_with_a_new_key_goes_on_by_the_name_that_it_is_told(provider: LoopbackBatches, tmp_path: Path):
    def client(key: str, **named: str) -> OpenAIBatchClient:
        return OpenAIBatchClient(key, base_url=provider.base_url, **named)

    with BatchExecutor(client("old"), tmp_path / "j.db", settings=QUICK) as batches:
        assert batches.submit(in_the_loop, ["say 1", "say 2"]).waiting == 2
    with pytest.raises(ConfigError, match="another key") as refused:
        BatchExecutor(client("new"), tmp_path / "j.db", settings=QUICK)
    [(_, name)] = re.findall(r"account=(['\"])(.+)\1", str(refused.value))
    provider.finish()
    with BatchExecutor(client("new", account=name), tmp_path / "j.db", settings=QUICK) as batches:
        assert [result.error for result in batches.run(in_the_loop, ["say 1", "say 2"])] == [None, None]
    assert (len(provider.paid.lines), provider.paid.twice) == (2, 0)
