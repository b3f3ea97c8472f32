"""A router on answers that it was not trained on: what quality it has, what it costs, and what else it might have had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.drift import EVERY
from thrift_plugins.routing.example import Example, costs_of
from thrift_plugins.routing.learned import LearnedRouter, Promise
from thrift_plugins.routing.verify import rejects
from thrift_plugins.types import Tier

_POINTS: Final = 20


class Point(NamedTuple):
    """A way to route.

    Attributes:
        cost: over that of the baseline alone.
        quality: over that of the baseline alone.
        cheaper: share of the requests that a cheaper tier has answered.
    """

    cost: float
    quality: float
    cheaper: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a trial.

    Attributes:
        served: of each example the quality of the answer that was served.
        best: of each, that of the baseline's.
        paid: of each, what was paid.
        alone: of each, what the baseline would have cost.
        cheaper: how many a cheaper tier has answered.
        due: of the baseline's quality, what was promised: each feature's share, weighed by its examples.
    """

    served: tuple[float, ...]
    best: tuple[float, ...]
    paid: tuple[float, ...]
    alone: tuple[float, ...]
    cheaper: int
    due: float

    @property
    def point(self) -> Point:
        """All of it in three numbers."""
        return Point(
            sum(self.paid) / sum(self.alone), sum(self.served) / sum(self.best), self.cheaper / len(self.served)
        )


def try_out(router: LearnedRouter, examples: Sequence[Example]) -> Trial:
    """Let a router decide, and check, what each example is answered with.

    Raises:
        ConfigError: no example has a score for each of the router's tiers, or none of the baseline's answers is any good; or
            none has an answer that the router checks.
    """
    known = [example for example in examples if all(tier in example.scores for tier in router.tiers)]
    if not known or not sum(example.scores[router.tiers[-1]] for example in known):
        raise ConfigError(
            f"no example has a score for each of {', '.join(router.tiers)}, or none is above 0{scored(examples)}"
        )
    known = [example for example in known if _can_be_served(router, example)]
    if not known:
        raise ConfigError(
            f"no example has the answer of {router.tiers[0]}, which the router checks before it stands: give `answers` too"
        )
    tiers = [Tier(name, name) for name in router.tiers]
    top = router.tiers[-1]
    served, paid, cheaper = [], [], 0
    costs = costs_of(known, router.tiers)
    for example, own in zip(known, costs, strict=True):
        name, cost = _served(router, example, tiers, own)
        served.append(example.scores[name])
        paid.append(cost)
        cheaper += name != top
    alone = [own[top] for own in costs]
    best = [example.scores[top] for example in known]
    asked = (router.goal(example.request.scope.feature).quality for example in known)
    due = sum(share * quality for share, quality in zip(asked, best, strict=True)) / sum(best)
    return Trial(tuple(served), tuple(best), tuple(paid), tuple(alone), cheaper, due)


def scored(examples: Sequence[Example]) -> str:
    """Whose answers have scores, to be said where others were looked for."""
    names = sorted({tier for example in examples for tier in example.scores})
    return f" (there are scores of {', '.join(names)})" if names else ""


def _can_be_served(router: LearnedRouter, example: Example) -> bool:
    """Whether it can be told what is served: a check needs an answer."""
    promise = router.promise(example.request.scope.feature)
    return promise is None or promise.accept is None or router.tiers[0] in example.replies


def _served(
    router: LearnedRouter, example: Example, tiers: Sequence[Tier], costs: Mapping[str, float]
) -> tuple[str, float]:
    """The tier whose answer is served, and what that costs with those that were rejected."""
    decision = router.decide(example.request, tiers, len(tiers) - 1)
    cost = costs[decision.name]
    reply = example.replies.get(decision.name)
    if not decision.alternatives or reply is None:
        return decision.name, cost
    if rejects(example.request, reply) is None and router.rejects(example.request, reply, decision) is None:
        return decision.name, cost
    above = tiers[decision.alternatives[0]].name
    return above, cost + costs[above]


def curve(router: LearnedRouter, examples: Sequence[Example]) -> list[Point]:
    """What the same router would have come to with other lines, the most cautious first."""
    checked = router.tiers[0] in router.checks and any(router.tiers[0] in example.replies for example in examples)
    return [try_out(_with(router, line, checked=checked), examples).point for line in _lines(router, examples)]


def _lines(router: LearnedRouter, examples: Sequence[Example]) -> Iterator[float]:
    """Lines that send ever more to cheaper tiers."""
    gaps = []
    for example in examples:
        reply = example.replies.get(router.tiers[0])
        check = router.checks.get(router.tiers[0])
        if check is not None and reply is not None:
            own, best = check.chances(example.request, reply)
        else:
            expected = router.expected(example.request)
            own, best = expected[0], expected[-1]
        gaps.append(best - own)
    ranked = sorted(gaps)
    yield -inf
    yield from (ranked[min(len(ranked) - 1, len(ranked) * at // _POINTS)] for at in range(_POINTS + 1))
    yield inf


def _with(router: LearnedRouter, line: float, *, checked: bool) -> LearnedRouter:
    """A router with this line for everything."""
    line = max(-1e6, line) if checked else max(-1e6, min(1e6, line))
    promise = Promise(None, 0, 1.0, 0.0, accept=line) if checked else Promise(line, 0, 1.0, 0.0)
    return replace(router, promises={EVERY: promise})


def better(candidate: Trial, in_force: Trial | None, tolerance: float) -> str | None:
    """Why a router must not replace the one in force, None where it may.

    It must keep its promise on the examples, and then save more, or be better at no more cost.
    """
    ours, target = candidate.point, candidate.due
    if ours.quality < target - tolerance:
        return f"it has {ours.quality:.2%} of the quality where {target:.1%} is promised"
    if in_force is None:
        return (
            None if ours.cost < 1 else f"it saves nothing: it costs {ours.cost:.1%} of what the strong model alone does"
        )
    theirs = in_force.point
    if ours.cost < theirs.cost - _LEAST and ours.quality >= min(theirs.quality, target) - tolerance:
        return None
    if ours.quality > theirs.quality + _LEAST and ours.cost <= theirs.cost + _LEAST:
        return None
    return (
        f"it does not beat the router in force: {ours.quality:.2%} of the quality at {ours.cost:.1%} of the cost, against "
        f"{theirs.quality:.2%} at {theirs.cost:.1%}"
    )


_LEAST: Final = 0.001
"""Of cost and quality: less is no difference."""
