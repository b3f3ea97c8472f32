"""Gemini's and Bedrock's batch clients against recorded shapes of their documentation: nobody has run them for real."""

import json

import httpx
import pytest

from thrift_plugins.batching.bedrock import BedrockBatchClient
from thrift_plugins.batching.client import BatchLine, BatchRefused, Intent
from thrift_plugins.batching.gemini import GeminiBatchClient
from thrift_plugins.errors import ConfigError

LINES = [
    BatchLine(f"hash{n}", "", json.dumps({"contents": [{"parts": [{"text": f"q{n}"}]}]}, indent=1).encode())
    for n in range(2)
]


class Recorded:
    """A server that answers by path, and remembers what it was asked."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request):
        await request.aread()
        self.asked.append(request)
        answer = self.answers[f"{request.method} {request.url.path}"]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def lines_of(*rows):
    return httpx.Response(200, content="\n".join(json.dumps(row) for row in rows))


GEMINI = {
    "POST /upload/v1beta/files": httpx.Response(200, headers={"x-goog-upload-url": "https://generativelanguage.googleapis.com/put?id=1"}),
    "POST /put": {"file": {"name": "files/in1", "uri": "u"}},
    "POST /v1beta/models/gemini-2.5-flash:batchGenerateContent": {
        "name": "batches/b1",
        "metadata": {"state": "BATCH_STATE_PENDING", "displayName": "thrift-wave-1", "createTime": "2026-11-20T10:00:00.123456789Z"},
    },
    "GET /v1beta/batches/b1": {
        "name": "batches/b1",
        "metadata": {
            "state": "BATCH_STATE_SUCCEEDED",
            "displayName": "thrift-wave-1",
            "createTime": "2026-11-20T10:00:00Z",
            "batchStats": {"requestCount": "2", "successfulRequestCount": "1", "failedRequestCount": "1"},
        },
        "done": True,
        "response": {"responsesFile": "files/out1"},
    },
    "GET /v1beta/batches": {
        "operations": [
            {"name": "batches/b1", "metadata": {"state": "BATCH_STATE_RUNNING", "displayName": "thrift-wave-1", "createTime": "2026-11-20T10:00:00Z"}},
            {"name": "batches/b0", "metadata": {"state": "JOB_STATE_EXPIRED", "displayName": "another", "createTime": "2026-11-01T10:00:00Z"}},
        ]
    },
    "GET /download/v1beta/files/out1:download": lines_of(
        {"key": "hash1", "error": {"code": 8, "message": "quota", "status": "RESOURCE_EXHAUSTED"}},
        {"key": "hash0", "response": {"candidates": [{"content": {"parts": [{"text": "a0"}]}}]}},
    ),
    "POST /v1beta/batches/b1:cancel": {},
}  # fmt: skip


async def test_gemini_from_upload_to_results():
    server = Recorded(GEMINI)
    client = GeminiBatchClient("key-1", http=server.http)
    address = client.address("/v1beta/models/gemini-2.5-flash:generateContent?alt=json", {})
    assert address.model == "gemini-2.5-flash"
    intent = Intent("wave-1", "d", address.model, address.url, 2, 0.0)
    upload = await client.upload(intent, LINES)
    assert upload == "files/in1"
    rows = [json.loads(row) for row in server.asked[1].content.splitlines()]
    assert [row["key"] for row in rows] == ["hash0", "hash1"]
    assert rows[0]["request"] == {"contents": [{"parts": [{"text": "q0"}]}]}
    made = await client.create(intent, upload, LINES)
    assert (made.id, made.state, made.intent) == ("batches/b1", "validating", "wave-1")
    sent = json.loads(server.asked[2].content)["batch"]
    assert sent == {"display_name": "thrift-wave-1", "input_config": {"file_name": "files/in1"}}
    done = await client.status(made.id)
    assert (done.state, done.ready, done.counts.completed, done.counts.failed) == ("completed", True, 1, 1)
    lines = {line.custom_id: line async for line in client.results(done)}
    assert (lines["hash0"].outcome, lines["hash1"].outcome, lines["hash1"].status) == ("answered", "errored", 429)
    found = [status async for status in client.listing(done.created_at)]
    assert [(status.id, status.intent) for status in found] == [("batches/b1", "wave-1")]
    assert client.documented_only
    await server.http.aclose()


async def test_gemini_sends_its_key_to_no_other_host():
    answers = {
        "POST /upload/v1beta/files": httpx.Response(200, headers={"x-goog-upload-url": "https://elsewhere.example/put"})
    }
    server = Recorded(answers)
    with pytest.raises(BatchRefused, match="another host"):
        await GeminiBatchClient("key-1", http=server.http).upload(Intent("w", "d", "m", "u", 2, 0.0), LINES)
    assert len(server.asked) == 1
    await server.http.aclose()


ARN = "arn:aws:bedrock:us-east-1:1:model-invocation-job/abc"
BEDROCK = {
    "PUT /thrift-batches/wave-1.jsonl": httpx.Response(200),
    "POST /model-invocation-job": {"jobArn": ARN},
    f"GET /model-invocation-job/{ARN}": {
        "jobArn": ARN,
        "jobName": "thrift-wave-1",
        "status": "PartiallyCompleted",
        "submitTime": "2026-11-20T10:00:00Z",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://bucket/thrift-batches/wave-1.jsonl"}},
        "totalRecordCount": 2,
        "successRecordCount": 1,
        "errorRecordCount": 1,
    },
    "GET /thrift-batches/results/abc/wave-1.jsonl.out": lines_of(
        {"recordId": "hash0", "modelInput": {}, "modelOutput": {"content": [{"text": "a0"}]}},
        {"recordId": "hash1", "modelInput": {}, "error": {"errorCode": 400, "errorMessage": "bad"}},
    ),
    "GET /model-invocation-jobs": {"invocationJobSummaries": [{"jobArn": ARN, "jobName": "thrift-wave-1", "status": "Stopping", "submitTime": "2026-11-20T10:00:00Z"}]},
}  # fmt: skip


async def test_bedrock_from_upload_to_results():
    server = Recorded(BEDROCK)
    signed = []

    def sign(service, method, url, body, headers):
        signed.append((service, method))
        return {**headers, "authorization": "AWS4-HMAC-SHA256 ..."}

    client = BedrockBatchClient("bucket", "arn:role", region="us-east-1", account="a", sign=sign, http=server.http)
    address = client.address("/model/anthropic.claude-3-haiku/invoke", {})
    intent = Intent("wave-1", "d", address.model, address.url, 2, 5.0)
    upload = await client.upload(intent, LINES)
    assert upload == "s3://bucket/thrift-batches/wave-1.jsonl"
    made = await client.create(intent, upload, LINES)
    sent = json.loads(server.asked[1].content)
    assert (sent["clientRequestToken"], sent["jobName"]) == ("wave-1", "thrift-wave-1")
    done = await client.status(made.id)
    assert (done.state, done.counts.total, done.intent) == ("completed", 2, "wave-1")
    lines = {line.custom_id: line async for line in client.results(done)}
    assert (lines["hash0"].outcome, lines["hash1"].status) == ("answered", 400)
    found = [status async for status in client.listing(0.0)]
    assert [(status.state, status.intent) for status in found] == [("cancelling", "wave-1")]
    assert all(request.headers["authorization"].startswith("AWS4") for request in server.asked)
    assert signed[0] == ("s3", "PUT")
    assert client.recovery == "token"
    assert client.documented_only
    await server.http.aclose()


def test_bedrock_signs_with_botocore_where_it_is(monkeypatch):
    pytest.importorskip("botocore", reason="botocore, of the extra [bedrock], is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = BedrockBatchClient("bucket", "arn:role", region="us-east-1", account="a")
    headers = client._sign("bedrock", "GET", "https://bedrock.us-east-1.amazonaws.com/model-invocation-jobs", b"", {})
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


def test_bedrock_without_botocore_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "botocore.auth", None)
    with pytest.raises(ConfigError, match=r"thrift-plugins\[bedrock\]"):
        BedrockBatchClient("bucket", "arn:role", region="us-east-1", account="a")
