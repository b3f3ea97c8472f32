"""What a router is trained on, and tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thrift_plugins.types import Reply, Request


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and how good each tier's answer to it was.

    Attributes:
        scores: tier to the quality of its answer, 0 to 1: right or wrong, a judge's, a user's.
        replies: tier to its answer. With those of the cheapest tier a check of its answers is learnt.
        costs: tier to what its answer cost, in US dollars. Without them each tier is taken to cost ten times the one below.
    """

    request: Request
    scores: Mapping[str, float]
    replies: Mapping[str, Reply] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
