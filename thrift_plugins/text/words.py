"""How a question is cut into words, in any script, and which of them carry little meaning."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_CHARACTERS = 2_000
"""Of a text that are read; a longer question is no candidate for sharing an answer."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"\d+(?:[.,:/]\d+)*"  # a number with its own marks: 3.5, 1,000, 10:30, 2024/05
    rf"|[{_UNSPACED}]"  # scripts without spaces: one character is one word
    rf"|[^\W\d_{_UNSPACED}]+(?:['\u2019][^\W\d_]+)*"  # letters, with an apostrophe inside: don't
)

_ASCII_WORD = re.compile(r"\d+(?:[.,:/]\d+)*|[A-Za-z]+(?:'[A-Za-z]+)*")
"""The same where there are no other characters, and several times as fast."""

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those there here it its it's i i'm i'd i've me my mine we us our you your he him his she her they
    them their one ones someone somebody anyone people is are was were be been being am do does did done doing can could
    should would will shall may might must have has had having get gets getting got to of in on at for with by from and or
    if so as than then about into up out over off what what's how why when where which who whom whose please tell give know
    want need like some any much many more most very really just also too there's let's
    """.split()  # noqa: SIM905 - a list of so many words reads better as prose
) | frozenset("的了吗呢吧啊呀么是我你您他她它们这那个有在和与或就都也很请把被给会能可要想什怎如何为哪谁样")

QUESTION_WORDS = frozenset(["what", "how", "why", "when", "where", "which", "who", "whom", "whose"])


_COURTESY = re.compile(
    r"^(?:(?:hi|hello|hey)(?: there| all| everyone)?[ ,.!:]+|please[ ,]+|(?:a )?quick question[ ,.:]+"
    r"|(?:can|could|would) you (?:please |kindly )?(?:tell me|explain)[ ,:]+|i(?: would|'d) like to know[ ,:]+"
    r"|(?:你好|您好|请问(?:一下)?|麻烦问一下|我?想问一下|想请问)[,。!:\s]*)+"
    r"|(?<=[\s,.?!。])(?:please|thanks|thank you|thx|谢谢你?)(?: in advance| a lot| so much)?[\s.!。]*$"
)
"""Before and behind a question, said to whoever answers."""


@lru_cache(maxsize=4_096)
def plain(text: str) -> str:
    """The read part of a text with one form for each character, in lower case, without greeting and thanks."""
    flat = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold().replace("\u2019", "'").strip()
    return _COURTESY.sub("", flat) or flat


def words(text: str) -> list[str]:
    """The words of a plain text in their order; a character of a script without spaces is a word."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def unspaced(word: str) -> bool:
    """Whether this word is a single character of a script without spaces."""
    return len(word) == 1 and (
        "\u3040" <= word <= "\u9fff"
        or "\u0e00" <= word <= "\u0eff"
        or "\u1000" <= word <= "\u17ff"
        or "\uf900" <= word <= "\ufaff"
    )
