"""What a router is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from thrift_plugins.types import Decision, Request, Tier


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
