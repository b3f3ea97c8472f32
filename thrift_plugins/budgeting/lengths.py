"""How long answers are, learnt from those that came: what a limit may be that hardly any answer reaches, and the mean.

Kept for each kind of answer as counts in bins whose edges grow by a fixed ratio, so a kind takes a few hundred numbers
however many answers there were, and a quantile is at most that ratio above the truth and never below it. Old answers
weigh less: whenever a kind has `_FULL` of them, each counts half.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.errors import StoreCorrupt
from thrift_plugins.forks import new_lock

Arm: TypeAlias = Literal["asked", "free", "plain"]
"""Whether an answer was asked to be short, or would have been but for the holdout, or would not have been at all."""

Form: TypeAlias = Literal["text", "tools", "schema"]
"""What an answer is: prose, tool calls, or an object of a schema."""

ENOUGH: Final = 50
"""Answers of a kind below which no limit is given."""

FEW: Final = 30
"""Answers of a kind below which no mean is given."""

_RATIO: Final = 1.08  # of neighbouring edges
_TAIL: Final = 0.01  # share of the answers that may be longer than the quantile
_CONFIDENT: Final = 1.645  # standard deviations: 95 %, one side
_SURE: Final = 300.0  # answers from which that quantile is known so well; until then the longest one stands for it
_MARGIN, _MARGIN_UNSURE, _MARGIN_HIDDEN = 1.25, 2.0, 0.75  # what is not shown varies much more than what is
_CENSORED: Final = 2  # a cut answer would have been longer, nobody knows by how much
_FULL: Final = 8_192.0
_FADED: Final = 1 / 64  # what weighs less is forgotten
_KINDS: Final = 4_096
_MOST_TOKENS: Final = 2**40
_VERSION: Final = 1


class Kind(NamedTuple):
    """What decides how long answers are.

    Attributes:
        effort: how much the model was told to think, in the words of the request.
    """

    feature: str
    tier: str
    model: str
    effort: str
    arm: Arm
    form: Form


class Ceiling(NamedTuple):
    """What is known of the longest answers of a kind.

    Attributes:
        tokens: a length that hardly any reaches, hidden reasoning included; None until there is evidence.
        seen: answers that it rests on.
    """

    tokens: int | None
    seen: int


@dataclass(slots=True)
class _Series:
    """The answers of a kind.

    Attributes:
        bins: bin to the weight of the answers in it.
        tokens: the sum of their lengths as they were billed, by weight; so for `hidden`, which were not shown.
    """

    seen: int = 0
    weight: float = 0.0
    tokens: float = 0.0
    hidden: float = 0.0
    bins: dict[int, float] = field(default_factory=dict)

    def add(self, tokens: int, hidden: int, *, truncated: bool) -> None:
        place = _bin(tokens * _CENSORED if truncated else tokens)
        self.bins[place] = self.bins.get(place, 0.0) + 1.0
        self.seen += 1
        self.weight += 1.0
        self.tokens += tokens
        self.hidden += hidden
        if self.weight >= _FULL:
            self._fade()

    def absorb(self, other: _Series) -> None:
        for place, weight in other.bins.items():
            self.bins[place] = self.bins.get(place, 0.0) + weight
        self.seen += other.seen
        self.weight += other.weight
        self.tokens += other.tokens
        self.hidden += other.hidden
        while self.weight >= _FULL:
            self._fade()

    def _fade(self) -> None:
        halves = {place: weight / 2 for place, weight in self.bins.items()}
        self.bins = {place: weight for place, weight in halves.items() if weight >= _FADED}
        self.weight, self.tokens, self.hidden = self.weight / 2, self.tokens / 2, self.hidden / 2

    def ceiling(self) -> Ceiling:
        if self.seen < ENOUGH:
            return Ceiling(None, self.seen)
        margin = _MARGIN if self.weight >= _SURE else _MARGIN_UNSURE
        if self.hidden > 0:
            margin += _MARGIN_HIDDEN
        return Ceiling(math.ceil(self._quantile() * margin), self.seen)

    def _quantile(self) -> int:
        """A length that is above the quantile with confidence: what may be above it is fewer than are expected to be."""
        spread = _CONFIDENT * math.sqrt(self.weight * _TAIL * (1 - _TAIL))
        above = max(0.0, self.weight * _TAIL - spread)
        passed = 0.0
        for place in sorted(self.bins, reverse=True):
            passed += self.bins[place]
            if passed > above:
                return _edge(place)
        return 0


class Lengths:
    """Lengths of the answers that an app has had. One object for an app; safe to use from several threads."""

    def __init__(self) -> None:
        self._series: OrderedDict[Kind, _Series] = OrderedDict()
        self._news: OrderedDict[Kind, _Series] = OrderedDict()
        self._lock = new_lock()

    def learn(self, kind: Kind, tokens: int, *, hidden: int = 0, truncated: bool = False) -> None:
        """Count an answer.

        Args:
            tokens: as it was billed, reasoning included.
            hidden: those of them that were not shown.
            truncated: whether it ended at a limit.
        """
        tokens = min(max(0, tokens), _MOST_TOKENS)
        with self._lock:
            for known in (self._series, self._news):
                _of(known, kind).add(tokens, min(max(0, hidden), tokens), truncated=truncated)

    def ceiling(self, kind: Kind) -> Ceiling:
        """What is known of the longest answers of a kind."""
        with self._lock:
            series = self._series.get(kind)
            return series.ceiling() if series else Ceiling(None, 0)

    def mean(self, kind: Kind) -> float | None:
        """The mean length of a kind's answers in tokens, None while there are fewer than `FEW`."""
        with self._lock:
            series = self._series.get(kind)
            return series.tokens / series.weight if series and series.seen >= FEW else None

    def drain(self) -> str:
        """What was learnt by `learn` since the last time, as a text for `merge`; "" for nothing."""
        with self._lock:
            news, self._news = self._news, OrderedDict()
        rows = [
            [*kind, series.seen, series.tokens, series.hidden, {str(at): w for at, w in series.bins.items()}]
            for kind, series in news.items()
        ]
        return json.dumps({"version": _VERSION, "ratio": _RATIO, "kinds": rows}, ensure_ascii=False) if rows else ""

    def merge(self, text: str) -> None:
        """Learn what another process has drained.

        Raises:
            StoreCorrupt: it is not that, or of another version; nothing is learnt.
        """
        news = _read(text)
        with self._lock:
            for kind, series in news:
                _of(self._series, kind).absorb(series)


def _of(known: OrderedDict[Kind, _Series], kind: Kind) -> _Series:
    """The answers of a kind, which is the last to be forgotten now."""
    series = known.setdefault(kind, _Series())
    known.move_to_end(kind)
    if len(known) > _KINDS:
        known.popitem(last=False)
    return series


def _read(text: str) -> list[tuple[Kind, _Series]]:
    """What `Lengths.drain` has written."""
    try:
        tree = json.loads(text)
        if (tree["version"], tree["ratio"]) != (_VERSION, _RATIO):
            raise StoreCorrupt(f"answer lengths are of version {tree['version']}, not {_VERSION}: learn them anew")
        return [(Kind(*map(_string, row[:6])), _restored(*row[6:])) for row in tree["kinds"][-_KINDS:]]  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise StoreCorrupt(f"answer lengths cannot be read ({error}): learn them anew") from error


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _restored(seen: int, tokens: float, hidden: float, bins: Mapping[str, Any]) -> _Series:
    known = {int(place): float(weight) for place, weight in bins.items()}
    numbers = (seen, tokens, hidden, *known.values())
    if not all(type(number) in (int, float) and math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("a count is no number, or below 0")
    if not all(0 <= place <= _LAST for place in known) or not sum(known.values()):
        raise ValueError("a kind without answers, or of impossible length")
    return _Series(int(seen), sum(known.values()), float(tokens), float(hidden), known)


def _bin(tokens: int) -> int:
    """The first bin whose edge is not below a length."""
    place = max(0, math.ceil(math.log(max(1, tokens), _RATIO)) - 1)
    while _edge(place) < tokens:
        place += 1
    return place


def _edge(place: int) -> int:
    """The longest length in a bin."""
    return math.floor(_RATIO**place)


_LAST: Final = _bin(_MOST_TOKENS * _CENSORED)
