"""JSON as Token-Oriented Object Notation: indentation in the place of braces, and names said once for a list of flat objects.

Written and read here, so that a round trip can be proven: https://github.com/toon-format/spec.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final, NamedTuple

from thrift_plugins.compression.json_forms.cells import MISSING, bare, cell, read_cell, split, value_of
from thrift_plugins.compression.json_forms.values import Number, Value, parse, quoted

_KEY: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)


def written(value: Value) -> str | None:
    """A list or an object with something in it; None for anything else."""
    if not isinstance(value, dict | list) or not value:
        return None
    return "\n".join(_root(value))


def _root(value: Value) -> list[str]:
    return _object(value, 0) if isinstance(value, dict) else _list("", value, 0)


def _key(name: str) -> str:
    return name if _KEY.fullmatch(name) else quoted(name)


def _object(value: dict[str, Value], depth: int) -> list[str]:
    lines: list[str] = []
    for name, item in value.items():
        lines += _field(_key(name), item, depth)
    return lines


def _field(key: str, item: Value, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(item, dict):
        return [f"{pad}{key}:", *_object(item, depth + 1)] if item else [f"{pad}{key}: {{}}"]
    if isinstance(item, list):
        return _list(f"{pad}{key}", item, depth)
    return [f"{pad}{key}: {cell(item)}"]


def _list(head: str, items: Value, depth: int) -> list[str]:
    """Head is the indentation and the key, if there is one."""
    if not isinstance(items, list):
        return []
    if not items:
        return [f"{head}[0]:"]
    if not any(isinstance(item, dict | list) for item in items):
        return [f"{head}[{len(items)}]: {','.join(map(cell, items))}"]
    names = _flat_names(items)
    pad = "  " * (depth + 1)
    if names:
        rows = [",".join(cell(item[name]) for name in names) for item in items if isinstance(item, dict)]
        return [f"{head}[{len(items)}]{{{','.join(map(_name, names))}}}:", *(pad + row for row in rows)]
    lines = [f"{head}[{len(items)}]:"]
    for item in items:
        lines += _item(item, depth + 1)
    return lines


def _name(name: str) -> str:
    return name if bare(name) else quoted(name)


def _flat_names(items: list[Value]) -> list[str]:
    """The keys of a list of flat objects that all have the same; empty where they do not."""
    first = items[0]
    if not isinstance(first, dict) or not first:
        return []
    names = list(first)
    alike = all(
        isinstance(item, dict)
        and list(item) == names
        and not any(isinstance(one, dict | list) for one in item.values())
        for item in items
    )
    return names if alike else []


def _item(item: Value, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(item, dict):
        if not item:
            return [f"{pad}- {{}}"]
        lines = _object(item, depth + 1)
        return [f"{pad}- {lines[0].lstrip(' ')}", *lines[1:]]
    if isinstance(item, list):
        lines = _list("", item, depth + 1)
        return [f"{pad}- {lines[0]}", *lines[1:]]
    return [f"{pad}- {cell(item)}"]


# ---- reading ----


class _Line(NamedTuple):
    depth: int
    text: str


_HEAD: Final = re.compile(r"\[(\d+)\](\{)?")


def read(text: str) -> Value:
    """The opposite of `written`. Raises ValueError where it is none."""
    lines = [_line(line) for line in text.split("\n")]
    head = _HEAD.match(lines[0].text)
    if head is not None and lines[0].text.startswith("["):
        value, at = _read_list(lines, 0, lines[0].text, 0)
    else:
        value, at = _read_object(lines, 0, 0)
    if at != len(lines):
        raise ValueError("something is left over")
    return value


def _line(line: str) -> _Line:
    bare_line = line.lstrip(" ")
    return _Line((len(line) - len(bare_line)) // 2, bare_line)


def _read_object(lines: list[_Line], at: int, depth: int) -> tuple[dict[str, Value], int]:
    found: dict[str, Value] = {}
    while at < len(lines) and lines[at].depth == depth and not lines[at].text.startswith("- "):
        key, rest = _split_key(lines[at].text)
        found[key], at = _read_value(lines, at, rest, depth)
    return found, at


def _read_value(lines: list[_Line], at: int, rest: str, depth: int) -> tuple[Value, int]:
    """The value behind a key: `rest` is what stands after it in its line."""
    if rest.startswith("["):
        return _read_list(lines, at, rest, depth)
    if rest == ":":
        return _read_object(lines, at + 1, depth + 1)
    if not rest.startswith(": "):
        raise ValueError("a key has a colon behind it")
    return value_of(rest[2:]), at + 1


def _split_key(text: str) -> tuple[str, str]:
    if text.startswith('"'):
        end = re.match(r'"(?:[^"\\]|\\.)*"', text)
        if end is None:
            raise ValueError("a key without an end")
        key = parse(end.group())
        if not isinstance(key, str) or isinstance(key, Number):
            raise ValueError("a key is a string")
        return key, text[end.end() :]
    plain = _KEY.match(text)
    if plain is None:
        raise ValueError("no key")
    return plain.group(), text[plain.end() :]


def _read_list(lines: list[_Line], at: int, rest: str, depth: int) -> tuple[Value, int]:
    head = _HEAD.match(rest)
    if head is None:
        raise ValueError("no list")
    count, rest = int(head.group(1)), rest[head.end() - (1 if head.group(2) else 0) :]
    if rest.startswith("{"):
        return _read_table(lines, at, rest, count)
    if count == 0:
        return [], at + 1
    if rest.startswith(": "):
        values = [value_of(told) for told in split(rest[2:])]
        if len(values) != count:
            raise ValueError("a list of another length")
        return list(values), at + 1
    items: list[Value] = []
    at += 1
    while at < len(lines) and len(items) < count:
        item, at = _read_item(lines, at, depth + 1)
        items.append(item)
    if len(items) != count:
        raise ValueError("a list of another length")
    return items, at


def _read_table(lines: list[_Line], at: int, rest: str, count: int) -> tuple[Value, int]:
    if not rest.endswith("}:"):
        raise ValueError("names without an end")
    names = [told if not told.startswith('"') else parse(told) for told in split(rest[1:-2])]
    rows: list[Value] = []
    for line in lines[at + 1 : at + 1 + count]:
        cells = [read_cell(told) for told in split(line.text)]
        if len(cells) != len(names) or MISSING in cells:
            raise ValueError("a row has a cell for each name")
        rows.append(dict(zip(names, cells, strict=True)))  # type: ignore[arg-type]
    return rows, at + 1 + count


def _read_item(lines: list[_Line], at: int, depth: int) -> tuple[Value, int]:
    line = lines[at]
    if line.depth != depth or not line.text.startswith("- "):
        raise ValueError("an item begins with a dash")
    rest = line.text[2:]
    if rest == "{}":
        return {}, at + 1
    if rest.startswith("["):
        return _read_list(lines, at, rest, depth + 1)
    key = behind = ""
    with suppress(ValueError):  # then it is a value
        key, behind = _split_key(rest)
    if not behind.startswith(("[", ":")):
        return value_of(rest), at + 1
    found: dict[str, Value] = {}
    found[key], at = _read_value(lines, at, behind, depth + 1)
    more, at = _read_object(lines, at, depth + 1)
    return {**found, **more}, at
