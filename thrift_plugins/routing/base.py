"""What a router is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from thrift_plugins.types import Decision, Reply, Request, Tier


class Router(Protocol):
    """Picks the tier that answers. Pure: the same request and tiers always give the same decision."""

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        """Choose a tier.

        Args:
            request: what the app asks.
            tiers: the models that may answer, cheapest first; at least one.
            baseline: index of the app's own model. Nothing above it is chosen unless only that can serve the request.

        Raises:
            ConfigError: the caller forces a tier that is not there.
            UnsupportedByTier: no tier can serve the request.
        """
        ...


@runtime_checkable
class Verifier(Protocol):
    """A router that also knows good answers from bad ones. Its decisions may then have a `verify`."""

    def rejects(self, request: Request, reply: Reply, decision: Decision) -> str | None:
        """Why an answer must not stand where the decision has a `verify`, None where it may. Its form is checked already."""
        ...
