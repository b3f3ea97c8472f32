"""A batch provider in virtual time, with outages: of its batch API, of its batches themselves, of flex, and of real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from thrift_plugins.batching.client import (
    Address,
    BatchLine,
    BatchRefused,
    BatchStatus,
    BatchUnknown,
    Counts,
    Instant,
    Intent,
    Limits,
    Recovery,
    ResultLine,
    State,
)

DAY = 86_400.0
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


@dataclass(frozen=True)
class Outages:
    """When what does not work: pairs of seconds since the epoch.

    Attributes:
        api: create, look at and cancel batches.
        work: batches make no progress.
        flex: flex has no room.
        instant: calls made at once fail.
    """

    api: Sequence[tuple[float, float]] = ()
    work: Sequence[tuple[float, float]] = ()
    flex: Sequence[tuple[float, float]] = ()
    instant: Sequence[tuple[float, float]] = ()


def within(spans: Sequence[tuple[float, float]], now: float) -> bool:
    return any(start <= now < end for start, end in spans)


@dataclass
class _Batch:
    intent: Intent
    lines: Sequence[BatchLine]
    made: float
    needs: float
    stopped: float | None = None
    known: bool = True


@dataclass
class OutageClient:
    """A `BatchClient` without a network.

    Attributes:
        needs: seconds of work of the next batch.
        paid: custom ids of lines that were worked on, with how.
    """

    clock: Callable[[], float]
    outages: Outages
    random: Random
    needs: Callable[[], float]
    latency: float = 2.0
    batches: dict[str, _Batch] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    provider = "openai"
    account = "openai:outages"
    host = ""
    recovery: Recovery = "metadata"
    documented_only = False

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        return Address(str(body["model"]), path)

    def limits(self, model: str) -> Limits:
        return Limits()

    def flex(self, model: str) -> bool:
        return model.startswith("gpt-5")

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        await self._arrive()
        return f"file-{intent.id}"

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:
        await asyncio.sleep(self.latency)
        if within(self.outages.api, self.clock()):
            if self.random.random() < 0.5:  # it was made, and nobody was told
                self._make(intent, lines)
            raise BatchUnknown("reset")
        return await self.status(self._make(intent, lines))

    def _make(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = _Batch(intent, list(lines), self.clock(), self.needs())
        return name

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        await self._arrive()
        for name in reversed(self.batches):
            yield self._status(name)

    async def status(self, batch_id: str) -> BatchStatus:
        await self._arrive()
        return self._status(batch_id)

    async def cancel(self, batch_id: str) -> BatchStatus:
        await self._arrive()
        batch = self.batches[batch_id]
        if batch.stopped is None:
            batch.stopped = self.clock()
        return self._status(batch_id)

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        if not batch.results:
            return
        await self._arrive()
        made = self.batches[batch.id]
        done = self._done(made)
        for place, line in enumerate(made.lines):
            if place < done:
                yield ResultLine(line.custom_id, "answered", 200, answer(line))

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        await asyncio.sleep(self.latency)
        now = self.clock()
        if within(self.outages.instant, now):
            if self.random.random() < 0.5:
                raise BatchRefused("no connection", again=True)
            return Instant(503, b"{}")
        if flex and within(self.outages.flex, now):
            return Instant(429, b'{"error":{"code":"resource_unavailable"}}')
        self.asked.append((line.custom_id, "flex" if flex else "standard"))
        return Instant(200, answer(line))

    async def aclose(self) -> None:
        return

    async def _arrive(self) -> None:
        await asyncio.sleep(self.latency)
        if within(self.outages.api, self.clock()):
            raise BatchUnknown("reset")

    def _worked(self, batch: _Batch) -> float:
        """Seconds of work by now, without those in which nothing went on."""
        until = min(self.clock(), batch.made + DAY, batch.stopped if batch.stopped is not None else self.clock())
        idle = sum(max(0.0, min(end, until) - max(start, batch.made)) for start, end in self.outages.work)
        return max(0.0, until - batch.made - idle)

    def _done(self, batch: _Batch) -> int:
        return min(len(batch.lines), int(len(batch.lines) * self._worked(batch) / batch.needs))

    def _status(self, name: str) -> BatchStatus:
        batch = self.batches[name]
        done, total = self._done(batch), len(batch.lines)
        state: State = "running"
        if done == total:
            state = "completed"
        elif batch.stopped is not None:
            state = "cancelled" if self.clock() >= batch.stopped + 30 else "cancelling"
        elif self.clock() >= batch.made + DAY:
            state = "expired"
        return BatchStatus(
            name, state, batch.made, Counts(total, done, 0), batch.intent.id, f"file-{batch.intent.id}", (name,)
        )


def answer(line: BatchLine) -> bytes:
    """What a line is answered: its own question."""
    body = orjson.loads(line.body)
    message = {"role": "assistant", "content": body["messages"][0]["content"]}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps({"object": "chat.completion", "model": body["model"], "choices": choices, "usage": USAGE})
