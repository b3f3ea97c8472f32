"""OpenTelemetry is told of every call, by the real SDK: spans where the app made them, and metrics that are the ledger's sums."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
from langchain_openai import ChatOpenAI
from opentelemetry import trace
from opentelemetry.metrics import MeterProvider as MeterProviderApi
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.ledger_kit import events
from tests.llama_index_kit import openai, user
from thrift_plugins import Budget, BudgetExceeded, CacheConfig, Config, LedgerConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.ledger import Ledger, otel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.prices import Prices
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.testing import Fault, LoopbackProvider

QUESTION = "How is the weather in the harbour?"


class Told:
    """An app's own SDK, and what it was told."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(), MeterProvider([self._reader])
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("chat ")]

    def sums(self, name: str, key: str = "") -> Mapping[Any, float]:
        """A metric's points by one of their attributes."""
        sums: dict[Any, float] = defaultdict(float)
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope_metrics in resource.scope_metrics:
                for metric in scope_metrics.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        value: Any = getattr(point, "value", None)
                        sums[(point.attributes or {}).get(key)] += point.sum if value is None else value  # type: ignore[union-attr]
        return sums


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told()
    monkeypatch.setattr(otel.trace, "get_tracer", lambda name, tracer_provider=None: told.tracers.get_tracer(name))
    monkeypatch.setattr(otel.metrics, "get_meter", lambda name, meter_provider=None: told.meters.get_meter(name))
    yield told
    told.tracers.shutdown()
    told.meters.shutdown()


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as made:
        yield made


def runtime(log: MemoryEventLog | None = None, **config: Any) -> Runtime:
    settings = {"cache": CacheConfig(kinds=False), "ledger": LedgerConfig(holdout=0.0, otel=True), **config}
    return Runtime(Config(store="memory:", **settings), event_log=log)


def chat(provider: LoopbackProvider, made: Runtime) -> ThriftChatModel:
    tiers = [
        ChatOpenAI(model=name, base_url=provider.base_url, api_key="k", max_retries=0, temperature=0, stream_usage=True)
        for name in ("gpt-4o-mini", "gpt-4o")
    ]
    return ThriftChatModel(tiers=tiers, runtime=made)


async def test_every_way_under_the_apps_own_span(provider: LoopbackProvider, told: Told) -> None:
    made = runtime()
    model, tracer = chat(provider, made), told.tracers.get_tracer("app")
    llm = ThriftLLM(tiers=[openai(provider, "gpt-4o", temperature=0)], runtime=made)
    parents = []
    for number in range(6):
        with tracer.start_as_current_span(f"step {number}") as span:
            parents.append(span.get_span_context().span_id)
            question = f"{QUESTION} It is day {number}."
            match number:
                case 0:
                    model.invoke(question)
                case 1:
                    await model.ainvoke(question)
                case 2:
                    list(model.stream(question))
                case 3:
                    [_ async for _ in model.astream(question)]
                case 4:
                    llm.chat(user(question))
                case 5:
                    [_ async for _ in await llm.astream_chat(user(question))]
    made.close()
    spans = told.spans()
    assert [span.parent.span_id for span in spans if span.parent] == parents
    for span in spans:
        attributes = span.attributes or {}
        assert span.kind is SpanKind.CLIENT
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "openai"
        assert attributes["thrift.outcome"] == "answered"
        assert span.end_time > span.start_time  # type: ignore[operator]


def test_the_sums_are_the_ledgers(provider: LoopbackProvider, told: Told) -> None:
    log = MemoryEventLog()
    made = runtime(log)
    model = chat(provider, made)
    with scope(tenant="acme", user="u1", feature="faq"):
        for number in (1, 1, 2):
            model.invoke(f"{QUESTION} It is day {number}.")
        provider.faults.extend([Fault.refuse(500), Fault.refuse(400)])
        with pytest.raises(Exception, match="400"):
            model.invoke(f"{QUESTION} It is day 3.")
    made.close()
    events = [orjson.loads(body) for _, _, body in log.rows()]
    bills = [event["bill"] for event in events]
    assert told.sums("thrift.calls", "thrift.outcome") == {"answered": 2, "hit": 1, "error": 1}
    assert told.sums("thrift.baseline", "thrift.feature") == {"faq": sum(bill["baseline"] for bill in bills)}
    assert told.sums("thrift.cost", "thrift.feature") == {"faq": sum(bill["actual"] for bill in bills)}
    saved = told.sums("thrift.saved", "thrift.tactic")
    assert sum(saved.values()) == sum(bill["baseline"] - bill["actual"] for bill in bills)
    assert saved["cache"] > 0
    tokens = told.sums("gen_ai.client.token.usage", "gen_ai.token.type")
    assert tokens["input"] == sum(usage.input_tokens for usage in provider.billed)
    assert tokens["output"] == sum(usage.output_tokens for usage in provider.billed)


def test_no_words_and_no_people(provider: LoopbackProvider, told: Told) -> None:
    made = runtime()
    with scope(tenant="acme", user="somebody", feature="faq", session="s1"):
        chat(provider, made).invoke(QUESTION)
    made.close()
    [span] = told.spans()
    assert span.attributes is not None
    assert "weather" not in str(dict(span.attributes))
    assert "somebody" not in str(dict(span.attributes))
    assert span.attributes["gen_ai.conversation.id"] == "s1"
    assert all("acme" not in str(key) for key in told.sums("thrift.calls", "thrift.tenant"))


def test_hits_refusals_and_errors(provider: LoopbackProvider, told: Told) -> None:
    made = runtime(budgets=[Budget.tokens("all", 200, window="total")])
    model = ThriftChatModel(
        tiers=[ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0, temperature=0, max_tokens=150)],
        runtime=made,
    )  # fmt: skip
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    with pytest.raises(BudgetExceeded):
        model.invoke("harbour " * 500)
    made.close()
    _, hit, refused = told.spans()
    assert (hit.kind, (hit.attributes or {})["thrift.outcome"]) == (SpanKind.INTERNAL, "hit")
    assert refused.status.status_code is StatusCode.ERROR
    assert (refused.attributes or {})["error.type"] == "BudgetExceeded"


async def test_tasks_at_once_have_their_own_parents(provider: LoopbackProvider, told: Told) -> None:
    made = runtime()
    model, tracer = chat(provider, made), told.tracers.get_tracer("app")

    async def ask(number: int) -> int:
        with tracer.start_as_current_span("step") as span:
            await model.ainvoke(f"{QUESTION} It is day {number}.")
            return span.get_span_context().span_id

    parents = await asyncio.gather(*(ask(number) for number in range(8)))
    made.close()
    assert sorted(span.parent.span_id for span in told.spans() if span.parent) == sorted(parents)


def test_an_sdk_that_raises_breaks_nothing(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(trace.NoOpTracer):
        def start_span(self, *_given: Any, **_named: Any) -> Any:
            raise RuntimeError("broken")

    monkeypatch.setattr(otel.trace, "get_tracer", lambda *_given, **_named: Broken())
    log = MemoryEventLog()
    made = runtime(log)
    assert chat(provider, made).invoke(QUESTION).text
    made.close()
    assert len(list(log.rows())) == 1
    assert "OpenTelemetry was not told" in caplog.text


def test_without_an_sdk_it_is_nothing(provider: LoopbackProvider) -> None:
    made = runtime()
    assert chat(provider, made).invoke(QUESTION).text
    made.close()
    assert isinstance(otel.metrics.get_meter_provider(), MeterProviderApi)


def test_lost_events_are_told(told: Told) -> None:
    class Full(MemoryEventLog):
        full = True

        def extend(self, rows: Any) -> int:
            if self.full:
                raise OSError("full")
            return super().extend(rows)

    log = Full()
    ledger = Ledger(log, Prices(), capacity=5, observer=otel.Telemetry(lambda: 0.0))
    for event in events(9):
        ledger.append(event)
    log.full = False
    assert ledger.flush()
    ledger.close()
    assert told.sums("thrift.events.lost") == {None: 4}
    assert sum(told.sums("thrift.calls").values()) == 5


def test_without_the_extra() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from thrift_plugins import Config, LedgerConfig, Runtime\n"
        "Runtime(Config(store='memory:')).close()\n"
        "try: Runtime(Config(store='memory:', ledger=LedgerConfig(otel=True)))\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "thrift-plugins[otel]" in done.stdout
