"""A provider, a client of it, and short ways to ask it something: fixtures and helpers of its own tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from thrift_plugins.testing import BilledCall, LoopbackProvider

MODEL = "gpt-4o-mini"


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture
def client(provider: LoopbackProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=provider.base_url,
        api_key=provider.api_key,
        max_retries=0,
        http_client=httpx.Client(verify=False),
    ) as made:
        yield made


def says(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def raw_request(text: str) -> bytes:
    body = json.dumps({"model": MODEL, "messages": says(text)}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer k\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def port_of(provider: LoopbackProvider) -> int:
    return int(provider.base_url.split(":")[2].split("/")[0])


def ask(client: openai.OpenAI, text: str = "Hello", **kwargs: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=says(text), **kwargs)


def bill(provider: LoopbackProvider) -> BilledCall:
    assert provider.wait_idle()
    return provider.billed[-1]
