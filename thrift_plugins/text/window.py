"""The part of a long text that is read to route it, with what its readers share: its bytes, its letters, its words."""

from __future__ import annotations

from typing import Final

from thrift_plugins.text.scripts import WORD, words_of
from thrift_plugins.text.tallies import tallies

_HEAD, _TAIL = 1_400, 600  # characters read of a long text: tasks are put before or after the material
_ASCII: Final = bytes(range(128))
_LOWER_WORDS: Final = bytes(
    ord(chr(code).lower()) if code < 128 and (chr(code).isalnum() or chr(code) == "_") else ord(" ") for code in range(256)
)
"""ASCII letters and digits as they are in lower case, and a space for whatever stands between words."""


def window(text: str) -> str:
    """The beginning and the end of a text, or all of a short one."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"


class Window:
    """The window of a text, read once.

    Attributes:
        text: what is read.
        scale: how many times as long the whole text is.
        told: its bytes; those of ASCII can be told apart and counted many times as fast as characters.
        lowered: in lower case.
        beyond: its characters beyond ASCII, in their order.
        lettered: whether one of those is part of a word. Most are not (quotes, dashes, signs), and then its words are in ASCII.
        words: those in `lowered`, as `WORD` has them.
        distinct: each of them once.
        counts: see `tallies`.
    """

    __slots__ = ("beyond", "counts", "distinct", "lettered", "lowered", "scale", "text", "told", "words")

    def __init__(self, text: str) -> None:
        self.text = read = window(text)
        self.scale = len(text) / max(1, len(read))
        self.told = told = read.encode("utf-8", "surrogatepass")
        self.lowered = read.lower()
        self.beyond = "" if read.isascii() else told.translate(None, _ASCII).decode("utf-8", "surrogatepass")
        self.lettered = self.beyond != "" and WORD.search(self.beyond) is not None
        self.words = words = words_of(self.lowered) if self.lettered else told.translate(_LOWER_WORDS).decode().split()
        self.distinct = set(words)
        self.counts = tallies(words)
