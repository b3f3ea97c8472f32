"""Reads a trace, line by line; a line that cannot be replayed is named with what is wrong about it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from thrift_plugins.errors import TraceError
from thrift_plugins.replay.row import Row, Unfit, row_of

SCHEMA = 1
_ENDINGS = ("", ".jsonl.gz", ".jsonl")


class Trace:
    """A trace file, read anew by each iteration and never held in memory.

    Args:
        path: the file; `.jsonl.gz` or `.jsonl` may be left out.

    Raises:
        TraceError: the file is missing or its header is not one.

    Attributes:
        start: seconds since the epoch of the trace's beginning. A start without an offset is UTC.
        prices: model to US dollars per million tokens.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _found(Path(path))
        number, header = next(self._lines(), (1, {}))
        if header.get("kind") != "header" or header.get("schema") != SCHEMA:
            raise TraceError(str(self.path), number, f"not a trace header of schema {SCHEMA}")
        try:
            self.start = _start(header)
            self.prices = _prices(header)
        except Unfit as error:
            raise TraceError(str(self.path), number, f"the header's {error}") from error
        self.name = str(header.get("name", self.path.stem))

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the file.

        Raises:
            TraceError: a line is not JSON, lacks a field, names a model without an arm or without a price, is not in
                order of time, or has the id of an earlier one.
        """
        before, seen = float("-inf"), set[int]()
        lines = self._lines()
        next(lines)
        for number, record in lines:
            row = self._row(record, number)
            if row.t < before:
                problem = f"t is {row.t}, before the line above: rows must be in time order"
                raise TraceError(str(self.path), number, problem)
            if hash(row.id) in seen:
                problem = f"id {row.id!r} is that of an earlier line, and the ledger keeps one call for each id"
                raise TraceError(str(self.path), number, problem)
            before = row.t
            seen.add(hash(row.id))  # not the id itself: a trace may be longer than the memory
            yield row

    def _row(self, record: Mapping[str, Any], number: int) -> Row:
        try:
            return row_of(record, self.prices)
        except Unfit as error:
            raise TraceError(str(self.path), number, str(error)) from error

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, self._json(line, number)
        except (OSError, EOFError, zlib.error) as error:
            raise TraceError(str(self.path), 0, f"the file cannot be read to its end: {error}") from error

    def _json(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = orjson.loads(line)
        except ValueError as error:
            raise TraceError(str(self.path), number, f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise TraceError(str(self.path), number, "not a JSON object")
        return record


def _start(header: Mapping[str, Any]) -> float:
    given = header.get("start")
    try:
        start = datetime.fromisoformat(str(given))
    except ValueError as error:
        raise Unfit(f"start must be a time like 2026-10-01T00:00:00Z, not {given!r}") from error
    return (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()


def _prices(header: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
    name = "prices_usd_per_million_tokens"
    prices = header.get(name)
    if not isinstance(prices, dict) or not all(isinstance(rates, dict) for rates in prices.values()):
        raise Unfit(f"{name} must be an object of objects, each model's rates")
    numbers = [rate for rates in prices.values() for rate in rates.values()]
    if not all(isinstance(rate, int | float) for rate in numbers):
        raise Unfit(f"{name} must give each rate as a number")
    return prices


def _found(path: Path) -> Path:
    for ending in _ENDINGS:
        candidate = path.with_name(path.name + ending)
        if candidate.is_file():
            return candidate
    raise TraceError(str(path), 0, "no such file")
