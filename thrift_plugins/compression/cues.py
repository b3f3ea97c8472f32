"""What kind of thing a question asks for, and which sentences have such a thing in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_DIGIT: Final = re.compile(r"\d")
_YEAR: Final = re.compile(r"\d(?:(?<!\w\d)(?:(?<=1)\d\d\d|(?<=2)0\d\d)\b|[年月日])")
"""1000 to 2099, or a date in Chinese or Japanese. It begins with a character, as `_TWO_NAMES` does, and is so found faster."""

_MONTH: Final = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December|century|centuries|BC|AD|CE)\b"
)
_NAME: Final = re.compile(
    r"\b[A-Z][\w'\u2019.-]*(?:\s(?:of|the|de|van|von|and|&)\s[A-Z][\w'\u2019-]*|\s[A-Z][\w'\u2019.-]*)*"
)
NAME: Final = re.compile(r"[\s(]([A-Z][\w'\u2019-]+)")
"""A capitalised word that begins no sentence."""

_TWO_NAMES: Final = re.compile(r"[A-Z](?<!\w[A-Z])[a-z]+\s(?:[A-Z]\.?\s)?[A-Z][a-z]+")
_AMOUNT: Final = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion|percent|half)\b"
    r"|\d|[一二三四五六七八九十百千万亿两]"
)
_PLACE: Final = re.compile(r"\b(?:in|at|near|from|of|on|between|to)\s+(?:the\s+)?[A-Z]|位于|在|地")
_ACTED: Final = re.compile(
    r"\b(?:by|played|portrayed|sung|sang|wrote|written|voiced|performed|starring|directed|invented|founded)\b"
)

_WHO: Final = re.compile(r"\bwho(?:se|m)?\b|谁|哪位|何人", re.IGNORECASE)
_WHEN: Final = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|time)\b|何时|什么时候|哪年|哪一年|几月|时间|日期", re.IGNORECASE
)
_MANY: Final = re.compile(
    r"\bhow (?:many|much|long|old|far|tall|big|often|high|large|deep)\b|\bwhat (?:number|percentage)\b|多少|几|人数|金额|数量",
    re.IGNORECASE,
)
_WHERE: Final = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:city|country|state|place|county|town)\b|哪里|哪个国家|何处|地点|在哪", re.IGNORECASE
)


def asked_kinds(query: str) -> dict[str, float]:
    """Which of the kinds "who", "when", "many", "where" a question asks for, "what" where none; 1.0 or 0.0 each."""
    found = {
        "who": float(_WHO.search(query) is not None),
        "when": float(_WHEN.search(query) is not None),
        "many": float(_MANY.search(query) is not None),
        "where": float(_WHERE.search(query) is not None),
    }
    return {**found, "what": float(not any(found.values()))}


def names_in(text: str) -> list[str]:
    """Runs of capitalised words."""
    return _NAME.findall(text)


SIGNS: Final[dict[str, Callable[[str], float]]] = {
    "digits": lambda text: float(_DIGIT.search(text) is not None),
    "year": lambda text: float(_YEAR.search(text) is not None),
    "month": lambda text: float(_MONTH.search(text) is not None),
    "person": lambda text: min(3.0, len(_TWO_NAMES.findall(text))) / 3,
    "amount": lambda text: float(_AMOUNT.search(text) is not None),
    "place": lambda text: min(2.0, len(_PLACE.findall(text))) / 2,
    "acted": lambda text: float(_ACTED.search(text) is not None),
}
"""What a sentence may have: 0 to 1 each."""

PAIRS: Final = (
    ("who", "person"), ("who", "acted"), ("when", "year"), ("when", "month"), ("when", "digits"), ("many", "digits"), ("many", "amount"),
    ("where", "place"), ("what", "digits"), ("what", "person"), ("where", "person"), ("who", "digits"),
)  # fmt: skip
"""Kinds of questions, and what a sentence that answers one is likely or unlikely to have."""
