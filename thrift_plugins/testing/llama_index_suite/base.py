"""What the contract must be told about the LLM under test, and how its tests look at events."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index_instrumentation import get_dispatcher
from pydantic import PrivateAttr


class ContractBase:
    """Fixtures and properties to override."""

    @pytest.fixture
    def llm(self) -> LLM:
        """The LLM under test, a new one for each test."""
        raise NotImplementedError("override the `llm` fixture")

    @pytest.fixture
    def failing_llm(self) -> LLM:
        """An LLM whose every call ends in `error_type`, without retries."""
        pytest.skip("no `failing_llm` fixture was given")

    @property
    def error_type(self) -> type[BaseException]:
        """What `failing_llm` raises."""
        return Exception

    @property
    def has_tools(self) -> bool:
        """It calls tools."""
        return True

    @property
    def has_structured_output(self) -> bool:
        """It fills pydantic models."""
        return True

    @property
    def has_parallel_tool_calls(self) -> bool:
        """It calls several tools in one answer when allowed to."""
        return self.has_tools

    @property
    def accepts_images(self) -> bool:
        """It takes image blocks."""
        return True

    @property
    def honours_stop(self) -> bool:
        """It takes `stop=[...]`."""
        return True

    @property
    def honours_max_tokens(self) -> bool:
        """It takes `max_tokens=`."""
        return True

    @property
    def returns_usage(self) -> bool:
        """`additional_kwargs` has prompt_tokens, completion_tokens and total_tokens."""
        return True

    @property
    def streams_usage(self) -> bool:
        """So has one chunk of a stream."""
        return False

    @property
    def secrets(self) -> Sequence[str]:
        """Strings, such as its API key, that no serialised form may hold."""
        return ()

    @pytest.fixture
    def tool_llm(self, llm: LLM) -> FunctionCallingLLM:
        """The LLM as one that calls tools."""
        if not self.has_tools:
            pytest.skip("it calls no tools")
        assert isinstance(llm, FunctionCallingLLM)
        return llm


def user(text: str) -> list[ChatMessage]:
    """One user turn."""
    return [ChatMessage(role=MessageRole.USER, content=text)]


def listen(llm: LLM) -> LlamaDebugHandler:
    """Give an LLM a callback manager of its own that remembers its events."""
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm.callback_manager = CallbackManager([handler])
    return handler


class EventLog(BaseEventHandler):
    """Remembers instrumentation events."""

    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "EventLog"

    def handle(self, event: BaseEvent, **_kwargs: Any) -> None:
        self._events.append(event)

    def count(self, kind: type[BaseEvent]) -> int:
        """How many events of exactly this type were seen."""
        return sum(type(event) is kind for event in self._events)


@contextmanager
def recorded_events() -> Iterator[EventLog]:
    """Remember every instrumentation event of the block."""
    log, dispatcher = EventLog(), get_dispatcher()
    dispatcher.add_event_handler(log)
    try:
        yield log
    finally:
        dispatcher.event_handlers.remove(log)
