"""The events of a ledger as a table, a row for each: facts, tokens and money, in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from thrift_plugins.report.files import Column, Row, whole
from thrift_plugins.types import Usage

_COUNTS: Final = tuple(name for name in Usage.__slots__ if name != "source")
_TEXTS: Final = ("id", "dialect", "tenant", "user", "feature", "session", "outcome", "requested_model", "served_model")
_TEXTS_AFTER: Final = ("finish_reason", "policy", "error")
_NESTED: Final = ("keys", "reasons", "fallbacks", "patches", "overheads", "extra")

COLUMNS: Final = (
    Column("at", "number"),
    *(Column(name, "text") for name in _TEXTS),
    *(Column(name, "integer") for name in _COUNTS),
    Column("usage_source", "text"),
    *(Column(name, "text") for name in _TEXTS_AFTER),
    *(Column(f"{name}_nano", "integer") for name in ("baseline", "actual", "saved", "overhead", "apart")),
    *(Column(name, "text") for name in ("rows_nano", "overheads_nano", "unpriced", "price_source", "price_version")),
    *(Column(name, "text") for name in _NESTED),
)
"""Times in seconds since the epoch, money in nano-dollars: baseline = saved + overhead + actual. What has several values
is JSON."""


def row(entry: Mapping[str, Any]) -> Row:
    """A ledger record under `COLUMNS`."""
    usage, bill, prices = entry["usage"], entry["bill"], entry["prices"]
    return (
        entry["at"],
        *(entry[name] for name in _TEXTS),
        *(usage.get(name, 0) for name in _COUNTS),
        usage.get("source", ""),
        *(entry[name] for name in _TEXTS_AFTER),
        bill["baseline"],
        bill["actual"],
        sum(bill["rows"].values()),
        sum(bill["overheads"].values()),
        bill.get("apart", 0),
        *(_json(bill[name]) for name in ("rows", "overheads", "unpriced")),
        prices["source"],
        prices["version"],
        *(_json(entry.get(name)) for name in _NESTED),
    )


def rows(bodies: Iterable[str]) -> Iterator[Row]:
    """Ledger records, each as its JSON, under `COLUMNS`."""
    return (row(orjson.loads(body)) for body in bodies)


def write_lines(path: Path, bodies: Iterable[str]) -> int:
    """Write ledger records as JSON lines. Returns how many."""
    count = 0
    with whole(path) as file:
        for body in bodies:
            file.write(body.encode())
            file.write(b"\n")
            count += 1
    return count


def _json(value: object) -> str | None:
    return orjson.dumps(value).decode() if value else None
