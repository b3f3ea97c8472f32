"""The batch clients against the loopback provider: the same life of a batch in each provider's words."""

import asyncio
import json
import time

import pytest

from thrift_plugins.batching.anthropic import AnthropicBatchClient
from thrift_plugins.batching.azure import AzureBatchClient
from thrift_plugins.batching.client import FINAL, BatchLine, BatchRefused, BatchUnknown, Intent
from thrift_plugins.batching.mistral import MistralBatchClient
from thrift_plugins.batching.openai import OpenAIBatchClient
from thrift_plugins.errors import ConfigError
from thrift_plugins.testing.batches import BatchLimits, Ending, LoopbackBatches, Refusal

OPENERS = {
    "openai": lambda provider: OpenAIBatchClient("sk-1", base_url=provider.base_url),
    "azure": lambda provider: AzureBatchClient(provider.root_url, "key-1", deployments={"live": "waits"}),
    "anthropic": lambda provider: AnthropicBatchClient("key-1", base_url=provider.root_url),
    "mistral": lambda provider: MistralBatchClient("key-1", base_url=provider.root_url),
}
PATHS = {
    "openai": "/v1/chat/completions",
    "azure": "/openai/deployments/live/chat/completions?api-version=2024-10-21",
    "anthropic": "/v1/messages",
    "mistral": "/v1/chat/completions",
}


@pytest.fixture
def provider():
    with LoopbackBatches(seconds=0.05, limits=BatchLimits(page=2)) as running:
        yield running


@pytest.fixture(params=OPENERS)
async def client(provider, request):
    opened = OPENERS[request.param](provider)
    yield opened
    await opened.aclose()


class Sent:
    """Lines and the intent to send them."""

    def __init__(self, client, count=6, ident="wave-1"):
        body = {"model": "m-1", "max_tokens": 40}
        bodies = [
            {**body, "messages": [{"role": "user", "content": f"Question {n}: wörds\u2028and more"}]}
            for n in range(count)
        ]
        address = client.address(PATHS[client.provider], bodies[0])
        self.lines = [
            BatchLine(f"hash{n}", address.url, json.dumps(body, indent=1, ensure_ascii=False).encode())
            for n, body in enumerate(bodies)
        ]
        self.intent = Intent(ident, "digest", address.model, address.url, count, time.time())


async def made(client, sent):
    upload = await client.upload(sent.intent, iter(sent.lines))
    return await client.create(sent.intent, upload, sent.lines)


async def final(client, batch_id):
    async with asyncio.timeout(60):
        while not ((status := await client.status(batch_id)).final and status.ready):  # noqa: ASYNC110  (another machine's state)
            await asyncio.sleep(0.01)
    return status


async def results(client, status):
    return [line async for line in client.results(status)]


async def listed(client, since=0.0):
    return [status async for status in client.listing(since)]


def text_of(client, line):
    body = json.loads(line.body)
    return body["content"][0]["text"] if client.provider == "anthropic" else body["choices"][0]["message"]["content"]


async def test_a_batch_from_upload_to_results(provider, client):
    sent = Sent(client)
    status = await made(client, sent)
    assert not status.final
    done = await final(client, status.id)
    assert done.state == "completed"
    assert (done.counts.total, done.counts.completed, done.counts.failed) == (6, 6, 0)
    lines = await results(client, done)
    assert {line.custom_id for line in lines} == {line.custom_id for line in sent.lines}
    for line in lines:
        assert (line.outcome, line.status) == ("answered", 200)
        assert f"Question {line.custom_id[4:]}:" in text_of(client, line)
    assert len(provider.paid.lines) == 6


async def test_a_lost_create_is_found_in_the_listing(provider, client):
    sent = Sent(client)
    provider.batch_faults.resets_after_create = 1
    with pytest.raises(BatchUnknown):
        await made(client, sent)
    assert len(provider.batch_ids) == 1
    (found,) = await listed(client)
    assert found.id == provider.batch_ids[0]
    if client.recovery == "metadata":
        assert found.intent == sent.intent.id
    else:
        assert found.counts.total == sent.intent.count
        assert abs(found.created_at - sent.intent.made_at) < 60


async def test_a_create_that_never_arrived_is_unknown_too(provider, client):
    provider.batch_faults.resets_before_create = 1
    with pytest.raises(BatchUnknown):
        await made(client, Sent(client))
    assert await listed(client) == []


async def test_a_client_makes_a_create_once(provider, client):
    provider.batch_faults.refusals.append(Refusal("create", 503, times=1))
    with pytest.raises(BatchUnknown) as raised:
        await made(client, Sent(client))
    assert raised.value.status == 503
    assert provider.batch_ids == ()


async def test_too_many_requests_can_be_sent_again_later(provider, client):
    provider.batch_faults.refusals.append(Refusal("create", 429, retry_after=1.5))
    with pytest.raises(BatchRefused) as raised:
        await made(client, Sent(client))
    assert raised.value.again
    assert raised.value.retry_after == 1.5
    provider.batch_faults.refusals.append(Refusal("create", 403))
    with pytest.raises(BatchRefused) as raised:
        await made(client, Sent(client))
    assert not raised.value.again


async def test_a_provider_that_is_not_there_was_sent_nothing(provider, client):
    sent = Sent(client)
    provider.stop()
    with pytest.raises(BatchRefused) as raised:
        await client.create(sent.intent, "file-1", sent.lines)
    assert raised.value.again


async def test_a_listing_has_pages_and_an_end_in_time(provider, client):
    for number in range(5):
        await made(client, Sent(client, 1, f"wave-{number}"))
    found = await listed(client)
    assert [status.id for status in found] == list(reversed(provider.batch_ids))
    assert await listed(client, time.time() + 120) == []


@pytest.mark.parametrize("state", ["expired", "failed", "cancelled"])
async def test_what_was_answered_before_the_end_is_there(provider, client, state):
    provider.batch_faults.endings.append(Ending(state, 0.5))
    done = await final(client, (await made(client, Sent(client))).id)
    lines = await results(client, done)
    answered = [line for line in lines if line.outcome == "answered"]
    assert len(answered) == len(provider.paid.lines) == 3
    if client.provider != "anthropic" or state != "failed":
        assert done.state == state
    assert all(line.outcome == "not_run" for line in lines if line.code.startswith("batch_"))


@pytest.mark.parametrize("name", OPENERS)
async def test_a_batch_is_cancelled_and_keeps_its_answers(name):
    with LoopbackBatches(seconds=5) as provider:
        client = OPENERS[name](provider)
        batch = await made(client, Sent(client, 200))
        while not provider.paid.lines:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await client.cancel(batch.id)).state == "cancelling"
        done = await final(client, batch.id)
        assert done.state == "cancelled"
        answered = [line for line in await results(client, done) if line.outcome == "answered"]
        assert 0 < len(answered) == len(provider.paid.lines) < 200
        await client.aclose()


async def test_lines_that_fail_say_how(provider, client):
    provider.batch_faults.line_error, provider.batch_faults.line_statuses = 1.0, (429,)
    done = await final(client, (await made(client, Sent(client))).id)
    lines = await results(client, done)
    assert len(lines) == 6
    assert {(line.outcome, line.status) for line in lines} == {("errored", 429)}
    assert all(line.code and "error" in json.loads(line.body) for line in lines)
    assert provider.paid.lines == ()


async def test_a_failed_batch_is_not_ready_before_its_files_are(provider, client):
    """What it answered before it failed is paid."""
    provider.batch_faults.files_late = 60
    provider.batch_faults.endings.append(Ending("failed", 0.5))
    batch = await made(client, Sent(client))
    async with asyncio.timeout(30):
        while not (status := await client.status(batch.id)).final:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not status.ready
    provider._account.jobs[batch.id].named = 0.0
    answered = [line for line in await results(client, await final(client, batch.id)) if line.outcome == "answered"]
    assert len(answered) == 3


@pytest.mark.parametrize("named", ["null", "empty", "absent"])
async def test_a_final_batch_is_not_ready_before_its_files_are(provider, client, named):
    provider.batch_faults.files_late, provider.batch_faults.error_file = 60, named
    batch = await made(client, Sent(client))
    async with asyncio.timeout(60):
        while not (status := await client.status(batch.id)).final:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not status.ready
    provider._account.jobs[batch.id].named = 0.0  # a minute later
    assert len(await results(client, await final(client, batch.id))) == 6


async def test_a_download_that_breaks_off_is_unknown(provider, client):
    done = await final(client, (await made(client, Sent(client))).id)
    provider.batch_faults.results_cut = 1
    with pytest.raises(BatchUnknown):
        await results(client, done)
    assert len(await results(client, done)) == 6


async def test_an_upload_can_be_made_again(provider, client):
    if client.provider == "anthropic":
        pytest.skip("it has no files")
    provider.batch_faults.refusals.append(Refusal("upload", 500))
    with pytest.raises(BatchUnknown):
        await made(client, Sent(client))
    assert (await made(client, Sent(client))).upload


async def test_a_large_upload_goes_through_a_file(provider):
    client = OPENERS["openai"](provider)
    text = "x" * 100_000
    lines = [
        BatchLine(
            f"c{n}",
            "/v1/chat/completions",
            json.dumps({"model": "m", "messages": [{"role": "user", "content": f"{n}{text}"}]}).encode(),
        )
        for n in range(200)
    ]
    file_id = await client.upload(Intent("i", "d", "m", "/v1/chat/completions", 200, 0.0), lines)
    assert len(provider._account.files[file_id].content.splitlines()) == 200
    await client.aclose()


async def test_an_account_is_known_by_its_key_and_does_not_tell_it(provider):
    first, same = OPENERS["openai"](provider), OPENERS["openai"](provider)
    other = OpenAIBatchClient("sk-2", base_url=provider.base_url)
    named = OpenAIBatchClient("sk-2", base_url=provider.base_url, account="team-a")
    assert first.account == same.account != other.account
    assert "sk-1" not in first.account
    assert named.account == "openai:team-a"
    for client in (first, same, other, named):
        await client.aclose()


def test_a_client_without_a_key_says_where_to_give_one(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        AnthropicBatchClient()


@pytest.mark.parametrize(
    ("path", "body", "fits"),
    [
        ("/v1/chat/completions", {"model": "gpt-4o-mini"}, True),
        ("/gateway/v1/embeddings", {"model": "text-embedding-3-small"}, True),
        ("/v1/responses?x=1", {"model": "gpt-5"}, True),
        ("/v1/images/generations", {"model": "gpt-image-1"}, False),
        ("/v1/chat/completions", {"model": "gpt-4o-realtime-preview"}, False),
        ("/v1/chat/completions", {}, False),
    ],
)
async def test_what_openai_sells_batches_of(path, body, fits):
    client = OpenAIBatchClient("k")
    assert (client.address(path, body) is not None) == fits
    assert client.flex("gpt-5")
    assert not client.flex("gpt-4o-mini")
    await client.aclose()


async def test_a_call_can_be_made_at_once(provider):
    client = OPENERS["openai"](provider)
    sent = Sent(client, 1)
    answer = await client.ask(sent.lines[0], flex=True)
    assert answer.status == 200
    assert json.loads(answer.body)["service_tier"] == "flex"
    refused = await client.ask(BatchLine("x", "/v1/chat/completions", b"{}"))
    assert refused.status == 400
    await client.aclose()


async def test_azure_waits_for_its_file_and_names_the_deployment(provider):
    provider.batch_faults.upload_pending = 0.1
    client = OPENERS["azure"](provider)
    sent = Sent(client)
    assert sent.intent.model == "waits"
    done = await final(client, (await made(client, sent)).id)
    assert done.state == "completed"
    assert {line.model for line in provider.paid.lines} == {"waits"}
    await client.aclose()


async def test_a_full_queue_is_seen_late(provider):
    small = BatchLimits(enqueued_tokens={"m-1": 10})
    with LoopbackBatches(seconds=0.05, limits=small) as full:
        client = OPENERS["openai"](full)
        done = await final(client, (await made(client, Sent(client))).id)
        assert (done.state, done.errors) == ("failed", ("token_limit_exceeded",))
        assert done.state in FINAL
        await client.aclose()
