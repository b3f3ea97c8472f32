"""Prompt compression of an app: which calls are compressed, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from thrift_plugins.compression.cache_plan import CachePlan, CacheRules
from thrift_plugins.compression.compressor import Compressor, Pays
from thrift_plugins.compression.keeping import Conversations, Keeping
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
        prices: tell what a provider's prompt cache is worth; without them nothing is refused for its sake, or marked.
        turns: calls that send a message of a conversation, on average.
        keeping: how conversations are kept, of every feature that is not named.
        keepings: feature to its own.
    """

    default: Compressor | None = None
    features: Mapping[str, Compressor | None] = field(default_factory=dict)
    prices: Prices | None = None
    turns: int = 1
    keeping: Keeping = field(default_factory=Keeping)
    keepings: Mapping[str, Keeping] = field(default_factory=dict)
    conversations: Conversations = field(default_factory=Conversations, compare=False)

    def of(self, request: Request) -> Compressor | None:
        """Who compresses a request, None where nobody does."""
        return self.features.get(request.scope.feature, self.default)

    def compress(self, request: Request, tier: Tier) -> Compressed | None:
        """A request's prompt for a tier, None where it is left alone. Not to be asked for a call of the holdout."""
        compressor = self.of(request)
        if compressor is None:
            return None
        rules = self._rules(tier)
        made = compressor.compress(request.messages, tier.model, plan=self._plan(rules))
        keeping = self.keepings.get(request.scope.feature, self.keeping)
        if keeping.max_history is None and not keeping.cache_control:
            return made
        kept = self.conversations.kept(made, keeping, request, tier, rules)
        compressor.remember(kept.dropped[len(made.dropped) :])
        return kept

    def _rules(self, tier: Tier) -> CacheRules | None:
        """How a tier's provider caches prompts, None where that is not known."""
        if self.prices is None:
            return None
        try:
            return CacheRules.of(tier.model, self.prices)
        except UnknownModelPrice:
            return None

    def _plan(self, rules: CacheRules | None) -> Pays | None:
        """Whether a shorter message pays over the turns that come."""
        if rules is None or self.turns < 2:
            return None
        plan = CachePlan(rules)
        return lambda before, after: plan.pays(before, after, 0, self.turns)

    def signature(self, request: Request) -> str:
        """What of the compression decides an answer, for the cache's key; "" where nothing may be left out."""
        compressor = self.of(request)
        if compressor is None:
            return ""
        most = self.keepings.get(request.scope.feature, self.keeping).max_history
        return " ".join(filter(None, (compressor.signature, "" if most is None else f"history={most}")))
