"""The contract on LlamaIndex's own OpenAI class: what it passes is what our wrapper must pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import openai
import pytest
from llama_index.core.llms.llm import LLM
from llama_index.llms.openai import OpenAI

from thrift_plugins.testing import Fault, LlamaIndexLLMContract, LoopbackProvider


@asynccontextmanager
async def _clients() -> AsyncIterator[tuple[httpx.Client, httpx.AsyncClient]]:
    """HTTP clients that are closed after the test; the SDK's own ones never are."""
    # Loading the certificate store is most of the time that a client takes to make; plain HTTP needs none.
    with httpx.Client(verify=False) as client:
        async with httpx.AsyncClient(verify=False) as async_client:
            yield client, async_client


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture(scope="module")
def failing_provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        running.faults.rule(lambda _request: Fault.refuse(429, "rate_limit_exceeded"))
        yield running


class TestBareOpenAI(LlamaIndexLLMContract):
    """`secrets` stays empty: OpenAI's own `to_dict` and `to_json` hold its API key, which our wrapper must not copy."""

    @pytest.fixture
    async def llm(self, provider: LoopbackProvider) -> AsyncIterator[LLM]:
        async with _clients() as (client, async_client):
            yield OpenAI(
                model="gpt-4o-mini",
                api_base=provider.base_url,
                api_key=LoopbackProvider.api_key,
                additional_kwargs={"stream_options": {"include_usage": True}},
                http_client=client,
                async_http_client=async_client,
            )

    @pytest.fixture
    async def failing_llm(self, failing_provider: LoopbackProvider) -> AsyncIterator[LLM]:
        async with _clients() as (client, async_client):
            yield OpenAI(
                model="gpt-4o-mini",
                api_base=failing_provider.base_url,
                api_key=LoopbackProvider.api_key,
                max_retries=0,
                http_client=client,
                async_http_client=async_client,
            )

    @property
    def error_type(self) -> type[BaseException]:
        return openai.RateLimitError

    @property
    def streams_usage(self) -> bool:
        return True
