"""Writes a JSON text in every form, counts, and takes the one with fewest tokens that reads back as the same value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.compression.json_forms import columns, csv, toon
from thrift_plugins.compression.json_forms.values import Value, compact, compacted, parse, same

Form: TypeAlias = Literal["as it was", "compact", "columns", "csv", "toon"]

_LONGEST: Final = 2_000_000
"""Characters; a longer text stays as it is."""


class Written(NamedTuple):
    """A JSON text in the form that was cheapest.

    Attributes:
        tokens: that it has.
        before: that the text had.
    """

    text: str
    form: Form
    tokens: int
    before: int


def cheapest(text: str, measure: Callable[[str], int]) -> Written | None:
    """The cheapest form of a JSON object or list, which may be its own; None where the text is neither.

    Strings and numbers are spelt as they were; keys keep their order. What says a key twice is at most compacted.

    Args:
        measure: tokens of a text.
    """
    stripped = text.strip()
    if not stripped or stripped[0] not in "[{" or len(stripped) > _LONGEST:
        return None
    before = measure(text)
    try:
        value: Value | None = parse(stripped)
    except ValueError:
        value = None
        if not _is_json(stripped):
            return None
    best = Written(text, "as it was", before, before)
    for form, made in _forms(stripped, value):
        tokens = measure(made)
        if tokens < best.tokens and len(made) <= len(text) and _proven(form, made, value):
            best = Written(made, form, tokens, before)
    return best


def read_back(text: str, form: Form) -> Value:
    """The value of a text in one of the forms. Raises ValueError where it is none."""
    match form:
        case "columns":
            return columns.read(parse(text))
        case "csv":
            return csv.read(text)
        case "toon":
            return toon.read(text)
        case _:
            return parse(text)


def _forms(text: str, value: Value | None) -> list[tuple[Form, str]]:
    found: list[tuple[Form, str]] = [("compact", compacted(text))]
    if not value:
        return found
    table = columns.written(value)
    if table is not None:
        found.append(("columns", compact(table)))
    rows = csv.written(value)
    if rows is not None:
        found.append(("csv", rows))
    outline = toon.written(value)
    if outline is not None:
        found.append(("toon", outline))
    return found


def _proven(form: Form, made: str, value: Value | None) -> bool:
    if form == "compact":
        return True
    try:
        return value is not None and same(read_back(made, form), value)
    except (ValueError, RecursionError, TypeError, KeyError):
        return False


def _is_json(text: str) -> bool:
    """Whether it is JSON all the same: it says a key twice."""
    import json  # noqa: PLC0415  for a rare case

    def refused(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError):
        return False
    return True
