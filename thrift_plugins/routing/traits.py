"""What a learned router reads of a request: its last user turn as numbers with names, and as hashed pieces of its text.

The same in training and in use. Both are bounded: of a long text the beginning and the end are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from math import copysign, log, log1p, sqrt
from typing import Final
from zlib import crc32

from thrift_plugins.text.features import Features, features
from thrift_plugins.types import Message, Request

SLOTS: Final = 2**14
"""Places that pieces of text are hashed to."""

_HEAD, _TAIL = 1_400, 600
_PIECE: Final = 4  # letters
_WORD: Final = re.compile(r"\w+")
_MARK: Final = re.compile(r"[a-z0-9']+|[^\sa-z0-9]")
_OPTION: Final = re.compile(r"(?m)^\s*[(（]?[A-Ea-e][).．、）]\s*(.*)$")  # noqa: RUF001
_SENTENCE: Final = re.compile(r"[.?!。？！]")  # noqa: RUF001
_NOT: Final = frozenset({"not", "except", "never", "no", "without", "false", "incorrect", "nicht", "ne", "pas", "sin"})
_ASKS: Final = frozenset({"which", "what", "who", "when", "where", "how", "why"})
_LOGIC: Final = frozenset({"true", "false", "statement", "statements"})
_LONG_WORD: Final = 9
_MATHS: Final = frozenset("=+-*/^()<>∑∫√")
_OF_TEXT: Final = (
    "letters", "word count", "lines", "word length", "distinct words", "capitals", "digits", "digit share", "question marks",
    "dollars", "backslashes", "underscores", "commas", "quotes", "long words", "longest sentence", "negations", "before options",
    "option length", "option spread", "numeric options", "question words", "logic words", "maths share", "names share",
    "apostrophes", "beyond ascii", "tools", "tool arguments",
)  # fmt: skip

NAMES: Final[tuple[str, ...]] = (*(field.name for field in fields(Features)), *_OF_TEXT)
"""Of the numbers that `traits` gives."""


def last_turn(messages: Sequence[Message]) -> str:
    """The beginning and the end of what the user asked last."""
    text = next((message.text for message in reversed(messages) if message.role == "user"), "")
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"


def traits(request: Request) -> list[float]:
    """Numbers that may tell how hard a request is, on a logarithmic scale; as many as `NAMES`."""
    found = features(request.messages)
    numbers = [float(getattr(found, field.name)) for field in fields(Features)]
    numbers += _of_text(last_turn(request.messages))
    arguments = (tool.get("parameters") for tool in request.tools)
    numbers += [len(request.tools), sum(len(_properties(given)) for given in arguments)]
    return [copysign(log1p(abs(number)), number) for number in numbers]


def _properties(parameters: object) -> Mapping[str, object]:
    told = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return told if isinstance(told, Mapping) else {}


def _of_text(text: str) -> list[float]:
    words = _WORD.findall(text)
    lowered = [word.lower() for word in words]
    count, size = max(1, len(words)), max(1, len(text))
    options = [option.strip() for option in _OPTION.findall(text)]
    lengths = [len(option) for option in options]
    mean = sum(lengths) / max(1, len(lengths))
    first = _OPTION.search(text)
    digits = sum(map(str.isdigit, text))
    return [
        len(text),
        len(words),
        text.count("\n") + 1,
        sum(map(len, words)) / count,
        len(set(lowered)) / count,
        sum(map(str.isupper, text)) / size,
        digits,
        digits / size,
        text.count("?") + text.count("？"),  # noqa: RUF001
        text.count("$"),
        text.count("\\"),
        text.count("_"),
        text.count(","),
        text.count('"'),
        sum(len(word) > _LONG_WORD for word in words) / count,
        max(map(len, _SENTENCE.split(text))),
        sum(word in _NOT for word in lowered),
        first.start() if first else len(text),
        mean,
        sqrt(sum((length - mean) ** 2 for length in lengths) / max(1, len(lengths))),
        sum(option[:1].isdigit() for option in options),
        sum(word in _ASKS for word in lowered),
        sum(word in _LOGIC for word in lowered),
        sum(letter in _MATHS for letter in text) / size,
        sum(word[:1].isupper() for word in words[1:]) / count,
        text.count("'"),
        sum(ord(letter) > 127 for letter in text),
    ]


def pieces(text: str) -> dict[int, float]:
    """Slots of the words, pairs of words and runs of letters of a text, each with a weight by how often it occurs."""
    lowered = text.lower()
    marks = _MARK.findall(lowered)
    found = Counter(marks)
    found.update(f"{first} {second}" for first, second in pairwise(marks))
    found.update(f"#{lowered[at : at + _PIECE]}" for at in range(len(lowered) - _PIECE + 1))
    slots: dict[int, float] = {}
    for piece, times in found.items():
        slot = crc32(piece.encode("utf-8", "surrogatepass")) % SLOTS
        slots[slot] = slots.get(slot, 0.0) + times
    return {slot: 1 + log(times) for slot, times in slots.items()}
