"""The records of a log file one by one, whatever its size: JSON lines, one JSON array, CSV or Parquet, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from io import BufferedReader, TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, cast

import orjson

from thrift_plugins.errors import ConfigError, TraceError
from thrift_plugins.stores import open_event_log

Record: TypeAlias = Mapping[str, Any]

_PIECE: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""Characters of one record of an array; a longer one is taken for a file that is damaged."""

_BITS: Final = 63
"""Of a whole number in JSON that can be written again as one."""

_BETWEEN: Final = re.compile(r"[\s,]*")
_ARRAY: Final = re.compile(
    r'\s*(?:\{\s*(?:"[^"]*"\s*:\s*(?:"[^"]*"|[\d.]+|null|true|false)\s*,\s*)*"(?:data|runs|observations|logs)"\s*:\s*)?\['
)
"""How a file begins that is one array, or an API's answer with one in it."""


def records(path: Path) -> Iterator[tuple[int, Record | str]]:
    """Each record with its number, from 1; in its place what is wrong with it, where it cannot be read.

    Raises:
        TraceError: the file cannot be read, or breaks off.
        ConfigError: Parquet without pyarrow.
    """
    if not path.is_file():
        raise TraceError(str(path), 0, "no such file")
    name = path.name.removesuffix(".gz").lower()
    try:
        if _begins(path, _SQLITE):
            yield from enumerate(_ledger(path), 1)
        elif name.endswith(".parquet"):
            yield from enumerate(_parquet(path), 1)
        elif name.endswith(".csv"):
            yield from enumerate(_csv(path), 1)
        else:
            with _text(path) as file:
                head = file.read(_PIECE)
                array = _ARRAY.match(head)
                yield from _array(file, head, array.end()) if array else _lines(file, head)
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise TraceError(str(path), 0, f"the file cannot be read to its end: {error}") from error


_SQLITE: Final = b"SQLite format 3\0"
_GZIP: Final = b"\x1f\x8b"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
"""How a text begins that Windows PowerShell has written."""


def _begins(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _ledger(path: Path) -> Iterator[Record]:
    """The events of our own ledger, in the order of time."""
    with closing(open_event_log(str(path), must_exist=True)) as log:
        for _, _, body in log.rows():
            yield orjson.loads(body)


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    packed = _begins(path, _GZIP)
    unpacked = cast("BufferedReader", gzip.open(path)) if packed else path.open("rb")  # noqa: SIM115  the wrapper closes it
    encoding = "utf-16" if unpacked.peek(2)[:2] in _UTF_16 else "utf-8-sig"
    with TextIOWrapper(unpacked, encoding=encoding, errors="replace", newline="") as file:
        yield file


def _lines(file: IO[str], head: str) -> Iterator[tuple[int, Record | str]]:
    number, rest = 0, head
    while True:
        *whole, rest = rest.split("\n")
        for line in whole:
            number += 1
            if line.strip():
                yield number, _record(line)
        if len(rest) > _LONGEST:
            number += 1
            yield number, "longer than any record"
            rest = _after_line(file)
            continue
        piece = file.read(_PIECE)
        if not piece:
            break
        rest += piece
    if rest.strip():
        yield number + 1, _record(rest)


def _after_line(file: IO[str]) -> str:
    """Passes over the rest of a line. Gives what was read of the next ones."""
    while piece := file.read(_PIECE):
        _, end, rest = piece.partition("\n")
        if end:
            return rest
    return ""


def _record(text: str) -> Record | str:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            found = _mended(json.loads(text))
        except (ValueError, RecursionError):
            return f"not JSON ({error})"
    return found if isinstance(found, dict) else "not a JSON object"


def _mended(value: Any) -> Any:
    """What Python writes as JSON and others do not read: NaN is no number, half of a pair of surrogates is no letter."""
    match value:
        case dict():
            return {_mended(name): _mended(inner) for name, inner in value.items()}
        case list():
            return [_mended(inner) for inner in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case float():
            return value if isfinite(value) else None
        case int() if value.bit_length() > _BITS:
            return str(value)
        case _:
            return value


def _array(file: IO[str], text: str, at: int) -> Iterator[tuple[int, Record | str]]:
    """The objects of an array, read piece by piece."""
    decoder, number = json.JSONDecoder(), 0
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
        if text.startswith("]", at):
            return
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield number + 1, "nested too deeply, so that nothing can be read from here on"
            return
        except json.JSONDecodeError:
            piece = file.read(_PIECE)
            if not piece or len(text) - at > _LONGEST:
                yield number + 1, "the array breaks off, or is no JSON from here on"
                return
            text, at = text[at:] + piece, 0
            continue
        number += 1
        yield number, _record(text[at:end])
        at = end
        if at > _PIECE:
            text, at = text[at:], 0


def _csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST)
    with _text(path) as file:
        yield from csv.DictReader(file, restkey="")  # of cells without a heading


def _parquet(path: Path) -> Iterator[Record]:
    try:
        parquet = import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise ConfigError("reading Parquet needs pyarrow: pip install 'thrift-plugins[parquet]'") from error
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256):
            yield from batch.to_pylist()
