"""Mistral's batch jobs: lines in a file or in the create itself, one model a job, listings by page number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from thrift_plugins.testing.batches.account import BatchAccount, BatchRefused
from thrift_plugins.testing.batches.dialect import Reply, Route, Routes, asked, page_size, parsed, reply, routed
from thrift_plugins.testing.batches.jobs import Job, Line, Worked
from thrift_plugins.testing.batches.openai import reply_error
from thrift_plugins.testing.batches.work import line_tokens
from thrift_plugins.testing.connection import HttpRequest
from thrift_plugins.testing.script import Wire
from thrift_plugins.types import Json

_ROUTES: Final[Routes] = (
    ("POST", r"/v1/batch/jobs", "create"),
    ("GET", r"/v1/batch/jobs", "list"),
    ("GET", r"/v1/batch/jobs/([^/]+)", "retrieve"),
    ("POST", r"/v1/batch/jobs/([^/]+)/cancel", "cancel"),
)
_STATUS: Final = {
    "validating": "QUEUED",
    "working": "RUNNING",
    "cancelling": "CANCELLATION_REQUESTED",
    "completed": "SUCCESS",
    "expired": "TIMEOUT_EXCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
_DEFAULT_PAGE: Final = 100


class MistralBatches:
    """The dialect of Mistral; its files are OpenAI's."""

    name = "mistral"

    def __init__(self, account: BatchAccount) -> None:
        self._account = account

    def route(self, http: HttpRequest) -> Route | None:
        """What a request is about."""
        return routed(_ROUTES, http.method, http.path)

    def serve(self, route: Route, http: HttpRequest) -> Reply:
        """The answer."""
        if route.step == "create":
            return reply(self._job(self._create(parsed(http))))
        if route.step == "list":
            return reply(self._list(http))
        job = self._account.job(route.id, self.name)
        if route.step == "cancel":
            job.stop(self._account.now())
        return reply(self._job(job))

    def refuse(self, refused: BatchRefused) -> Reply:
        """The answer to what is refused."""
        return reply_error(refused)

    def _create(self, body: Wire) -> Job:
        model, endpoint = str(body.get("model") or ""), str(body.get("endpoint", ""))
        files: Sequence[str] = body.get("input_files") or ()
        if not model:
            raise BatchRefused(422, "invalid_request", "a job needs a model")
        if bool(files) == bool(body.get("requests")):
            raise BatchRefused(422, "invalid_request", "a job needs input_files or requests, and not both")
        rows: list[Wire] = list(body.get("requests") or ())
        for file_id in files:
            rows.extend(json.loads(raw) for raw in self._account.file(file_id).content.splitlines() if raw.strip())
        lines = [_line(row, model, endpoint) for row in rows]
        return self._account.create(
            self.name, lines, prefix="job-", endpoint=endpoint, model=model,
            input_file=files[0] if files else "", metadata=body.get("metadata"),
        )  # fmt: skip

    def _list(self, http: HttpRequest) -> Wire:
        jobs = self._account.listed(self.name)
        if wanted := asked(http, "metadata"):
            pairs = json.loads(wanted).items()
            jobs = [job for job in jobs if all((job.metadata or {}).get(name) == value for name, value in pairs)]
        size = page_size(http, "page_size", _DEFAULT_PAGE, self._account.limits.page)
        first = int(asked(http, "page", "0")) * size
        return {"object": "list", "data": [self._job(job) for job in jobs[first : first + size]], "total": len(jobs)}

    def _job(self, job: Job) -> Wire:
        failed = sum(worked.status >= 400 for worked in job.worked)
        body: dict[str, Json] = {
            "id": job.id,
            "object": "batch",
            "input_files": [job.input_file] if job.input_file else [],
            "metadata": dict(job.metadata) if job.metadata else None,
            "endpoint": job.endpoint,
            "model": job.model,
            "output_file": None,
            "error_file": None,
            "errors": [{"message": job.ending.code or "server_error", "count": 1}] if job.phase == "failed" else [],
            "status": _STATUS[job.phase],
            "created_at": int(job.epoch),
            "started_at": None if job.phase == "validating" else int(job.epoch),
            "completed_at": int(job.epoch + job.ended - job.created) if job.ended is not None else None,
            "total_requests": len(job.lines),
            "completed_requests": len(job.worked),
            "succeeded_requests": len(job.worked) - failed,
            "failed_requests": failed,
        }
        if self._account.names_files(job):
            body |= self._named(job)
        return body

    def _named(self, job: Job) -> dict[str, Json]:
        return {f"{kind}_file": file_id or None for kind, file_id in self._account.write(job, _row).items()}


def _line(row: Wire, model: str, endpoint: str) -> Line:
    body = {"model": model, **row["body"]}
    return Line(str(row.get("custom_id", "")), model, body, line_tokens(endpoint, body))


def _row(worked: Worked) -> Wire:
    response = {"status_code": worked.status, "body": worked.body}
    return {"id": f"batch-{worked.line.key}", "custom_id": worked.line.custom_id, "response": response, "error": None}
