"""A router that has learnt from an app's own answers how good each tier is, and keeps a promise on the quality of all.

It is one file of JSON, with no code in it. Reading it needs no numpy; `routing.training` makes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.check import AnswerCheck
from thrift_plugins.routing.constraints import eligible, forced
from thrift_plugins.routing.drift import EVERY, Histogram
from thrift_plugins.routing.reading import numbers, of_length, steps, texts, whole
from thrift_plugins.routing.rules import ladder_of
from thrift_plugins.routing.traits import NAMES, SLOTS, read_turn, traits
from thrift_plugins.routing.writing import write_whole
from thrift_plugins.types import Decision, Reply, Request, Tier

if TYPE_CHECKING:
    from thrift_plugins.routing.scorer import Scorer

FORMAT: Final = "thrift-router/4"
FAR: Final = 4.0
"""Standard deviations beyond which a number says no more."""

_LARGEST: Final = 4_000_000  # characters of a file
_MOST_TIERS: Final = 32


class Goal(NamedTuple):
    """What is to be promised.

    Attributes:
        quality: share of the baseline's quality, above 0 and at most 1.
        confidence: with which, 0.5 to below 1.
    """

    quality: float = 0.99
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Promise:
    """What holds for the answers of a feature, and what it rests on.

    Attributes:
        limit: how much worse than the baseline's an answer may be expected to be, in units of quality; None: nothing is
            routed, since the examples cannot support the promise.
        examples: how many there were.
        quality: of the baseline's mean quality, what the routed answers had among them.
        cheaper: share of the examples that a cheaper tier has answered.
        accept: in the place of `limit`: the cheapest tier answers first, and the same is asked of its answer.
        saved: of what the baseline alone would have cost, what is saved.
    """

    limit: float | None
    examples: int
    quality: float
    cheaper: float
    accept: float | None = None
    saved: float = 0.0

    @property
    def routes(self) -> bool:
        """Whether anything may go to a cheaper tier."""
        return self.limit is not None or self.accept is not None


@dataclass(frozen=True)  # no slots: its tables are made once
class LearnedRouter:
    """Sends a request to the cheapest tier that is expected to be hardly worse than the baseline.

    Where it knows nothing of a tier, of a feature's promise, or of the baseline, the baseline answers.

    Attributes:
        tiers: names of those it knows, cheapest first.
        seen: examples that it has learnt from.
        counts: for each slot, in how many of them a piece of text was that is hashed there.
        means: quality of each tier's answers among them.
        slots: slot to what it adds to each tier's quality, in steps of `UNIT`.
        centre, spread: mean and standard deviation of each number of `traits`.
        numbers: for each number of `traits` what a standard deviation adds to each tier's quality, in steps of `UNIT`.
        promises: feature to what holds for it, or `EVERY` alone.
        target: share of the baseline's quality that is promised.
        confidence: with which.
        goals: feature to what is promised of it, where that is something else.
        checks: tier to what tells its good answers from bad ones.
        drift: what the traffic looked like, so that it can be told when it does so no more.
    """

    tiers: tuple[str, ...]
    seen: int
    counts: tuple[int, ...]
    means: tuple[float, ...]
    slots: Mapping[int, tuple[int, ...]]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    numbers: tuple[tuple[int, ...], ...]
    promises: Mapping[str, Promise] = field(default_factory=dict)
    target: float = 1.0
    confidence: float = 0.95
    checks: Mapping[str, AnswerCheck] = field(default_factory=dict)
    drift: Mapping[str, Histogram] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)

    def goal(self, feature: str) -> Goal:
        """What is promised of a feature."""
        return self.goals.get(feature) or Goal(self.target, self.confidence)

    def promise(self, feature: str) -> Promise | None:
        """What holds for a feature, None where nothing does."""
        return self.promises.get(feature) or self.promises.get(EVERY)

    def short_of(self, feature: str, quality: float | None, confidence: float | None) -> bool:
        """Whether it promises less of a feature than is asked; None asks for nothing."""
        own, promise = self.goal(feature), self.promise(feature)
        short = own.quality < (quality or 0.0) or own.confidence < (confidence or 0.0)
        return promise is not None and promise.routes and short

    def without(self, features: Iterable[str]) -> LearnedRouter:
        """The same, that leaves these features to the baseline."""
        return replace(self, promises={**self.promises, **dict.fromkeys(features, Promise(None, 0, 1.0, 0.0))})

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier; see `Router.decide`."""
        insisted = forced(request, tiers)
        if insisted is not None:
            return insisted
        able = eligible(request, tiers)
        if len(able) == 1:
            return Decision(able[0], tiers[able[0]].name, "only", ("only tier that can serve it",))
        ladder = ladder_of(able, baseline)
        top = tiers[ladder[-1]].name
        promise = self.promise(request.scope.feature)
        if top != self.tiers[-1]:
            return Decision(ladder[-1], top, "learned", (f"what is promised is of {self.tiers[-1]}'s quality, not {top}'s",))
        if promise is None or not promise.routes:
            return Decision(ladder[-1], top, "learned", ("no promise for this feature",))
        expected = dict(zip(self.tiers, self.expected(request), strict=True))
        names = [tiers[at].name for at in ladder]
        known = {name: expected[name] for name in names if name in expected}
        chances = {name: _chance(quality) for name, quality in known.items()}
        gap = known[top] - known[names[0]] if names[0] in known else None
        if promise.accept is not None:
            return self._first(ladder, names, promise.accept, chances, gap)
        return self._chosen(ladder, names, promise.limit or 0.0, known, chances, gap)

    @staticmethod
    def _chosen(
        ladder: Sequence[int],
        names: Sequence[str],
        limit: float,
        known: Mapping[str, float],
        chances: Mapping[str, float],
        gap: float | None,
    ) -> Decision:
        """The cheapest tier that is expected to be hardly worse than the best."""
        best, step = known[names[-1]], 0
        while step < len(names) - 1 and not best - known.get(names[step], -math.inf) <= limit:
            step += 1
        told = ", ".join([f"{name} {quality:.2f}" for name, quality in known.items()])
        score = _chance(gap or 0.0)
        above = tuple(ladder[step + 1 :])
        reasons = (f"expected quality: {told}",)
        return Decision(ladder[step], names[step], "learned", reasons, above, score, chances, gap=gap)

    def _first(
        self, ladder: Sequence[int], names: Sequence[str], accept: float, chances: Mapping[str, float], gap: float | None
    ) -> Decision:
        """The cheapest tier, whose answer is checked before anybody sees it."""
        first, top, name = ladder[0], ladder[-1], names[0]
        if first == top or name != self.tiers[0]:
            return Decision(top, names[-1], "learned", (f"{self.tiers[0]} cannot be asked",), chances=chances)
        reasons = (f"{name} answers first, and is checked",)
        return Decision(first, name, "cascade", reasons, (top,), 1 - chances[name], chances, verify=accept, gap=gap)

    def rejects(self, request: Request, reply: Reply, decision: Decision) -> str | None:
        """Why an answer must not stand; see `Verifier.rejects`."""
        if decision.verify is None or decision.verify == math.inf:
            return None
        check = self.checks.get(decision.name)
        if check is None:
            return f"no check for {decision.name}"
        own, best = check.chances(request, reply)
        if best - own <= decision.verify:
            return None
        return f"a good answer with {own:.0%}, {best:.0%} elsewhere"

    def expected(self, request: Request) -> list[float]:
        """The quality that each tier's answer is expected to have, in the order of `tiers`."""
        asked = read_turn(request.messages)
        return self._scorer.expected(asked.text, traits(request, asked))

    @cached_property
    def _scorer(self) -> Scorer:
        from thrift_plugins.routing.scorer import Scorer  # noqa: PLC0415  numpy is for those who ask

        rarity = [self.rarity(slot) for slot in range(SLOTS)]
        return Scorer(rarity, self.means, self.slots, self.centre, self.spread, self.numbers, FAR)

    def rarity(self, slot: int) -> float:
        """How much a slot tells: the fewer examples have it, the more."""
        return log((1 + self.seen) / (1 + self.counts[slot]))

    def save(self, path: Path) -> None:
        """Write the file. It holds no text of an example."""
        told = {
            "format": FORMAT,
            "traits": list(NAMES),
            "tiers": list(self.tiers),
            "seen": self.seen,
            "target": self.target,
            "confidence": self.confidence,
            "goals": {name: list(goal) for name, goal in self.goals.items()},
            "promises": {
                name: [each.limit, each.examples, each.quality, each.cheaper, _finite(each.accept), each.saved]
                for name, each in self.promises.items()
            },
            "checks": {name: check.dump() for name, check in self.checks.items()},
            "drift": {name: [list(each.edges), list(each.shares)] for name, each in self.drift.items()},
            "means": list(self.means),
            "centre": list(self.centre),
            "spread": list(self.spread),
            "numbers": [list(row) for row in self.numbers],
            "counts": list(self.counts),
            "slots": {str(slot): list(row) for slot, row in sorted(self.slots.items())},
        }
        write_whole(path, (_compact({**told, "sha256": _digest(told)}) + "\n").encode("utf-8"))

    @classmethod
    def load(cls, path: str | Path) -> LearnedRouter:
        """Read a file that `save` has written.

        Raises:
            ConfigError: there is none, or it is something else, or of another version; says which.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"no router can be read from {path}: {error}") from error
        try:
            return _read(text)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{path} is no router, or was changed ({error}): train it anew") from error


def _compact(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _digest(told: Mapping[str, Any]) -> str:
    """Of all that a file says. Values that could be, but that nobody has learnt, would break the promise unseen."""
    return sha256(_compact(told).encode("utf-8", "surrogatepass")).hexdigest()


def _read(text: str) -> LearnedRouter:
    if len(text) > _LARGEST:
        raise ValueError("too large")
    told = json.loads(text)
    if told["format"] != FORMAT:
        raise ValueError(f"format {told['format']!r}, not {FORMAT!r}")
    if told["traits"] != list(NAMES):
        raise ValueError("it was trained by another version, which read other things of a request")
    digest = told.pop("sha256")
    if digest != _digest(told):
        raise ValueError("it is not what was written")
    tiers = tuple(texts(told["tiers"]))
    width = len(tiers)
    if not 2 <= width <= _MOST_TIERS or len(set(tiers)) < width:
        raise ValueError("a router has two tiers or more, each once")
    target, confidence = numbers([told["target"], told["confidence"]], 2)
    router = LearnedRouter(
        tiers,
        whole(told["seen"]),
        tuple(whole(count) for count in of_length(told["counts"], SLOTS)),
        tuple(numbers(told["means"], width)),
        {int(slot): steps(row, width) for slot, row in told["slots"].items()},
        tuple(numbers(told["centre"], len(NAMES))),
        tuple(numbers(told["spread"], len(NAMES))),
        tuple(steps(row, width) for row in of_length(told["numbers"], len(NAMES))),
        {name: _promise(row) for name, row in told["promises"].items()},
        target,
        confidence,
        {name: AnswerCheck.load(check) for name, check in told["checks"].items()},
        {name: Histogram.of(*of_length(each, 2)) for name, each in told["drift"].items()},
        {name: Goal(*numbers(each, 2)) for name, each in told["goals"].items()},
    )
    if not router.checks.keys() <= set(tiers):
        raise ValueError("a check of a tier that is not there")
    if any(count > router.seen for count in router.counts) or not all(0 <= slot < SLOTS for slot in router.slots):
        raise ValueError("a count or a slot that cannot be")
    return router


def _promise(given: Any) -> Promise:
    limit, examples, quality, cheaper, accept, saved = of_length(given, 6)
    accept = math.inf if accept == _ALL else accept
    for line in (limit, accept):
        if line is not None and not (type(line) in (int, float) and not math.isnan(line)):
            raise ValueError("a limit that cannot be")
    told = numbers([quality, cheaper, saved], 3)
    return Promise(limit, whole(examples), told[0], told[1], accept, told[2])


_ALL: Final = "all"
"""In the place of a line: whatever passes the checks of form may stand. JSON has no infinity."""


def _finite(line: float | None) -> float | str | None:
    return _ALL if line == math.inf else line


def _chance(expected: float) -> float:
    return 1.0 if expected >= 1 else expected if expected > 0 else 0.0
