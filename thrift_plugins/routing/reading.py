"""Reads the values of a router's file, which somebody may have changed. Each function raises `ValueError` where one cannot be."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

UNIT: Final = 1e5
"""Steps of a weight in one unit of quality."""

_MANY: Final = 2**53


def of_length(given: Any, length: int) -> list[Any]:
    """A list of so many."""
    if not isinstance(given, list) or len(given) != length:
        raise ValueError(f"a list of {length} was expected")
    return given


def numbers(given: Any, length: int) -> list[float]:
    """So many finite numbers."""
    found = [float(number) for number in of_length(given, length) if type(number) in (int, float)]
    if len(found) != length or not all(map(isfinite, found)):
        raise ValueError("a number that is none")
    return found


def steps(given: Any, length: int) -> tuple[int, ...]:
    """So many weights, in steps of `UNIT`."""
    row = tuple(step for step in of_length(given, length) if type(step) is int and abs(step) < UNIT * 1e3)
    if len(row) != length:
        raise ValueError("a weight that cannot be")
    return row


def texts(given: Any) -> list[str]:
    """Texts."""
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError("names were expected")
    return given


def whole(given: Any) -> int:
    """A whole number, 0 or more."""
    if type(given) is not int or not 0 <= given < _MANY:
        raise ValueError("a count was expected")
    return given
