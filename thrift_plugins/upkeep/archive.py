"""A store's answers as a file of JSON lines, one an entry, and back."""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from thrift_plugins.errors import TraceError
from thrift_plugins.stores.base import Entry, Store
from thrift_plugins.upkeep.transfer import Copied, put_entry

SCHEMA = 1
_KEY = re.compile(r"\{(?:-|[0-9a-f]{12})\}:[0-9a-f]{64}")


def export_entries(store: Store, file: BinaryIO, *, answers: bool, prefix: str = "") -> int:
    """Write every living entry: key, times, tags and size, and the answer only if it is asked for.

    Args:
        answers: write them too, in clear. Only such a file can be read back.
        prefix: of the keys that are written.

    Returns:
        How many entries.
    """
    file.write(orjson.dumps({"kind": "thrift cache", "schema": SCHEMA, "answers": answers}) + b"\n")
    count = 0
    for entry in store.scan(prefix):
        file.write(orjson.dumps(_record(entry, answers=answers)) + b"\n")
        count += 1
    return count


def _record(entry: Entry, *, answers: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "key": entry.key,
        "written": entry.written,
        "expires": None if math.isinf(entry.expires) else entry.expires,
        "tags": entry.tags,
        "bytes": len(entry.value),
    }
    if answers:
        record.update(_readable(entry.value))
    return record


def _readable(value: bytes) -> dict[str, Any]:
    """A value as JSON where it is some, so that the file can be read and searched; else in base 64."""
    try:
        answer = orjson.loads(value)
    except ValueError:
        return {"base64": b64encode(value).decode()}
    return {"answer": answer} if orjson.dumps(answer) == value else {"base64": b64encode(value).decode()}


def import_entries(path: Path, store: Store, now: float) -> Copied:
    """Keep what `export_entries` wrote with its answers. The whole file is read before anything is kept.

    Args:
        now: seconds since the epoch; what has expired is left out.

    Raises:
        TraceError: not such a file, or a line of it is not one; says which.
        StoreUnavailable: the store is down. What was kept until then stays.
    """
    for _ in _entries(path):
        pass
    copied = Copied()
    for entry in _entries(path):
        if entry.expires <= now:
            continue
        if put_entry(store, entry, now):
            copied.entries += 1
            copied.size += len(entry.value)
        else:
            copied.refused += 1
    return copied


def _entries(path: Path) -> Iterator[Entry]:
    with path.open("rb") as lines:
        numbered = enumerate(lines, 1)
        _check_header(path, numbered)
        for number, line in numbered:
            try:
                yield _entry(orjson.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TraceError(str(path), number, f"not an entry of a cache ({error})") from error


def _check_header(path: Path, lines: Iterable[tuple[int, bytes]]) -> None:
    for _, line in lines:
        try:
            header = orjson.loads(line)
            known = (header["kind"], header["schema"]) == ("thrift cache", SCHEMA)
            answers = header["answers"]
        except (ValueError, KeyError, TypeError):
            break
        if not known:
            break
        if answers is not True:
            raise TraceError(str(path), 1, "written without the answers, so there is nothing to read back")
        return
    raise TraceError(str(path), 1, f"not a cache written by this version (schema {SCHEMA})")


def _entry(record: Mapping[str, Any]) -> Entry:
    key, tags, expires = record["key"], record["tags"], record["expires"]
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError("its key is not an address")
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ValueError("its tags are not words")
    value = b64decode(record["base64"], validate=True) if "base64" in record else orjson.dumps(record["answer"])
    return Entry(key, value, math.inf if expires is None else float(expires), tuple(tags), float(record["written"]))
