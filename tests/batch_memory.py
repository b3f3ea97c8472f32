"""A provider of batches in memory: a second, independent implementation of `BatchClient`, for tests of the executor alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
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


@dataclass
class Made:
    """A batch, as the provider has it."""

    id: str
    intent: Intent
    lines: list[BatchLine]
    at: float
    state: State = "running"
    answered: int | None = None


class MemoryBatches:
    """Answers each line with what it asks, at once, unless a test says otherwise.

    Attributes:
        made: every batch.
        paid: how often each body was paid for.
        creates: what goes wrong with the next creates: an error to raise, before or after ("after") the batch is made.
        ends: how the next batches end: state, and lines answered.
        lag: seconds for which a batch is not listed.
        usages: what the answer to a body says that it has used, where it says so.
        instants: what the next calls at once are answered with: a status, or an error.
    """

    provider = "memory"
    account = "memory:test"
    host = ""
    documented_only = False

    def __init__(
        self, *, limits: Limits | None = None, recovery: Recovery = "metadata", clock: Callable[[], float] = time.time
    ) -> None:
        self.recovery: Recovery = recovery
        self.made: list[Made] = []
        self.paid: dict[bytes, int] = {}
        self.asked: list[tuple[bytes, bool]] = []
        self.creates: list[tuple[str, Exception]] = []
        self.ends: list[tuple[State, int]] = []
        self.lag = 0.0
        self.seconds = 0.0
        self.has_flex = False
        self.instants: list[int] = []
        self.down = False
        self.frozen = False
        self.refuses_to_cancel = False
        self.errors: tuple[str, ...] = ()
        self.usages: dict[bytes, Mapping[str, int]] = {}
        self.statuses: dict[bytes, list[int]] = {}
        self.uploads = self.cancelled = 0
        self._limits = limits or Limits()
        self._clock = clock

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        return Address(str(body["model"]), "/ask") if path.endswith("/ask") and "model" in body else None

    def limits(self, model: str) -> Limits:
        return self._limits

    def flex(self, model: str) -> bool:
        return self.has_flex

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        await asyncio.sleep(0)
        if self.down:
            raise BatchUnknown("down")
        self.uploads += 1
        return f"file-{self.uploads}"

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:
        await asyncio.sleep(0)
        when, error = self.creates.pop(0) if self.creates else ("", None)
        if error is not None and when == "before":
            raise error
        if self.down:
            raise BatchUnknown("down")
        known = next((made for made in self.made if made.intent.id == intent.id), None)
        if known is None or self.recovery != "token":
            known = Made(f"batch-{len(self.made)}", intent, list(lines), self._clock())
            if self.ends:
                known.state, known.answered = self.ends.pop(0)
            self.made.append(known)
        if error is not None:
            raise error
        return self._status(known)

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        await asyncio.sleep(0)
        if self.down:
            raise BatchUnknown("down")
        for made in reversed(self.made):
            if made.at >= since - 60 and self._clock() - made.at >= self.lag:
                yield self._status(made)

    async def status(self, batch_id: str) -> BatchStatus:
        await asyncio.sleep(0)
        if self.down:
            raise BatchUnknown("down")
        return self._status(self._find(batch_id))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        await asyncio.sleep(0)
        made = self._find(batch.id)
        answered = len(made.lines) if made.answered is None else made.answered
        for place, line in enumerate(reversed(made.lines)):
            statuses = self.statuses.get(line.body)
            if place >= answered:
                yield ResultLine(line.custom_id, "not_run", 0, b"", "batch_expired")
            elif statuses:
                status = statuses.pop(0)
                yield ResultLine(line.custom_id, "errored", status, orjson.dumps({"error": {"message": "no"}}), "no")
            else:
                yield ResultLine(line.custom_id, "answered", 200, self._answer(line))

    async def cancel(self, batch_id: str) -> BatchStatus:
        await asyncio.sleep(0)
        if self.down:
            raise BatchUnknown("down")
        made = self._find(batch_id)
        if self.refuses_to_cancel and self._status(made).final:
            raise BatchRefused("it has ended", status=409, again=True)
        self.cancelled += 1
        if not self._status(made).final:
            made.state, made.answered = "cancelled", 0
        return self._status(made)

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        await asyncio.sleep(0)
        self.asked.append((line.body, flex))
        status = self.instants.pop(0) if self.instants else 200
        if status == 0:
            raise BatchUnknown("reset")
        if status == 200:
            self._pay(line)
        return Instant(status, self._answer(line) if status == 200 else b"{}")

    async def aclose(self) -> None:
        await asyncio.sleep(0)

    def _answer(self, line: BatchLine) -> bytes:
        text = orjson.loads(line.body)["text"]
        usage = self.usages.get(line.body)
        return orjson.dumps(text if usage is None else {"text": text, "usage": usage})

    def _find(self, batch_id: str) -> Made:
        return next(made for made in self.made if made.id == batch_id)

    def _status(self, made: Made) -> BatchStatus:
        if made.state == "running" and not self.frozen and self._clock() - made.at >= self.seconds:
            made.state = "completed"
        total = len(made.lines)
        status = BatchStatus(
            made.id,
            made.state,
            made.at,
            Counts(total),
            made.intent.id if self.recovery == "metadata" else "",
            "",
            ("out",),
        )
        if status.final:
            answered = total if made.answered is None else made.answered
            if made.answered != -1 and made.id not in self._settled:
                self._settled.add(made.id)
                for line in list(reversed(made.lines))[:answered]:
                    if not self.statuses.get(line.body):
                        self._pay(line)
            return replace(status, counts=Counts(total, answered), errors=self.errors if made.state == "failed" else ())
        return status

    @property
    def _settled(self) -> set[str]:
        return self.__dict__.setdefault("settled", set())

    def _pay(self, line: BatchLine) -> None:
        self.paid[line.body] = self.paid.get(line.body, 0) + 1


def refused(*, again: bool = True, full: bool = False) -> BatchRefused:
    """A create that was refused."""
    return BatchRefused("no", status=429 if again else 400, again=again, full=full, code="no")
