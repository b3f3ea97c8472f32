"""What a teacher has answered, kept in a file that only its owner can read, to train a student on.

One folder for each task: `examples.jsonl`, to which lines are only added, and `manifest.json`, which says what they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.prompts import REDACTOR
from thrift_plugins.drafts import drafted
from thrift_plugins.errors import ConfigError, NotDistillable
from thrift_plugins.text.words import plain, words

How: TypeAlias = Literal["random", "routed", "deferred"]
"""Why a teacher was asked: chance, or the policy of the app, had it so; a router thought that no cheaper model could do it; or
a student did not dare. Only the first are like all requests."""

_RANKS: Final[Mapping[How, int]] = {"deferred": 0, "routed": 1, "random": 2}

Split: TypeAlias = Literal["train", "test"]

FORMAT: Final = 1
_TEST: Final = 20
"""Per cent of the examples that a report is made on."""

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
_RECENT: Final = 200
_STRAY: Final = 0.05
"""Share of the latest examples, below which a prompt is a stray one."""

_LONGEST_LINE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """One answer of a teacher.

    Attributes:
        text: the user's turn, redacted.
        answer: what the teacher said.
        teacher: the model, as its provider names it.
        prompt: digest of the prompt around the text.
        how: why the teacher was asked.
        at: when, in seconds since the epoch.
        tokens: input and output tokens that it used, 0 where nobody counted.
    """

    text: str
    answer: Answer
    teacher: str = ""
    prompt: str = ""
    how: How = "random"
    at: float = 0.0
    tokens: tuple[int, int] = (0, 0)

    @property
    def key(self) -> str:
        """Equal for texts that differ in case, spaces or marks only."""
        return key_of(self.text)

    @property
    def split(self) -> Split:
        """Which part it belongs to: the same in every version of the dataset."""
        return "test" if int(self.key[:8], 16) % 100 < _TEST else "train"

    def line(self) -> str:
        """As a line of JSON."""
        told = {
            "v": FORMAT, "key": self.key, "at": round(self.at, 3), "text": self.text, "answer": self.answer.told(),
            "teacher": self.teacher, "prompt": self.prompt, "how": self.how, "tokens": list(self.tokens), "split": self.split,
        }  # fmt: skip
        return json.dumps(told, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Example:
        """From a line's JSON. Raises `KeyError`, `TypeError` or `ValueError` where it is not one."""
        if told["v"] != FORMAT:
            raise ValueError(f"version {told['v']!r} of a line is not known")
        said = told["answer"]
        answer = Answer(str(said.get("text", "")), str(said.get("tool", "")), said.get("arguments"))
        if not isinstance(told["text"], str) or told["how"] not in _RANKS:
            raise ValueError("no text, or an unknown `how`")
        tokens = tuple(map(int, told.get("tokens", (0, 0))))
        return cls(
            told["text"], answer, str(told["teacher"]), str(told["prompt"]), told["how"], float(told["at"]),
            (tokens[0], tokens[1]),
        )  # fmt: skip


def tells_more(how: How, than: How) -> bool:
    """Whether it says more of all requests that a teacher was asked for this reason than for that."""
    return _RANKS[how] > _RANKS[than]


def key_of(text: str) -> str:
    """Digest of a text's words."""
    return hashlib.sha256(" ".join(words(plain(text)) or [text]).encode("utf-8", "surrogatepass")).hexdigest()[:24]


class Dataset:
    """The examples of one task.

    Args:
        folder: where all tasks have theirs.
        task: name, of letters, digits, and `_ . -`.

    Raises:
        ConfigError: no name of a task.
    """

    def __init__(self, folder: str | Path, task: str) -> None:
        if not _NAME.fullmatch(task):
            raise ConfigError(f"a task's name has letters, digits, and _ . - (at most 64), and not {task!r}")
        self.task, self.folder = task, Path(folder) / task

    @property
    def path(self) -> Path:
        """The file of examples."""
        return self.folder / "examples.jsonl"

    def append(self, examples: Iterable[Example]) -> None:
        """Add lines. Several processes may do so at once."""
        text = "".join(example.line() for example in examples)
        append_private(self.path, text.encode("utf-8", "surrogatepass"))

    def examples(self) -> Iterator[Example]:
        """Each text once, the earliest answer to it, in the order of the file. A line that was cut short is passed over.

        A text that was deferred, and that chance has chosen at another time, counts as chosen by chance: else the texts that
        students find hard would be missing among those.

        Raises:
            ConfigError: there is no file, or a line is none of ours.
        """
        known: dict[str, Example] = {}
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    example = self._read(line, number)
                    if example is None:
                        continue
                    first = known.setdefault(example.key, example)
                    if tells_more(example.how, first.how):
                        known[example.key] = replace(first, how=example.how)
        except FileNotFoundError:
            raise ConfigError(
                f"nothing is recorded for {self.task!r} in {self.folder.parent}: name the task in distillation.record,"
                " or give your calls a TrafficRecorder"
            ) from None
        yield from known.values()

    def _read(self, line: bytes, number: int) -> Example | None:
        """The example in a line, None where it was cut short, or is still being written."""
        if len(line) > _LONGEST_LINE:
            raise ConfigError(f"{self.path}, line {number}: too long")
        try:
            told = json.loads(line.decode("utf-8", "surrogatepass"))
        except ValueError:
            return None
        try:
            return Example.read(told)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.path}, line {number}: no recorded example ({error})") from error

    def manifest(self, examples: Sequence[Example]) -> dict[str, Any]:
        """What a version of the dataset is: digest, teacher, prompt, labels, splits, and what its owner must know."""
        digest = hashlib.sha256()
        for example in examples:
            digest.update(example.line().encode("utf-8", "surrogatepass"))
        labels = Counter(json.dumps(example.answer.told(), sort_keys=True, ensure_ascii=False) for example in examples)
        return {
            "format": FORMAT,
            "task": self.task,
            "sha256": digest.hexdigest(),
            "examples": len(examples),
            "asked_by": dict(Counter(example.how for example in examples)),
            "splits": dict(Counter(example.split for example in examples)),
            "teachers": dict(Counter(example.teacher for example in examples)),
            "prompts": dict(Counter(example.prompt for example in examples)),
            "answers": dict(labels.most_common(500)),
            "redactor": REDACTOR,
            "licence": LICENCE,
        }

    def write_manifest(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Write it beside the examples; gives it."""
        told = self.manifest(examples)
        write_private(self.folder / "manifest.json", (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())
        return told


LICENCE: Final = (
    "Answers of a model, whose provider's terms say what may be trained on them; texts of your users. Neither is"
    " licensed by thrift-plugins."
)


def one_teacher(examples: Sequence[Example], *, teacher: str = "", prompt: str = "") -> list[Example]:
    """Those of one teacher and one prompt: the ones named, or the only ones, or for prompts the latest.

    Raises:
        NotDistillable: there are several teachers, or none of that name.
    """
    teachers = Counter(example.teacher for example in examples)
    if not teacher and len(teachers) > 1:
        told = ", ".join(f"{name or '(unnamed)'} ({count})" for name, count in teachers.most_common())
        raise NotDistillable(f"answers of several teachers: {told}; say which one the student is to follow (--teacher)")
    found = [example for example in examples if not teacher or example.teacher == teacher]
    if not found:
        raise NotDistillable(f"no answers of {teacher!r}; there are: {', '.join(sorted(teachers)) or 'none at all'}")
    latest = prompt or _latest([example.prompt for example in found])
    return [example for example in found if example.prompt == latest]


def _latest(prompts: Sequence[str]) -> str:
    """The prompt in use: the last one that is no stray, of somebody who has tried something."""
    recent = Counter(prompts[-_RECENT:])
    return next(each for each in reversed(prompts) if recent[each] >= _STRAY * recent.total())


def append_private(path: Path, lines: bytes) -> None:
    """Add lines to a file that only its owner can read, in one piece. Several processes may do so at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size:
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":  # the disk was full, or power was lost: only that line is
                lines = b"\n" + lines
        while lines:
            lines = lines[os.write(descriptor, lines) :]
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with drafted(path) as file:
        file.write(data)
