"""The sums in a worked answer, done again: a result that does not come out is a reason not to believe the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_NUMBER: Final = r"\$?\d[\d,]{0,20}+(?:\.\d{1,20}+)?%?"
_SIGN: Final = r"[-+*/x×÷−]"  # noqa: RUF001  as people and models write them
# Everything is bounded, and no digit is given back: the time is linear in the text, whatever it is.
_SUM: Final = re.compile(
    rf"(?<![\w.,])(\({{0,3}}{_NUMBER}\){{0,3}}(?:\s{{0,2}}{_SIGN}\s{{0,2}}\({{0,3}}{_NUMBER}\){{0,3}}){{1,11}}+)\s{{0,2}}=\s*(-?{_NUMBER})(?![\d,.]*\d)(?!\s*{_SIGN}\s*[\d($])"
)
_TOKEN: Final = re.compile(rf"\d[\d,]*(?:\.\d+)?%?|[()]|{_SIGN}")
_ALIKE: Final = {"x": "*", "×": "*", "÷": "/", "−": "-"}  # noqa: RUF001
_NEAR: Final = 0.006  # of the result, or in units: what is rounded is not wrong
_LARGE: Final = 20  # results that may be told without what is behind the point
_PLAIN: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")
_READ: Final = 20_000  # letters of an answer
_MOST: Final = 200  # sums


class Sum(NamedTuple):
    """A sum as an answer has it.

    Attributes:
        told: its result there.
        found: its result by our own reckoning.
        terms: the numbers that go into it.
    """

    text: str
    told: float
    found: float
    terms: tuple[float, ...]

    @property
    def right(self) -> bool:
        """Whether the two are the same, rounding allowed; and one may say 20 % or 0.2."""
        ways = (self.told, self.told * 100) if self.text.endswith("%") else (self.told,)
        return any(_same(told, self.found) for told in ways)


def sums(text: str) -> Iterator[Sum]:
    """The sums of a text that can be done again: numbers, the four signs, brackets, and a result."""
    found = 0
    for match in _SUM.finditer(text[:_READ].replace("\\*", "*").replace("\\", "")):
        result = _result(match[1])
        if result is not None:
            yield Sum(match[0], _value(match[2]), result, tuple(numbers(match[1])))
            found += 1
            if found == _MOST:
                return


def numbers(text: str) -> list[float]:
    """The numbers of a text, signs left out."""
    return [float(number.replace(",", "")) for number in _PLAIN.findall(text)]


def wrong(text: str) -> str | None:
    """The first sum that does not come out, None where all do."""
    return next((each.text for each in sums(text) if not each.right), None)


def _same(told: float, found: float) -> bool:
    off = abs(told - found)
    return off <= _NEAR * max(1.0, abs(found)) or (off < 1 and told.is_integer() and abs(found) > _LARGE)


def _value(text: str) -> float:
    number = float(text.strip("$%").replace("$", "").replace(",", ""))
    return number / 100 if text.endswith("%") else number


def _result(text: str) -> float | None:
    """What a sum comes to, None where it cannot be read, or is divided by nothing."""
    tokens = [_ALIKE.get(token, token) for token in map(str, _TOKEN.findall(text))]
    try:
        value, rest = _added(tokens)
    except (IndexError, ValueError, ZeroDivisionError, RecursionError, OverflowError):
        return None
    return None if rest else value


def _added(tokens: list[str]) -> tuple[float, list[str]]:
    value, tokens = _multiplied(tokens)
    while tokens and tokens[0] in "+-":
        sign, (term, rest) = tokens[0], _multiplied(tokens[1:])
        value, tokens = value + term if sign == "+" else value - term, rest
    return value, tokens


def _multiplied(tokens: list[str]) -> tuple[float, list[str]]:
    value, tokens = _single(tokens)
    while tokens and tokens[0] in "*/":
        sign, (factor, rest) = tokens[0], _single(tokens[1:])
        value, tokens = value * factor if sign == "*" else value / factor, rest
    return value, tokens


def _single(tokens: list[str]) -> tuple[float, list[str]]:
    if tokens[0] != "(":
        return _value(tokens[0]), tokens[1:]
    value, rest = _added(tokens[1:])
    if rest[0] != ")":
        raise ValueError("a bracket is not closed")
    return value, rest[1:]
