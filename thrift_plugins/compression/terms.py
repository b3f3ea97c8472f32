"""The terms that a question and a sentence can share: stems of words, and pairs of characters where no spaces are."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

from thrift_plugins.text.words import FUNCTION_WORDS, unspaced, words

_SUFFIXES: Final = (("ies", "y", 5), ("sses", "ss", 5), ("ing", "", 6), ("edly", "", 7), ("ed", "", 5), ("ly", "", 6))
_HISSING: Final = ("ches", "shes", "xes", "zes")
_APOSTROPHE: Final = re.compile(r"['\u2019].*")
_MARKS: Final = re.compile("[\u0300-\u036f]")


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A word in small letters without accents and without the commonest English endings."""
    if not word.isascii():
        word = _MARKS.sub("", unicodedata.normalize("NFKD", word))
    word = _APOSTROPHE.sub("", word) or word
    if len(word) < 4 or not word.isalpha():
        return word
    for suffix, instead, least in _SUFFIXES:
        if word.endswith(suffix) and len(word) >= least:
            cut = word[: -len(suffix)] + instead
            return (
                cut[:-1] if len(cut) > 3 and not instead and cut[-1] == cut[-2] and cut[-1] not in "ls" else _bare(cut)
            )
    if word.endswith(_HISSING):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _bare(word)


def _bare(word: str) -> str:
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def tokens(text: str) -> list[str]:
    """The words of a text as they stand, in small letters; a character of a script without spaces is one."""
    return words(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower())


def terms_of(found: list[str]) -> list[str]:
    """What of these words is compared: stems, and for neighbouring characters of such scripts their pairs."""
    made = [stem(word) for word in found]
    if any(map(unspaced, found)):
        pairs = [first + second for first, second in pairwise(found) if unspaced(first) and unspaced(second)]
        made = [word for word, plain in zip(made, found, strict=True) if not unspaced(plain)] + (pairs or made)
    return made


@lru_cache(maxsize=65_536)
def says_little(term: str) -> bool:
    """Whether it is a function word, or a pair of characters that has one."""
    return (
        term in FUNCTION_WORDS
        or term in _STEMMED
        or (len(term) == 2 and unspaced(term[0]) and not FUNCTION_WORDS.isdisjoint(term))
    )


_STEMMED: Final = frozenset(map(stem, FUNCTION_WORDS))
