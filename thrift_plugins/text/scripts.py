"""How long is a text, whatever it is written in? Chinese and Japanese have no spaces, so spaces cannot count words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from operator import mul

WORD = re.compile(r"[\w\u0900-\u0dff\u0e00-\u0eff]+")
"""A run of letters and digits. Vowel signs of Indic and Thai scripts are marks, not letters, to Python's `\\w`."""


class Script(IntEnum):
    """Families of writing that differ in how long a word or a token is."""

    LATIN = 0
    HAN = 1
    KANA = 2
    HANGUL = 3
    THAI = 4
    ARABIC = 5
    CYRILLIC = 6
    DEVANAGARI = 7
    OTHER = 8


_ASCII_WORD = re.compile(r"\w+", re.ASCII)  # the same in plain ASCII, in half the time
_KINDS = len(Script)

UNSPACED = frozenset({Script.HAN, Script.KANA, Script.THAI})
"""Scripts that put no spaces between words."""

# Ranges of code points; what is in none of them and is a letter counts as OTHER.
_RANGES: tuple[tuple[int, int, Script], ...] = (
    (0x0000, 0x024F, Script.LATIN),
    (0x0400, 0x052F, Script.CYRILLIC),
    (0x0600, 0x06FF, Script.ARABIC),
    (0x0750, 0x077F, Script.ARABIC),
    (0x0900, 0x097F, Script.DEVANAGARI),
    (0x0E00, 0x0E7F, Script.THAI),
    (0x1100, 0x11FF, Script.HANGUL),
    (0x1E00, 0x1EFF, Script.LATIN),
    (0x3040, 0x30FF, Script.KANA),
    (0x3400, 0x4DBF, Script.HAN),
    (0x4E00, 0x9FFF, Script.HAN),
    (0xAC00, 0xD7AF, Script.HANGUL),
    (0xF900, 0xFAFF, Script.HAN),
    (0x20000, 0x3FFFF, Script.HAN),
)

# One figure per `Script`, in its order. Latin text goes by words, and so does what puts spaces between words.
_WORDS_PER_LETTER = (0.0, 1 / 1.7, 1 / 2.6, 0.0, 1 / 4.5, 0.0, 0.0, 0.0, 0.0)
_TOKENS_PER_LETTER = (0.0, 0.8, 0.75, 0.7, 0.6, 0.45, 0.4, 0.5, 0.8)
TOKENS_PER_LATIN_WORD = 1.3
_NO_OTHERS = (0,) * (_KINDS - 1)  # letters of the scripts after Latin, in plain ASCII


@dataclass(frozen=True, slots=True)
class Tally:
    """Length of a text by script.

    Attributes:
        letters: letters per `Script`; a text in plain ASCII is all `Script.LATIN`.
        words: length in words as an English text of the same content would have, roughly.
        tokens: approximate tokens of a current tokenizer; for decisions, not for bills.
    """

    letters: tuple[int, ...]
    words: float
    tokens: float

    def share(self, script: Script) -> float:
        """Share of the letters in `script`, 0 to 1."""
        return self.letters[script] / max(1, sum(self.letters))


def words_of(text: str) -> list[str]:
    """The words of a text, as `WORD` has them."""
    found: list[str] = (_ASCII_WORD if text.isascii() else WORD).findall(text)
    return found


@lru_cache(maxsize=8_192)  # a text has few hundred distinct characters, and texts share them
def script_of(char: str) -> Script | None:
    """The script of a letter, or None for digits, punctuation, and white space."""
    point = ord(char)
    if not (char.isalpha() or 0x0900 <= point <= 0x0EFF):
        return None
    for first, last, script in _RANGES:
        if first <= point <= last:
            return script
    return Script.OTHER


def tally(text: str, found: Sequence[str] | None = None) -> Tally:
    """Count a text's letters by script, and its words and tokens.

    Args:
        text: any text; the cost grows with its length.
        found: the words of it as `WORD.findall` gives them, if they are at hand.
    """
    found = words_of(text) if found is None else found
    if text.isascii():
        return Tally((len(text), *_NO_OTHERS), float(len(found)), TOKENS_PER_LATIN_WORD * len(found))
    letters = _letters(text)
    return Tally(tuple(letters), *_lengths(letters, found))


def _letters(text: str) -> list[int]:
    letters = [0] * _KINDS
    for char, count in Counter(text).items():  # distinct characters are far fewer than characters
        script = script_of(char)
        if script is not None:
            letters[script] += count
    return letters


def _lengths(letters: Sequence[int], found: Sequence[str]) -> tuple[float, float]:
    """Words and tokens from letters by script and the runs between spaces."""
    latin = sum(1 for word in found if word[0] < "\u0250")
    unspaced = sum(1 for word in found if "\u0e00" <= word[0] <= "\u0eff" or "\u3040" <= word[0] <= "\u9fff")
    words = len(found) - unspaced + sum(map(mul, letters, _WORDS_PER_LETTER))
    tokens = TOKENS_PER_LATIN_WORD * latin + sum(map(mul, letters, _TOKENS_PER_LETTER))
    return words, tokens
