"""`TrafficRecorder`: writes down what LLMs answer that are not wrapped, so that a student can learn from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from pydantic import PrivateAttr

from thrift_plugins.distillation.recorder import Recorder
from thrift_plugins.llama_index.convert import message_in, reply_in
from thrift_plugins.llama_index.request import functions
from thrift_plugins.scope import current_scope
from thrift_plugins.types import Json, Request

_MOST = 1_000
"""Calls that may be under way. The oldest are forgotten: nothing tells of one that has failed."""


class TrafficRecorder(BaseEventHandler):
    """Keeps the answers to calls of the tasks that are named, in files that only their owner can read.

    Add it to the root dispatcher. A call's task is the feature of its scope. Mail addresses, keys, account and telephone
    numbers are taken out of what is kept; so is what `redact` takes out. A call of a `ThriftLLM` is left to that one: name
    its tasks in `distillation.record`.

    Not kept: errors, answers that were cut or filtered, conversations, images, and texts that differ from a known one in
    case or marks only.

    Args:
        folder: where each task has a folder of its own.
        tasks: those that may be recorded.
        redact: takes out of a text what must not be kept.

    Raises:
        ConfigError: a task's name cannot be the name of a folder.

    Example:
        ```python
        get_dispatcher().add_event_handler(TrafficRecorder("students", ["intent"]))
        with thrift_plugins.scope(feature="intent"):
            llm.chat(messages)
        ```
    """

    _recorder: Recorder = PrivateAttr()
    _asked: dict[str, Request] = PrivateAttr(default_factory=dict)

    def __init__(self, folder: str | Path, tasks: Iterable[str], *, redact: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._recorder = Recorder(folder, tasks, redact=redact)

    @classmethod
    def class_name(cls) -> str:
        return "thrift_traffic_recorder"

    def handle(self, event: BaseEvent, **_kwargs: Any) -> None:
        """Note what is asked, and keep what is answered."""
        scope = current_scope()
        if scope.feature not in self._recorder.tasks or "thrift" in (event.tags or {}):
            return
        if isinstance(event, LLMChatStartEvent) and event.span_id:
            self._asked[event.span_id] = _request(event)
            for oldest in list(self._asked)[:-_MOST]:
                self._asked.pop(oldest, None)
        elif isinstance(event, LLMChatEndEvent):
            request = self._asked.pop(event.span_id or "", None)
            if request is not None and event.response is not None:
                self._recorder.record(request, reply_in(event.response), task=scope.feature)


def _request(event: LLMChatStartEvent) -> Request:
    told: Mapping[str, Any] = event.additional_kwargs or {}
    wanted = told.get("response_format")
    schema: Mapping[str, Json] | None = None
    if isinstance(wanted, Mapping) and isinstance(wanted.get("json_schema"), Mapping):
        schema = wanted["json_schema"].get("schema")
    model = str(event.model_dict.get("model") or event.model_dict.get("model_name") or "")
    tools = tuple(functions(told.get("tools")))
    return Request(
        str(event.span_id), time.time(), model, tuple(message_in(each) for each in event.messages), tools, schema
    )
