"""`TrafficRecorder`: writes down what models answer that are not wrapped, so that a student can learn from it."""

# ruff: noqa: ARG002  LangChain's signatures

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig

from thrift_plugins.distillation.recorder import Recorder
from thrift_plugins.langchain.convert import message_in, reply_in, schema_in, tool_in
from thrift_plugins.langchain.request import scope_of
from thrift_plugins.types import Json, Request

_TAG = "thrift:task="
_MOST = 10_000
"""Calls that may be under way."""


class TrafficRecorder(BaseCallbackHandler):
    """Keeps the answers to calls of the tasks that are named, in files that only their owner can read.

    Put it among the callbacks of a model, a chain or an agent. A call's task is the tag `thrift:task=<name>`, else the
    feature of its scope. Mail addresses, keys, account and telephone numbers are taken out of what is kept; so is what
    `redact` takes out. A call of a `ThriftChatModel` is left to that one: name its tasks in `distillation.record`.

    Not kept: hits of LangChain's cache, errors, answers that were cut or filtered, conversations, images, and texts that
    differ from a known one in case or marks only.

    Args:
        folder: where each task has a folder of its own.
        tasks: those that may be recorded.
        redact: takes out of a text what must not be kept.

    Raises:
        ConfigError: a task's name cannot be the name of a folder.

    Example:
        ```python
        recorder = TrafficRecorder("students", ["intent"])
        chain.invoke(question, {"callbacks": [recorder], "tags": ["thrift:task=intent"]})
        ```
    """

    run_inline = True

    def __init__(self, folder: str | Path, tasks: Iterable[str], *, redact: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self._recorder = Recorder(folder, tasks, redact=redact)
        self._asked: dict[UUID, tuple[str, Request]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note what is asked, if it is of a task."""
        told = metadata or {}
        task = _task(tags or (), told)
        if task not in self._recorder.tasks or "thrift_request_id" in told or len(self._asked) >= _MOST:
            return
        params = kwargs.get("invocation_params") or {}
        model = str(told.get("ls_model_name") or params.get("model") or params.get("model_name") or "")
        self._asked[run_id] = (task, _request(messages[0], model, params, str(run_id)))

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Keep the answer."""
        found = self._asked.pop(run_id, None)
        message = _message(response)
        if found is None or message is None or _from_cache(message):
            return
        task, request = found
        self._recorder.record(request, reply_in(message), task=task)

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """There is nothing to keep."""
        self._asked.pop(run_id, None)


def _task(tags: Sequence[str], metadata: Mapping[str, Any]) -> str:
    named = next((tag.removeprefix(_TAG) for tag in tags if tag.startswith(_TAG)), "")
    return named or scope_of(RunnableConfig(metadata=dict(metadata))).feature


def _request(messages: Sequence[BaseMessage], model: str, params: Mapping[str, Any], call: str) -> Request:
    tools: list[Mapping[str, Json]] = [tool_in(tool) for tool in params.get("tools") or ()]
    wanted = params.get("response_format")
    schema = schema_in(wanted) if wanted is not None else None
    return Request(call, time.time(), model, tuple(message_in(message) for message in messages), tuple(tools), schema)


def _message(response: LLMResult) -> AIMessage | None:
    first = response.generations[0][0] if response.generations and response.generations[0] else None
    message = first.message if isinstance(first, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _from_cache(message: AIMessage) -> bool:
    """Whether LangChain's own cache has answered, which says so."""
    counted: Mapping[str, Any] = dict(message.usage_metadata or {})
    return counted.get("total_cost") == 0
