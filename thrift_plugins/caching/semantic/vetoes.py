"""Differences that change an answer however alike two questions are: no score can outvote them."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher

from thrift_plugins.caching.semantic import lexicon
from thrift_plugins.caching.semantic.reading import Reading, stem
from thrift_plugins.text.words import words

_HOW_OR = frozenset({"who", "when", "why", "how many", "how long", "how often", "how far"})
_BINDING = frozenset({"must", "should"})
_FIXED = frozenset({"who", "when", "where", "why", "how many", "how long", "how often", "how far"})
_LINKS = frozenset("and or vs versus & 和 与 跟 或 及".split())  # noqa: SIM905
_ALIKE = 0.6  # of the words of both
_LONGEST = 40  # words whose order is compared
_SPELLED_ALIKE = 0.85  # a name with one letter wrong, in a long name


def veto(first: Reading, second: Reading) -> str:
    """Why two questions cannot share an answer, in a word or two, or "". Symmetric."""
    return next((name for name, differ in _DIFFERENCES if differ(first, second)), "")


def _remeasured(first: Reading, second: Reading) -> bool:
    """Whether one number has one unit here and another there, or each has a unit of its own."""
    if first.units - second.units and second.units - first.units:
        return True
    changed = first.measured ^ second.measured
    numbers = {number for number, _ in first.measured} & {number for number, _ in second.measured}
    return any(number in numbers for number, _ in changed)


def _asked(first: Reading, second: Reading) -> bool:
    """Whether another kind of thing is asked for."""
    if first.modal and second.modal and first.modal != second.modal:
        return True
    asked = {first.asks, second.asks}
    if len(asked) == 1:
        return False
    binding = first.modal in _BINDING or second.modal in _BINDING
    return asked <= _FIXED or ("how" in asked and (binding or not asked.isdisjoint(_HOW_OR)))


def _retimed(first: Reading, second: Reading) -> bool:
    return first.times != second.times or bool(first.tense and second.tense and first.tense != second.tense)


def _opposite(one: Reading, other: Reading) -> bool:
    """Whether one has a word and the other its opposite, and neither has both."""
    first, second = one.opposed, other.opposed
    if first == second:
        return False
    only_second = second - first
    return any(not _OPPOSITES[word].isdisjoint(only_second) for word in first - second)


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in (*lexicon.OPPOSITES, *lexicon.OPPOSITES_ZH):
        for word in pair:
            found.setdefault(word, set()).update(pair - {word})
    return {word: frozenset(others) for word, others in found.items()}


_OPPOSITES = _opposites()


def _renamed(first: Reading, second: Reading) -> bool:
    """Whether each names something that the other does not."""
    gone, come = _unmatched(first, second), _unmatched(second, first)
    if not gone or not come:
        return False
    return not all(
        any(_same_name(*sorted((name, other))) for other in theirs)
        for ours, theirs in ((gone, come), (come, gone))
        for name in ours
    )


def _unmatched(first: Reading, second: Reading) -> list[str]:
    text = frozenset(second.words)
    return sorted(name for name in first.names - second.names if not all(stem(word) in text for word in words(name)))


def _same_name(name: str, other: str) -> bool:
    if any(char.isdigit() for char in name + other):
        return False
    return SequenceMatcher(None, name, other).ratio() >= _SPELLED_ALIKE


def turned(first: Reading, second: Reading) -> bool:
    """Whether what is said of direction is the other way round: "from A to B" against "from B to A"."""
    return _roles_swapped(first, second) or reversed_order(first, second)


def _roles_swapped(first: Reading, second: Reading) -> bool:
    """Whether in one role each has a word that the other has elsewhere, or one's source is the other's target."""
    gone, come = first.roles - second.roles, second.roles - first.roles
    if not gone or not come:
        return False
    alike = len(first.content & second.content) >= _ALIKE * len(first.content | second.content)
    return any(
        _crossed(role, word, other, instead) and word in second.flat and instead in first.flat
        for role, word in gone
        for other, instead in come
        if alike or not {role, other} & lexicon.WEAK_ROLES
    )


def _crossed(role: str, word: str, other: str, instead: str) -> bool:
    return word != instead if role == other else word == instead and {role, other} == {"source", "target"}


def reversed_order(first: Reading, second: Reading) -> bool:
    """Whether some neighbours x, link, y of the one are y, link, x in the other: "Ann calls Bob", "Bob calls Ann".

    Words without meaning do not count as between, except that "and" and its like join equals, which may change places.
    """
    one, other = _triples(first), _triples(second)
    return any(triple[::-1] in other - one for triple in one - other if triple[1] not in _LINKS)


def _triples(reading: Reading) -> frozenset[tuple[str, str, str]]:
    found = _meaningful(reading)
    return frozenset(zip(found, found[1:], found[2:], strict=False))


def _meaningful(reading: Reading) -> list[str]:
    return [word for word in reading.words[:_LONGEST] if word in reading.content or word in _LINKS]


_DIFFERENCES: tuple[tuple[str, Callable[[Reading, Reading], bool]], ...] = (
    ("negation", lambda first, second: first.negated != second.negated),
    ("numbers", lambda first, second: first.numbers != second.numbers),
    ("units", _remeasured),
    ("signs", lambda first, second: first.signs != second.signs),
    ("code", lambda first, second: first.code != second.code),
    ("time", _retimed),
    ("quantity", lambda first, second: first.quantifiers != second.quantifiers),
    ("asked for", _asked),
    ("opposites", _opposite),
    ("names", _renamed),
    ("direction", turned),
)
