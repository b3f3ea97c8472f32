"""Where a text may be cut: sentences in any script, whole turns of a dialogue, and fenced code that stays in one piece.

The pieces follow one another without a gap, so joined they are the text again, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple


class Span(NamedTuple):
    """A piece of a text: `text[start:end]`, white space behind it included."""

    start: int
    end: int


# A full stop ends a sentence only before what can begin one; marks of scripts without spaces always do.
_END: Final = re.compile(
    r"[.!?][\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[*\-]*[A-Z0-9\u00c0-\u00de\u0400-\u042f\u3040-\u9fff])"
    r"|[。！？；｡।؟۔][\"'\u201d\u2019」』）)\]]*\s*"  # noqa: RUF001
    r"|\n+\s*|\u3000+\s*"
)
_MAY_END: Final = re.compile(r"[.!?。！？；｡।؟۔\n\u3000]")  # noqa: RUF001
"""What `_END` can begin with. To look for it first passes over the characters between quickly."""

_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|Ft|vs|etc|Inc|Ltd|Co|Corp|Gen|Col|Lt|Sgt|Capt|Rev|Hon|Gov|Sen|Rep|Pres|No|Nos"
    r"|Vol|pp|Fig|Eq|al|cf|ca|approx|dept|est|e\.g|i\.e|U\.S|U\.K|a\.m|p\.m|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
    r"|\b[A-Z]|(?:\b[A-Z]\.)+[A-Z])\.\Z"
)
_LOOK_BACK: Final = 12
FENCE: Final = re.compile(
    r"^[ \t]*(?P<fence>`{3,}+|~{3,}+)[^\n]*\n.*?(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
"""A fenced block, up to its own end or that of the text; a longer fence may hold a shorter one."""

_TURN: Final = re.compile(r"^[^\W\d_][\w .'\-()&/]{0,40}:\s\S", re.MULTILINE)
_TURNS: Final = 6
_SHARE_OF_TURNS: Final = 0.6


def sentences(text: str) -> list[Span]:
    """The sentences of a text; a line break ends one too, and a fenced block is one. Empty for an empty text."""
    found: list[Span] = []
    at = 0
    for fence in FENCE.finditer(text) if "```" in text or "~~~" in text else ():
        found += _plain(text, at, fence.start())
        at = fence.end() + (text[fence.end() : fence.end() + 1] == "\n")
        found.append(Span(fence.start(), at))
    return found + _plain(text, at, len(text))


def _plain(text: str, start: int, end: int) -> list[Span]:
    found: list[Span] = []
    seen = start
    for place in _MAY_END.finditer(text, start, end):
        if place.start() < seen or (mark := _END.match(text, place.start(), end)) is None:
            continue
        seen = mark.end()
        at = mark.start() + (text[mark.start()] not in "\n\u3000")  # behind what ends it
        if (
            text[at - 1] == "."
            and "\n" not in mark.group()
            and _ABBREVIATION.search(text, max(start, at - _LOOK_BACK), at)
        ):
            continue
        if mark.end() > start and not text[start : mark.end()].isspace():
            found.append(Span(start, mark.end()))
            start = mark.end()
    if start < end:
        if found and text[start:end].isspace():
            found[-1] = Span(found[-1].start, end)
        else:
            found.append(Span(start, end))
    return found


def lines(text: str) -> list[Span]:
    """The lines of a text, empty ones with the line before them."""
    found: list[Span] = []
    start = 0
    for mark in re.finditer(r"\n\s*", text):
        if text[start : mark.end()].strip():
            found.append(Span(start, mark.end()))
            start = mark.end()
    if start < len(text):
        found.append(Span(start, len(text)))
    return found


def is_dialogue(text: str) -> bool:
    """Whether most of its lines are turns of speakers, "Name: words"."""
    lines = text.count("\n") + 1
    if lines < _TURNS:
        return False
    turns = len(_TURN.findall(text))
    return turns >= _TURNS and turns >= _SHARE_OF_TURNS * lines


def pieces(text: str) -> list[Span]:
    """What of a text may be kept or left out as a whole: turns where it is a dialogue, else sentences."""
    return lines(text) if is_dialogue(text) else sentences(text)


def joined(text: str, spans: Sequence[Span]) -> str:
    """These pieces of a text, in the order given."""
    return "".join(text[span.start : span.end] for span in spans)
