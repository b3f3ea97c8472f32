"""A small value that a JSON schema accepts, made of the numbers and strings of a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from thrift_plugins.testing.script import Wire
from thrift_plugins.types import Json

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")
_QUOTED: Final = re.compile(r"'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|`([^`\n]+)`")
_FORMATS: Final = {
    "date-time": "2024-01-01T00:00:00Z",
    "date": "2024-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
_DEEP: Final = 6
_LONGEST: Final = 80


class Instance:
    """Fills schemas from one prompt: numbers in their order, quoted strings in theirs, then the prompt itself.

    The value is minimal: a property that is not required and has a default is left out, an optional value is null
    once the schema has nested six deep, an array has its least number of items, but one where none is demanded.
    `pattern`, `not`, `if` and `dependentSchemas` are not understood.
    """

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt.strip()
        self._numbers: Iterator[str] = iter(_NUMBER.findall(prompt))
        self._strings: Iterator[str] = iter(next(filter(None, found)) for found in _QUOTED.findall(prompt))

    def of(self, schema: Wire) -> Json:
        """A value that the schema accepts; `$ref` is looked up in the schema itself."""
        return self._value(schema, schema, 0)

    def _value(self, schema: Any, root: Wire, depth: int) -> Json:
        if not isinstance(schema, Mapping):  # `true`, which allows anything
            return self._string({})
        schema = _resolved(schema, root)
        if fixed := [schema["const"]] if "const" in schema else schema.get("enum"):
            return fixed[0]  # type: ignore[no-any-return]
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._value(_choice(options, root, depth), root, depth)
        match _kind(schema, depth):
            case "object":
                return self._object(schema, root, depth)
            case "array":
                return self._array(schema, root, depth)
            case kind:
                return self._scalar(kind, schema)

    def _scalar(self, kind: str, schema: Wire) -> Json:
        match kind:
            case "integer":
                return int(self._number(schema, whole=True))
            case "number":
                return self._number(schema, whole=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Wire, root: Wire, depth: int) -> dict[str, Json]:
        required = set(schema.get("required") or ())
        chosen = {
            name: spec
            for name, spec in (schema.get("properties") or {}).items()
            if name in required or (depth < _DEEP and "default" not in spec)
        }
        return {name: self._value(spec, root, depth + 1) for name, spec in chosen.items()}

    def _array(self, schema: Wire, root: Wire, depth: int) -> list[Json]:
        if fixed := schema.get("prefixItems"):
            return [self._value(item, root, depth + 1) for item in fixed]
        least = schema.get("minItems", 0 if depth >= _DEEP else 1)
        least = min(least, schema.get("maxItems", least))
        return [self._value(schema.get("items", {}), root, depth + 1) for _ in range(least)]

    def _number(self, schema: Wire, *, whole: bool) -> float:
        value = float(next(self._numbers, "1"))
        value = float(round(value)) if whole else value
        step = schema.get("multipleOf", 1 if whole else 0)
        if step:
            value = round(value / step) * step
        low = schema.get("minimum", _beyond(schema.get("exclusiveMinimum"), step or 0.5))
        high = schema.get("maximum", _beyond(schema.get("exclusiveMaximum"), -(step or 0.5)))
        if low is not None and value < low:
            value = low
        if high is not None and value > high:
            value = high
        return value

    def _string(self, schema: Wire) -> str:
        if known := _FORMATS.get(schema.get("format", "")):
            return known
        text = next(self._strings, self._prompt[:_LONGEST]) or "text"
        return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _resolved(schema: Wire, root: Wire) -> Wire:
    """The schema with its `$ref` followed and its `allOf` merged in."""
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
    parts: list[Wire] = list(schema.get("allOf") or ())
    if "$ref" in schema:
        parts.append(_target(schema["$ref"], root))
    for part in parts:
        for key, value in _resolved(part, root).items():
            if key == "properties":
                merged[key] = {**value, **merged.get(key, {})}
            elif key == "required":
                merged[key] = [*merged.get(key, ()), *value]
            else:
                merged.setdefault(key, value)
    return merged


def _target(reference: str, root: Wire) -> Wire:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found[step.replace("~1", "/").replace("~0", "~")]
    return found  # type: ignore[no-any-return]


def _choice(options: list[Wire], root: Wire, depth: int) -> Wire:
    """The first option with a value, or null where it is allowed and the value already nests deep."""
    nulls = [option for option in options if _resolved(option, root).get("type") == "null"]
    if depth >= _DEEP and nulls:
        return nulls[0]
    return next((option for option in options if option not in nulls), options[0])


def _kind(schema: Wire, depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        if depth >= _DEEP and "null" in kind:
            return "null"
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _beyond(bound: float | None, step: float) -> float | None:
    return None if bound is None else bound + step
