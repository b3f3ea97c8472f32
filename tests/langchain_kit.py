"""What the tests of the LangChain adapter share: OpenAI's own client on the loopback provider, and a runtime to throw away."""

from __future__ import annotations

from typing import Any

import httpx
from langchain_openai import ChatOpenAI

from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import LoopbackProvider

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"

NO_POOL: Any = {
    "http_client": httpx.Client(verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)),
    "http_async_client": httpx.AsyncClient(
        verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    ),
}
"""Clients that keep no connection: a kept one outlives the event loop of the test that opened it."""


def chat(provider: LoopbackProvider, model: str = CHEAP, **settings: Any) -> ChatOpenAI:
    """A bare model, which tells its usage when it streams."""
    told = {"stream_usage": True, "max_retries": 0, "temperature": 0, **NO_POOL, **settings}
    return ChatOpenAI(model=model, base_url=provider.base_url, api_key="k", **told)


def thrift(
    provider: LoopbackProvider, runtime: Runtime | None = None, *, tiers: int = 2, cheap: Any = None, **settings: Any
) -> ThriftChatModel:
    """A wrapped model over the strong tier, or over both, of which the cheap one has settings of its own."""
    own = {CHEAP: cheap or {}, STRONG: {}}
    models = [chat(provider, name, **settings, **own[name]) for name in (CHEAP, STRONG)[-tiers:]]
    return ThriftChatModel(tiers=models, runtime=runtime or Runtime(Config(store="memory:", cache=CacheConfig(kinds=False))))


def records(model: Any) -> list[dict[str, Any]]:
    """What the ledger of a wrapped model holds, also through what was bound to it."""
    while not isinstance(model, ThriftChatModel):
        model = model.bound
    ledger = model.runtime.ledger
    assert ledger is not None
    return list(ledger.records())
