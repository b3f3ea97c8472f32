"""The loopback provider's batch APIs, over the real OpenAI SDK and plain HTTP."""

import io
import json
import time

import httpx
import openai
import pytest

from thrift_plugins.testing.batches import BatchLimits, Ending, LoopbackBatches, Refusal

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def provider():
    with LoopbackBatches(seconds=0.05) as running:
        yield running


@pytest.fixture
def sdk(provider):
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.api_key, max_retries=0) as client:
        yield client


def chat(number, model="gpt-4o-mini"):
    return {"model": model, "messages": [{"role": "user", "content": f"question {number}"}]}


def jsonl(count, model="gpt-4o-mini", **more):
    rows = (
        {"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions", "body": chat(n, model), **more}
        for n in range(count)
    )
    return "\n".join(json.dumps(row) for row in rows).encode()


def submit(sdk, content, **more):
    file = sdk.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")
    return sdk.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more)


def ended(fetch, *states):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        batch = fetch()
        if (batch["status"] if isinstance(batch, dict) else batch.status) in states:
            return batch
        time.sleep(0.01)
    raise AssertionError(f"not {states}: {batch}")


def rows(sdk, file_id):
    return [json.loads(line) for line in sdk.files.content(file_id).text.splitlines()] if file_id else []


def test_a_batch_is_answered_in_another_order_and_paid_once_a_line(provider, sdk):
    batch = submit(sdk, jsonl(40), metadata={"wave": "w1"})
    assert batch.status == "validating"
    done = ended(lambda: sdk.batches.retrieve(batch.id), "completed")
    lines = rows(sdk, done.output_file_id)
    assert {line["custom_id"] for line in lines} == {f"c{n}" for n in range(40)}
    assert [line["custom_id"] for line in lines] != [f"c{n}" for n in range(40)]
    for line in lines:
        assert f"question {line['custom_id'][1:]}" in line["response"]["body"]["choices"][0]["message"]["content"]
    assert done.metadata == {"wave": "w1"}
    assert done.error_file_id is None
    assert len(provider.paid.lines) == 40
    assert provider.paid.twice == 0
    assert provider.paid.usage.input_tokens > 0


def test_a_reset_after_the_create_leaves_a_batch_that_is_paid(provider, sdk):
    provider.batch_faults.resets_after_create = 1
    with pytest.raises(openai.APIConnectionError):
        submit(sdk, jsonl(5), metadata={"wave": "w1"})
    found = list(sdk.batches.list())
    assert [batch.metadata for batch in found] == [{"wave": "w1"}]
    ended(lambda: sdk.batches.retrieve(found[0].id), "completed")
    submit(sdk, jsonl(5))
    ended(lambda: sdk.batches.retrieve(provider.batch_ids[-1]), "completed")
    assert provider.paid.twice == 5


def test_the_sdk_by_itself_pays_twice_after_a_reset(provider):
    """Why an executor has to make its creates itself."""
    provider.batch_faults.resets_after_create = 1
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.api_key) as client:
        submit(client, jsonl(10))
    assert len(provider.batch_ids) == 2


def test_a_reset_before_the_create_leaves_nothing(provider, sdk):
    provider.batch_faults.resets_before_create = 1
    with pytest.raises(openai.APIConnectionError):
        submit(sdk, jsonl(5))
    assert provider.batch_ids == ()


def test_an_expired_batch_has_part_of_its_answers_and_names_the_rest(provider, sdk):
    provider.batch_faults.endings.append(Ending("expired", 0.5))
    batch = submit(sdk, jsonl(10))
    done = ended(lambda: sdk.batches.retrieve(batch.id), "expired")
    assert len(rows(sdk, done.output_file_id)) == 5
    assert {row["error"]["code"] for row in rows(sdk, done.error_file_id)} == {"batch_expired"}
    assert len(provider.paid.lines) == 5


def test_a_cancelled_batch_keeps_what_was_done(sdk):
    with LoopbackBatches(seconds=5) as provider:
        client = sdk.with_options(base_url=provider.base_url)
        batch = submit(client, jsonl(200))
        while not provider.paid.lines:
            time.sleep(0.01)
        assert client.batches.cancel(batch.id).status == "cancelling"
        done = ended(lambda: client.batches.retrieve(batch.id), "cancelled")
        assert 0 < len(provider.paid.lines) < 200
        assert len(rows(client, done.output_file_id)) == len(provider.paid.lines)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (jsonl(4), "too_many_tasks"),
        (b"{nothing", "invalid_json_line"),
        (b"", "empty_batch"),
        (jsonl(2, custom_id="same"), "duplicate_custom_id"),
        (jsonl(2, url="/v1/embeddings"), "url_mismatch"),
        (jsonl(1) + b"\n" + jsonl(1, "other", custom_id="x"), "model_mismatch"),
        (jsonl(2, "small"), "token_limit_exceeded"),
    ],
)
def test_what_validation_finds_fails_the_batch_unpaid(sdk, content, code):
    limits = BatchLimits(requests=3, enqueued_tokens={"small": 5})
    with LoopbackBatches(seconds=0.05, limits=limits) as provider:
        client = sdk.with_options(base_url=provider.base_url)
        batch = submit(client, content)
        done = ended(lambda: client.batches.retrieve(batch.id), "failed")
        assert [problem.code for problem in done.errors.data] == [code]
        assert provider.paid.lines == ()


def test_a_listing_is_late_and_has_pages(provider, sdk):
    for _ in range(5):
        submit(sdk, jsonl(1))
    provider.batch_faults.list_lag = 60
    late = submit(sdk, jsonl(1))
    assert [batch.id for batch in sdk.batches.list(limit=2)] == list(reversed(provider.batch_ids[:5]))
    provider._account.jobs[late.id].listed = 0.0  # a minute later
    assert next(iter(sdk.batches.list(limit=2))).id == late.id


def test_lines_fail_are_dropped_and_doubled(provider, sdk):
    provider.batch_faults.line_error = provider.batch_faults.drop = provider.batch_faults.double = 0.3
    batch = submit(sdk, jsonl(60))
    done = ended(lambda: sdk.batches.retrieve(batch.id), "completed")
    answered = [row["custom_id"] for row in rows(sdk, done.output_file_id)]
    failed = {row["custom_id"] for row in rows(sdk, done.error_file_id)}
    lost = {line.custom_id for line in provider.paid.lines if line.lost}
    assert len(set(answered)) < len(answered)
    assert failed
    assert lost
    assert failed | lost | set(answered) == {f"c{n}" for n in range(60)}
    assert not failed & {line.custom_id for line in provider.paid.lines}


@pytest.mark.parametrize("kind", ["empty", "absent"])
def test_files_are_named_late_and_the_error_file_in_three_ways(provider, sdk, kind):
    provider.batch_faults.files_late, provider.batch_faults.error_file = 60, kind
    batch = submit(sdk, jsonl(2))
    http = httpx.Client(base_url=provider.base_url, headers={"authorization": "Bearer k"})
    with http:
        done = ended(lambda: http.get(f"/batches/{batch.id}").json(), "completed")
        assert not done["output_file_id"]
        provider._account.jobs[batch.id].named = 0.0  # a minute later
        done = http.get(f"/batches/{batch.id}").json()
        assert done["output_file_id"]
        assert done.get("error_file_id", "absent") == {"empty": "", "absent": "absent"}[kind]


def test_requests_are_refused_and_downloads_cut(provider, sdk):
    provider.batch_faults.refusals.append(Refusal("create", 429, retry_after=0.01))
    with pytest.raises(openai.RateLimitError):
        submit(sdk, jsonl(2))
    batch = submit(sdk, jsonl(2))
    done = ended(lambda: sdk.batches.retrieve(batch.id), "completed")
    provider.batch_faults.results_cut = 1
    with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):
        rows(sdk, done.output_file_id)
    assert len(rows(sdk, done.output_file_id)) == 2


def test_azure_has_its_own_paths_and_files_that_are_pending(provider):
    provider.batch_faults.upload_pending = 60
    with openai.AzureOpenAI(
        azure_endpoint=provider.root_url, api_key="k", api_version="2024-10-21", max_retries=0
    ) as client:
        file = client.files.create(file=("in.jsonl", jsonl(2)), purpose="batch")
        with pytest.raises(openai.BadRequestError):
            client.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
        assert client.files.retrieve(file.id).status == "pending"
        provider.batch_faults.upload_pending = 0  # a minute later
        ended(lambda: client.files.retrieve(file.id), "processed")
        batch = client.batches.create(input_file_id=file.id, endpoint="/chat/completions", completion_window="24h")
        done = ended(lambda: client.batches.retrieve(batch.id), "completed")
        assert len(rows(client, done.output_file_id)) == 2


def test_anthropic_has_neither_file_nor_metadata(provider):
    provider.batch_faults.endings.append(Ending("expired", 0.5))
    with httpx.Client(base_url=provider.root_url, headers={"x-api-key": "k"}) as http:
        asked = [
            {"custom_id": f"c{n}", "params": {**chat(n, "claude-haiku"), "system": "Be brief.", "max_tokens": 50}}
            for n in range(4)
        ]
        made = http.post("/v1/messages/batches", json={"requests": asked}).json()
        assert made["processing_status"] == "in_progress"
        assert made["results_url"] is None
        refused = http.post("/v1/messages/batches", json={"requests": asked, "metadata": {}})
        assert refused.status_code == 400
        until = time.monotonic() + 60
        while (batch := http.get(f"/v1/messages/batches/{made['id']}").json())["processing_status"] != "ended":
            assert time.monotonic() < until
        assert batch["request_counts"] == {"processing": 0, "succeeded": 2, "errored": 0, "canceled": 0, "expired": 2}
        results = [json.loads(line) for line in http.get(batch["results_url"]).text.splitlines()]
        kinds = {row["custom_id"]: row["result"]["type"] for row in results}
        assert sorted(kinds.values()) == ["expired", "expired", "succeeded", "succeeded"]
        assert [found["id"] for found in http.get("/v1/messages/batches").json()["data"]] == [made["id"]]


def test_mistral_takes_lines_in_the_create_and_lists_by_metadata(provider):
    with httpx.Client(base_url=provider.base_url, headers={"authorization": "Bearer k"}) as http:
        lines = [{"custom_id": f"c{n}", "body": {"messages": chat(n)["messages"]}} for n in range(3)]
        body = {"requests": lines, "model": "mistral-small", "endpoint": "/v1/chat/completions"}
        made = http.post("/batch/jobs", json={**body, "metadata": {"wave": "w1"}}).json()
        http.post("/batch/jobs", json={**body, "metadata": {"wave": "w2"}})
        found = http.get("/batch/jobs", params={"metadata": json.dumps({"wave": "w1"})}).json()
        assert [job["id"] for job in found["data"]] == [made["id"]]
        done = ended(lambda: http.get(f"/batch/jobs/{made['id']}").json(), "SUCCESS")
        content = http.get(f"/files/{done['output_file']}/content").text
        assert {json.loads(line)["custom_id"] for line in content.splitlines()} == {"c0", "c1", "c2"}
        assert done["error_file"] is None
