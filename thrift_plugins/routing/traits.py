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
from thrift_plugins.text.forms import capitalised, longest_sentence, option_lines
from thrift_plugins.text.tallies import ASKS, LOGIC, LONG, LONG_WORD, NOT, tallies
from thrift_plugins.text.window import Window, window
from thrift_plugins.types import Message, Request

SLOTS: Final = 2**14
"""Places that pieces of text are hashed to."""

_WORD: Final = re.compile(r"\w+")
_MATHS_BEYOND: Final = "∑∫√"
_DIGITS, _CAPITALS, _MATHS = digits.encode(), ascii_uppercase.encode(), b"=+-*/^()<>"
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
    return window(_asked(messages))


def read_turn(messages: Sequence[Message]) -> Window:
    """The same, read for whatever is read of it."""
    return Window(_asked(messages))


def _asked(messages: Sequence[Message]) -> str:
    return next((message.text for message in reversed(messages) if message.role == "user"), "")


def traits(request: Request, asked: Window | None = None) -> list[float]:
    """Numbers that may tell how hard a request is, on a logarithmic scale; as many as `NAMES`.

    Args:
        asked: its `read_turn`, if it is at hand.
    """
    read = read_turn(request.messages) if asked is None else asked
    arguments = sum([len(_properties(tool.get("parameters"))) for tool in request.tools])
    numbers = (*_read_all(features(request.messages, read)), *_of_text(read), len(request.tools), arguments)
    return list(map(log1p, numbers))  # none is below 0


def _properties(parameters: object) -> Mapping[str, object]:
    told = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return told if isinstance(told, Mapping) else {}


def _of_text(read: Window) -> list[float]:
    text = read.text
    letters = max(1, len(text))
    words, spelt, distinct, counts, long, named = _words_of_letters(read) if read.lettered else _words(read)
    count = max(1, words)
    numerals, capitals, maths = _kinds(read)
    return [
        len(text),
        words,
        text.count("\n") + 1,
        spelt / count,
        distinct / count,
        capitals / letters,
        numerals,
        numerals / letters,
        text.count("?") + read.beyond.count("？"),  # noqa: RUF001
        text.count("$"),
        text.count("\\"),
        text.count("_"),
        text.count(","),
        text.count('"'),
        long / count,
        longest_sentence(read),
        counts[NOT],
        *_of_options(text),
        counts[ASKS],
        counts[LOGIC],
        maths / letters,
        named / count,
        text.count("'"),
        len(read.beyond),
    ]


def _of_options(text: str) -> tuple[float, ...]:
    """Letters before the options, their mean length and how far they are from it, and how many of them begin with a digit."""
    first, options = option_lines(text)
    if first is None:
        return len(text), 0, 0, 0
    sizes = list(map(len, options))
    mean = sum(sizes) / len(sizes)
    spread = sqrt(sum([(size - mean) ** 2 for size in sizes]) / len(sizes))
    return first, mean, spread, sum([option[:1].isdigit() for option in options])


def _words(read: Window) -> tuple[int, int, int, Sequence[int], int, int]:
    """How many words, letters in them, and different words there are; their counts, the long ones, and the capitalised ones."""
    letters = len("".join(read.words))
    return len(read.words), letters, len(read.distinct), read.counts, read.counts[LONG], capitalised(read.told)


def _words_of_letters(read: Window) -> tuple[int, int, int, Sequence[int], int, int]:
    """The same where there are words beyond ASCII, which in lower case can be longer, or cut at other places."""
    words = _WORD.findall(read.text)
    lowered, lengths = list(map(str.lower, words)), list(map(len, words))
    named = sum(map(str.isupper, map(_FIRST, words[1:])))
    return len(words), sum(lengths), len(set(lowered)), tallies(lowered), sum(map(LONG_WORD.__le__, lengths)), named


def _kinds(read: Window) -> tuple[int, int, int]:
    """Digits, capitals, and signs of maths; those of ASCII are told apart by bytes."""
    told, beyond = read.told, read.beyond
    size = len(told)
    numerals = size - len(told.translate(None, _DIGITS))
    capitals = size - len(told.translate(None, _CAPITALS))
    maths = size - len(told.translate(None, _MATHS))
    if beyond:
        numerals += sum(map(str.isdigit, beyond))
        capitals += sum(map(str.isupper, beyond))
        maths += sum(map(beyond.count, _MATHS_BEYOND))
    return numerals, capitals, maths
