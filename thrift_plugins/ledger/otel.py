"""Tells OpenTelemetry of every call, in the words of the conventions for generative AI. No text of a prompt or an answer.

A call is a span `chat MODEL` under the span in which the app made it, with start and end as they were. Money is in `thrift.*`, in
whole nano-dollars: the conventions have no word for it. Without an SDK in the app, all of this is nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from thrift_plugins.ledger.bill import Bill
from thrift_plugins.ledger.event import Event
from thrift_plugins.ledger.gap import LOST
from thrift_plugins.prices.snapshot import find
from thrift_plugins.stores.base import Clock
from thrift_plugins.types import NO_USAGE, Usage

logger = logging.getLogger("thrift_plugins")

_NAME: Final = "thrift_plugins"
_PROVIDERS: Final[Mapping[str, str]] = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
}
"""Where the conventions call a provider otherwise than the price list."""

_TOKEN_BUCKETS: Final = (
    1,
    4,
    16,
    64,
    256,
    1_024,
    4_096,
    16_384,
    65_536,
    262_144,
    1_048_576,
    4_194_304,
    16_777_216,
    67_108_864,
)
_SECOND_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_NANO_DOLLARS: Final = "{nanodollar}"

_Attributes = dict[str, str | int | bool | tuple[str, ...]]


class Telemetry:
    """Spans and metrics of a ledger's events.

    Args:
        clock: seconds since the epoch, the same as that of the events.
        tracer_provider: by default the app's.
        meter_provider: by default the app's.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._clock = clock
        self._open: dict[str, tuple[Context, float]] = {}
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens used", explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of a call",
            explicit_bucket_boundaries_advisory=_SECOND_BUCKETS,
        )
        self._calls = meter.create_counter("thrift.calls", "{call}", "Calls, by how they ended")
        self._baseline = meter.create_counter("thrift.baseline", _NANO_DOLLARS, "What the app alone would have paid")
        self._cost = meter.create_counter("thrift.cost", _NANO_DOLLARS, "What was paid")
        self._saved = meter.create_up_down_counter(
            "thrift.saved", _NANO_DOLLARS, "What each tactic saved, less what it paid"
        )
        self._lost = meter.create_counter("thrift.events.lost", "{event}", "Events that the ledger could not keep")

    def seen(self, event: Event) -> None:
        """A call has just ended, here: in this thread or task, under its current span."""
        self._open[event.id] = context.get_current(), self._clock()

    def told(self, event: Event, bill: Bill) -> None:
        """It is in the ledger, with its price. Never raises."""
        around, end = self._open.pop(event.id, (Context(), event.at))
        try:
            if event.error == LOST:
                self._lost.add(_lost(event))
                return
            if not event.baseline.model:  # a remark, and no call
                return
            self._tell_span(event, bill, around, max(end, event.at))
            self._tell_metrics(event, bill, max(end - event.at, 0.0))
        except Exception:
            logger.exception("ledger: OpenTelemetry was not told of event %s", event.id)

    def _tell_span(self, event: Event, bill: Bill, around: Context, end: float) -> None:
        called = {**_model(event.baseline.model, event.served), **_about(event, bill)}
        span = self._tracer.start_span(
            f"chat {event.baseline.model}",
            context=around,
            kind=SpanKind.CLIENT if event.served else SpanKind.INTERNAL,
            attributes=called,
            start_time=_nanoseconds(event.at),
        )
        if event.error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(end))

    def _tell_metrics(self, event: Event, bill: Bill, seconds: float) -> None:
        feature: _Attributes = {"thrift.feature": event.scope.feature}
        self._calls.add(1, {**feature, "thrift.outcome": event.outcome})
        self._baseline.add(bill.baseline, feature)
        self._cost.add(bill.actual, feature)
        for tactic in {*bill.rows, *bill.overheads}:
            saved = bill.rows.get(tactic, 0) + bill.overheads.get(tactic, 0)
            self._saved.add(saved, {**feature, "thrift.tactic": tactic})
        failed: _Attributes = {"error.type": event.error} if event.error else {}
        if event.served:
            self._seconds.record(seconds, {**_model(event.baseline.model, event.served), **failed})
        for requested, served, usage in _paid(event):
            called = _model(requested, served)
            self._tokens.record(usage.input_tokens, {**called, "gen_ai.token.type": "input"})
            self._tokens.record(usage.output_tokens, {**called, "gen_ai.token.type": "output"})


def _paid(event: Event) -> Iterator[tuple[str, str, Usage]]:
    """Every call that a model was paid for, with the model that was wanted."""
    if event.served and event.usage != NO_USAGE:
        yield event.baseline.model, event.served, event.usage
    for overhead in event.overheads:
        yield overhead.model, overhead.model, overhead.usage


def _model(requested: str, served: str) -> _Attributes:
    listing = find(served or requested)
    provider = listing.provider.id if listing else "_OTHER"
    named: _Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": requested,
    }
    return {**named, "gen_ai.response.model": served} if served else named


def _about(event: Event, bill: Bill) -> _Attributes:
    scope, usage = event.scope, event.usage
    about: _Attributes = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write + usage.cache_write_1h,
        "gen_ai.conversation.id": scope.session,
        "gen_ai.response.finish_reasons": (event.finish_reason,) if event.finish_reason else (),
        "error.type": event.error,
        "thrift.tenant": scope.tenant,
        "thrift.feature": scope.feature,
        "thrift.unpriced": bill.unpriced,
        "thrift.holdout": bool(event.extra.get("holdout")),
    }
    told: _Attributes = {name: value for name, value in about.items() if value}
    told |= {
        "thrift.event": event.id,
        "thrift.outcome": event.outcome,
        "thrift.baseline": bill.baseline,
        "thrift.cost": bill.actual,
    }
    told |= {f"thrift.saved.{tactic}": amount for tactic, amount in bill.rows.items()}
    return told | {f"thrift.overhead.{tactic}": amount for tactic, amount in bill.overheads.items()}


def _lost(event: Event) -> int:
    count = event.extra["lost"]
    return count if isinstance(count, int) else 0


def _nanoseconds(at: float) -> int:
    return int(at * 1_000_000_000)
