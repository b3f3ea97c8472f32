"""OpenAI's Files and Batches, and Azure's variant of them.

Azure's paths begin with /openai, its keys come in `api-key`, an uploaded file is "pending" for a while, and the
endpoint of a batch may lack its /v1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from thrift_plugins.testing.batches.account import BatchAccount, BatchRefused, StoredFile
from thrift_plugins.testing.batches.dialect import Reply, Route, Routes, asked, form, page_size, parsed, reply, routed
from thrift_plugins.testing.batches.jobs import Job, Line, Worked
from thrift_plugins.testing.batches.work import line_tokens
from thrift_plugins.testing.connection import HttpRequest
from thrift_plugins.testing.script import Wire
from thrift_plugins.testing.wire import error_body
from thrift_plugins.types import Json

_ROUTES: Final[Routes] = (
    ("POST", r"/files", "upload"),
    ("GET", r"/files/([^/]+)", "file"),
    ("GET", r"/files/([^/]+)/content", "results"),
    ("DELETE", r"/files/([^/]+)", "delete"),
    ("POST", r"/batches", "create"),
    ("GET", r"/batches", "list"),
    ("GET", r"/batches/([^/]+)", "retrieve"),
    ("POST", r"/batches/([^/]+)/cancel", "cancel"),
)
_ENDPOINTS: Final = frozenset({"/chat/completions", "/completions", "/embeddings"})
_PREFIX: Final = re.compile(r"^(/openai/v1|/openai|/v1)(?=/)")
_STATUS: Final = {"working": "in_progress"}
_DEFAULT_PAGE: Final = 20


class OpenAIBatches:
    """The dialect of OpenAI and Azure."""

    name = "openai"

    def __init__(self, account: BatchAccount) -> None:
        self._account = account

    def route(self, http: HttpRequest) -> Route | None:
        """What a request is about."""
        prefix = _PREFIX.match(http.path)
        return routed(_ROUTES, http.method, http.path[prefix.end() :]) if prefix else None

    def serve(self, route: Route, http: HttpRequest) -> Reply:
        """The answer."""
        if route.step == "results":
            return Reply(self._account.file(route.id).content)
        if route.step in {"upload", "file", "delete"}:
            return reply(self._on_file(route, http))
        return reply(self._list(http) if route.step == "list" else self._batch(self._on_batch(route, http)))

    def refuse(self, refused: BatchRefused) -> Reply:
        """The answer to what is refused."""
        return reply_error(refused)

    # --- files

    def _on_file(self, route: Route, http: HttpRequest) -> Wire:
        if route.step == "upload":
            return self._file(self._upload(http))
        file = self._account.file(route.id)
        if route.step == "file":
            return self._file(file)
        del self._account.files[file.id]
        return {"id": file.id, "object": "file", "deleted": True}

    def _upload(self, http: HttpRequest) -> StoredFile:
        parts = form(http)
        name, content = parts.get("file", ("", b""))
        if len(content) > self._account.limits.bytes:
            raise BatchRefused(400, "file_too_large", f"the file has {len(content)} bytes")
        return self._account.store(name, parts.get("purpose", ("", b""))[1].decode(), content)

    def _file(self, file: StoredFile) -> Wire:
        pending = self._account.now() < file.uploaded + self._account.faults.upload_pending
        return {
            "id": file.id,
            "object": "file",
            "bytes": len(file.content),
            "created_at": int(file.epoch),
            "filename": file.name,
            "purpose": file.purpose,
            "status": "pending" if pending else "processed",
        }

    # --- batches

    def _on_batch(self, route: Route, http: HttpRequest) -> Job:
        if route.step == "create":
            return self._create(parsed(http))
        job = self._account.job(route.id, self.name)
        if route.step == "cancel":
            job.stop(self._account.now())
        return job

    def _create(self, body: Wire) -> Job:
        endpoint = str(body.get("endpoint", "")).removeprefix("/v1")
        if endpoint not in _ENDPOINTS:
            raise BatchRefused(400, "invalid_value", f"no batches for the endpoint {body.get('endpoint')!r}")
        file = self._account.file(str(body.get("input_file_id", "")))
        if self._account.now() < file.uploaded + self._account.faults.upload_pending:
            raise BatchRefused(400, "file_not_ready", f"the file {file.id} is still pending")
        lines, problem = _lines(file.content, endpoint)
        return self._account.create(
            self.name, lines, prefix="batch_", problem=problem, endpoint=str(body["endpoint"]),
            input_file=file.id, metadata=body.get("metadata"),
        )  # fmt: skip

    def _list(self, http: HttpRequest) -> Wire:
        jobs = self._account.listed(self.name)
        if after := asked(http, "after"):
            places = [place for place, job in enumerate(jobs) if job.id == after]
            jobs = jobs[places[0] + 1 :] if places else []
        size = page_size(http, "limit", _DEFAULT_PAGE, self._account.limits.page)
        shown = jobs[:size]
        return {
            "object": "list",
            "data": [self._batch(job) for job in shown],
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
            "has_more": len(jobs) > size,
        }

    def _batch(self, job: Job) -> Wire:
        ended = int(job.epoch + (job.ended or job.created) - job.created)
        failed = sum(worked.status >= 400 for worked in job.worked)
        body: dict[str, Json] = {
            "id": job.id,
            "object": "batch",
            "endpoint": job.endpoint,
            "errors": _errors(job),
            "input_file_id": job.input_file,
            "completion_window": "24h",
            "status": _STATUS.get(job.phase, job.phase),
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(job.epoch),
            "expires_at": int(job.epoch) + 86_400,
            "request_counts": {"total": len(job.lines), "completed": len(job.worked) - failed, "failed": failed},
            "metadata": dict(job.metadata) if job.metadata else None,
            **{
                f"{state}_at": ended if job.phase == state else None
                for state in ("completed", "expired", "failed", "cancelled")
            },
        }
        if self._account.names_files(job):
            body |= self._named(job)
        if self._account.faults.error_file == "absent" and not body["error_file_id"]:
            del body["error_file_id"]
        return body

    def _named(self, job: Job) -> dict[str, Json]:
        """The ids of its files; what is not there is named as the test wants it."""
        missing = self._account.faults.error_file
        files = self._account.write(job, _row, _expired(job))
        named: dict[str, Json] = {f"{kind}_file_id": file_id for kind, file_id in files.items() if file_id}
        return {"error_file_id": ""} | named if missing == "empty" else named


def reply_error(refused: BatchRefused) -> Reply:
    """An error in OpenAI's form."""
    body = reply(error_body(refused.status, refused.code, str(refused))).body
    return Reply(body, refused.status)


def _lines(content: bytes, endpoint: str) -> tuple[list[Line], str]:
    """The lines of an input file, and the code of what is wrong with it."""
    lines: list[Line] = []
    for raw in content.splitlines():
        if not raw.strip():
            continue
        try:
            row = json.loads(raw)
            body, url = row["body"], str(row["url"])
        except (ValueError, KeyError, TypeError):
            return [], "invalid_json_line"
        if url.removeprefix("/v1") != endpoint:
            return [], "url_mismatch"
        lines.append(Line(str(row.get("custom_id", "")), str(body.get("model", "")), body, line_tokens(url, body)))
    if len({line.model for line in lines}) > 1:
        return lines, "model_mismatch"
    return lines, ""


def _errors(job: Job) -> Json:
    if job.phase != "failed":
        return None
    code = job.ending.code or "server_error"
    return {"object": "list", "data": [{"code": code, "line": None, "message": code.replace("_", " "), "param": None}]}


def _row(worked: Worked) -> Wire:
    response = {"status_code": worked.status, "request_id": f"req_{worked.line.key}", "body": worked.body}
    return {
        "id": f"batch_req_{worked.line.key}",
        "custom_id": worked.line.custom_id,
        "response": response,
        "error": None,
    }


def _expired(job: Job) -> Iterator[Wire]:
    """What OpenAI writes of the lines that an expired batch did not get to."""
    if job.phase != "expired":
        return
    error = {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    }
    for line in job.unworked:
        yield {"id": f"batch_req_{line.key}", "custom_id": line.custom_id, "response": None, "error": error}
