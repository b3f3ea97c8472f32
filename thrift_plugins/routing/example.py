"""What a router is trained on, and tried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from thrift_plugins.types import Reply, Request

DEARER: Final = 10.0
"""How many times as dear as the one below a tier is taken to be, where examples do not say what answers cost."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and how good each tier's answer to it was.

    Attributes:
        scores: tier to the quality of its answer, 0 to 1: right or wrong, a judge's, a user's.
        replies: tier to its answer. With those of the cheapest tier a check of its answers is learnt.
        costs: tier to what its answer cost, in US dollars. See `costs_of`.
    """

    request: Request
    scores: Mapping[str, float]
    replies: Mapping[str, Reply] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)


def costs_of(examples: Sequence[Example], tiers: Sequence[str]) -> list[Mapping[str, float]]:
    """What each tier's answer to each example cost, in one unit for all.

    Where not all of them say so, or the last tier's cost nothing, each tier is taken to cost ten times the one below.
    """
    told = all(tier in example.costs for example in examples for tier in tiers)
    if told and sum(example.costs[tiers[-1]] for example in examples) > 0:
        return [example.costs for example in examples]
    return [{tier: DEARER**at for at, tier in enumerate(tiers)}] * len(examples)
