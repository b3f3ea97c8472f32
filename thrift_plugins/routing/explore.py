"""Exploration: a small share of requests goes to another tier than the router's choice, so that one learns what it does there.

An answer tells nothing of the models that were not asked. With the probability of each choice in the ledger (its propensity),
what another router would have come to can be estimated without bias from the answers that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from thrift_plugins.errors import ConfigError
from thrift_plugins.routing.base import Router, Verifier
from thrift_plugins.routing.constraints import eligible
from thrift_plugins.routing.rules import ladder_of
from thrift_plugins.types import Decision, Reply, Request, Tier

MOST: Final = 0.2
"""Share of requests that may be explored with."""

_SETTLED: Final = frozenset({"forced", "only", "drift"})


@dataclass(frozen=True, slots=True)
class Exploring:
    """A router that now and then is not followed.

    The draw is by a digest of the request, so that every step of a tool loop, and every process, draws alike.

    Attributes:
        router: the one that is followed else.
        share: of requests, for which one of the other tiers is drawn, each as likely; 0 to `MOST`.
    """

    router: Router
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= MOST:
            raise ConfigError(f"routing.explore must be 0 to {MOST}, not {self.share}")

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier; see `Router.decide`. The decision has the propensity of its tier."""
        decision = self.router.decide(request, tiers, baseline)
        if decision.policy in _SETTLED or not self.share:
            return decision
        ladder = ladder_of(eligible(request, tiers), baseline)
        others = [index for index in ladder if index != decision.tier]
        drawn = _draw(request)
        if not others or drawn >= self.share:
            return replace(decision, propensity=1 - self.share if others else 1.0)
        index = others[min(len(others) - 1, int(drawn / self.share * len(others)))]
        return replace(
            decision,
            tier=index,
            name=tiers[index].name,
            policy="explore",
            reasons=(f"explored instead of {decision.name}", *decision.reasons),
            alternatives=tuple(above for above in ladder if above > index),
            propensity=self.share / len(others),
            verify=None,
        )

    def rejects(self, request: Request, reply: Reply, decision: Decision) -> str | None:
        """Why an answer must not stand; see `Verifier.rejects`."""
        return self.router.rejects(request, reply, decision) if isinstance(self.router, Verifier) else None


def _draw(request: Request) -> float:
    """A number from 0 to 1, the same for the same conversation at the same place."""
    scope = request.scope
    said = [message.text for message in request.messages if message.role == "user"]
    told = "\0".join([scope.tenant, scope.user, scope.session, str(len(said)), *said[-1:]])
    digest = blake2b(told.encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
