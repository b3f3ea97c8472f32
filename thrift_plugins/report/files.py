"""Tables as files: CSV, and Parquet where pyarrow is installed. Streamed, and whole or not there at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO, Literal, NamedTuple, TypeAlias

from thrift_plugins.drafts import drafted
from thrift_plugins.errors import ConfigError

Value: TypeAlias = str | int | float | None
Row: TypeAlias = tuple[Value, ...]

_ROWS_AT_ONCE = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        kind: "integer" fits 64 bits in Parquet; money in nano-dollars does up to nine billion dollars.
    """

    name: str
    kind: Literal["text", "integer", "number"]


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, readable by its owner alone, which takes its place only when all of it is written.

    A pipe, a terminal or another device, and what a link leads to, is written as it is: none of them is to be replaced.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        with path.open("wb") as there:
            yield there
        return
    with drafted(path) as file:
        yield file


def write_csv(path: Path, columns: Iterable[Column], rows: Iterable[Row]) -> int:
    """Write a table as CSV with a line of heads; what is not known is empty. Returns how many rows.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    count = 0
    with whole(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="", errors="backslashreplace") as text:
        writer = csv.writer(text)
        writer.writerow(column.name for column in columns)
        for row in rows:
            writer.writerow(map(_cell, row))
            count += 1
    return count


def write_parquet(path: Path, columns: Iterable[Column], rows: Iterable[Row]) -> int:
    """Write a table as Parquet, in groups of 10,000 rows. Returns how many rows.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    kinds = {"text": arrow.string(), "integer": arrow.int64(), "number": arrow.float64()}
    schema = arrow.schema([(column.name, kinds[column.kind]) for column in columns])
    rows, count = iter(rows), 0
    with whole(path) as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, _ROWS_AT_ONCE)):
            arrays = [
                arrow.array(values, kind) for values, kind in zip(zip(*group, strict=True), schema.types, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _cell(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'thrift-plugins[parquet]'") from error
