"""Reads the results of a batch into the journal, and tells those who wait. Every line counts once, however often it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from thrift_plugins.batching.client import BatchError, BatchStatus, ResultLine
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.doubles import Doubles
from thrift_plugins.batching.pending import Answer, failed, key_in
from thrift_plugins.batching.records import Incident, Sending
from thrift_plugins.batching.usage import usage_of
from thrift_plugins.batching.waiting import Waiting
from thrift_plugins.types import NO_USAGE, Usage

logger = logging.getLogger("thrift_plugins")

_AT_ONCE: Final = 500
_PASSING: Final = frozenset({408, 409, 425, 429})
_SERVER_ERROR: Final = 500
_RETRY_S: Final = 1.0


class Reader:
    """Takes answers in.

    Attributes:
        reading: batches whose results are being read: what waits for them goes on in a moment.
    """

    def __init__(self, desk: Desk, waiting: Waiting) -> None:
        self._client, self._journal, self._settings, self._clock = desk.client, desk.journal, desk.settings, desk.clock
        self._waiting = waiting
        self.reading = 0
        self._answered: dict[str, int] = {}
        self._not_run: dict[str, int] = {}

    async def read(
        self,
        batch: Sending,
        status: BatchStatus,
        *,
        stray: bool = False,
        late: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Doubles | None:
        """Read all results of a batch; gives its answers that were paid twice, None where it gave up.

        A broken connection is read again from the start.

        Args:
            stray: the batch was given up, and its lines were sent again: all of its answers are doubles.
            late: whether a deadline leaves no more time to try again.
            sleep: waits, but not beyond a deadline.
        """
        self.reading += 1
        delay = _RETRY_S
        try:
            while True:
                try:
                    doubles = await self._read(batch, status, stray=stray)
                except BatchError as error:
                    logger.info("batch: results of %s could not be read (%s)", status.id, error)
                    if late():
                        return None
                    await sleep(delay)
                    delay = min(2 * delay, self._settings.poll * 4)
                else:
                    return doubles
        finally:
            self.reading -= 1

    async def _read(self, batch: Sending, status: BatchStatus, *, stray: bool) -> Doubles:
        passing: set[bytes] = set()
        answered: set[bytes] = set()
        not_run = 0
        doubles = Doubles()
        chunk: list[tuple[bytes, Answer]] = []
        async for line in self._client.results(status):
            key = key_in(line.custom_id)
            if key is None:
                continue
            if line.outcome == "not_run":
                not_run += 1
            elif line.outcome == "errored" and _is_passing(line.status):
                passing.add(key)
            elif key not in answered:
                answered.add(key)
                chunk.append((key, _answer(line)))
            if len(chunk) >= _AT_ONCE:
                doubles.add(self._taken(batch, chunk, stray=stray))
                chunk = []
                await asyncio.sleep(0)
        doubles.add(self._taken(batch, chunk, stray=stray))
        if not stray:
            self._answered[status.id], self._not_run[status.id] = len(answered) + len(passing), not_run
            self._fail_worn(passing - answered)
        return doubles

    def _taken(self, batch: Sending, chunk: Sequence[tuple[bytes, Answer]], *, stray: bool) -> list[Answer]:
        """Take answers in; gives those that were paid twice."""
        known = self._take(batch, chunk)
        if stray:
            return [answer for _, answer in chunk]
        # What this batch has answered itself, before a kill or a broken connection, was paid once.
        at_once = self._journal.at_once(known) if known else ()
        return [answer for key, answer in chunk if key in at_once]

    def _take(
        self, batch: Sending | None, chunk: Sequence[tuple[bytes, Answer]], *, stopped: bool = False
    ) -> list[bytes]:
        """Take answers in; gives the lines that had one already, or are not stopped."""
        if not chunk:
            return []
        first = self._journal.take(batch, chunk, self._clock(), stopped=stopped)
        for key, answer in chunk:
            if key in first:
                self._waiting.answer(key, answer)
        self._waiting.post()
        return [key for key, _ in chunk if key not in first]

    def take_one(self, key: bytes, answer: Answer) -> Usage:
        """An answer that came outside a batch; gives what it used."""
        self._take(None, [(key, answer)])
        return usage_of([answer.body]) if not answer.code else NO_USAGE

    def fail(self, keys: Sequence[bytes], answer: Answer, *, stopped: bool = False) -> list[bytes]:
        """Answer lines with an error: they are not sent again unless they are asked again.

        Args:
            stopped: those alone that nobody has asked since a person has stopped them.

        Returns: those that it was not for.
        """
        left: list[bytes] = []
        for start in range(0, len(keys), _AT_ONCE):
            left += self._take(None, [(key, answer) for key in keys[start : start + _AT_ONCE]], stopped=stopped)
        return left

    def _fail_worn(self, keys: set[bytes]) -> None:
        """Lines that fail for a passing reason are sent again a few times."""
        for key, failures in self._journal.failures(keys):
            if failures > self._settings.line_retries:
                message = f"the provider answered with a passing error {failures} times"
                self.fail([key], failed(503, message, "passing_error"))

    def worn(self, keys: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Which lines are to be sent again, and which have been sent often enough."""
        attempts = self._journal.attempts(keys)
        fresh = [key for key in keys if attempts.get(key, 0) <= self._settings.rounds]
        return fresh, [key for key in keys if attempts.get(key, 0) > self._settings.rounds]

    def came_on(self, status: BatchStatus) -> bool:
        """Whether a batch that was read had an answer."""
        return self._answered.get(status.id, 0) > 0

    def failed_again(self, keys: Sequence[bytes]) -> set[bytes]:
        """Note that a batch failed as a whole; those of its lines for which it is the second time."""
        return {key for key, failures in self._journal.failures(keys, whole=True) if failures > 1}

    def report(self, batch: Sending, status: BatchStatus, left: Sequence[bytes]) -> None:
        """Note results that should be there and are not: their lines are paid again."""
        answered = self._answered.pop(status.id, 0)
        not_run = self._not_run.pop(status.id, 0)
        expected = batch.intent.count if status.state == "completed" else answered
        missing = min(max(0, expected - answered - not_run, status.counts.completed - answered), len(left))
        if missing > 0:
            told = f"{missing} results are missing of {batch.intent.count}; the lines are sent, and may be paid, again"
            self._note("resent", status.id, missing, told)
        if status.state == "failed":
            self._note("failed", status.id, len(left), ", ".join(status.errors) or "no reason was told")

    def _note(self, kind: str, batch: str, lines: int, told: str) -> None:
        logger.warning("batch: %s: %s (%s)", kind, told, batch)
        self._journal.note(Incident(self._clock(), kind, batch, lines, None, told))


def _is_passing(status: int) -> bool:
    return status in _PASSING or status >= _SERVER_ERROR


def _answer(line: ResultLine) -> Answer:
    if line.outcome == "answered":
        return Answer(line.status or 200, line.body)
    return Answer(line.status or 400, line.body, line.code or "error")
