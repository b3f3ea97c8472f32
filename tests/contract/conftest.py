"""What every test against real SDKs needs."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from thrift_plugins.testing import LoopbackProvider


@pytest.fixture(scope="session", autouse=True)
def _frameworks_are_no_garbage() -> None:
    """Both are loaded by now, and stay. Left out of every collection, they make one take milliseconds."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _collected_between_requests(_frameworks_are_no_garbage: None) -> Iterator[None]:
    """Collect after each test what is young, and never within one; what has grown old is collected after each module.

    LlamaIndex's OpenAI leaves the response of a stream open that nobody reads to its end. Where the garbage collector
    reaches one while httpcore holds the lock of its pool, the thread waits for itself for ever. To look at everything
    takes longer than most tests do.
    """
    gc.disable()
    yield
    gc.enable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect(1)


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


@pytest.fixture(scope="module")
def _answering() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture
def quiet(_answering: LoopbackProvider) -> LoopbackProvider:
    """One provider for a module, which has forgotten what the test before asked and what it was to answer."""
    assert _answering.wait_idle()
    _answering.reset()
    return _answering


@pytest.fixture(scope="module")
def journal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that forgets nothing that it has said yes to, for journals of batches."""
    with RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a journal of batches may be: a file, and a server. Nothing is there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "j.db")
    server = request.getfixturevalue("journal_server")
    server.ask("FLUSHALL")
    return f"{server.url}#reviews"
