"""Forms in a text that can be seen without knowing a word: options, numerals, names, and how long its sentences are.

Regular expressions look for the rarest character of a form first and then behind it, which spares them nearly all of the
text. What is in ASCII alone is counted in the bytes, where a table maps each to a letter that stands for its kind.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

from thrift_plugins.text.window import Window

_NUMBER: Final = re.compile(r"\d[\d.,]*")
_NAME: Final = re.compile(r" [A-Z](?<=[a-z,] .)[a-z]+")
_OPTION: Final = re.compile(r"[).、．）:：](?<=[\s(（。；;]([A-Ea-eА-Дア-オ]).)")  # noqa: RUF001 - full-width and Cyrillic on purpose
_HINTS_BEYOND: Final = ("B、", "B．", "B）", "Б)", "Б.", "イ.", "イ、", "イ）")  # noqa: RUF001
_CIRCLED: Final = "③"  # the third of a circled list
_OPTION_LINE: Final = re.compile(r"\n(?<!\n\n)\s*[(（]?[A-Ea-e][).．、）]\s*(.*)")  # noqa: RUF001 - of empty lines only the first is tried
_ENDS_BEYOND: Final = "。？！"  # noqa: RUF001


def _kinds(**kinds: str) -> bytes:
    """A table for `bytes.translate`, from a kind's letter and its members; all else becomes a space."""
    table = bytearray(b" " * 256)
    for kind, members in kinds.items():
        for member in members:
            table[ord(member)] = ord(kind)
    return bytes(table)


_OF_WORDS: Final = _kinds(a=ascii_lowercase + digits + "_", A=ascii_uppercase)
_OF_NUMBERS: Final = _kinds(d=digits)


def options(read: Window) -> int:
    """Different lettered options, 0 where there is no second one."""
    text = read.text
    if _CIRCLED in read.beyond:
        return 3
    hinted = "B." in text or "B)" in text or "B:" in text or "b)" in text or "b." in text
    if not hinted and not (read.beyond and any(map(text.__contains__, _HINTS_BEYOND))):
        return 0
    return len(set(map(str.upper, _OPTION.findall(" " + text))))


def option_lines(text: str) -> tuple[int | None, list[str]]:
    """Where the first line that is a lettered option begins, None where there is none; and what each of them offers."""
    found = list(_OPTION_LINE.finditer("\n" + text))  # begins with what can be looked for at once: the end of a line
    return (found[0].start() if found else None), [option[1].strip() for option in found]


def numbers(read: Window) -> int:
    """Numerals, each with its points and commas."""
    if read.lettered and any(map(str.isdecimal, read.beyond)):
        return len(_NUMBER.findall(read.text))
    return len(read.told.translate(_OF_NUMBERS, b".,").split())


def names(read: Window) -> int:
    """Capitalised words after a small letter or a comma, and a space."""
    return len(_NAME.findall(read.text))


def capitalised(told: bytes) -> int:
    """Words of ASCII that begin with a capital, the first word left out."""
    kinds = b" " + told.translate(_OF_WORDS)
    return kinds.count(b" A") - kinds.lstrip().startswith(b"A")


def longest_sentence(read: Window) -> int:
    """Letters of the longest piece between marks that end a sentence."""
    text = read.text.replace("?", ".").replace("!", ".")
    for end in _ENDS_BEYOND if read.beyond else "":
        text = text.replace(end, ".")
    return max(map(len, text.split(".")))
