"""Whatever library an SDK sends through, a run collects its requests: those that slip by are paid in full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic

from tests.cli_kit import SDK_LEAKS
from thrift_plugins.batching import AnthropicBatchClient, BatchSettings, BatchTransport
from thrift_plugins.langchain import BatchExecutor
from thrift_plugins.testing import LoopbackBatches

pytestmark = SDK_LEAKS

MODEL = "claude-haiku-4-5"
INPUTS = [f"say {number}" for number in range(5)]


@pytest.fixture
def provider() -> Iterator[LoopbackBatches]:
    with LoopbackBatches(seconds=0.1) as made:
        yield made


def works(provider: LoopbackBatches, way: str) -> Any:
    """Something that asks Anthropic once for each input."""
    chat = ChatAnthropic(model=MODEL, temperature=0, max_retries=0, api_key="k", base_url=provider.root_url)
    given: dict[str, Any] = {"api_key": "k", "base_url": provider.root_url, "max_retries": 0}

    def asked(client: Any, text: str) -> Any:
        return client.messages.create(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": text}])

    def sdk(text: str) -> str:
        with anthropic.Anthropic(**given) as client:
            return str(asked(client, text).content[0].text)

    async def async_sdk(text: str) -> str:
        async with anthropic.AsyncAnthropic(**given) as client:
            return str((await asked(client, text)).content[0].text)

    def over_a_transport(text: str) -> str:
        plain = anthropic.Anthropic(**given)
        inner = plain._client._transport
        with anthropic.Anthropic(**given) as client:
            client._client._transport = BatchTransport(inner)
            return str(asked(client, text).content[0].text)

    return {
        "chain": chat,
        "chain in threads": lambda text: chat.invoke(text).text,
        "sdk": sdk,
        "async sdk": async_sdk,
        "transport": over_a_transport,
    }[way]


@pytest.mark.parametrize("way", ["chain", "chain in threads", "sdk", "async sdk", "transport"])
def test_requests_to_anthropic_go_in_one_batch(way: str, provider: LoopbackBatches, tmp_path: Path):
    client = AnthropicBatchClient("k", base_url=provider.root_url)
    with BatchExecutor(client, tmp_path / "j.db", settings=BatchSettings(poll=0.03, grace=1, linger=0.05)) as executor:
        results = list(executor.run(works(provider, way), INPUTS))
    for text, result in zip(INPUTS, results, strict=True):
        assert result.error is None, result.error
        assert text in str(getattr(result.output, "text", result.output))
    assert (len(provider.paid.lines), provider.paid.twice, len(provider.batch_ids)) == (5, 0, 1)
