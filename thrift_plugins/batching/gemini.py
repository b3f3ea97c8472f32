"""Gemini's batch API: https://ai.google.dev/gemini-api/docs/batch-api, as of 2026-11.

Written to the documentation, and never run against the provider (`documented_only`). Jobs end 48 hours after they began,
with nothing to show where they expired, and their results are kept for as long.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import (
    FINAL,
    Address,
    BatchLine,
    BatchRefused,
    BatchStatus,
    Counts,
    Instant,
    Intent,
    Limits,
    Recovery,
    ResultLine,
    State,
)
from thrift_plugins.batching.remote import LISTING_SLACK, Remote, cheaper, instant, required_key
from thrift_plugins.batching.wire import chunks, seconds, spooled
from thrift_plugins.prices import Prices

_GENERATE: Final = re.compile(r"/(v1beta|v1)/models/([^/:]+):generateContent$")
_NAME: Final = "thrift-"
_PAGE: Final = 100
_WINDOW_S: Final = 172_800.0
_STATES: Final[Mapping[str, State]] = {
    "PENDING": "validating",
    "RUNNING": "running",
    "SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
_HTTP: Final[Mapping[int, int]] = {3: 400, 5: 404, 7: 403, 8: 429, 13: 500, 14: 503, 4: 504, 16: 401}
"""Google's error codes as HTTP statuses."""


class GeminiBatchClient(Remote):
    """Batches of a Gemini API project.

    Args:
        api_key: by default that in the environment variable GEMINI_API_KEY.
        base_url: without version.
        account: a name for the account, so that a journal outlives a change of the key; by default a digest of it.
        queued_tokens: model to the most input tokens in its unfinished batches, by your tier.
        prices: tells which models have flex processing.
        http: a client of your own.

    Raises:
        ConfigError: there is no key.
    """

    provider = "gemini"
    recovery: Recovery = "metadata"
    documented_only = True

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str = "https://generativelanguage.googleapis.com",
        account: str | None = None,
        queued_tokens: Mapping[str, int] | None = None,
        prices: Prices | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        key = required_key(api_key, "GEMINI_API_KEY")
        self._connect(base_url, {"x-goog-api-key": key}, key, account, http)
        self._queued_tokens = dict(queued_tokens or {})
        self._prices = prices or Prices()

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:  # noqa: ARG002
        """See `BatchClient`. The model is in the path."""
        found = _GENERATE.search(httpx.URL(path).path)
        return Address(found.group(2), found.group(0)) if found else None

    def limits(self, model: str) -> Limits:
        """A file of 2 GB, within 48 hours; no number of lines is documented."""
        queued = self._queued_tokens.get(model)
        return Limits(lines=1_000_000, bytes=2_000_000_000, queued_tokens=queued, window_s=_WINDOW_S)

    def flex(self, model: str) -> bool:
        """Whether the price list has flex prices below the standard ones for a model."""
        return cheaper(self._prices, model, "flex")

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`. By the resumable protocol, in one piece."""
        with spooled(_rows(lines)) as (file, size):
            start = {
                "content-type": "application/json",
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(size),
                "x-goog-upload-header-content-type": "application/jsonl",
            }
            named = orjson.dumps({"file": {"display_name": _NAME + intent.id}})
            begun = await self._wire.send("POST", "/upload/v1beta/files", content=named, headers=start)
            url = begun.headers.get("x-goog-upload-url", "")
            if httpx.URL(url).netloc.decode() != self._wire.host:
                raise BatchRefused("the upload was sent to another host, which gets no key of ours", code="other_host")
            sent = {
                "content-length": str(size),
                "x-goog-upload-offset": "0",
                "x-goog-upload-command": "upload, finalize",
            }
            stored = await self._wire.send("POST", url, content=chunks(file), headers=sent)
        return str(orjson.loads(stored.content)["file"]["name"])

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`. The intent is the display name."""
        batch = {"display_name": _NAME + intent.id, "input_config": {"file_name": upload}}
        path = f"/v1beta/models/{intent.model}:batchGenerateContent"
        return _status(await self._wire.post(path, {"batch": batch}))

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`. No order is documented, so every page is read."""
        token = ""
        while True:
            params = {"pageSize": str(_PAGE), **({"pageToken": token} if token else {})}
            page = await self._wire.get("/v1beta/batches", params)
            for row in page.get("operations") or ():
                status = _status(row)
                if status.created_at >= since - LISTING_SLACK:
                    yield status
            if not (token := str(page.get("nextPageToken") or "")):
                return

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return _status(await self._wire.get(f"/v1beta/{batch_id}"))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`."""
        for name in batch.results:
            async for row in self._wire.lines(f"/download/v1beta/{name}:download", {"alt": "media"}):
                if (line := _result(row)) is not None:
                    yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        await self._wire.post(f"/v1beta/{batch_id}:cancel", {})
        return await self.status(batch_id)

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        """See `BatchClient`."""
        body = orjson.dumps({**orjson.loads(line.body), "service_tier": "flex"}) if flex else line.body
        return await instant(self._wire, line.url, body)


def _rows(lines: Iterable[BatchLine]) -> Iterator[bytes]:
    for line in lines:
        body = line.body.replace(b"\n", b" ").replace(b"\r", b" ")
        yield b'{"key":%b,"request":%b}\n' % (orjson.dumps(line.custom_id), body)


def _status(row: Mapping[str, Any]) -> BatchStatus:
    """An operation, whose metadata is the batch."""
    told = row.get("metadata") or {}
    stats = told.get("batchStats") or {}
    # The SDKs say JOB_STATE_, the REST interface BATCH_STATE_.
    state = _STATES.get(str(told.get("state")).rpartition("_STATE_")[2], "running")
    output = (row.get("response") or {}).get("responsesFile") or (told.get("output") or {}).get("responsesFile") or ""
    counts = Counts(
        *(int(stats.get(f"{name}Count") or 0) for name in ("request", "successfulRequest", "failedRequest"))
    )
    name = str(told.get("displayName") or "")
    error = row.get("error") or {}
    return BatchStatus(
        id=str(row.get("name") or told.get("name")),
        state=state,
        created_at=seconds(told.get("createTime")),
        counts=counts,
        intent=name.removeprefix(_NAME) if name.startswith(_NAME) else "",
        upload=str((told.get("inputConfig") or {}).get("fileName") or ""),
        results=(str(output),) if output else (),
        ready=state not in FINAL or state != "completed" or bool(output),
        errors=(str(error.get("status") or error.get("message")),) if error else (),
    )


def _result(row: Mapping[str, Any]) -> ResultLine | None:
    key, response = row.get("key"), row.get("response")
    if not isinstance(key, str):
        return None
    if isinstance(response, Mapping) and not row.get("error"):
        return ResultLine(key, "answered", 200, orjson.dumps(response))
    error = row.get("error") or row.get("status") or {}
    number = error.get("code") if isinstance(error, Mapping) else None
    status = _HTTP.get(number, number if number >= 400 else 500) if isinstance(number, int) else 500
    code = str(error.get("status") or number or "error") if isinstance(error, Mapping) else str(error)
    return ResultLine(key, "errored", status, orjson.dumps({"error": error}), code)
