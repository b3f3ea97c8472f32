"""What no stage may break: placeholders, tags, addresses, ids, numbers with their units, negations, quotes and code."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from thrift_plugins.text.sentences import FENCE

_KINDS: Final[dict[str, re.Pattern[str]]] = {
    "placeholder": re.compile(
        r"\{\{[^{}\n]{1,80}\}\}|\$\{[^{}\n]{1,80}\}|(?<![{\w])\{[A-Za-z_][\w.\[\]]{0,60}(?:![rsa])?(?::[^{}\n]{0,20})?\}(?!\})|<\|[^|\n]{1,40}\|>"
    ),
    "tag": re.compile(r"</?[A-Za-z][\w:.-]{0,40}(?:\s[^<>\n]{0,200})?/?>"),
    "address": re.compile(r"\b(?:https?|ftp)://[^\s<>\"')\]]+|\b[\w.+-]+@[\w-]+\.[\w.]+"),
    "fence": FENCE,
    "code": re.compile(r"(?<!`)`[^`\n]+`(?!`)"),
    "quote": re.compile(r"\"[^\"\n]{1,200}\"|\u201c[^\u201d\n]{1,200}\u201d|\u300c[^\u300d\n]{1,200}\u300d"),
    "id": re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{4,}\b|\[\d{1,3}\]"),
    "number": re.compile(
        r"[-+\u2212]?(?:[$\u20ac\u00a3\u00a5]\s?)?\d+(?:[.,:/]\d+)*(?:\s?(?:%|\u00b0[CF]?|[A-Za-z]{1,3}\b))?"
    ),
    "negation": re.compile(
        r"\b(?:not|no|never|none|nor|neither|without|cannot|except|unless|only|nicht|kein\w*|nie|ne|pas|jamais|sin|nunca|n[a\u00e3]o)\b|n['\u2019]t\b"
        r"|[\u4e0d\u6ca1\u65e0\u975e\u52ff\u672a\u83ab\u5225]|\u306a\u3044|\u307e\u305b\u3093",
        re.IGNORECASE,
    ),
}
"""Each with what it looks like."""


def marks(text: str, kinds: tuple[str, ...] = tuple(_KINDS)) -> Counter[tuple[str, str]]:
    """Every mark of a text, with its kind, and how often it is there. White space inside a tag or unit counts as one."""
    found: Counter[tuple[str, str]] = Counter()
    for kind in kinds:
        for match in _KINDS[kind].finditer(text):
            told = match.group()
            found[kind, told if kind in {"code", "fence"} else " ".join(told.split())] += 1
    return found


def broken(before: str, after: str, kinds: tuple[str, ...] = tuple(_KINDS)) -> str:
    """What `after` no longer has as it was in `before`, in a few words; "" where it has everything."""
    lost = marks(before, kinds)
    lost.subtract(marks(after, kinds))
    gone = [(kind, told) for (kind, told), count in lost.items() if count > 0]
    if not gone:
        return ""
    kind, told = gone[0]
    shown = told if len(told) <= _SHOWN else told[:_SHOWN] + "…"
    return f"{len(gone)} broken, first {kind} {shown!r}"


_SHOWN: Final = 40


def in_order(whole: str, parts: list[str]) -> bool:
    """Whether these parts are in a text, as they stand and in their order."""
    at = 0
    for part in parts:
        found = whole.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True
