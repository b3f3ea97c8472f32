"""What a learned router reads of a request beside the pieces of its text: its last user turn as numbers with names.

The same in training and in use. Both are bounded: of a long text the beginning and the end are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import log1p, sqrt
from operator import attrgetter, itemgetter
from string import ascii_uppercase, digits
from typing import Final

from thrift_plugins.text.features import Features, features
from thrift_plugins.types import Message, Request

SLOTS: Final = 2**14
"""Places that pieces of text are hashed to."""

_HEAD, _TAIL = 1_400, 600
_WORD: Final = re.compile(r"\w+")
_ASCII_WORD: Final = re.compile(r"\w+", re.ASCII)  # the same in plain ASCII, in less time
_OPTION: Final = re.compile(r"(?m)^\s*[(（]?[A-Ea-e][).．、）]\s*(.*)$")  # noqa: RUF001
_SENTENCE: Final = re.compile(r"[.?!。？！]")  # noqa: RUF001
_NOT: Final = frozenset({"not", "except", "never", "no", "without", "false", "incorrect", "nicht", "ne", "pas", "sin"})
_ASKS: Final = frozenset({"which", "what", "who", "when", "where", "how", "why"})
_LOGIC: Final = frozenset({"true", "false", "statement", "statements"})
_LONG_WORD: Final = 9
_MATHS: Final = frozenset("=+-*/^()<>∑∫√")
_KINDS: Final = (digits.encode(), ascii_uppercase.encode(), b"=+-*/^()<>", b"")
_FIRST: Final = itemgetter(0)
_OF_TEXT: Final = (
    "letters", "word count", "lines", "word length", "distinct words", "capitals", "digits", "digit share", "question marks",
    "dollars", "backslashes", "underscores", "commas", "quotes", "long words", "longest sentence", "negations", "before options",
    "option length", "option spread", "numeric options", "question words", "logic words", "maths share", "names share",
    "apostrophes", "beyond ascii", "tools", "tool arguments",
)  # fmt: skip

_OF_TURN: Final = tuple(field.name for field in fields(Features))
_read_all: Final[Callable[[Features], tuple[float, ...]]] = attrgetter(*_OF_TURN)

NAMES: Final[tuple[str, ...]] = (*_OF_TURN, *_OF_TEXT)
"""Of the numbers that `traits` gives."""


def last_turn(messages: Sequence[Message]) -> str:
    """The beginning and the end of what the user asked last."""
    text = next((message.text for message in reversed(messages) if message.role == "user"), "")
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"


def traits(request: Request) -> list[float]:
    """Numbers that may tell how hard a request is, on a logarithmic scale; as many as `NAMES`."""
    arguments = sum(len(_properties(tool.get("parameters"))) for tool in request.tools)
    numbers = (
        *_read_all(features(request.messages)),
        *_of_text(last_turn(request.messages)),
        len(request.tools),
        arguments,
    )
    return list(map(log1p, numbers))  # none is below 0


def _properties(parameters: object) -> Mapping[str, object]:
    told = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return told if isinstance(told, Mapping) else {}


def _of_text(text: str) -> list[float]:
    words = (_ASCII_WORD if text.isascii() else _WORD).findall(text)
    lowered, lengths = list(map(str.lower, words)), list(map(len, words))
    count, size = max(1, len(words)), max(1, len(text))
    options = list(_OPTION.finditer(text))
    told = [option[1].strip() for option in options]
    sizes = list(map(len, told))
    mean = sum(sizes) / max(1, len(sizes))
    numerals, capitals, maths, foreign = _kinds(text)
    return [
        len(text),
        len(words),
        text.count("\n") + 1,
        sum(lengths) / count,
        len(set(lowered)) / count,
        capitals / size,
        numerals,
        numerals / size,
        text.count("?") + text.count("？"),  # noqa: RUF001
        text.count("$"),
        text.count("\\"),
        text.count("_"),
        text.count(","),
        text.count('"'),
        sum(map(_LONG_WORD.__lt__, lengths)) / count,
        max(map(len, _SENTENCE.split(text))),
        sum(map(_NOT.__contains__, lowered)),
        options[0].start() if options else len(text),
        mean,
        sqrt(sum((length - mean) ** 2 for length in sizes) / max(1, len(sizes))),
        sum(option[:1].isdigit() for option in told),
        sum(map(_ASKS.__contains__, lowered)),
        sum(map(_LOGIC.__contains__, lowered)),
        maths / size,
        sum(map(str.isupper, map(_FIRST, words[1:]))) / count,
        text.count("'"),
        foreign,
    ]


def _kinds(text: str) -> tuple[int, int, int, int]:
    """Digits, capitals, signs of maths, and letters beyond ASCII, which in plain ASCII are told apart by bytes."""
    if text.isascii():
        told = text.encode()
        size = len(told)
        return tuple(size - len(told.translate(None, kind)) for kind in _KINDS)  # type: ignore[return-value]
    return (
        sum(map(str.isdigit, text)),
        sum(map(str.isupper, text)),
        sum(map(_MATHS.__contains__, text)),
        sum(map("\x7f".__lt__, text)),
    )
