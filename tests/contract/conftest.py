"""What every test against real SDKs needs."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _forgotten_clients() -> Iterator[None]:
    """Drop the HTTP clients that a module leaves behind, before they are collected in the middle of another test.

    LangChain's OpenAI class keeps up to 128 of each kind, closes none, and drops the oldest where a new one is made.
    """
    yield
    clients = sys.modules.get("langchain_openai.chat_models._client_utils")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        if clients is not None:
            clients._cached_sync_httpx_client.cache_clear()
            clients._cached_async_httpx_client.cache_clear()
        gc.collect()
