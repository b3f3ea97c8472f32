"""Mistral's batch jobs: https://docs.mistral.ai/capabilities/batch, as of 2026-11."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import (
    FINAL,
    Address,
    BatchLine,
    BatchStatus,
    Counts,
    Instant,
    Intent,
    Limits,
    Recovery,
    ResultLine,
    State,
)
from thrift_plugins.batching.remote import LISTING_SLACK, Remote, from_v1, instant, required_key
from thrift_plugins.batching.rows import result_line
from thrift_plugins.batching.wire import seconds

ENDPOINTS: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/fim/completions",
        "/v1/moderations",
        "/v1/chat/moderations",
        "/v1/classifications",
    }
)
_JOBS: Final = "/v1/batch/jobs"
_PAGE: Final = 100
_STATES: Final[Mapping[str, State]] = {
    "QUEUED": "validating",
    "RUNNING": "running",
    "SUCCESS": "completed",
    "FAILED": "failed",
    "TIMEOUT_EXCEEDED": "expired",
    "CANCELLATION_REQUESTED": "cancelling",
    "CANCELLED": "cancelled",
}


class MistralBatchClient(Remote):
    """Batch jobs of a Mistral workspace.

    Args:
        api_key: by default that in the environment variable MISTRAL_API_KEY.
        base_url: without /v1.
        account: a name for the account, so that a journal outlives a change of the key; by default a digest of it.
        timeout_hours: after which a job ends with what it has; 24, and 168 at most.
        http: a client of your own.

    Raises:
        ConfigError: there is no key.
    """

    provider = "mistral"
    recovery: Recovery = "metadata"
    documented_only = False

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str = "https://api.mistral.ai",
        account: str | None = None,
        timeout_hours: int = 24,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        key = required_key(api_key, "MISTRAL_API_KEY")
        headers = {"Authorization": f"Bearer {key}"}
        self._connect(base_url.rstrip("/").removesuffix("/v1"), headers, key, account, http)
        self._timeout_hours = timeout_hours

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """See `BatchClient`."""
        url, model = from_v1(httpx.URL(path).path), body.get("model")
        return Address(model, url) if url in ENDPOINTS and isinstance(model, str) else None

    def limits(self, model: str) -> Limits:  # noqa: ARG002
        """A million lines in a workspace's jobs and 512 MB a file, within `timeout_hours`."""
        return Limits(lines=1_000_000, bytes=512_000_000, window_s=self._timeout_hours * 3600.0)

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`."""
        rows = (_row(line) for line in lines)
        file = await self._wire.upload("/v1/files", {"purpose": "batch"}, f"thrift-{intent.id}.jsonl", rows)
        return str(file["id"])

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`."""
        body = {
            "input_files": [upload],
            "model": intent.model,
            "endpoint": intent.url,
            "metadata": intent.metadata,
            "timeout_hours": self._timeout_hours,
        }
        return _status(await self._wire.post(_JOBS, body))

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`. Pages have numbers, so that a job made meanwhile may show one twice, and hides none."""
        number = seen = 0
        while True:
            page = await self._wire.get(_JOBS, {"page": str(number), "page_size": str(_PAGE)})
            found = [_status(row) for row in page.get("data") or ()]
            young = [status for status in found if not status.created_at or status.created_at >= since - LISTING_SLACK]
            for status in young:
                yield status
            number, seen = number + 1, seen + len(found)
            if not young or seen >= int(page.get("total") or 0):
                return

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return _status(await self._wire.get(f"{_JOBS}/{batch_id}"))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`."""
        for file_id in batch.results:
            async for row in self._wire.lines(f"/v1/files/{file_id}/content"):
                if (line := result_line(row)) is not None:
                    yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return _status(await self._wire.post(f"{_JOBS}/{batch_id}/cancel", {}))

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:  # noqa: ARG002
        """See `BatchClient`."""
        return await instant(self._wire, line.url, line.body)


def _row(line: BatchLine) -> bytes:
    """A line as Mistral documents it: no URL, and no model, which the job has."""
    body = {name: value for name, value in orjson.loads(line.body).items() if name != "model"}
    return b'{"custom_id":%b,"body":%b}\n' % (orjson.dumps(line.custom_id), orjson.dumps(body))


def _status(row: Mapping[str, Any]) -> BatchStatus:
    state = _STATES.get(str(row.get("status")), "running")
    done, failed = int(row.get("succeeded_requests") or 0), int(row.get("failed_requests") or 0)
    output, error = _file_id(row.get("output_file")), _file_id(row.get("error_file"))
    promised = (bool(output) or not done) and (bool(error) or not failed)
    files = row.get("input_files") or ()
    return BatchStatus(
        id=str(row["id"]),
        state=state,
        created_at=seconds(row.get("created_at")),
        counts=Counts(int(row.get("total_requests") or 0), done, failed),
        intent=str((row.get("metadata") or {}).get("thrift_intent", "")),
        upload=str(files[0]) if files else "",
        results=tuple(name for name in (output, error) if name),
        ready=state not in FINAL or promised,
        errors=tuple(str(error.get("message")) for error in row.get("errors") or ()) if state == "failed" else (),
    )


def _file_id(told: object) -> str:
    """A file's id: the documentation has it alone, some servers the whole file."""
    return str(told.get("id") or "") if isinstance(told, Mapping) else str(told or "")
