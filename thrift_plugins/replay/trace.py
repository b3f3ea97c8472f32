"""Reads a trace, line by line; a line that cannot be replayed is named with what is wrong about it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

from thrift_plugins.errors import TraceError
from thrift_plugins.types import Usage

SCHEMA = 1
_ENDINGS = ("", ".jsonl.gz", ".jsonl")
_CHECKS = frozenset({"recorded", "label", "same_topic", "evidence", "spans"})
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Arm:
    """What one recorded model answered.

    Attributes:
        text: its words, None where they were not recorded.
        score: how right it was, 0 to 1.
    """

    text: str | None
    score: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded request.

    Attributes:
        t: seconds from the trace's start.
        deadline: seconds that the answer may take, None where someone waits for it.
        arms: model to what it answered.
        check: how an answer is judged.
    """

    id: str
    t: float
    tenant: str
    user: str
    feature: str
    deadline: float | None
    messages: Sequence[Mapping[str, str]]
    tools: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any]
    baseline: str
    arms: Mapping[str, Arm]
    check: Mapping[str, Any]


class Trace:
    """A trace file, read anew by each iteration and never held in memory.

    Args:
        path: the file; `.jsonl.gz` or `.jsonl` may be left out.

    Raises:
        TraceError: the file is missing or its header is not one.

    Attributes:
        start: seconds since the epoch of the trace's beginning.
        prices: model to US dollars per million tokens.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _found(Path(path))
        header = next(self._lines(), (1, {}))[1]
        if header.get("kind") != "header" or header.get("schema") != SCHEMA:
            raise TraceError(str(self.path), 1, f"not a trace header of schema {SCHEMA}")
        try:
            self.start = datetime.fromisoformat(header["start"]).timestamp()
            self.prices: Mapping[str, Mapping[str, float]] = header["prices_usd_per_million_tokens"]
            self.name = str(header.get("name", self.path.stem))
        except (KeyError, ValueError, TypeError) as error:
            raise TraceError(str(self.path), 1, f"the header lacks {error}") from error

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the file.

        Raises:
            TraceError: a line is not JSON, lacks a field, or names a model without an arm or without a price.
        """
        before = float("-inf")
        for number, record in self._lines():
            if number == 1:
                continue
            row = self._row(record, number)
            if row.t < before:
                raise TraceError(str(self.path), number, f"t is {row.t}, before the line above: rows must be in time order")
            before = row.t
            yield row

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb") as lines:
            try:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, self._json(line, number)
            except (OSError, EOFError) as error:
                raise TraceError(str(self.path), 0, f"the file cannot be read to its end: {error}") from error

    def _json(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = orjson.loads(line)
        except ValueError as error:
            raise TraceError(str(self.path), number, f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise TraceError(str(self.path), number, "not a JSON object")
        return record

    def _row(self, record: Mapping[str, Any], number: int) -> Row:
        def need(name: str, kind: type[Kind] | tuple[type[Kind], ...]) -> Kind:
            value = record.get(name)
            if not isinstance(value, kind):
                problem = "is missing" if name not in record else f"is {type(value).__name__}"
                raise TraceError(str(self.path), number, f"field {name!r} {problem}")
            return value

        baseline = need("baseline", str)
        recorded: dict[str, Any] = need("arms", dict)
        arms = {model: self._arm(model, arm, number) for model, arm in recorded.items()}
        if baseline not in arms:
            raise TraceError(str(self.path), number, f"the baseline {baseline!r} has no arm, so nothing may answer")
        check: dict[str, Any] = need("check", dict)
        if check.get("kind") not in _CHECKS:
            raise TraceError(str(self.path), number, f"check kind {check.get('kind')!r} is not one of {sorted(_CHECKS)}")
        return Row(
            id=need("id", str),
            t=need("t", (int, float)),
            tenant=need("tenant", str),
            user=need("user", str),
            feature=need("feature", str),
            deadline=record.get("deadline_s"),
            messages=need("messages", list),
            tools=record.get("tools") or [],
            params=record.get("params") or {},
            baseline=baseline,
            arms=arms,
            check=check,
        )

    def _arm(self, model: str, arm: Any, number: int) -> Arm:
        if model not in self.prices:
            raise TraceError(str(self.path), number, f"model {model!r} has no price in the header")
        try:
            used = arm["usage"]
            usage = Usage(used["input_tokens"], used["output_tokens"], used.get("cached_tokens", 0), source="replayed")
            return Arm(arm["text"], float(arm["score"]), usage)
        except (KeyError, TypeError, ValueError) as error:
            raise TraceError(str(self.path), number, f"the arm of {model!r} is not whole ({error!r})") from error


def _found(path: Path) -> Path:
    for ending in _ENDINGS:
        candidate = path.with_name(path.name + ending)
        if candidate.is_file():
            return candidate
    raise TraceError(str(path), 0, "no such file")
