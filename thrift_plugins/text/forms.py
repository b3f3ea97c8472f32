"""Forms in a text that can be seen without knowing a word: options, numerals, names, and how long its sentences are.

Those of ASCII are counted in a small part of the time that a regular expression takes: a table maps every byte to a letter
that stands for its kind, and short sequences of kinds are counted. Bytes of further characters are of no kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from thrift_plugins.text.window import Window

_NUMBER: Final = re.compile(r"\d[\d.,]*")
_OPTION: Final = re.compile(r"(?:^|[\s(（。；;])([A-Ea-eА-Дア-オ])[).、．）:：]")  # noqa: RUF001 - full-width and Cyrillic on purpose
_OF_OPTIONS_BEYOND: Final = re.compile(r"[\s（。；А-Дア-オ、．）：]")  # noqa: RUF001 - what `_OPTION` has beyond ASCII
_OPTION_HINTS: Final = ("B.", "B)", "B:", "b)", "b.")
_HINTS_BEYOND: Final = ("B、", "B．", "B）", "Б)", "Б.", "イ.", "イ、", "イ）")  # noqa: RUF001
_CIRCLED: Final = "③"  # the third of a circled list
_OPTION_LINE: Final = re.compile(r"\n\s*[(（]?[A-Ea-e][).．、）]\s*(.*)")  # noqa: RUF001
_ENDS_BEYOND: Final = "。？！"  # noqa: RUF001
_SPACES: Final = "".join(filter(str.isspace, map(chr, range(128))))


def _kinds(kinds: Mapping[str, str]) -> bytes:
    """A table for `bytes.translate`, from the kind's letter and its members; all else becomes a full stop."""
    table = bytearray(b"." * 256)
    for kind, members in kinds.items():
        for member in members:
            table[ord(member)] = ord(kind)
    return bytes(table)


_OF_NAMES: Final = _kinds({"a": ascii_lowercase, "A": ascii_uppercase, " ": " ", ",": ","})
_OF_WORDS: Final = _kinds({"a": ascii_lowercase + digits + "_", "A": ascii_uppercase})
_OF_NUMBERS: Final = _kinds({"0": digits})
_OF_OPTIONS: Final = _kinds({" ": _SPACES + "(;", ")": ").:", **{letter: letter + letter.lower() for letter in "ABCDE"}})
_LETTERED: Final = (b" A)", b" B)", b" C)", b" D)", b" E)")


def options(read: Window) -> int:
    """Different lettered options, 0 where there is no second one."""
    text, beyond = read.text, read.beyond
    if _CIRCLED in beyond:
        return 3
    hints = _OPTION_HINTS + _HINTS_BEYOND if beyond else _OPTION_HINTS
    if not any(map(text.__contains__, hints)):
        return 0
    if beyond and _OF_OPTIONS_BEYOND.search(beyond.upper()):
        return len({letter.upper() for letter in _OPTION.findall(text)})
    return sum(map((b" " + read.told.translate(_OF_OPTIONS)).__contains__, _LETTERED))


def option_lines(text: str) -> tuple[int | None, list[str]]:
    """Where the first line that is a lettered option begins, None where there is none; and what each of them offers."""
    found = list(_OPTION_LINE.finditer("\n" + text))  # begins with what can be looked for at once: the end of a line
    return (found[0].start() if found else None), [option[1].strip() for option in found]


def numbers(read: Window) -> int:
    """Numerals, each with its points and commas."""
    if read.lettered and any(map(str.isdecimal, read.beyond)):
        return len(_NUMBER.findall(read.text))
    return (b"." + read.told.translate(_OF_NUMBERS, b".,")).count(b".0")


def names(read: Window) -> int:
    """Capitalised words after a small letter or a comma, and a space."""
    kinds = read.told.translate(_OF_NAMES)
    after_others = kinds.count(b". Aa") + kinds.count(b"A Aa") + kinds.count(b"  Aa") + kinds.startswith(b" Aa")
    return kinds.count(b" Aa") - after_others  # not counted with what is before: a name of two letters can be that too


def capitalised(told: bytes) -> int:
    """Words of ASCII that begin with a capital, the first word left out."""
    kinds = b"." + told.translate(_OF_WORDS)
    return kinds.count(b".A") - kinds.lstrip(b".").startswith(b"A")


def longest_sentence(read: Window) -> int:
    """Letters of the longest piece between marks that end a sentence."""
    text = read.text.replace("?", ".").replace("!", ".")
    for end in _ENDS_BEYOND if read.beyond else "":
        text = text.replace(end, ".")
    return max(map(len, text.split(".")))
