"""A list of flat objects as typed CSV: what looks like a number is one, and a string that does is quoted.

An empty cell is a key that the object lacks; `null` and `""` are values. What is nested stands in its cell as JSON.
"""

from __future__ import annotations

from thrift_plugins.compression.json_forms.cells import MISSING, bare, cell, read_cell, split
from thrift_plugins.compression.json_forms.values import Number, Value, parse, quoted


def written(value: Value) -> str | None:
    """Names, then a line for each object; None where it is no list of objects, or their keys have no one order."""
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(row, dict) and row for row in value):
        return None
    rows = [row for row in value if isinstance(row, dict)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if any([name for name in names if name in row] != list(row) for row in rows):
        return None
    lines = [",".join(_name(name) for name in names)]
    lines += [",".join(cell(row.get(name, MISSING)) for name in names) for row in rows]
    return "\n".join(lines) if all(lines) else None


def _name(name: str) -> str:
    return name if bare(name) else quoted(name)


def read(text: str) -> Value:
    """The opposite of `written`. Raises ValueError where it is none."""
    first, *rest = text.split("\n")
    names = [_read_name(told) for told in split(first)]
    rows: list[Value] = []
    for line in rest:
        cells = split(line)
        if len(cells) != len(names):
            raise ValueError("a line has a cell for each name")
        found = {
            name: value for name, told in zip(names, cells, strict=True) if (value := read_cell(told)) is not MISSING
        }
        rows.append(found)  # type: ignore[arg-type]  # values of cells are Values
    return rows


def _read_name(told: str) -> str:
    found = parse(told) if told.startswith('"') else told
    if not isinstance(found, str) or isinstance(found, Number):
        raise ValueError("a name is a string")  # noqa: TRY004
    return found
