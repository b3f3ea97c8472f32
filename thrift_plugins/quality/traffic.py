"""What all answers say of themselves, and what their readers make of them, beside the calls that no tactic touches.

A call is open for five minutes, in which its reader may ask the same in other words, or turn his thumb down. Then it
counts. Each call of the holdout that counts is set beside the mean of all others of its feature since the one before it: the
two differ, in the mean, by what the tactics do. Chance decides who is in the holdout, so nothing else can make a difference.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from thrift_plugins.quality.flaws import Complaint, Flaw
from thrift_plugins.types import Request

_OPEN: Final = 300.0
_MOST_OPEN: Final = 10_000
_MOST_FEATURES: Final = 1_000

_ALIKE: Final = 0.5
"""Share of the words of both questions that they have in common, from which one puts the other in other words."""

_FEWEST: Final = 3
"""Words of a question below which that cannot be told."""

_WORD: Final = re.compile(r"[^\W_]+")
_LONGEST: Final = 2_000
"""Characters of a question that are read."""


@dataclass(slots=True)
class _Call:
    id: str
    at: float
    feature: str
    held: bool
    told: set[Flaw | Complaint]
    words: frozenset[str]


@dataclass(slots=True)
class _Feature:
    calls: int = 0
    bad: int = 0


class Traffic:
    """Watches the calls of a process. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Call] = OrderedDict()
        self._latest: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._features: OrderedDict[str, _Feature] = OrderedDict()
        self._excess: deque[tuple[str, float]] = deque()

    def answered(self, request: Request, found: tuple[Flaw, ...], *, held: bool) -> str | None:
        """A call was answered.

        Args:
            found: what is wrong with the answer.
            held: whether no tactic has touched it.

        Returns:
            The call that this one repeats in other words, if it does.
        """
        self._close(request.at - _OPEN)
        before = self._rephrased(request)
        call = _Call(request.id, request.at, request.scope.feature, held, set(found), _question(request))
        self._open[request.id] = call
        asker = _asker(request)
        if asker is not None:
            self._latest[asker] = request.id
            self._latest.move_to_end(asker)
            if len(self._latest) > _MOST_OPEN:
                self._latest.popitem(last=False)
        if len(self._open) > _MOST_OPEN:
            self._count(self._open.popitem(last=False)[1])
        return before

    def feedback(self, call: str, *, good: bool) -> str | None:
        """What a reader thinks of an answer. Returns the feature of the call, None where it is not known here any more."""
        known = self._open.get(call)
        if known is None:
            return None
        if good:
            known.told.discard("thumbs down")
        else:
            known.told.add("thumbs down")
        return known.feature

    def excess(self) -> list[tuple[str, float]]:
        """For each call of the holdout that has come to count: its feature, and how much more often others are bad."""
        found = list(self._excess)
        self._excess.clear()
        return found

    def _rephrased(self, request: Request) -> str | None:
        asker = _asker(request)
        call = self._open.get(self._latest.get(asker, "")) if asker is not None else None
        if call is None or call.feature != request.scope.feature:
            return None
        words = _question(request)
        shared, both = len(words & call.words), len(words | call.words)
        if min(len(words), len(call.words)) < _FEWEST or words == call.words or shared < _ALIKE * both:
            return None
        call.told.add("rephrased")
        return call.id

    def _close(self, before: float) -> None:
        while self._open:
            call = next(iter(self._open.values()))
            if call.at > before:
                return
            self._count(self._open.popitem(last=False)[1])

    def _count(self, call: _Call) -> None:
        feature = self._features.setdefault(call.feature, _Feature())
        self._features.move_to_end(call.feature)
        if len(self._features) > _MOST_FEATURES:
            self._features.popitem(last=False)
        if not call.held:
            feature.calls += 1
            feature.bad += bool(call.told)
        elif feature.calls:
            self._excess.append((call.feature, round(feature.bad / feature.calls - bool(call.told), 3)))
            feature.calls = feature.bad = 0


def _asker(request: Request) -> tuple[str, str] | None:
    """Who asks: the conversation, else the user; None where nobody says."""
    who = request.scope.session or request.scope.user
    return (request.scope.tenant, who) if who else None


def _question(request: Request) -> frozenset[str]:
    """The words of the last turn of the user."""
    turn = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
    return frozenset(_WORD.findall(turn[-_LONGEST:].casefold()))
