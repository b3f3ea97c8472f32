"""Lists of objects as one row of names and rows of values, at every depth: names are said once for all of them.

    [{"id": 1, "to": {"city": "Rome"}, "legs": [{"km": 5}, {"km": 7}]}, ...]
    {"columns":["id",{"to":["city"]},{"legs":[["km"]]}],"rows":[[1,["Rome"],[[5],[7]]],...]}

A name with a list under it stands for objects; with a list in a list, for lists of objects; with `{"*": [...]}`, for objects
of alike objects, by their keys. It is valid JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from thrift_plugins.compression.json_forms.values import Value

Shape: TypeAlias = "tuple[str, tuple[tuple[str, Shape | None], ...]] | None"
"""None: any value as it is. ("object", columns), ("list", columns) or ("map", columns): what stands in the place of names."""


def shape_of(values: Sequence[Value]) -> Shape:
    """What all of these values have in common, None where that is nothing."""
    if values and all(isinstance(value, dict) and value for value in values):
        columns = _columns([value for value in values if isinstance(value, dict)])
        return ("object", columns) if columns else _map_of(values)
    if values and all(isinstance(value, list) for value in values):
        items = [item for value in values if isinstance(value, list) for item in value]
        if len(items) < 2 or not all(isinstance(item, dict) and item for item in items):
            return None
        columns = _columns([item for item in items if isinstance(item, dict)])
        return ("list", columns) if columns else None
    return None


def _map_of(values: Sequence[Value]) -> Shape:
    """Objects whose keys are data, such as ids or dates, and whose values are alike."""
    items = [item for value in values if isinstance(value, dict) for item in value.values()]
    if len(items) < 2 or not all(isinstance(item, dict) and item for item in items):
        return None
    columns = _columns([item for item in items if isinstance(item, dict)])
    return ("map", columns) if columns else None


def _columns(rows: Sequence[dict[str, Value]]) -> tuple[tuple[str, Shape], ...]:
    names = list(rows[0])
    if any(list(row) != names for row in rows):
        return ()
    return tuple((name, shape_of([row[name] for row in rows])) for name in names)


def packed(value: Value, shape: Shape) -> Value:
    """A value without the names that its shape has."""
    if shape is None:
        return value
    kind, columns = shape
    if kind == "object" and isinstance(value, dict):
        return [packed(value[name], inner) for name, inner in columns]
    if kind == "list" and isinstance(value, list):
        return [packed(item, ("object", columns)) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: packed(item, ("object", columns)) for key, item in value.items()}
    raise ValueError("the value is not of its shape")


def unpacked(value: Value, shape: Shape) -> Value:
    """The opposite of `packed`. Raises ValueError where a row has another number of values."""
    if shape is None:
        return value
    kind, columns = shape
    if kind == "map" and isinstance(value, dict):
        return {key: unpacked(item, ("object", columns)) for key, item in value.items()}
    if not isinstance(value, list):
        raise ValueError("a row must be a list")  # noqa: TRY004  of the text, not of a type
    if kind == "list":
        return [unpacked(item, ("object", columns)) for item in value]
    if len(value) != len(columns):
        raise ValueError("a row must have a value for each column")
    return {name: unpacked(item, inner) for item, (name, inner) in zip(value, columns, strict=True)}


def header(columns: tuple[tuple[str, Shape], ...]) -> Value:
    """The names of columns as JSON."""
    made: list[Value] = []
    for name, shape in columns:
        if shape is None:
            made.append(name)
        else:
            inner = header(shape[1])
            made.append({name: inner if shape[0] == "object" else [inner] if shape[0] == "list" else {_ANY: inner}})
    return made


def columns_of(told: Value) -> tuple[tuple[str, Shape], ...]:
    """The opposite of `header`. Raises ValueError where it is none."""
    if not isinstance(told, list):
        raise ValueError("columns must be a list")  # noqa: TRY004  of the text, not of a type
    found: list[tuple[str, Shape]] = []
    for one in told:
        if isinstance(one, dict):
            ((name, inner),) = one.items()
            found.append((name, _shape_told(inner)))
        else:
            found.append((str(one), None))
    return tuple(found)


def _shape_told(inner: Value) -> Shape:
    if isinstance(inner, dict):
        return ("map", columns_of(inner[_ANY]))
    if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], list):
        return ("list", columns_of(inner[0]))
    return ("object", columns_of(inner))


_ANY: Final = "*"


def written(value: Value) -> Value | None:
    """A list of objects, or an object of alike objects, as columns and rows; None where it is neither."""
    if isinstance(value, list) and len(value) > 1:
        shape = shape_of(value)
        if shape is not None and shape[0] == "object":
            return {"columns": header(shape[1]), "rows": [packed(item, shape) for item in value]}
    if isinstance(value, dict) and len(value) > 1:
        shape = shape_of([*value.values()])
        if shape is not None and shape[0] == "object":
            rows: dict[str, Value] = {key: packed(item, shape) for key, item in value.items()}
            return {"columns": header(shape[1]), "rows": rows}
    return None


def read(told: Value) -> Value:
    """The opposite of `written`. Raises ValueError where it is none."""
    if not isinstance(told, dict) or list(told) != ["columns", "rows"]:
        raise ValueError("it has columns and rows")
    shape: Shape = ("object", columns_of(told["columns"]))
    rows = told["rows"]
    if isinstance(rows, dict):
        return {key: unpacked(item, shape) for key, item in rows.items()}
    if not isinstance(rows, list):
        raise ValueError("rows must be a list or an object")  # noqa: TRY004  of the text, not of a type
    return [unpacked(item, shape) for item in rows]
