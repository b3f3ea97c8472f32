"""One account's files and batches, whatever dialect they are asked for in."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from thrift_plugins.testing.batches.faults import BatchFaults, BatchLimits, Ending
from thrift_plugins.testing.batches.jobs import Job, Line, LineFate, Worked, Worker
from thrift_plugins.testing.batches.paid import PaidLedger
from thrift_plugins.testing.delivery import dumps
from thrift_plugins.testing.script import Wire
from thrift_plugins.types import Json

_ANSWERED: Final = LineFate()


@dataclass(slots=True)
class StoredFile:
    """A file, uploaded or written by a batch."""

    id: str
    name: str
    purpose: str
    content: bytes
    epoch: float
    uploaded: float


class BatchRefused(Exception):
    """The provider refuses a request; `status` is the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def json_lines(rows: Iterable[Wire]) -> bytes:
    """JSON lines."""
    return b"".join(dumps(row) + b"\n" for row in rows)


class BatchAccount:
    """Files, batches, and what befalls them.

    Args:
        seconds: how long a batch works.
        clock: seconds, monotonic.
        seed: of everything drawn by chance.
    """

    def __init__(
        self,
        faults: BatchFaults,
        limits: BatchLimits,
        worker: Worker,
        *,
        seconds: float,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.faults, self.limits = faults, limits
        self.paid = PaidLedger()
        self.files: dict[str, StoredFile] = {}
        self.jobs: dict[str, Job] = {}
        self.now = clock
        self._worker = worker
        self._seconds = seconds
        self._random = Random(seed)  # noqa: S311  (faults are to repeat, not to surprise)
        self._numbers = itertools.count(1)
        self._failed_once: set[str] = set()

    # --- files

    def store(self, name: str, purpose: str, content: bytes) -> StoredFile:
        """Keep a file."""
        file = StoredFile(f"file-{next(self._numbers):06d}", name, purpose, content, time.time(), self.now())
        self.files[file.id] = file
        return file

    def file(self, file_id: str) -> StoredFile:
        """A file by its id.

        Raises:
            BatchRefused: there is none.
        """
        if file_id not in self.files:
            raise BatchRefused(404, "not_found", f"No such File object: {file_id}")
        return self.files[file_id]

    # --- batches

    def finish(self) -> None:
        """No batch takes any time from now on."""
        self._seconds = 0.0
        for job in list(self.jobs.values()):
            job.seconds = 0.0

    def create(
        self,
        dialect: str,
        lines: Sequence[Line],
        *,
        prefix: str,
        problem: str = "",
        endpoint: str = "",
        model: str = "",
        input_file: str = "",
        metadata: Mapping[str, Json] | None = None,
    ) -> Job:
        """Make a batch; `problem` is the code of what its validation will find."""
        problem = problem or self._problem(lines)
        now = self.now()
        job = Job(
            id=f"{prefix}{next(self._numbers):06d}",
            dialect=dialect,
            lines=lines,
            fates=[self._fate(line) for line in lines],
            ending=Ending("failed", 0.0, problem, self._late(problem)) if problem else self.faults.ending(),
            created=now,
            epoch=time.time(),
            seconds=self._seconds,
            listed=now + self.faults.list_lag,
            named=self.faults.files_late,
            worker=self._worker,
            paid=self.paid,
            endpoint=endpoint,
            model=model,
            input_file=input_file,
            metadata=metadata,
        )
        self.jobs[job.id] = job
        return job

    def job(self, job_id: str, dialect: str) -> Job:
        """A batch by its id, as it is by now.

        Raises:
            BatchRefused: there is none.
        """
        job = self.jobs.get(job_id)
        if job is None or job.dialect != dialect:
            raise BatchRefused(404, "not_found", f"No batch found with id {job_id!r}")
        job.advance(self.now())
        return job

    def listed(self, dialect: str) -> list[Job]:
        """The batches that a listing shows by now, newest first."""
        now = self.now()
        shown = [job for job in self.jobs.values() if job.dialect == dialect and job.listed <= now]
        for job in shown:
            job.advance(now)
        return sorted(shown, key=lambda job: (job.created, job.id), reverse=True)

    def advance(self) -> tuple[Job, ...]:
        """Bring every batch, and so the ledger, up to now; gives them all."""
        now = self.now()
        jobs = tuple(self.jobs.values())
        for job in jobs:
            job.advance(now)
        return jobs

    def names_files(self, job: Job) -> bool:
        """Whether a batch that has ended says where its results are."""
        return job.ended is not None and self.now() >= job.ended + job.named

    def results(self, job: Job) -> list[Worked]:
        """Its finished lines as its files have them: in another order, some twice, some not at all."""
        listed = [worked for worked in job.worked for _ in range(worked.copies)]
        if self.faults.shuffle:
            Random(job.id).shuffle(listed)  # noqa: S311  (the same order at every download)
        return listed

    def write(self, job: Job, row: Callable[[Worked], Wire], unworked: Iterable[Wire] = ()) -> Mapping[str, str]:
        """The ids of its files "output" and "error", "" for one that would be empty; written at the first asking."""
        if not job.files:
            results = self.results(job)
            rows = {
                "output": [row(worked) for worked in results if worked.status < 400],
                "error": [*(row(worked) for worked in results if worked.status >= 400), *unworked],
            }
            for kind, lines in rows.items():
                name = f"{job.id}_{kind}.jsonl"
                job.files[kind] = self.store(name, "batch_output", json_lines(lines)).id if lines else ""
        return job.files

    def clear(self) -> None:
        """Forget everything, the ledger too."""
        self.files.clear()
        self.jobs.clear()
        self.paid.clear()
        self._failed_once.clear()

    # --- what befalls them

    def _problem(self, lines: Sequence[Line]) -> str:
        return next(self._problems(lines), "")

    def _problems(self, lines: Sequence[Line]) -> Iterator[str]:
        """What OpenAI's and Azure's validation would find, by their codes."""
        if not lines:
            yield "empty_batch"
        if len(lines) > self.limits.requests:
            yield "too_many_tasks"
        if len({line.custom_id for line in lines}) < len(lines):
            yield "duplicate_custom_id"
        models = Counter(line.model for line in lines)
        for model, most in self.limits.enqueued_tokens.items():
            if model in models:
                waiting = sum(line.tokens for job in self._unfinished() for line in job.lines if line.model == model)
                if waiting + sum(line.tokens for line in lines if line.model == model) > most:
                    yield "token_limit_exceeded"

    def _unfinished(self) -> Iterator[Job]:
        now = self.now()
        for job in self.jobs.values():
            job.advance(now)
            if job.unfinished:
                yield job

    def _late(self, problem: str) -> float | None:
        """The queue's limit is seen late, as at Azure; everything else at once."""
        return self._seconds / 2 if problem == "token_limit_exceeded" else None

    def _fate(self, line: Line) -> LineFate:
        faults, draw = self.faults, self._random.random
        if faults.line_error and draw() < faults.line_error and line.key not in self._failed_once:
            self._failed_once.add(line.key)
            return LineFate(status=self._random.choice(faults.line_statuses))
        if faults.drop and draw() < faults.drop:
            return LineFate(copies=0)
        return LineFate(copies=2) if faults.double and draw() < faults.double else _ANSWERED
