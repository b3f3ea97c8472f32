"""The batch clients against fake servers by other hands, so that our reading of an API is not checked by us alone."""

import asyncio
import json
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.batch_crash_worker import ask, question
from tests.batch_servers import AIMOCK, LLMOCK, running
from thrift_plugins.batching.anthropic import AnthropicBatchClient
from thrift_plugins.batching.client import BatchLine, Intent
from thrift_plugins.batching.executor import Executor
from thrift_plugins.batching.mistral import MistralBatchClient
from thrift_plugins.batching.openai import OpenAIBatchClient
from thrift_plugins.batching.settings import BatchSettings

CLIENTS = {"openai": OpenAIBatchClient, "anthropic": AnthropicBatchClient, "mistral": MistralBatchClient}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "mistral": "/v1/chat/completions"}
CASES = [(server, provider) for server in (AIMOCK, LLMOCK) for provider in server.bases]


@pytest.fixture(scope="module")
def opened():
    """Every server that is here, started once, at its first use."""
    bases: dict[str, dict[str, str]] = {}
    with ExitStack() as stack:

        def of(server):
            if server.name not in bases:
                bases[server.name] = stack.enter_context(running(server))
            return bases[server.name]

        yield of


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].name}-{case[1]}")
async def case(opened, request):
    server, provider = request.param
    client = CLIENTS[provider]("key-1", base_url=opened(server)[provider])
    yield server, client
    await client.aclose()


def sent(client, count, ident):
    bodies = [
        {"model": "m-1", "max_tokens": 60, "messages": [{"role": "user", "content": f"{ident} question {n}"}]}
        for n in range(count)
    ]
    address = client.address(PATHS[client.provider], bodies[0])
    lines = [BatchLine(f"{ident}-{n}", address.url, json.dumps(body).encode()) for n, body in enumerate(bodies)]
    return Intent(ident, "digest", address.model, address.url, count, time.time()), lines


async def made(client, intent, lines):
    return await client.create(intent, await client.upload(intent, lines), lines)


async def final(client, batch_id):
    async with asyncio.timeout(120):
        while not ((status := await client.status(batch_id)).final and status.ready):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return status


async def test_a_batch_from_upload_to_results(case):
    server, client = case
    intent, lines = sent(client, 7, "whole")
    done = await final(client, (await made(client, intent, lines)).id)
    assert done.state == "completed"
    results = {line.custom_id: line async for line in client.results(done)}
    assert set(results) == {line.custom_id for line in lines}
    assert {(line.outcome, line.status) for line in results.values()} == {("answered", 200)}
    if "answers of the question" not in server.lacks:
        for custom_id, line in results.items():
            assert f"question {custom_id.rpartition('-')[2]}" in line.body.decode()


async def test_a_lost_create_is_found_again(case):
    _, client = case
    since = time.time()
    intents = [sent(client, 2, f"lost{n}") for n in range(3)]
    ids = [(await made(client, *intent)).id for intent in intents]
    found = {status.id: status async for status in client.listing(since)}
    assert set(ids) <= set(found)
    for (intent, _), batch_id in zip(intents, ids, strict=True):
        if client.recovery == "metadata":
            assert found[batch_id].intent == intent.id
        assert found[batch_id].created_at == pytest.approx(since, abs=60)


async def test_a_batch_is_cancelled(case):
    _, client = case
    batch = await made(client, *sent(client, 3, "cancel"))
    assert (await client.cancel(batch.id)).state in {"cancelling", "cancelled", "completed"}
    done = await final(client, batch.id)
    assert done.final
    results = [line async for line in client.results(done)]
    assert {line.outcome for line in results} <= {"answered", "not_run"}


async def test_a_chain_of_two_calls_runs_in_two_waves(case, tmp_path):
    server, client = case
    http = httpx.AsyncClient(base_url=client._wire.base_url.removesuffix("/v1"), timeout=60)
    executor = Executor(client, tmp_path / "journal.db", settings=BatchSettings(poll=0.3, grace=2.0))

    async def chain(number):
        first = await ask(http, client.provider, question(1, number))
        return await ask(http, client.provider, question(2, first))

    try:
        answers = [result.value() async for result in executor.arun(chain, range(25))]
        waves = executor.journal.batches()
    finally:
        await asyncio.to_thread(executor.close)
        await http.aclose()
    assert len(answers) == 25
    # Where every answer is the same, so is every second question: but it is asked as often, as samples of one.
    assert [wave["count"] for wave in waves] == [25, 25]
    if "answers of the question" not in server.lacks:
        assert all(f"Step 1 about {number}" in answer for number, answer in enumerate(answers))
