"""Anthropic's Message Batches: no file, no metadata, and no name by which a lost create could be found."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from thrift_plugins.testing.batches.account import BatchAccount, BatchRefused, json_lines
from thrift_plugins.testing.batches.dialect import Reply, Route, Routes, asked, page_size, parsed, reply, routed
from thrift_plugins.testing.batches.jobs import Job, Line, Worked
from thrift_plugins.testing.batches.work import line_tokens
from thrift_plugins.testing.connection import HttpRequest
from thrift_plugins.testing.script import Wire
from thrift_plugins.types import Json

_ROUTES: Final[Routes] = (
    ("POST", r"/v1/messages/batches", "create"),
    ("GET", r"/v1/messages/batches", "list"),
    ("GET", r"/v1/messages/batches/([^/]+)", "retrieve"),
    ("GET", r"/v1/messages/batches/([^/]+)/results", "results"),
    ("POST", r"/v1/messages/batches/([^/]+)/cancel", "cancel"),
    ("DELETE", r"/v1/messages/batches/([^/]+)", "delete"),
)
_ERRORS: Final = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DEFAULT_PAGE: Final = 20


class AnthropicBatches:
    """The dialect of Anthropic."""

    name = "anthropic"

    def __init__(self, account: BatchAccount) -> None:
        self._account = account

    def route(self, http: HttpRequest) -> Route | None:
        """What a request is about."""
        return routed(_ROUTES, http.method, http.path)

    def serve(self, route: Route, http: HttpRequest) -> Reply:
        """The answer."""
        if route.step == "create":
            return reply(self._batch(self._create(http), http))
        if route.step == "list":
            return reply(self._list(http))
        job = self._account.job(route.id, self.name)
        if route.step == "results":
            if not self._account.names_files(job):
                raise BatchRefused(404, "not_found_error", f"no results yet for {job.id}")
            return Reply(json_lines(self._results(job)))
        if route.step == "cancel":
            job.stop(self._account.now())
        if route.step == "delete":
            if job.unfinished:
                raise BatchRefused(400, "invalid_request_error", "a batch in progress cannot be deleted")
            del self._account.jobs[job.id]
            return reply({"id": job.id, "type": "message_batch_deleted"})
        return reply(self._batch(job, http))

    def refuse(self, refused: BatchRefused) -> Reply:
        """The answer to what is refused."""
        kind = _ERRORS.get(refused.status, "api_error")
        body = reply({"type": "error", "error": {"type": kind, "message": str(refused)}}).body
        return Reply(body, refused.status)

    def _create(self, http: HttpRequest) -> Job:
        body = parsed(http)
        if len(http.body) > self._account.limits.bytes:
            raise BatchRefused(413, "request_too_large", f"the request has {len(http.body)} bytes")
        if set(body) - {"requests"}:
            raise BatchRefused(
                400, "invalid_request_error", f"extra inputs are not permitted: {sorted(set(body) - {'requests'})}"
            )
        requests: Sequence[Wire] = body.get("requests") or ()
        if not requests:
            raise BatchRefused(400, "invalid_request_error", "requests: at least one is needed")
        if len(requests) > self._account.limits.requests:
            raise BatchRefused(400, "invalid_request_error", f"requests: {len(requests)} are too many")
        ids = [str(request.get("custom_id", "")) for request in requests]
        if bad := [name for name in ids if not _CUSTOM_ID.fullmatch(name)]:
            raise BatchRefused(
                400, "invalid_request_error", f"custom_id: {bad[0]!r} does not match {_CUSTOM_ID.pattern}"
            )
        if len(set(ids)) < len(ids):
            raise BatchRefused(400, "invalid_request_error", "custom_id must be unique within a batch")
        lines = [_line(name, request.get("params") or {}) for name, request in zip(ids, requests, strict=True)]
        return self._account.create(self.name, lines, prefix="msgbatch_")

    def _list(self, http: HttpRequest) -> Wire:
        jobs = self._account.listed(self.name)
        if after := asked(http, "after_id"):
            places = [place for place, job in enumerate(jobs) if job.id == after]
            jobs = jobs[places[0] + 1 :] if places else []
        size = page_size(http, "limit", _DEFAULT_PAGE, self._account.limits.page)
        shown = jobs[:size]
        return {
            "data": [self._batch(job, http) for job in shown],
            "has_more": len(jobs) > size,
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
        }

    def _batch(self, job: Job, http: HttpRequest) -> Wire:
        ended = job.ended is not None
        path = f"/v1/messages/batches/{job.id}/results"
        named = self._account.names_files(job)
        return {
            "id": job.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if job.phase == "cancelling" else "in_progress",
            "request_counts": _counts(job),
            "created_at": _moment(job, 0.0),
            "expires_at": _moment(job, 86_400.0),
            "ended_at": _moment(job, (job.ended or 0.0) - job.created) if ended else None,
            "cancel_initiated_at": _moment(job, job.stopped - job.created) if job.stopped is not None else None,
            "archived_at": None,
            "results_url": f"http://{http.headers.get('host', '')}{path}" if named else None,
        }

    def _results(self, job: Job) -> list[Wire]:
        rows: list[Wire] = [
            {"custom_id": worked.line.custom_id, "result": _result(worked)} for worked in self._account.results(job)
        ]
        kind = {"expired": "expired", "cancelled": "canceled"}.get(job.phase)
        failed: Json = {"type": "error", "error": {"type": "api_error", "message": job.ending.code or "internal error"}}
        unworked: Wire = {"type": kind} if kind else {"type": "errored", "error": failed}
        return rows + [{"custom_id": line.custom_id, "result": unworked} for line in job.unworked]


def _line(custom_id: str, params: Wire) -> Line:
    """A line in OpenAI's words: the system prompt is a message."""
    system = params.get("system")
    messages = [*([{"role": "system", "content": system}] if system else []), *(params.get("messages") or ())]
    body = {**{name: value for name, value in params.items() if name not in {"system", "tools"}}, "messages": messages}
    return Line(custom_id, str(params.get("model", "")), body, line_tokens("/v1/chat/completions", body))


def _result(worked: Worked) -> Wire:
    if worked.status >= 400:
        error: Json = {"type": _ERRORS.get(worked.status, "api_error"), "message": json.dumps(worked.body)}
        return {"type": "errored", "error": {"type": "error", "error": error}}
    choice = worked.body["choices"][0]
    message: Json = {
        "id": f"msg_{worked.body['id']}",
        "type": "message",
        "role": "assistant",
        "model": worked.line.model,
        "content": [{"type": "text", "text": choice["message"]["content"] or ""}],
        "stop_reason": "max_tokens" if choice["finish_reason"] == "length" else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": worked.usage.input_tokens,
            "output_tokens": worked.usage.output_tokens,
            "service_tier": "batch",
        },
    }
    return {"type": "succeeded", "message": message}


def _counts(job: Job) -> Wire:
    """As at Anthropic: everything is "processing" until the whole batch has ended."""
    if job.unfinished:
        return {"processing": len(job.lines), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    tally = Counter("succeeded" if worked.status < 400 else "errored" for worked in job.worked)
    tally[{"expired": "expired", "cancelled": "canceled"}.get(job.phase, "errored")] += len(job.unworked)
    return {"processing": 0, **{name: tally[name] for name in ("succeeded", "errored", "canceled", "expired")}}


def _moment(job: Job, later: float) -> str:
    return (datetime.fromtimestamp(job.epoch, UTC) + timedelta(seconds=later)).isoformat().replace("+00:00", "Z")
