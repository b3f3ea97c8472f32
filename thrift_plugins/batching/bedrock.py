"""Batch inference of Amazon Bedrock: https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html (2026-11).

Written to the documentation, and never run against the provider (`documented_only`). Lines go through a bucket of S3. A
create can be sent again with the same token: Bedrock makes it once. A job of fewer than 100 lines is refused there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, Protocol
from urllib.parse import quote

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
from thrift_plugins.batching.remote import LISTING_SLACK
from thrift_plugins.batching.wire import BatchWire, seconds
from thrift_plugins.errors import ConfigError

_INVOKE: Final = re.compile(r"/model/([^/]+)/invoke$")
_NAME: Final = "thrift-"
_PAGE: Final = 1000
_STATES: Final[Mapping[str, State]] = {
    "Submitted": "validating",
    "Validating": "validating",
    "Scheduled": "validating",
    "InProgress": "running",
    "Completed": "completed",
    "PartiallyCompleted": "completed",
    "Failed": "failed",
    "Stopping": "cancelling",
    "Stopped": "cancelled",
    "Expired": "expired",
}


class Signer(Protocol):
    """Signs a request of AWS's: method, URL, body and headers to the headers to send."""

    def __call__(
        self, service: str, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, str]: ...


class BedrockBatchClient:
    """Batch inference jobs of an AWS account in one region.

    Args:
        bucket: of S3, where inputs and results go.
        role: ARN of the role that lets Bedrock read and write there.
        region: such as "us-east-1".
        account: a name for the account.
        prefix: of keys in the bucket.
        timeout_hours: after which a job expires, 24 to 168.
        sign: signs requests; by default botocore does, with the credentials that it finds.
        http: a client of your own.

    Raises:
        ConfigError: nothing can sign.
    """

    provider = "bedrock"
    recovery: Recovery = "token"
    documented_only = True

    def __init__(
        self,
        bucket: str,
        role: str,
        *,
        region: str,
        account: str,
        prefix: str = "thrift-batches",
        timeout_hours: int = 24,
        sign: Signer | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.account = f"bedrock:{account}:{region}"
        self._role, self._prefix, self._bucket = role, prefix, bucket
        self._timeout_hours = timeout_hours
        self._sign = sign or _botocore(region)
        self._jobs = BatchWire(f"https://bedrock.{region}.amazonaws.com", {}, http=http)
        self._runtime = BatchWire(f"https://bedrock-runtime.{region}.amazonaws.com", {}, http=http)
        self.host = self._runtime.host
        self._store = BatchWire(f"https://{bucket}.s3.{region}.amazonaws.com", {}, http=http)

    def address(self, path: str, body: Mapping[str, Any]) -> Address | None:  # noqa: ARG002
        """See `BatchClient`. The model is in the path."""
        found = _INVOKE.search(httpx.URL(path).path)
        return Address(found.group(1), found.group(0)) if found else None

    def limits(self, model: str) -> Limits:  # noqa: ARG002
        """50,000 lines and 1 GB a job by the default quotas."""
        return Limits(bytes=1_000_000_000, window_s=self._timeout_hours * 3600.0)

    def flex(self, model: str) -> bool:  # noqa: ARG002
        """Not known to be offered."""
        return False

    async def upload(self, intent: Intent, lines: Iterable[BatchLine]) -> str:
        """See `BatchClient`. The whole body is signed, so it is held in memory."""
        path = f"/{self._prefix}/{intent.id}.jsonl"
        await self._send(self._store, "s3", "PUT", path, b"".join(_rows(lines)))
        return f"s3://{self._bucket}{path}"

    async def create(self, intent: Intent, upload: str, lines: Iterable[BatchLine]) -> BatchStatus:  # noqa: ARG002
        """See `BatchClient`."""
        body = {
            "jobName": _NAME + intent.id,
            "clientRequestToken": re.sub(r"[^a-zA-Z0-9-]", "-", intent.id),
            "roleArn": self._role,
            "modelId": intent.model,
            "inputDataConfig": {"s3InputDataConfig": {"s3Uri": upload, "s3InputFormat": "JSONL"}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{self._bucket}/{self._prefix}/results/"}},
            "timeoutDurationInHours": self._timeout_hours,
        }
        made = await self._send(self._jobs, "bedrock", "POST", "/model-invocation-job", orjson.dumps(body))
        return BatchStatus(
            str(orjson.loads(made)["jobArn"]), "validating", intent.made_at, intent=intent.id, upload=upload
        )

    async def listing(self, since: float) -> AsyncIterator[BatchStatus]:
        """See `BatchClient`."""
        token = ""
        while True:
            query = f"maxResults={_PAGE}&sortBy=CreationTime&sortOrder=Descending" + (
                f"&nextToken={quote(token, '')}" if token else ""
            )
            page = orjson.loads(await self._send(self._jobs, "bedrock", "GET", f"/model-invocation-jobs?{query}"))
            found = [self._status(row) for row in page.get("invocationJobSummaries") or ()]
            young = [status for status in found if status.created_at >= since - LISTING_SLACK]
            for status in young:
                yield status
            token = str(page.get("nextToken") or "")
            if not token or not young:
                return

    async def status(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        path = f"/model-invocation-job/{quote(batch_id, '')}"
        return self._status(orjson.loads(await self._send(self._jobs, "bedrock", "GET", path)))

    async def results(self, batch: BatchStatus) -> AsyncIterator[ResultLine]:
        """See `BatchClient`."""
        for path in batch.results:
            url = self._store.base_url + path
            async for row in self._store.lines(path, headers=self._sign("s3", "GET", url, b"", {})):
                if (line := _result(row)) is not None:
                    yield line

    async def cancel(self, batch_id: str) -> BatchStatus:
        """See `BatchClient`."""
        await self._send(self._jobs, "bedrock", "POST", f"/model-invocation-job/{quote(batch_id, '')}/stop")
        return await self.status(batch_id)

    async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:  # noqa: ARG002
        """See `BatchClient`."""
        headers = {"content-type": "application/json"}
        signed = self._sign("bedrock", "POST", self._runtime.base_url + line.url, line.body, headers)
        response = await self._runtime.send_any("POST", line.url, content=line.body, headers=signed)
        return Instant(response.status_code, response.content, dict(response.headers))

    async def aclose(self) -> None:
        """See `BatchClient`."""
        for wire in (self._jobs, self._runtime, self._store):
            await wire.aclose()

    async def _send(self, wire: BatchWire, service: str, method: str, path: str, body: bytes = b"") -> bytes:
        headers = {"content-type": "application/json"} if body else {}
        signed = self._sign(service, method, wire.base_url + path, body, headers)
        return (await wire.send(method, path, content=body, headers=signed)).content

    def _status(self, row: Mapping[str, Any]) -> BatchStatus:
        arn = str(row["jobArn"])
        state = _STATES.get(str(row.get("status")), "running")
        name = str(row.get("jobName") or "")
        upload = str(((row.get("inputDataConfig") or {}).get("s3InputDataConfig") or {}).get("s3Uri") or "")
        file = upload.rpartition("/")[2]
        results = f"/{self._prefix}/results/{arn.rpartition('/')[2]}/{file}.out"
        has_results = state in FINAL and state != "failed" and bool(file)
        return BatchStatus(
            id=arn,
            state=state,
            created_at=seconds(row.get("submitTime")),
            counts=Counts(*(int(row.get(f"{name}RecordCount") or 0) for name in ("total", "success", "error"))),
            intent=name.removeprefix(_NAME) if name.startswith(_NAME) else "",
            upload=upload,
            results=(results,) if has_results else (),
            errors=(str(row.get("message") or "failed"),) if state == "failed" else (),
        )


def _rows(lines: Iterable[BatchLine]) -> Iterator[bytes]:
    for line in lines:
        body = line.body.replace(b"\n", b" ").replace(b"\r", b" ")
        yield b'{"recordId":%b,"modelInput":%b}\n' % (orjson.dumps(line.custom_id), body)


def _result(row: Mapping[str, Any]) -> ResultLine | None:
    record, error = row.get("recordId"), row.get("error")
    if not isinstance(record, str):
        return None
    if error or "modelOutput" not in row:
        told = error if isinstance(error, Mapping) else {}
        status = told.get("errorCode")
        failed = status if isinstance(status, int) and status >= 400 else 500
        return ResultLine(record, "errored", failed, orjson.dumps({"error": error}), str(status or "error"))
    return ResultLine(record, "answered", 200, orjson.dumps(row["modelOutput"]))


def _botocore(region: str) -> Signer:
    try:
        auth, awsrequest, session = (import_module(f"botocore.{name}") for name in ("auth", "awsrequest", "session"))
    except ImportError as error:
        raise ConfigError(
            "signing for AWS needs botocore: pip install 'thrift-plugins[bedrock]', or give sign="
        ) from error
    credentials = session.Session().get_credentials()
    if credentials is None:
        raise ConfigError("no AWS credentials were found; botocore looks in the environment, ~/.aws and the instance")

    def sign(service: str, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        request = awsrequest.AWSRequest(method=method, url=url, data=body, headers=dict(headers))
        signer = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
        signer(credentials.get_frozen_credentials(), service, region).add_auth(request)
        return dict(request.headers.items())

    return sign
