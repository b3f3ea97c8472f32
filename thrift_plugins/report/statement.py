"""A provider's own account of what was used, from its export: tokens and dollars by day and model.

Understood as they come: OpenAI's usage and costs (the answers of its organization API, or CSV), Anthropic's usage and cost
reports (the same), and any CSV with a heading whose columns are named in `_NAMES` or by the user.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from thrift_plugins.errors import ConfigError
from thrift_plugins.types import Nano

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "day": ("start_time_iso", "starting_at", "start_time", "usage_date_utc", "date", "day", "timestamp"),
    "model": ("model", "model_version", "model_name", "line_item"),
    "input": ("input_tokens", "prompt_tokens"),
    "output": ("output_tokens", "usage_output_tokens", "completion_tokens"),
    "usd": ("amount_value", "amount.value", "cost_usd", "cost"),
}
"""What is looked for, and the columns that may have it, the first that is there."""

# Anthropic counts each kind of input apart.
_INPUT_PARTS: Final = (
    "uncached_input_tokens", "cache_read_input_tokens", "cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens",
    "usage_input_tokens_no_cache", "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h", "usage_input_tokens_cache_read",
)  # fmt: skip
_CENTS: Final = ("amount", "currency")
"""The columns of a report whose amounts are in cents."""

_NANO: Final = 10**9


@dataclass(slots=True)
class Amounts:
    """What was used of one model on one day. Cached input and hidden output are counted in; money in nano-dollars."""

    input: int = 0
    output: int = 0
    nano: Nano = 0

    def add(self, other: Amounts) -> None:
        """Add what else was used."""
        self.input += other.input
        self.output += other.output
        self.nano += other.nano


@dataclass(slots=True)
class Statement:
    """What a provider says.

    Attributes:
        lines: by day (of UTC) and model, "" where it names none.
        tokens: whether it says anything about tokens.
        money: whether it says anything about money.
        more: whether it says of itself that there is more of it.
    """

    lines: dict[tuple[str, str], Amounts] = field(default_factory=dict)
    tokens: bool = False
    money: bool = False
    more: bool = False

    def read(self, file: Path, columns: Mapping[str, str]) -> None:
        """Add an export.

        Args:
            columns: "day", "model", "input", "output" or "usd" to the name of the column that has it.

        Raises:
            ConfigError: it is not one that can be read; says which line and why.
            OSError: there is no such file.
        """
        for name in columns:
            if name not in _NAMES:
                raise ConfigError.unknown_key(name, _NAMES, "--column")
        for number, row in enumerate(self._rows(file), start=1):
            try:
                self._add(row, columns)
            except (ValueError, InvalidOperation) as error:
                raise ConfigError(f"{file}, entry {number}: {error}") from error

    def _rows(self, file: Path) -> Iterator[Mapping[str, Any]]:
        text = file.read_text(encoding="utf-8-sig")
        if not text.lstrip().startswith(("{", "[")):
            yield from csv.DictReader(text.splitlines(), dialect=_dialect(text))
            return
        try:
            told = json.loads(text, parse_float=Decimal)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{file} is not JSON: {error}") from error
        for page in told if isinstance(told, list) else [told]:
            if not isinstance(page, dict) or not isinstance(page.get("data"), list):
                raise ConfigError(f"{file} is no usage or cost report: it has no list named 'data'")
            self.more = bool(page.get("has_more"))
            for bucket in page["data"]:
                when = {name: bucket[name] for name in ("start_time", "starting_at") if name in bucket}
                for result in bucket.get("results", ()):
                    yield {**dict(_flat(result)), **when}

    def _add(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        def told(name: str) -> Any:
            known = (columns[name],) if name in columns else _NAMES[name]
            return next((row[column] for column in known if row.get(column) not in (None, "")), None)

        parts = [row[name] for name in _INPUT_PARTS if row.get(name) not in (None, "")]
        sent = told("input") if not parts or "input" in columns else sum(map(_whole, parts))
        got, paid = told("output"), told("usd")
        if paid is None and "usd" not in columns and all(row.get(name) for name in _CENTS):
            paid = Decimal(row["amount"]) / 100
        if sent is None and got is None and paid is None:
            return  # a day on which nothing was used
        self.tokens |= sent is not None or got is not None
        self.money |= paid is not None
        model = str(told("model") or "").partition(", ")[0]  # of a line item such as "gpt-4o-2024-08-06, input"
        amounts = Amounts(_whole(sent or 0), _whole(got or 0), int(Decimal(str(paid or 0)) * _NANO))
        self.lines.setdefault((_day(told("day")), model), Amounts()).add(amounts)


def _dialect(text: str) -> type[csv.Dialect]:
    try:
        return csv.Sniffer().sniff(text.partition("\n")[0], delimiters=",;\t")
    except csv.Error:
        return csv.excel


def _flat(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _whole(told: object) -> int:
    number = Decimal(str(told))
    if number != int(number):
        raise ValueError(f"{told!r} is no whole number of tokens")
    return int(number)


def _day(told: object) -> str:
    if told is None:
        raise ValueError("it has no date: name its column with --column day=NAME")
    text = str(told)
    if text.isdigit() and len(text) > len("20261123"):  # seconds since the epoch
        return f"{datetime.fromtimestamp(int(text), UTC):%Y-%m-%d}"
    when = datetime.fromisoformat(text)
    return f"{when.astimezone(UTC) if when.tzinfo else when:%Y-%m-%d}"
