"""What the tests of the LlamaIndex adapter share: OpenAI's own class on the loopback provider, and ears for its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.schema import CBEventType
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms import LLM
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr

from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import LoopbackProvider

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"

NO_POOL: Any = {
    "http_client": httpx.Client(verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)),
    "async_http_client": httpx.AsyncClient(
        verify=False, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    ),
}
"""Clients that keep no connection: a kept one outlives the event loop of the test that opened it."""


def openai(provider: LoopbackProvider, model: str = STRONG, **settings: Any) -> OpenAI:
    """A bare model, which tells its usage when it streams."""
    extra = {"stream_options": {"include_usage": True}, **settings.pop("additional_kwargs", {})}
    told = {"max_retries": 0, "api_key": LoopbackProvider.api_key, **NO_POOL, **settings}
    return OpenAI(model=model, api_base=provider.base_url, additional_kwargs=extra, **told)


def thrift(provider: LoopbackProvider, runtime: Runtime | None = None, **settings: Any) -> ThriftLLM:
    """A wrapped model over both tiers."""
    models = [openai(provider, name, **settings) for name in (CHEAP, STRONG)]
    return ThriftLLM(tiers=models, runtime=runtime or Runtime(Config(store="memory:", cache=CacheConfig(kinds=False))))


def user(text: str) -> list[ChatMessage]:
    """One user turn."""
    return [ChatMessage(role=MessageRole.USER, content=text)]


class _Events(BaseEventHandler):
    _seen: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "TestEvents"

    def handle(self, event: BaseEvent, **_kwargs: Any) -> None:
        self._seen.append(event)


@contextmanager
def events() -> Iterator[list[BaseEvent]]:
    """Every instrumentation event of a block."""
    ear, dispatcher = _Events(), get_dispatcher()
    dispatcher.add_event_handler(ear)
    try:
        yield ear._seen
    finally:
        dispatcher.event_handlers.remove(ear)


def kinds(seen: Sequence[BaseEvent]) -> list[str]:
    """The kinds of events in their order. A stream may come in any number of pieces, so only its first ones count."""
    names: list[str] = []
    for name in (type(event).__name__ for event in seen):
        if name not in names or not name.endswith("InProgressEvent"):
            names.append(name)
    return names


class Callbacks(BaseCallbackHandler):
    """Remembers old-style callbacks."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.seen: list[tuple[str, CBEventType]] = []

    def on_event_start(
        self, event_type: CBEventType, payload: Any = None, event_id: str = "", parent_id: str = "", **_: Any
    ) -> str:
        self.seen.append(("start", event_type))
        return event_id

    def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **_: Any) -> None:
        self.seen.append(("end", event_type))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Traces are not looked at."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """Traces are not looked at."""


def listen(llm: LLM) -> Callbacks:
    """Give an LLM a callback manager of its own."""
    handler = Callbacks()
    llm.callback_manager = CallbackManager([handler])
    return handler
