"""How good the answers were that an app has written down: by what its strong model says, by its readers, and by the quality gate.

The strong model's answer is taken to be right unless a reader says otherwise: quality is agreement with it. Only what chance has
chosen counts: of the answers that a router chose itself, each is one of the kind that it thought easy, and a new router that learns
from those alone would take all for easy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from thrift_plugins.lessons import Lesson, chance
from thrift_plugins.quality import AutoJudge, Judge
from thrift_plugins.quality.judge import LOSS
from thrift_plugins.routing import rejects
from thrift_plugins.routing.example import Example
from thrift_plugins.types import Reply, Request

COMPARED: Final = "compared with the strong model's answer"
READERS: Final = "a reader has said so"
GATE: Final = "the quality gate has compared them"
UNKNOWN: Final = "nobody can say how good"
CHOSEN: Final = "chosen by the router, so not like all"


@dataclass(slots=True)
class Booked:
    """What the ledger says of calls, by their ids.

    Attributes:
        liked: what readers think of the answer.
        losses: how much worse than the strong model's the gate finds it, -1 to 1.
        propensity: with what probability its tier was drawn.
    """

    liked: dict[str, bool] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    propensity: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> Booked:
        """Read a ledger's records."""
        made = cls()
        for record in records:
            extra = record.get("extra") or {}
            with suppress(KeyError, TypeError, ValueError, IndexError):  # of a later version
                made._take(str(record["id"]), extra)
        return made

    def _take(self, name: str, extra: Mapping[str, Any]) -> None:
        line = extra.get("quality") or {}
        told: list[Any] = list(line.get("told") or [])
        if line.get("what") == "feedback":
            self.liked[str(told[0])] = bool(told[1])
        elif line.get("what") == "judged" and told[0] == "routing" and told[2] is not None:
            self.losses[name.removesuffix("-shadow")] = float(told[2])
        propensity = (extra.get("route") or {}).get("propensity")
        if propensity:
            self.propensity[name] = float(propensity)


def labelled(
    lessons: Iterable[Lesson], booked: Booked, tiers: Sequence[str], judge: Judge | None = None
) -> tuple[list[Example], Counter[str]]:
    """Examples with scores for all tiers, and how each came by them, or why it did not.

    Args:
        tiers: names, cheapest first; the last one is the strong model.
        judge: compares answers; by default labels, numbers and JSON by what they say, and no prose.
    """
    least = min(booked.propensity.values(), default=0.0)
    compare = judge or AutoJudge()
    made, tally = [], Counter[str]()
    for lesson in lessons:
        scores, how = _scores(lesson, booked, tiers, compare, least)
        tally[how] += 1
        if scores is not None:
            made.append(replace(lesson.example, scores=scores))
    return made, tally


def _scores(
    lesson: Lesson, booked: Booked, tiers: Sequence[str], judge: Judge, least: float
) -> tuple[dict[str, float] | None, str]:
    example, top = lesson.example, tiers[-1]
    name = example.request.id
    liked = booked.liked.get(name)
    if lesson.drawn and all(tier in example.replies for tier in tiers):
        found = {tier: _agreement(example, example.replies[tier], example.replies[top], judge) for tier in tiers}
        if liked is False and lesson.served == top:  # who says the same is as wrong; of the others nobody knows
            found = {tier: 0.0 if score else None for tier, score in found.items()}
        elif liked is not None and lesson.served in found:
            found[lesson.served] = float(liked)
        scores = {tier: score for tier, score in found.items() if score is not None}
        if len(scores) < len(tiers):
            return None, UNKNOWN
        return scores, COMPARED if liked is None else READERS
    if lesson.served not in tiers[:-1] or len(tiers) > 2:
        return None, UNKNOWN
    loss = booked.losses.get(name)
    if liked is None and loss is None:
        return None, UNKNOWN
    propensity = booked.propensity.get(name)
    if propensity is None or chance(f"kept {name}") >= least / propensity:
        return None, CHOSEN  # thinned, what is left is like all: as if each tier had been drawn as seldom as any
    score = float(liked) if liked is not None else min(1.0, max(0.0, 1.0 - (loss or 0.0)))
    return {lesson.served: score, top: 1.0}, READERS if liked is not None else GATE


def _agreement(example: Example, reply: Reply, best: Reply, judge: Judge) -> float | None:
    """Whether an answer is as good as the strong model's, None where nobody can say."""
    if rejects(example.request, reply) is not None:
        return 0.0
    if reply is best:
        return 1.0
    return _judged(example.request, reply, best, judge)


def _judged(request: Request, reply: Reply, best: Reply, judge: Judge) -> float | None:
    judging = judge.judge(request, reply, best)
    try:
        next(judging)
    except StopIteration as end:
        return None if end.value is None else min(1.0, 1.0 - LOSS[end.value])
    return None  # it wants to ask a model, and there is none here
