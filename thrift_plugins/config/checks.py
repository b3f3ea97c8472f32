"""Checks that every settings table shares: of keys, of types, of ranges; each says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from thrift_plugins.errors import ConfigError

Section = TypeVar("Section")
TOP = "the top level"


def section(kind: type[Section], tree: Mapping[str, Any], name: str) -> Section:
    """Build a settings dataclass from a table of a file."""
    kinds = get_type_hints(kind)
    values = dict(tree)
    for key, value in tree.items():
        if key not in kinds:
            raise ConfigError.unknown_key(key, kinds, name)
        if is_dataclass(kinds[key]):
            if not isinstance(value, dict):
                raise ConfigError(f"{key} must be a table, not {type(value).__name__}")
            values[key] = section(kinds[key], value, key if name == TOP else f"{name}.{key}")
    return kind(**values)


def settle(settings: object, prefix: str) -> None:
    """Check that every setting is of its type, whether it comes from code or from a file."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if get_origin(hint) is Literal:
            one_of(f"{prefix}{name}", value, get_args(hint))
            continue
        *kinds, last = get_args(hint) if get_origin(hint) is UnionType else (hint,)
        if not (value is None and last is NoneType):
            kind = kinds[0] if kinds else last
            object.__setattr__(settings, name, _value(get_origin(kind) or kind, value, f"{prefix}{name}"))


def _value(kind: type, value: object, name: str) -> object:
    match value:
        case bool():  # which Python takes for a number
            fits = kind is bool
        case int() if kind is float:
            return float(value)
        case Path() if kind is str:
            return str(value)
        case _:
            fits = isinstance(value, kind)
    if not fits:
        raise ConfigError(f"{name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def lives(name: str, ttl: float | None, instead: str) -> None:
    if ttl is not None and not ttl > 0:
        raise ConfigError(f"{name} must be more than 0 seconds, not {ttl}; {instead}")


def at_least_0(name: str, number: float | None) -> None:
    if number is not None and not number >= 0:
        raise ConfigError(f"{name} must be 0 or more, not {number}")


def one_of(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def names(name: str, given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ConfigError(f"{name} must be a list of strings, not {given!r}")
    return tuple(given)
