"""Unmodified apps of both frameworks in a batch run, against a provider with a ledger of paid lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from llama_index.core import Document, SummaryIndex
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from tests.cli_kit import SDK_LEAKS
from thrift_plugins import Budget, CacheConfig, Config, Runtime, scope
from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
from thrift_plugins.config import BatchConfig, BatchFeature
from thrift_plugins.langchain import BatchExecutor, ThriftChatModel
from thrift_plugins.ledger.summary import summarise
from thrift_plugins.llama_index import BatchExecutor as LlamaIndexExecutor
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.prices import Prices
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Answer, LoopbackBatches
from thrift_plugins.testing.batches import Refusal

pytestmark = SDK_LEAKS

MODEL = "gpt-4o-mini"
PRICES = {MODEL: {"input": 2, "output": 8, "batch_input": 1, "batch_output": 4, "flex_input": 1, "flex_output": 4}}
QUICK = BatchSettings(poll=0.03, grace=1, linger=0.02, external_cap=10)


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> Iterator[LoopbackBatches]:
    with LoopbackBatches(seconds=getattr(request, "param", 0.05)) as made:
        yield made


@pytest.fixture
def executor(provider: LoopbackBatches, tmp_path: Path) -> Iterator[BatchExecutor]:
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with BatchExecutor(client, tmp_path / "j.db", settings=QUICK, prices=Prices(PRICES)) as made:
        yield made


def chat(provider: LoopbackBatches, **given: Any) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, api_key="k", base_url=provider.base_url, **given)


PROMPT = ChatPromptTemplate.from_template("say {x}")


def test_a_chain_of_two_calls_is_two_waves_and_its_results_are_its_own(
    provider: LoopbackBatches, executor: BatchExecutor
):
    provider.script(lambda request: Answer(request.messages[-1]["content"]))
    model = chat(provider)
    chain = PROMPT | model | StrOutputParser() | RunnableLambda(lambda text: "and " + text) | model | StrOutputParser()
    inputs = [{"x": f"number {i}"} for i in range(40)]
    results = list(executor.run(chain, inputs))
    assert [result.index for result in results] == list(range(40))
    assert [result.output for result in results] == [f"and say number {i}" for i in range(40)]
    assert len(provider.batch_ids) == 2
    assert (len(provider.paid.lines), provider.paid.twice) == (80, 0)
    assert provider.billed == ()
    progress = executor.progress()
    assert (progress.answered, progress.waiting, progress.standard) == (80, 0, 2 * progress.cost)


def test_run_again_it_pays_nothing(provider: LoopbackBatches, tmp_path: Path):
    chain = PROMPT | chat(provider) | StrOutputParser()
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    inputs = [{"x": i} for i in range(10)]
    told = []
    for _ in range(2):
        with BatchExecutor(client, tmp_path / "j.db", settings=QUICK) as executor:
            told.append([result.output for result in executor.run(chain, inputs)])
        client = OpenAIBatchClient("k", base_url=provider.base_url)
    assert told[0] == told[1]
    assert len(provider.paid.lines) == 10


class Weather(BaseModel):
    """The weather."""

    place: str
    warm: bool


@tool
def look(place: str) -> str:
    """Look at the weather."""
    return place


def test_tools_structured_output_and_parallel_branches(provider: LoopbackBatches, executor: BatchExecutor):
    model = chat(provider)
    apps = {
        "json_schema": PROMPT | model.with_structured_output(Weather, method="json_schema"),
        "function_calling": PROMPT | model.with_structured_output(Weather, method="function_calling"),
        "tools": PROMPT | model.bind_tools([look], tool_choice="look"),
        "parallel": PROMPT | RunnableParallel(a=model, b=model | (lambda message: message.text) | model),
    }
    waves = {}
    for name, app in apps.items():
        before = len(provider.batch_ids)
        results = list(executor.run(app, [{"x": f"{name} {i}"} for i in range(5)]))
        assert [result.error for result in results] == [None] * 5, name
        waves[name] = len(provider.batch_ids) - before
    assert waves == {"json_schema": 1, "function_calling": 1, "tools": 1, "parallel": 2}


def test_synchronous_code_gets_threads_enough(provider: LoopbackBatches, executor: BatchExecutor):
    model = chat(provider)
    alone = RunnableLambda(lambda x: model.invoke(f"alone {x}").text)
    assert all(result.error is None for result in executor.run(alone, range(60)))
    assert len(provider.batch_ids) == 1
    many = RunnableLambda(lambda x: [message.text for message in model.batch([f"{x} {i}" for i in range(3)])])
    assert all(result.error is None for result in executor.run(many, range(40)))
    assert len(provider.batch_ids) == 2


def test_a_synchronous_call_in_a_coroutine_is_refused(provider: LoopbackBatches, executor: BatchExecutor):
    model = chat(provider, max_retries=0)

    async def wrong(x: int) -> str:
        return model.invoke(f"{x}").text

    (result,) = executor.run(RunnableLambda(wrong), [1])
    assert "the loop would stand still" in str(result.error)


def test_streaming_is_refused_in_words(provider: LoopbackBatches, executor: BatchExecutor):
    (result,) = executor.run(chat(provider, streaming=True), ["hello"])
    assert "cannot be streamed" in str(result.error)
    assert provider.billed == ()


def test_a_model_without_batch_is_called_at_once_and_said_so(
    provider: LoopbackBatches, executor: BatchExecutor, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    model = ChatOpenAI(model="gpt-4o-mini-search-preview", api_key="k", base_url=provider.base_url)
    assert all(result.error is None for result in executor.run(model, ["a", "b"]))
    assert (len(provider.billed), provider.batch_ids) == (2, ())
    assert caplog.text.count("there is no batch for") == 1


def test_an_item_in_error_leaves_the_others_alone(provider: LoopbackBatches, executor: BatchExecutor):
    model = chat(provider)

    def work(x: int) -> str:
        if x == 3:
            raise ValueError("three")
        return model.invoke(f"{x}").text

    results = list(executor.run(RunnableLambda(work), range(6)))
    assert [type(result.error) for result in results] == [type(None)] * 3 + [ValueError] + [type(None)] * 2
    with pytest.raises(ValueError, match="three"):
        results[3].value()


@pytest.mark.parametrize("in_order", [True, False])
def test_an_item_that_cancels_something_of_its_own_leaves_the_others_alone(executor: BatchExecutor, in_order: bool):
    async def work(number: int) -> int:
        if number == 2:
            within = asyncio.ensure_future(asyncio.sleep(60))
            within.cancel()
            await within
        return number

    results = sorted(executor.run(work, range(6), in_order=in_order), key=lambda result: result.index)
    assert [result.output for result in results] == [0, 1, None, 3, 4, 5]
    assert "was cancelled" in str(results[2].error)


def test_submit_and_resume_without_a_process_that_waits(provider: LoopbackBatches, executor: BatchExecutor):
    chain = PROMPT | chat(provider) | StrOutputParser() | chat(provider) | StrOutputParser()
    inputs = [{"x": i} for i in range(5)]
    submitted = executor.submit(chain, inputs)
    assert (submitted.done, submitted.waiting) == (0, 5)
    results = []
    for _ in range(200):
        results = list(executor.resume(chain, inputs))
        if not any(result.waiting for result in results):
            break
    assert all(result.output for result in results)
    assert (len(provider.paid.lines), len(provider.batch_ids)) == (10, 2)


@pytest.mark.parametrize("provider", [300.0], indirect=True)
def test_submit_does_not_wait_for_room_in_the_provider_s_queue(provider: LoopbackBatches, tmp_path: Path):
    client = OpenAIBatchClient("k", base_url=provider.base_url, queued_tokens={MODEL: 60})
    with BatchExecutor(client, tmp_path / "j.db", settings=QUICK) as executor:
        assert executor.submit(PROMPT | chat(provider), [{"x": i} for i in range(4)]).waiting == 4
        assert (executor.progress().sent, executor.progress().queued) == (2, 2)
        assert [result.waiting for result in executor.resume(PROMPT | chat(provider), [{"x": 3}])] == [True]
    assert len(provider.batch_ids) == 1


# The wrapped models -------------------------------------------------------------------------------------------------


def wrapped(provider: LoopbackBatches, **config: Any) -> tuple[Runtime, MemoryEventLog]:
    log = MemoryEventLog()
    settings = Config(store="memory:", cache=CacheConfig(enabled=False), prices=PRICES, **config)
    return Runtime(settings, event_log=log), log


def test_a_wrapped_model_is_booked_at_batch_price(provider: LoopbackBatches, executor: BatchExecutor):
    runtime, log = wrapped(provider, budgets=[Budget.usd("all", 10)])
    model = ThriftChatModel(tiers=[chat(provider)], runtime=runtime)
    results = list(executor.run(PROMPT | model | StrOutputParser(), [{"x": i} for i in range(8)]))
    assert all(result.error is None for result in results)
    (left,) = runtime.budgets()
    runtime.close()
    events = events_in(log)
    assert [event["patches"] for event in events] == [[["batch", "processing", "standard", "batch", "measured"]]] * 8
    total = summarise(events).total
    assert total.closes()
    assert total.baseline == 2 * total.actual
    assert left.used == total.actual == executor.progress().cost


@pytest.mark.parametrize("threads", [False, True])
def test_what_is_set_aside_again_and_again_is_booked_once(threads: bool, provider: LoopbackBatches, tmp_path: Path):
    runtime, log = wrapped(provider, budgets=[Budget.usd("all", 1.0)])
    model = ThriftChatModel(tiers=[chat(provider)], runtime=runtime)
    work: Any = model.invoke if threads else model
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with BatchExecutor(client, tmp_path / "j.db", settings=QUICK, prices=Prices(PRICES)) as executor:
        provider.batch_faults.refusals = [Refusal("create", 429, times=1, retry_after=6)]
        for _ in range(4):  # as cron does it
            told = executor.submit(work, ["say 1", "say 2"])
            assert told.failed == 0
            if told.waiting == 2:
                assert [left.used for left in runtime.budgets()] == [0]
        assert all(result.error is None for result in executor.run(work, ["say 1", "say 2"]))
        (left,) = runtime.budgets()
        runtime.close()
        total = summarise(events_in(log)).total
        assert left.used == total.actual == executor.progress().cost
    assert (len(provider.paid.lines), provider.paid.twice) == (2, 0)


def test_a_feature_that_may_not_wait_is_asked_at_once(provider: LoopbackBatches, executor: BatchExecutor):
    runtime, log = wrapped(provider, batch=BatchConfig(features={"checkout": BatchFeature(waits=False)}))
    model = ThriftChatModel(tiers=[chat(provider)], runtime=runtime)

    async def work(name: str) -> str:
        with scope(feature=name):
            return (await model.ainvoke("hello " + name)).text

    results = list(executor.run(work, ["checkout", "summaries"]))
    runtime.close()
    assert all(result.error is None for result in results)
    assert (len(provider.billed), len(provider.paid.lines)) == (1, 1)
    assert {event["feature"]: len(event["patches"]) for event in events_in(log)} == {"checkout": 0, "summaries": 1}


def test_a_wrapped_llm_of_llama_index(provider: LoopbackBatches, tmp_path: Path):
    runtime, log = wrapped(provider)
    llm = ThriftLLM(tiers=[OpenAI(model=MODEL, api_key="k", api_base=provider.base_url)], runtime=runtime)
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with LlamaIndexExecutor(client, tmp_path / "j.db", settings=QUICK) as executor:
        results = list(executor.run(llm.acomplete, [f"say {i}" for i in range(6)]))
    runtime.close()
    assert all("You said" in result.output.text for result in results)
    assert [event["patches"][0][0] for event in events_in(log)] == ["batch"] * 6
    assert len(provider.batch_ids) == 1


def events_in(log: MemoryEventLog) -> list[dict[str, Any]]:
    return [orjson.loads(body) for body in log.bodies()]


# LlamaIndex ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["run", "arun"])
def test_a_stock_pipeline_is_five_batches(way: str, provider: LoopbackBatches, tmp_path: Path):
    llm = OpenAI(model=MODEL, api_key="k", api_base=provider.base_url)
    kinds = (TitleExtractor, SummaryExtractor, KeywordExtractor, QuestionsAnsweredExtractor)
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), *(kind(llm=llm, show_progress=False) for kind in kinds)],
        disable_cache=True,
    )
    documents = [Document(text=f"A text on the matter of {i}.") for i in range(20)]
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with LlamaIndexExecutor(client, tmp_path / "j.db", settings=QUICK) as executor:
        if way == "run":
            with executor.session():
                nodes = pipeline.run(documents=documents)
        else:

            async def main() -> Any:
                async with executor.asession():
                    return await pipeline.arun(documents=documents)

            nodes = asyncio.run(main())
    assert len(nodes) == 20
    assert [
        len({line.custom_id for line in provider.paid.lines if line.batch == one}) for one in provider.batch_ids
    ] == [20] * 5


def test_query_engines_form_one_wave(provider: LoopbackBatches, tmp_path: Path):
    llm = OpenAI(model=MODEL, api_key="k", api_base=provider.base_url)
    index = SummaryIndex.from_documents([Document(text=f"Text {i}") for i in range(3)])
    engine = index.as_query_engine(llm=llm, response_mode="tree_summarize", use_async=True)
    client = OpenAIBatchClient("k", base_url=provider.base_url)
    with LlamaIndexExecutor(client, tmp_path / "j.db", settings=QUICK) as executor:
        results = list(executor.run(engine.aquery, [f"question {i}" for i in range(10)]))
    assert all(result.error is None for result in results)
    assert len(provider.batch_ids) == 1
