"""Prompt compression of an app: which calls are compressed, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thrift_plugins.compression.cache_plan import CachePlan, CacheRules
from thrift_plugins.compression.compressor import Compressor, Pays
from thrift_plugins.compression.result import Compressed
from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.prices import Prices
from thrift_plugins.types import Request, Tier


@dataclass(frozen=True, slots=True)
class CompressionPolicy:
    """Compresses the prompts of an app.

    Attributes:
        default: for the calls of every feature that is not named; None: they are left alone.
        features: feature to its own.
        prices: tell what a provider's prompt cache is worth; without them nothing is refused for its sake.
        turns: calls that send a message of a conversation, on average.
    """

    default: Compressor | None = None
    features: Mapping[str, Compressor | None] = field(default_factory=dict)
    prices: Prices | None = None
    turns: int = 1

    def of(self, request: Request) -> Compressor | None:
        """Who compresses a request, None where nobody does."""
        return self.features.get(request.scope.feature, self.default)

    def compress(self, request: Request, tier: Tier) -> Compressed | None:
        """A request's prompt for a tier, None where it is left alone. Not to be asked for a call of the holdout."""
        compressor = self.of(request)
        return compressor.compress(request.messages, tier.model, plan=self._plan(tier)) if compressor else None

    def _plan(self, tier: Tier) -> Pays | None:
        """Whether a shorter message pays over the turns that come, by the rules of a tier's provider."""
        if self.prices is None or self.turns < 2:
            return None
        try:
            plan = CachePlan(CacheRules.of(tier.model, self.prices))
        except UnknownModelPrice:
            return None
        return lambda before, after: plan.pays(before, after, 0, self.turns)

    def signature(self, request: Request) -> str:
        """What of the compression decides an answer, for the cache's key; "" where nothing may be left out."""
        compressor = self.of(request)
        return compressor.signature if compressor else ""
