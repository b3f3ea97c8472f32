"""Writes down what a teacher answers, for the tasks that the app has named, so that a student can learn from it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from thrift_plugins.distillation.dataset import Dataset, Example, How, tells_more
from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.prompts import asked, redacted
from thrift_plugins.forks import new_lock
from thrift_plugins.types import Json, Reply, Request

logger = logging.getLogger("thrift_plugins")

_REMEMBERED: Final = 50_000
_LONGEST_LABEL: Final = 64
"""Characters of an answer before the question, up to which it is taken for an example of what to say."""


class Recorder:
    """Keeps answers of teachers. Thread-safe.

    Args:
        folder: where each task has a folder of its own, which only its owner can read.
        tasks: names of the tasks that may be recorded: features of the app. No other call is.
        tenants: whose calls may be; none for all.
        redact: takes out of a text or an answer what must not be kept, beside the built-in rules. A student reads texts
            without it: what it takes out should change from text to text, and be no part of the prompt around them.

    What it does not keep: hits of a cache, errors, answers that were cut or refused by a filter, several tool calls at once,
    conversations, images, documents, a student's own answers, and texts that differ from a known one in case or marks only.
    """

    def __init__(
        self,
        folder: str | Path,
        tasks: Iterable[str],
        *,
        tenants: Sequence[str] = (),
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self._tenants = frozenset(tenants)
        self._datasets = {task: Dataset(folder, task) for task in tasks}
        self._redact = redacted if redact is None else lambda text: redact(redacted(text))
        self._lock = new_lock()
        self._known: dict[str, OrderedDict[str, How]] = {}
        self._failed = False

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is recorded."""
        return tuple(self._datasets)

    def record(self, request: Request, reply: Reply, *, how: How = "random", task: str = "") -> None:
        """Keep an answer, if it is worth that. A disk that cannot be written is told once to the log, and no more is kept.

        Args:
            how: why the teacher was asked.
            task: by default the feature of the request.
        """
        dataset = self._datasets.get(task or request.scope.feature)
        if dataset is None or self._failed or (self._tenants and request.scope.tenant not in self._tenants):
            return
        found = example_of(request, reply, how=how, redact=self._redact)
        if found is None:
            return
        try:
            with self._lock:
                if self._is_new(dataset, found):
                    dataset.append([found])
        except OSError as error:
            self._failed = True
            logger.warning("distillation: answers are recorded no more (%s)", error.strerror)

    def _is_new(self, dataset: Dataset, found: Example) -> bool:
        known, key = self._known.get(dataset.task), found.key
        if known is None:
            known = self._known[dataset.task] = OrderedDict()
            if dataset.path.is_file():
                known.update((example.key, example.how) for example in dataset.examples())
        if key in known:
            known.move_to_end(key)
            if not tells_more(found.how, known[key]):
                return False
        known[key] = found.how
        if len(known) > _REMEMBERED:
            known.popitem(last=False)
        return True


_WHOLE: Final = frozenset({"stop", "tool_calls", "end_turn", "tool_use", "stop_sequence", "function_call", None})
"""How an answer ends that was neither cut nor filtered."""


def example_of(
    request: Request, reply: Reply, *, how: How = "random", redact: Callable[[str], str] = redacted
) -> Example | None:
    """An answer to learn from, None where it is none: cut, filtered, or no single question and answer."""
    if not reply.complete or reply.finish_reason not in _WHOLE or reply.extra.get("refusal"):
        return None
    found, answer = asked(request), Answer.of(reply)
    if isinstance(found, str) or answer is None or not found.text.strip():
        return None
    if found.shots and max(map(len, (*found.shots, answer.text))) > _LONGEST_LABEL:
        return None  # a conversation, and not examples of short answers before the question
    arguments = {name: _clean(value, redact) for name, value in (answer.arguments or {}).items()}
    usage = reply.usage
    return Example(
        redact(found.text),
        Answer(redact(answer.text), answer.tool, arguments if answer.tool else None),
        reply.model or request.model,
        found.prompt,
        how,
        request.at,
        (usage.input_tokens, usage.output_tokens),
    )


def _clean(value: Json, redact: Callable[[str], str]) -> Json:
    """A value without what must not be kept, however deep that is in it."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _clean(part, redact) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_clean(part, redact) for part in value]
    if isinstance(value, bool) or value is None:
        return value
    told = str(value)
    clean = redact(told)
    return value if clean == told else clean  # an account's number may come as a number
