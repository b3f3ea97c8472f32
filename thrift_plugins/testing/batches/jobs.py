"""Batches at work: their lines, how far each one is, and what its files will hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, TypeAlias

from thrift_plugins.testing.batches.faults import Ending
from thrift_plugins.testing.batches.paid import PaidLedger, PaidLine
from thrift_plugins.testing.script import Wire
from thrift_plugins.types import Json, Usage

Phase: TypeAlias = Literal["validating", "working", "cancelling", "completed", "expired", "failed", "cancelled"]

ENDED: Final = frozenset({"completed", "expired", "failed", "cancelled"})
_VALIDATING: Final = 0.1
"""Part of a batch's time in which no line is worked on yet."""


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch.

    Attributes:
        body: what is asked, in OpenAI's words, whatever dialect it came in.
        tokens: its input tokens.
    """

    custom_id: str
    model: str
    body: Wire
    tokens: int

    @property
    def key(self) -> str:
        """The same for the same question."""
        return sha256(json.dumps([self.model, self.body], sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class LineFate:
    """What becomes of a line: an answer or an HTTP error, in its file once, twice, or never."""

    copies: int = 1
    status: int = 200
    error: str = ""


@dataclass(frozen=True, slots=True)
class Worked:
    """A line and its answer: the status, and the body of the answer or of the error."""

    line: Line
    status: int
    body: Wire
    usage: Usage
    copies: int


Worker: TypeAlias = Callable[[Line, LineFate], Worked]


@dataclass(slots=True)
class Job:
    """One batch.

    Attributes:
        created: when, by the server's clock in seconds; `epoch` is the same by the wall clock.
        seconds: how long it works.
        listed: from when on listings show it.
        named: seconds after its end from which on it names its files.
        worked: lines done, in the order of work.
        stopped: when it was asked to stop.
    """

    id: str
    dialect: str
    lines: Sequence[Line]
    fates: Sequence[LineFate]
    ending: Ending
    created: float
    epoch: float
    seconds: float
    listed: float
    named: float
    worker: Worker
    paid: PaidLedger
    endpoint: str = ""
    model: str = ""
    input_file: str = ""
    metadata: Mapping[str, Json] | None = None
    problem: str = ""
    worked: list[Worked] = field(default_factory=list)
    stopped: float | None = None
    phase: Phase = "validating"
    ended: float | None = None
    files: dict[str, str] = field(default_factory=dict)
    unworked: list[Line] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def unfinished(self) -> bool:
        """Whether it may still work on lines."""
        return self.phase not in ENDED

    @property
    def tokens(self) -> int:
        """Input tokens that it holds in the queue."""
        return sum(line.tokens for line in self.lines) if self.unfinished else 0

    def advance(self, now: float) -> None:
        """Work on, and pay, every line that is due by now; end where the time has come. Any thread may ask."""
        with self._lock:
            if self.unfinished:
                self._advance(now)

    def _advance(self, now: float) -> None:
        end = self.created + (self.seconds if self.ending.after is None else self.ending.after)
        if self.ending.state == "failed" and not self.ending.share:
            self._advance_doomed(now, end)
            return
        until = min(now, end, self.stopped if self.stopped is not None else end)
        start = self.created + self.seconds * _VALIDATING
        most = int(len(self.lines) * self.ending.share)
        due = most if until >= end else int(most * max(0.0, until - start) / max(end - start, 1e-9))
        for index in range(len(self.worked), due):
            self._work(index)
        if self.stopped is not None and self.stopped < end:
            self._end_or_wait(now, self.stopped + self.seconds * _VALIDATING, "cancelled", "cancelling")
        else:
            self._end_or_wait(now, end, self.ending.state, "working" if now >= start else "validating")

    def stop(self, now: float) -> None:
        """Cancel it; lines that are done stay done."""
        with self._lock:
            self.advance(now)
            if self.unfinished and self.stopped is None:
                self.stopped = now
                self.phase = "cancelling"

    def _advance_doomed(self, now: float, end: float) -> None:
        """A batch that fails before any line."""
        self._end_or_wait(now, self.created if self.ending.after is None else end, "failed", "validating")

    def _end_or_wait(self, now: float, end: float, last: Phase, meanwhile: Phase) -> None:
        if now < end:
            self.phase = meanwhile
            return
        self.phase, self.ended = last, end
        self.unworked = list(self.lines[len(self.worked) :])

    def _work(self, index: int) -> None:
        line = self.lines[index]
        worked = self.worker(line, self.fates[index])
        self.worked.append(worked)
        if worked.status < 400:
            lost = not worked.copies
            self.paid.pay(PaidLine(self.id, line.custom_id, line.key, line.model, worked.usage, lost))
