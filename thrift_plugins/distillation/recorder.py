"""Writes down what a teacher answers, for the tasks that the app has named, so that a student can learn from it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Final

from thrift_plugins.distillation.dataset import Dataset, Example
from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.prompts import asked, redacted
from thrift_plugins.types import Json, Reply, Request

logger = logging.getLogger("thrift_plugins")

_REMEMBERED: Final = 50_000
_LARGEST: Final = 20_000
"""Characters of a text that is worth keeping; longer ones are documents."""

_LONGEST_LABEL: Final = 64
"""Characters of an answer before the question, up to which it is taken for an example of what to say."""


class Recorder:
    """Keeps answers of teachers. Thread-safe.

    Args:
        folder: where each task has a folder of its own, which only its owner can read.
        tasks: names of the tasks that may be recorded: features of the app. No other call is.
        redact: takes out of a text what must not be kept, beside the built-in rules; the student must be given the same.

    What it does not keep: hits of a cache, errors, answers that were cut or refused by a filter, tool calls beside text,
    conversations, images, a student's own answers, and texts that differ from a known one in case or marks only.
    """

    def __init__(self, folder: str | Path, tasks: Iterable[str], *, redact: Callable[[str], str] | None = None) -> None:
        self._datasets = {task: Dataset(folder, task) for task in tasks}
        self._redact = redact
        self._lock = Lock()
        self._known: dict[str, OrderedDict[str, None]] = {}
        self._failed = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is recorded."""
        return tuple(self._datasets)

    def record(self, request: Request, reply: Reply, *, deferred: bool = False, task: str = "") -> None:
        """Keep an answer, if it is worth that. A disk that cannot be written is told once to the log, and no more is kept.

        Args:
            deferred: whether the teacher was asked because a student did not dare to answer.
            task: by default the feature of the request.
        """
        dataset = self._datasets.get(task or request.scope.feature)
        if dataset is None or self._failed:
            return
        found = example_of(request, reply, deferred=deferred)
        if found is None:
            return
        if self._redact is not None:
            found = replace(found, text=self._redact(found.text))
        try:
            with self._lock:
                if self._is_new(dataset, found.key):
                    dataset.append([found])
        except OSError as error:
            self._failed = True
            logger.warning("distillation: answers are recorded no more (%s)", error.strerror)

    def _is_new(self, dataset: Dataset, key: str) -> bool:
        known = self._known.get(dataset.task)
        if known is None:
            known = self._known[dataset.task] = OrderedDict()
            if dataset.path.is_file():
                known.update((example.key, None) for example in dataset.examples())
        if key in known:
            known.move_to_end(key)
            return False
        known[key] = None
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
        return True


_WHOLE: Final = frozenset({"stop", "tool_calls", "end_turn", "tool_use", "stop_sequence", "function_call", None})
"""How an answer ends that was neither cut nor filtered."""


def example_of(request: Request, reply: Reply, *, deferred: bool = False) -> Example | None:
    """An answer to learn from, None where it is none: cut, filtered, or no single question and answer."""
    if not reply.complete or reply.finish_reason not in _WHOLE or reply.extra.get("refusal"):
        return None
    found, answer = asked(request), Answer.of(reply)
    if isinstance(found, str) or answer is None or not found.text.strip() or len(found.text) > _LARGEST:
        return None
    if found.shots and max(map(len, (*found.shots, answer.text))) > _LONGEST_LABEL:
        return None  # a conversation, and not examples of short answers before the question
    if answer.tool:
        answer = replace(answer, arguments=_clean_record(answer.arguments))
    usage = reply.usage
    return Example(
        redacted(found.text),
        replace(answer, text=redacted(answer.text)),
        reply.model or request.model,
        found.prompt,
        "deferred" if deferred else "random",
        request.at,
        (usage.input_tokens, usage.output_tokens),
    )


def _clean_record(told: object) -> dict[str, Json]:
    return {name: _clean(value) for name, value in told.items()} if isinstance(told, dict) else {}


def _clean(value: Json) -> Json:
    return redacted(value) if isinstance(value, str) else value
