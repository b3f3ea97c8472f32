"""What an app has from the month before a replay: how good its models' answers were, and what they said.

A folder is read whole, file by file, for what these forms of JSON lines tell (`.jsonl`, or gzipped):

- answers of known quality: `prompt` or `messages`, and `scores`, as `thrift-plugins router train` takes them; or `weak_ok` and
  `strong_ok` in the place of `scores`, for the cheapest and the app's own model; or `models`, each with `ok`;
- answers as they were: `prompt` or `messages`, and `answers`, model to its words; or `text` and a number by model, which is that
  of a label in the file `*_labels.json` beside it.

What is in the replay itself is left out, so that nothing sees the future. It tells which feature a file is about, where its
records do not name one; a file of which nothing is in the replay is about another app.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from thrift_plugins.errors import ConfigError
from thrift_plugins.replay.apps import Order
from thrift_plugins.replay.row import Row
from thrift_plugins.types import Message, Request, Scope

Record: TypeAlias = Mapping[str, Any]

_ENDINGS: Final = ("*.jsonl", "*.jsonl.gz")


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request of the month before, and what is known of it.

    Attributes:
        scores: model to how right its answer was, 0 to 1; empty where nobody has judged.
        answers: model to its words; empty where they were not kept.
    """

    request: Request
    scores: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feature:
    """How a feature asks.

    Attributes:
        system: the messages before its first question.
        models: those that were recorded, the cheapest first, up to the app's own.
        question: its first one.
    """

    system: tuple[Message, ...]
    models: tuple[str, ...]
    question: str = ""


@dataclass(slots=True)
class Asking:
    """What is asked in a replay: how each feature does, and which questions, by their hashes."""

    features: dict[str, Feature] = field(default_factory=dict)
    questions: dict[int, str] = field(default_factory=dict)

    def add(self, row: Row, price: Order) -> None:
        """Take in a row."""
        self.questions[hash(_last(row.messages))] = row.feature
        if row.feature not in self.features:
            system = tuple(Message("system", each["content"]) for each in row.messages if each["role"] == "system")
            cheaper = [name for name in sorted(row.arms, key=price) if name != row.baseline]
            self.features[row.feature] = Feature(system, (*cheaper, row.baseline), _last(row.messages))


def remembered(folder: Path, asking: Asking) -> dict[str, list[Remembered]]:
    """What a folder tells of the month before, by feature.

    Raises:
        ConfigError: no such folder, a file that cannot be read, or nothing in any of them about these features.
    """
    if not folder.is_dir():
        raise ConfigError(f"--warm {folder}: no such folder")
    found: dict[str, list[Remembered]] = defaultdict(list)
    for path in sorted(path for ending in _ENDINGS for path in folder.rglob(ending)):
        for each in _of_file(path, asking):
            found[each.request.scope.feature].append(each)
    if not found:
        raise ConfigError(
            f"--warm {folder}: no file in it has answers about what is asked here; its forms: scores or answers by model"
        )
    return dict(found)


def _of_file(path: Path, asking: Asking) -> Iterator[Remembered]:
    lines = _lines(path)
    first = next(lines, {})
    if _form(first) is None:
        return
    records, labels = [first, *lines], _labels(path)
    about = _feature(records, asking)
    for number, record in enumerate(records):
        name = str(record.get("feature") or about)
        feature, question = asking.features.get(name), _question(record)
        if feature is None or hash(question) in asking.questions:
            continue
        scores, answers = _scores(record, feature.models), _answers(record, feature.models, labels)
        if scores or answers:
            yield Remembered(_request(record, question, name, feature, f"{path.name}-{number}"), scores, answers)


def _lines(path: Path) -> Iterator[Record]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                record = orjson.loads(line) if line.strip() else None
                if isinstance(record, dict):
                    yield record
                elif record is not None:
                    raise ConfigError(f"{path}, line {number}: not a JSON object")
    except (OSError, EOFError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read to its end: {error}") from error


def _form(record: Record) -> str | None:
    """The field that tells what is known of a request, None where there is none."""
    if not _question(record):
        return None
    for name in ("scores", "answers", "weak_ok", "models"):
        if name in record:
            return name
    return "text" if "text" in record and any(isinstance(value, int) for value in record.values()) else None


def _feature(records: Sequence[Record], asking: Asking) -> str:
    """The feature whose questions are in a file, "" where none is."""
    asked = Counter(asking.questions.get(hash(_question(record)), "") for record in records)
    del asked[""]
    return asked.most_common(1)[0][0] if asked else ""


def _question(record: Record) -> str:
    if isinstance(record.get("messages"), list):
        return _last(record["messages"])
    found = next((record[name] for name in ("prompt", "question", "text") if name in record), "")
    return found if isinstance(found, str) else ""


def _last(messages: Sequence[Record]) -> str:
    return next((str(each.get("content")) for each in reversed(messages) if each.get("role") == "user"), "")


def _request(record: Record, question: str, name: str, feature: Feature, number: str) -> Request:
    """The request of a record, with its feature's instructions."""
    functions = record.get("functions") or record.get("tools") or ()
    listed = [functions] if isinstance(functions, Mapping) else functions
    tools = tuple(tool.get("function", tool) for tool in listed)
    if isinstance(record.get("messages"), list):
        turns = tuple(Message(each["role"], each["content"]) for each in record["messages"])
    else:
        turns = (*feature.system, Message("user", question))
    return Request(number, 0.0, feature.models[-1], turns, tools, scope=Scope(feature=name))


def _scores(record: Record, models: Sequence[str]) -> dict[str, float]:
    told: dict[str, Any] = {}
    if isinstance(record.get("scores"), Mapping):
        told = dict(record["scores"])
    elif "weak_ok" in record and "strong_ok" in record:
        told = {models[0]: record["weak_ok"], models[-1]: record["strong_ok"]}
    elif isinstance(record.get("models"), Mapping):
        told = {
            model: result.get("ok")
            for model in models
            for name, result in record["models"].items()
            if isinstance(result, Mapping) and name.startswith(model)
        }
    return {model: float(told[model]) for model in models if isinstance(told.get(model), int | float)}


def _answers(record: Record, models: Sequence[str], labels: Mapping[str, str]) -> dict[str, str]:
    if isinstance(record.get("answers"), Mapping):
        return {
            model: words for model, words in record["answers"].items() if model in models and isinstance(words, str)
        }
    if "text" not in record:
        return {}
    found: dict[str, str] = {}
    for model in models:
        mine = [name for name in record if name != "text" and _squeezed(model).startswith(name)]
        label = labels.get(str(record[max(mine, key=len)])) if mine else None
        if label is not None:
            found[model] = label
    return found


def _squeezed(model: str) -> str:
    """A model's name as a field's: gpt-3.5-turbo as gpt35turbo."""
    return "".join(letter for letter in model.lower() if letter.isalnum())


def _labels(path: Path) -> Mapping[str, str]:
    """What the numbers of a file's labels mean: the names in the `*_labels.json` beside it."""
    try:
        told = orjson.loads(path.with_name(f"{path.name.split('_')[0]}_labels.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(number): str(name) for number, name in (enumerate(told) if isinstance(told, list) else told.items())}
