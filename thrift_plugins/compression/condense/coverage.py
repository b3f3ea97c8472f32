"""Which rules of a prompt are still in a shorter one. What cannot be shown to be there is named.

A rule is a sentence or a point of a list. It is `kept` where one sentence of the shorter prompt says all its words that carry
meaning, in their order, with all its numbers, negations, placeholders and addresses. Else it is `changed`, with what is missing, or
`lost`, where no sentence is like it. A good rewriting changes many; a reader, or the cases, must then say that they still hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.compression.marks import marks
from thrift_plugins.compression.terms import says_little, terms_of, tokens
from thrift_plugins.text.sentences import pieces

Status: TypeAlias = Literal["kept", "changed", "lost"]

_MARKS: Final = ("placeholder", "tag", "address", "fence", "code", "quote", "id", "number", "negation")
_BULLET: Final = re.compile(r"^\s*(?:[-*\u2022+]|\d{1,3}[.)]|#+|>)\s+")
_TURNING: Final = frozenset(
    "must may might should shall can could will would or if any some all more most from into out up off".split()  # noqa: SIM905
)
"""Words that say little of what a rule is about, and all of whether it binds: "must" may not become "may"."""

_ALIKE: Final = 0.4
"""Share of a rule's words from which a sentence is taken for another wording of it."""


class Rule(NamedTuple):
    """A rule of a prompt.

    Attributes:
        number: its place among them, from 0.
        text: without the sign of a list before it.
    """

    number: int
    text: str


class Covered(NamedTuple):
    """What became of a rule.

    Attributes:
        by: the sentence of the shorter prompt that is most like it, "" where none is.
        missing: marks and words of the rule that this one lacks.
    """

    rule: Rule
    status: Status
    by: str = ""
    missing: tuple[str, ...] = ()


class Coverage(NamedTuple):
    """What became of all rules."""

    rules: tuple[Covered, ...]

    def of(self, status: Status) -> list[Covered]:
        """Those with this status."""
        return [one for one in self.rules if one.status == status]

    @property
    def named(self) -> frozenset[int]:
        """Numbers of the rules that are not there as they were."""
        return frozenset(one.rule.number for one in self.rules if one.status != "kept")


class _Said(NamedTuple):
    text: str
    words: list[str]
    marks: Counter[tuple[str, str]]
    turns: Counter[str]


def rules(prompt: str) -> list[Rule]:
    """The rules of a prompt: every sentence and every point of a list that has words in it."""
    texts = [_BULLET.sub("", prompt[a:b]).strip() for a, b in pieces(prompt)]
    return [Rule(number, text) for number, text in enumerate(text for text in texts if re.search(r"\w", text))]


def coverage(prompt: str, shorter: str) -> Coverage:
    """What became of the rules of a prompt in a shorter one."""
    known = rules(prompt)
    there = Counter(_bare(rule.text) for rule in rules(shorter))
    kept: set[int] = set()
    for rule in known:  # what stands there as it was is that rule, and no other wording of another one
        if there[_bare(rule.text)] > 0:
            there[_bare(rule.text)] -= 1
            kept.add(rule.number)
    own = {_bare(rule.text) for rule in known}
    said = [_said(rule.text) for rule in rules(shorter) if _bare(rule.text) not in own]
    return Coverage(
        tuple(Covered(rule, "kept", rule.text) if rule.number in kept else _covered(rule, said) for rule in known)
    )


def _bare(text: str) -> str:
    return " ".join(text.split()).rstrip(".;,:")


def _said(text: str) -> _Said:
    words = tokens(text)
    own = [term for term in terms_of(words) if not says_little(term) and term not in _TURNING]
    return _Said(text, own, marks(text, _MARKS), Counter(word for word in words if word in _TURNING))


def _covered(rule: Rule, said: Sequence[_Said]) -> Covered:
    own = _said(rule.text)
    best, share = _most_alike(own, said)
    if best is None or share < _ALIKE:
        return Covered(rule, "lost")
    gone = own.marks - best.marks
    added = {mark: count for mark, count in (best.marks - own.marks).items() if mark[0] == "negation"}
    missing = [told for (_, told), count in gone.items() for _ in range(count)]
    missing += [f"added {told!r}" for told in [*(told for _, told in added), *(best.turns - own.turns)]]
    missing += (own.turns - best.turns).elements()
    have = Counter(best.words)
    told = {one.casefold() for one in missing}
    missing += [word for word, count in Counter(own.words).items() if have[word] < count and word not in told]
    if not missing and not _follows(own.words, best.words):
        missing.append("the order of its words")
    return Covered(rule, "changed" if missing else "kept", best.text, tuple(missing))


def _most_alike(own: _Said, said: Sequence[_Said]) -> tuple[_Said | None, float]:
    words = Counter(own.words)
    best, most = None, (-1.0, 0.0)
    for one in said:
        shared = sum((words & Counter(one.words)).values()) / max(1, len(own.words))
        score = (shared if own.words else float(own.text == one.text), -len(one.words))
        if score > most:
            best, most = one, score
    return best, most[0]


def _follows(words: Sequence[str], there: Sequence[str]) -> bool:
    """Whether these words are there in this order, with few others between them."""
    most = len(words) + max(_BETWEEN, len(words) // 5)
    for start, first in enumerate(there):
        if words and first == words[0]:
            left = iter(there[start : start + most])
            if all(word in left for word in words):
                return True
    return not words


_BETWEEN: Final = 2
