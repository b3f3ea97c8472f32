"""Anthropic's Message Batches: https://docs.claude.com/en/api/creating-message-batches, as of 2026-11.

A batch carries no name, no metadata and no file, only its requests. One whose create was cut off can be told from
others by its time and count, and proved by the custom ids in its results, once it has ended; until then it is waited for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import orjson

from thrift_plugins.batching.client import (
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
from thrift_plugins.batching.remote import LISTING_SLACK, Remote, instant, required_key
from thrift_plugins.batching.rows import error_code
from thrift_plugins.batching.wire import chunks, seconds, spooled

API_VERSION: Final = "2023-06-01"
_BATCHES: Final = "/v1/messages/batches"
_MESSAGES: Final = "/v1/messages"
_PAGE: Final = 1000
_STATUS: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatchClient(Remote):
    """Batches of an Anthropic workspace.

    Args:
        api_key: by default that in the environment variable ANTHROPIC_API_KEY.
        base_url: without /v1.
        account: a name for the account, so that a journal outlives a change of the key; by default a digest of it.
        beta: values of the `anthropic-beta` header that the app's requests need.
        http: a client of your own.

    Raises:
        ConfigError: there is no key.
    """

    provider = "anthropic"
    recovery: Recovery = "contents"
    documented_only = False

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str = "https://api.anthropic.com",
        account: str | None = None,
        beta: Sequence[str] = (),
        http: httpx.AsyncClient | None = None,
    ) -> None:
        key = required_key(api_key, "ANTHROPIC_API_KEY")
        headers = {"x-api-key": key, "anthropic-version": API_VERSION}
        if beta:
            headers["anthropic-beta"] = ",".join(beta)
        self._connect(base_url.rstrip("/").removesuffix("/v1"), headers, key, account, http)

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """See `BatchClient`. Every active model has batches."""
        model = body.get("model")
        fits = httpx.URL(path).path.endswith(_MESSAGES) and isinstance(model, str)
        return Address(str(model), _MESSAGES) if fits else None

    def limits(self, model: str) -> Limits:  # noqa: ARG002
        """100,000 lines and 256 MB, within 24 hours; the queue's limit counts requests, not tokens."""
        return Limits(lines=100_000, bytes=256_000_000)

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:  # noqa: ARG002
        """There are no files."""
        return ""

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`."""
        with spooled(_requests(lines)) as (file, size):
            headers = {"content-type": "application/json", "content-length": str(size)}
            response = await self._wire.send("POST", _BATCHES, content=chunks(file), headers=headers)
        return _status(orjson.loads(response.content))

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`."""
        after: str | None = None
        while True:
            params = {"limit": str(_PAGE), **({"after_id": after} if after else {})}
            page = await self._wire.get(_BATCHES, params)
            found = [_status(row) for row in page.get("data") or ()]
            young = [status for status in found if status.created_at >= since - LISTING_SLACK]
            for status in young:
                yield status
            if not page.get("has_more") or not young or found[-1].id == after:
                return
            after = found[-1].id

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return _status(await self._wire.get(f"{_BATCHES}/{batch_id}"))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`. The address is made here, so that the key goes nowhere that a response says."""
        for batch_id in batch.results:
            async for row in self._wire.lines(f"{_BATCHES}/{batch_id}/results"):
                if (line := _result(row)) is not None:
                    yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return _status(await self._wire.post(f"{_BATCHES}/{batch_id}/cancel", {}))

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:  # noqa: ARG002
        """See `BatchClient`."""
        return await instant(self._wire, _MESSAGES, line.body)


def _requests(lines: Iterable[BatchLine]) -> Iterator[bytes]:
    """The body of a create, piece by piece."""
    yield b'{"requests":['
    for place, line in enumerate(lines):
        yield b'%b{"custom_id":%b,"params":%b}' % (b"," if place else b"", orjson.dumps(line.custom_id), line.body)
    yield b"]}"


def _status(row: Mapping[str, Any]) -> BatchStatus:
    told = row.get("request_counts") or {}
    counts = {name: int(told.get(name) or 0) for name in ("processing", "succeeded", "errored", "canceled", "expired")}
    state = _state(str(row.get("processing_status")), counts)
    ended = row.get("processing_status") == "ended"
    archived = bool(row.get("archived_at"))
    return BatchStatus(
        id=str(row["id"]),
        state=state,
        created_at=seconds(row.get("created_at")),
        counts=Counts(sum(counts.values()), counts["succeeded"], counts["errored"]),
        results=(str(row["id"]),) if ended and row.get("results_url") else (),
        ready=not ended or archived or bool(row.get("results_url")),
        errors=("results_archived",) if archived and not row.get("results_url") else (),
    )


def _state(told: str, counts: Mapping[str, int]) -> State:
    """Anthropic says only that a batch has ended; how, its counts say."""
    if told != "ended":
        return "cancelling" if told == "canceling" else "running"
    if counts["canceled"]:
        return "cancelled"
    return "expired" if counts["expired"] else "completed"


def _result(row: Mapping[str, Any]) -> ResultLine | None:
    custom_id, result = row.get("custom_id"), row.get("result")
    if not isinstance(custom_id, str) or not isinstance(result, Mapping):
        return None
    kind = str(result.get("type"))
    if kind == "succeeded":
        return ResultLine(custom_id, "answered", 200, orjson.dumps(result.get("message")))
    if kind in {"expired", "canceled"}:
        told = {"type": "error", "error": {"type": f"batch_{kind}", "message": f"the request was {kind} unrun"}}
        return ResultLine(custom_id, "not_run", 0, orjson.dumps(told), f"batch_{kind}")
    error = result.get("error")
    code = error_code(error) or "api_error"
    # Older results have the error itself where newer ones have the whole body around it.
    body = error if isinstance(error, Mapping) and "error" in error else {"type": "error", "error": error}
    return ResultLine(custom_id, "errored", _STATUS.get(code, 500), orjson.dumps(body), code)
