"""What a question says, taken apart once and kept for the comparisons that follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from thrift_plugins.caching.semantic import lexicon
from thrift_plugins.text.words import FUNCTION_WORDS, MAX_CHARACTERS, plain, unspaced, words

_NAME = re.compile(
    r"(?<![.!?] )(?<!^)(?<![\w.])(?:[A-Z][A-Za-z0-9+#.-]*[A-Za-z0-9+#]|[A-Z])|[A-Za-z]*[a-z][A-Z][A-Za-z]*"
)
_CODE = re.compile(r"[A-Za-z]+\d[A-Za-z0-9-]*|[A-Za-z0-9]+_[A-Za-z0-9_]+")
_TITLE_SHARE = 0.6  # of the words capitalised: a title, whose capitals name nothing
_SUFFIXES = (("'s", ""), ("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))
_SHORTEST_STEM = 3
_MARKS_AND_DIGITS = re.compile(r"[.,](?=\d{3}\b)")


@dataclass(frozen=True, slots=True)
class Reading:
    """One question.

    Attributes:
        words: all its words in order, stemmed.
        content: those that carry meaning.
        pairs: neighbouring content characters of scripts without spaces.
        negated: whether its negations are odd in number.
        numbers: its numbers in one form each, sorted.
        units, times, quantifiers: by what they stand for.
        opposed: the words of it that have an opposite.
        names: names and identifiers in it, in lower case.
        asks: what kind of answer is wanted: "who", "how many", ..., or "" where it is not known.
        modal: of a question for yes or no: "must", "can", "should" or "".
        measured: each number with the unit after it.
        roles: what stands after "from", "to", "than" and their like, as (role, word).
        flat: the read text, in one form and lower case.
        signs: its signs that mean something beside words, as in "C++", "$" and "%", sorted.
        code: all of it, as it was written, where it looks like code or an address; else "".
        tense: "past", "future" or "".
    """

    words: tuple[str, ...]
    content: frozenset[str]
    pairs: frozenset[str]
    negated: bool
    numbers: tuple[str, ...]
    units: frozenset[str]
    times: frozenset[str]
    quantifiers: frozenset[str]
    opposed: frozenset[str]
    names: frozenset[str]
    asks: str
    modal: str
    tense: str
    measured: frozenset[tuple[str, str]]
    roles: frozenset[tuple[str, str]]
    flat: str
    signs: str
    code: str


@lru_cache(maxsize=4_096)  # candidates come back; about 2 kB each
def read(text: str) -> Reading:
    """Take a question apart; any text, of which the first 2,000 characters count."""
    flat = plain(text)
    if not flat.isascii():
        for form, instead in _FORMS_ZH:
            flat = flat.replace(form, instead)
    found = words(flat)
    stems = tuple([stem(word) for word in found])
    han = "" if flat.isascii() else "".join([word if unspaced(word) else " " for word in found])
    spaced = {word for word in found if not unspaced(word)} if han else set(found)
    asks = _asks(flat, found)
    return Reading(
        words=stems,
        content=frozenset([end for end, word in zip(stems, found, strict=True) if word not in FUNCTION_WORDS]),
        pairs=frozenset([a + b for a, b in pairwise(han) if a not in _DULL and b not in _DULL]),
        negated=_negations(flat, found, han) % 2 == 1,
        numbers=_numbers(found, han),
        units=_found(spaced, lexicon.UNITS) | _within(han, lexicon.UNITS_ZH),
        times=_found(spaced, lexicon.TIMES) | _within(han, lexicon.TIMES_ZH) | _periods(found),
        quantifiers=_found(spaced, lexicon.QUANTIFIERS)
        | _within(han, lexicon.QUANTIFIERS_ZH)
        | _compared(flat, spaced, han),
        opposed=frozenset(spaced & _OPPOSED) | _within(han, _OPPOSED_ZH),
        names=_names(text[:MAX_CHARACTERS]),
        asks=asks,
        modal="" if asks in _OPEN else _modal(flat),
        tense=_tense(found),
        measured=_measured(found, han),
        roles=_roles(found, stems, flat),
        flat=flat,
        signs="".join(sorted(_SIGNS.findall(flat))),
        code=" ".join(text[:MAX_CHARACTERS].split()) if _CODE_LIKE.search(text, 0, MAX_CHARACTERS) else "",
    )


_SIGNS = re.compile(r"[+#%$€£¥₹°<>*^~|@]")
_CODE_LIKE = re.compile(r"[`{}\\;=]|://|\w\(")


_FORMS_ZH = (("星期天", "周日"), ("星期", "周"), ("上个月", "上月"), ("下个月", "下月"))
_DULL = FUNCTION_WORDS | {" "}
_OPPOSED = frozenset(word for pair in lexicon.OPPOSITES for word in pair)
_OPPOSED_ZH = tuple(sorted({word for pair in lexicon.OPPOSITES_ZH for word in pair}, key=len, reverse=True))


@lru_cache(maxsize=8_192)
def stem(word: str) -> str:
    """A word without its commonest endings; words that differ keep differing, mostly."""
    for end, instead in _SUFFIXES:
        if word.endswith(end) and len(word) - len(end) >= _SHORTEST_STEM and not word.endswith(("ss", "us", "is")):
            kept = word[: -len(end)] + instead
            if end in ("ing", "ed") and len(kept) > _SHORTEST_STEM and kept[-1] == kept[-2] and kept[-1] not in "ls":
                kept = kept[:-1]
            return kept.rstrip("e") if len(kept) > _SHORTEST_STEM else kept
    return word.rstrip("e") if len(word) > _SHORTEST_STEM else word


def _found(spaced: set[str], classes: dict[str, str]) -> frozenset[str]:
    return frozenset([classes[word] for word in spaced & classes.keys()])


def _within(han: str, phrases: tuple[str, ...]) -> frozenset[str]:
    """Which phrases a text of a script without spaces has, longer ones first used up."""
    if not han or han.isspace():
        return frozenset()
    hits = {phrase for phrase in phrases if phrase in han}
    return frozenset(hit for hit in hits if not any(hit != other and hit in other for other in hits))


def _periods(found: list[str]) -> frozenset[str]:
    return frozenset(
        f"{word} {after}"
        for word, after in pairwise(found)
        if word in ("last", "next", "this") and after in lexicon.PERIODS
    )


def _compared(flat: str, spaced: set[str], han: str) -> frozenset[str]:
    counted = not spaced.isdisjoint(lexicon.NUMBER_WORDS)
    if not (counted or han or _DIGIT.search(flat)):
        return frozenset()
    marked = _NUMBER_WORD.sub("#", flat) if counted else flat
    return frozenset(sign for sign, form in lexicon.COMPARED if form.search(marked))


_DIGIT = re.compile(r"\d")


_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(lexicon.NUMBER_WORDS)})\b")


def _modal(flat: str) -> str:
    return next((name for name, form in lexicon.MODALS if form.search(flat)), "")


def _measured(found: list[str], han: str) -> frozenset[tuple[str, str]]:
    """Each number with the unit behind it; a number without one is left out."""
    units = lexicon.UNITS
    pairs = [(one, units[two]) for one, two in pairwise(found) if two in units and one[0].isdigit()]
    return frozenset([*pairs, *_MEASURED_ZH.findall("".join(found))] if han else pairs)


_COUNTED_ZH = ("天", "周", "年", "磅", "克", "月", "岁", "次", "人", "米", "斤")  # units only behind a number
_MEASURED_ZH = re.compile(
    rf"(\d+(?:[.,]\d+)*)({'|'.join(sorted((*lexicon.UNITS_ZH, *_COUNTED_ZH), key=len, reverse=True))})"
)


def _roles(found: list[str], stems: tuple[str, ...], flat: str) -> frozenset[tuple[str, str]]:
    marked = () if flat.isascii() else _ROLE_ZH.findall(flat)
    roles = {(lexicon.ROLES_ZH[marker], word) for marker, word in marked}
    for place, marker in enumerate(found):
        if marker in lexicon.ROLES:
            behind = range(place + 1, min(place + 5, len(found)))
            word = next((stems[at] for at in behind if found[at] not in FUNCTION_WORDS), "")
            roles.add((lexicon.ROLES[marker], word))
    return frozenset(role for role in roles if role[1])


_ROLE_ZH = re.compile(
    rf"(?=({'|'.join(sorted(lexicon.ROLES_ZH, key=len, reverse=True))})(?![么什何了以])([a-z0-9]+|[\u3400-\u9fff]{{2}}))"
)  # looks ahead, so that marks may stand close together


def _negations(flat: str, found: list[str], han: str) -> int:
    for neutral in lexicon.NEUTRAL_EN:
        if neutral in flat:
            found = words(flat.replace(neutral, " "))
    count = sum([word in lexicon.NEGATIONS for word in found])
    if not han:
        return count
    for neutral in lexicon.NEUTRAL_ZH:
        han = han.replace(neutral, " ")
    return count + sum(han.count(sign) for sign in lexicon.NEGATIONS_ZH)


def _numbers(found: list[str], han: str) -> tuple[str, ...]:
    numbers = [_MARKS_AND_DIGITS.sub("", word) for word in found if word[0].isdigit()]
    numbers += [lexicon.NUMBER_WORDS[word] for word in found if word in lexicon.NUMBER_WORDS]
    for phrase in lexicon.NOT_NUMBERS_ZH if han else ():
        han = han.replace(phrase, " ")
    numbers += [lexicon.NUMBERS_ZH[char] for char in han if char in lexicon.NUMBERS_ZH]
    return tuple(sorted(numbers))


def _names(raw: str) -> frozenset[str]:
    codes = frozenset(code.casefold() for code in _CODE.findall(raw)) if _CODED.search(raw) else frozenset()
    if not _CAPITAL.search(raw, 1):
        return codes
    spaced = [word for word in raw.split() if word[:1].isalpha()]
    capitals = sum([word[:1].isupper() for word in spaced])
    if capitals > _TITLE_SHARE * len(spaced) and len(spaced) > _SHORTEST_STEM:
        return codes
    return codes | frozenset(name.casefold() for name in _NAME.findall(raw)) - FUNCTION_WORDS


_CODED = re.compile(r"[\d_]")
_CAPITAL = re.compile(r"[A-HJ-Z]|\BI|I[\w.+#-]")  # but the word "I" is no name


_ASKS_ZH = (
    ("多久", "how long"), ("多长", "how long"), ("多少天", "how long"), ("多少年", "how long"), ("多少小时", "how long"),
    ("多少个小时", "how long"), ("几天", "how long"), ("几年", "how long"), ("几个小时", "how long"), ("多少次", "how often"), ("多大", "when"), ("几岁", "when"),
    ("什么时候", "when"), ("什么时间", "when"), ("何时", "when"), ("几点", "when"), ("哪天", "when"), ("哪年", "when"), ("哪一年", "when"),
    ("多少", "how many"), ("几", "how many"),
    ("哪里", "where"), ("哪儿", "where"), ("在哪", "where"), ("谁", "who"), ("为什么", "why"), ("为何", "why"), ("怎么样", "like"), ("怎么", "how"),
    ("怎样", "how"), ("如何", "how"), ("什么", "what"), ("哪些", "which"),
)  # fmt: skip
_AFTER_HOW = {
    "many": "how many",
    "much": "how many",
    "long": "how long",
    "often": "how often",
    "frequently": "how often",
    "far": "how far",
    "old": "when",
}
_OPEN = frozenset(
    {"who", "when", "where", "why", "which", "what", "how", "how many", "how long", "how often", "how far", "like"}
)
_SPANS = frozenset("time days day weeks week months month years year hours hour minutes minute".split())  # noqa: SIM905
_QUESTION = ("who", "whom", "whose", "when", "where", "why", "which", "what")


def _asks(flat: str, found: list[str]) -> str:
    for position, word in enumerate(found[:12]):
        if word == "how":
            return _how(found[position + 1 : position + 3])
        if word in _QUESTION:
            return "who" if word in ("whom", "whose") else word
    return "" if flat.isascii() else next((kind for phrase, kind in _ASKS_ZH if phrase in flat), "")


def _how(after: list[str]) -> str:
    """Which of the questions with "how", by what comes next."""
    if not after:
        return "how"
    if after[0] in ("many", "much") and after[1:]:
        return "how often" if after[1] == "times" else "how long" if after[1] in _SPANS else "how many"
    return _AFTER_HOW.get(after[0], "how")


_PAST = frozenset("did was were had".split())  # noqa: SIM905
_FUTURE = frozenset("will shall going".split())  # noqa: SIM905


def _tense(found: list[str]) -> str:
    past, future = not _PAST.isdisjoint(found), not _FUTURE.isdisjoint(found)
    return "" if past == future else ("past" if past else "future")
