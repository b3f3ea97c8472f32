"""One value in a line of values: bare where nobody can mistake it, else as JSON."""

from __future__ import annotations

import json
import re
from typing import Final

from thrift_plugins.compression.json_forms.values import NUMBER, Number, Value, compact, parse

MISSING: Final = object()
"""In the place of a value where an object lacks a key; written as nothing at all."""

_BARE: Final = re.compile(
    r"[^\W\d_\"'\[\]{}(),:|\\\s#-](?:[^\",\[\]{}:|\\\n\r\t\u0085\u2028\u2029\x00-\x1f\x7f]*[^\",\[\]{}:|\\\s\x00-\x1f\x7f])?|[\w./@+#*%$&~^!?;<=>-]*[^\W\d][\w./@+#*%$&~^!?;<=>-]*|\d[\d.:/-]*[:/-][\d.:/TZ-]*"
)
_WORDS: Final = frozenset({"true", "false", "null"})
_DECODER: Final = json.JSONDecoder()


def cell(value: object) -> str:
    """A value in a line; a string that could be taken for something else is quoted."""
    if value is MISSING:
        return ""
    if isinstance(value, str) and not isinstance(value, Number) and bare(value):
        return value
    return compact(value)  # type: ignore[arg-type]  # a Value


def bare(text: str) -> bool:
    """Whether a string needs no quotes."""
    if not text or text in _WORDS or text[0] in " -" or text[-1] == " ":
        return False
    if NUMBER.fullmatch(text) or _BARE.fullmatch(text) is None:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_cell(text: str) -> object:
    """The value of one cell.

    Raises:
        ValueError: it is none.
    """
    if text == "":
        return MISSING
    if NUMBER.fullmatch(text):
        return Number(text)
    if text[0] in '"[{' or text in _WORDS:
        return parse(text)
    return text


def split(line: str) -> list[str]:
    """The cells of a line, at the commas that are in no string, list or object."""
    cells: list[str] = []
    at = start = depth = 0
    while at < len(line):
        char = line[at]
        if char == '"':
            at = _string_end(line, at)
            continue
        if char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "," and not depth:
            cells.append(line[start:at])
            start = at + 1
        at += 1
    return [*cells, line[start:]]


def _string_end(line: str, at: int) -> int:
    _, end = _DECODER.raw_decode(line, at)
    return end


def value_of(text: str) -> Value:
    """A cell that must have a value. Raises ValueError where it has none."""
    found = read_cell(text)
    if found is MISSING:
        raise ValueError("an empty cell")
    return found  # type: ignore[return-value]
