"""OpenAI's batch API: https://platform.openai.com/docs/api-reference/batch, as of 2026-11."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
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
from thrift_plugins.batching.remote import LISTING_SLACK, Remote, cheaper, from_v1, instant, required_key
from thrift_plugins.batching.rows import request_row, result_line
from thrift_plugins.batching.wire import seconds
from thrift_plugins.prices import Prices

ENDPOINTS: Final = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"}
)
WITHOUT_BATCH: Final = ("*realtime*", "*audio*", "*-search-preview*", "*transcribe*", "*-tts*", "chatgpt-*")
"""Patterns of models that OpenAI sells no batches of."""

_STATES: Final[Mapping[str, State]] = {"in_progress": "running", "canceling": "cancelling", "canceled": "cancelled"}
_PAGE: Final = 100


class OpenAIBatchClient(Remote):
    """Batches of an OpenAI account, or of a server that speaks the same.

    Args:
        api_key: by default that in the environment variable OPENAI_API_KEY.
        base_url: by default that in OPENAI_BASE_URL, or OpenAI's.
        account: a name for the account, so that a journal outlives a change of the key; by default a digest of it.
        organization: sent as `OpenAI-Organization`; so with `project`.
        queued_tokens: model to the most input tokens in its unfinished batches: your tier's limit, which no request
            tells. Without it a batch too many is sent, fails, and is sent again later.
        without_batch: patterns of models that have no batch.
        prices: tells which models have flex processing.
        http: a client of your own.

    Raises:
        ConfigError: there is no key.
    """

    provider = "openai"
    recovery: Recovery = "metadata"
    documented_only = False

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        account: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        queued_tokens: Mapping[str, int] | None = None,
        without_batch: Sequence[str] = WITHOUT_BATCH,
        prices: Prices | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        key = required_key(api_key, "OPENAI_API_KEY")
        named = {"OpenAI-Organization": organization, "OpenAI-Project": project}
        headers = {"Authorization": f"Bearer {key}", **{name: value for name, value in named.items() if value}}
        url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self._start(url, headers, key, account, queued_tokens, without_batch, prices, http)

    def _start(
        self,
        url: str,
        headers: Mapping[str, str],
        key: str,
        account: str | None,
        queued_tokens: Mapping[str, int] | None,
        without_batch: Sequence[str],
        prices: Prices | None,
        http: httpx.AsyncClient | None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        self._connect(url, headers, key, account, http, params)
        self._queued_tokens = dict(queued_tokens or {})
        self._without_batch = tuple(without_batch)
        self._prices = prices or Prices()

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:
        """See `BatchClient`."""
        url = from_v1(httpx.URL(path).path)
        model = body.get("model")
        if url not in ENDPOINTS or not isinstance(model, str) or not self.has_batch(model):
            return None
        return Address(model, url)

    def has_batch(self, model: str) -> bool:
        """Whether batches of a model are sold, as far as is known."""
        return not any(fnmatchcase(model, pattern) for pattern in self._without_batch)

    def limits(self, model: str) -> Limits:
        """50,000 lines and 200 MB, within 24 hours."""
        return Limits(queued_tokens=self._queued_tokens.get(model))

    def flex(self, model: str) -> bool:
        """Whether the price list has flex prices below the standard ones for a model."""
        return cheaper(self._prices, model, "flex")

    # --- the batch

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`. The file is kept until it is deleted: OpenAI's storage is free, its limit is 100 GB."""
        rows = (request_row(self._sent(line)) for line in lines)
        file = await self._wire.upload(self._path("/files"), {"purpose": "batch"}, f"thrift-{intent.id}.jsonl", rows)
        return str(file["id"])

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`."""
        body = {
            "input_file_id": upload,
            "endpoint": intent.url,
            "completion_window": "24h",
            "metadata": intent.metadata,
        }
        return self._status(await self._wire.post(self._path("/batches"), body))

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`."""
        after: str | None = None
        while True:
            params = {"limit": str(_PAGE), **({"after": after} if after else {})}
            page = await self._wire.get(self._path("/batches"), params)
            found = [self._status(row) for row in page.get("data") or ()]
            young = [status for status in found if not status.created_at or status.created_at >= since - LISTING_SLACK]
            for status in young:
                yield status
            # A page of nothing but older ones ends it; one alone may be out of order.
            if not page.get("has_more") or not young or found[-1].id == after:
                return
            after = found[-1].id

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return self._status(await self._wire.get(self._path(f"/batches/{batch_id}")))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`."""
        for file_id in batch.results:
            async for row in self._wire.lines(self._path(f"/files/{file_id}/content")):
                if (line := result_line(row)) is not None:
                    yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        return self._status(await self._wire.post(self._path(f"/batches/{batch_id}/cancel"), {}))

    # --- at once

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
        """See `BatchClient`."""
        body = line.body
        if flex:
            body = orjson.dumps({**orjson.loads(body), "service_tier": "flex"})
        return await instant(self._wire, self._instant_path(line), body)

    # --- what Azure has otherwise

    def _path(self, path: str) -> str:
        return path

    def _instant_path(self, line: BatchLine) -> str:
        return line.url.removeprefix("/v1")

    def _sent(self, line: BatchLine) -> BatchLine:
        """A line as it goes into the file."""
        return line

    def _status(self, row: Mapping[str, Any]) -> BatchStatus:
        state = _state(str(row.get("status")))
        counts = _counts(row.get("request_counts"))
        output, error = row.get("output_file_id") or "", row.get("error_file_id") or ""
        problems = (row.get("errors") or {}).get("data") or ()
        return BatchStatus(
            id=str(row["id"]),
            state=state,
            created_at=seconds(row.get("created_at")),
            counts=counts,
            intent=str((row.get("metadata") or {}).get("thrift_intent", "")),
            upload=str(row.get("input_file_id") or ""),
            results=tuple(name for name in (output, error) if name),
            ready=_ready(state, counts, output, error),
            errors=tuple(str(problem.get("code") or problem.get("message") or "failed") for problem in problems),
        )


def _state(told: str) -> State:
    known: Mapping[str, State] = {
        **_STATES,
        **{state: state for state in (*FINAL, "validating", "finalizing", "cancelling")},
    }
    return known.get(told, "running")


def _counts(told: object) -> Counts:
    if not isinstance(told, Mapping):
        return Counts()
    return Counts(*(int(told.get(name) or 0) for name in ("total", "completed", "failed")))


def _ready(state: State, counts: Counts, output: str, error: str) -> bool:
    """Whether every file that the counts promise is named: a batch can be final before its files are there."""
    if state not in FINAL:
        return True
    promised = (bool(output) or not counts.completed) and (bool(error) or not counts.failed)
    return promised and (bool(output or error) or state != "completed" or not counts.total)
