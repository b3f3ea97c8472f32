"""JSON values that remember how their numbers were spelt, so that 1.0 stays 1.0 and a long id keeps every digit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, TypeAlias


class Number(str):
    """A number as it was written."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


Value: TypeAlias = "dict[str, Value] | list[Value] | Number | str | bool | None"

NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DEPTH: Final = 60
_STRING_OR_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def parse(text: str) -> Value:
    """A JSON text, numbers as they are spelt.

    Raises:
        ValueError: it is none, says a key twice, has NaN, or is nested beyond reason.
    """
    try:
        value: Value = json.loads(
            text, parse_float=Number, parse_int=Number, parse_constant=_refused, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise ValueError("nested beyond reason") from error
    if _depth(text) > _DEPTH:
        raise ValueError("nested beyond reason")
    return value


def _refused(word: str) -> Value:
    raise ValueError(f"{word} is no JSON")


def _once(pairs: Sequence[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is said twice")
    return found


def _depth(text: str) -> int:
    deepest = depth = 0
    for char in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def compacted(text: str) -> str:
    """A JSON text without the white space between its parts; every string and number is spelt as it was."""
    return _STRING_OR_SPACE.sub(lambda found: found.group(1) or "", text)


def compact(value: Value) -> str:
    """A value as JSON without white space."""
    match value:
        case Number():
            return str(value)
        case dict():
            return "{" + ",".join(f"{quoted(key)}:{compact(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(compact, value)) + "]"
        case str():
            return quoted(value)
        case _:
            return {True: "true", False: "false", None: "null"}[value]


def quoted(text: str) -> str:
    """A JSON string; half a character is escaped, since no text can carry it."""
    made = json.dumps(text, ensure_ascii=False)
    try:
        made.encode()
    except UnicodeEncodeError:
        made = json.dumps(text)
    return made


def same(one: Value, other: Value) -> bool:
    """Whether two values are equal, of the same types, with keys in the same order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other
