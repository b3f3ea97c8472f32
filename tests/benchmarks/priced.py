"""Are recorded usages priced to the nano-dollar? Against genai-prices' own reading of each raw usage, in decimals.

The other path shares nothing with ours but the price list: its extraction from the provider's words, its lookup, its
arithmetic. What a provider charges beside tokens, a fee for each search, is in neither sum, and counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from genai_prices import calc_price, extract_usage
from genai_prices import types as genai

from tests.usage_pairs import Pair
from thrift_plugins.prices import Prices, split_model
from thrift_plugins.prices.rates import CONTEXTS

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def figures(pairs: Sequence[Pair], prices: Prices) -> dict[str, object]:
    """How many usages have a price, which models have none, and where the two paths differ."""
    unknown: Counter[str] = Counter()
    differences: list[dict[str, object]] = []
    unread: list[str] = []
    total = priced = searches = 0
    for pair in pairs:
        if pair.usage is None:
            continue
        total += 1
        if not prices.knows(pair.priced_as):
            unknown[pair.priced_as] += 1
            continue
        priced += 1
        try:
            usage = told_apart(pair)
        except (ValueError, LookupError) as error:
            unread.append(f"{pair.request.id} {pair.priced_as}: {error}")
            continue
        searches += bool(usage.web_searches)
        for processing, context in CONTEXTS.items():
            ours = prices.cost(pair.priced_as, pair.usage, at=AT.timestamp(), processing=processing)
            theirs = reference(pair, usage, context)
            if ours != theirs:
                differences.append(
                    {"id": pair.request.id, "model": pair.priced_as, "mode": processing, "ours": ours, "theirs": theirs}
                )
    return {
        "usages_total": total,
        "usages_priced": priced,
        "unknown_models": dict(unknown),
        "differences": len(differences),
        "different": differences,
        "unread_by_the_other_path": unread,
        "without_usage": len(pairs) - total,
        "with_search_fees": searches,
    }


def told_apart(pair: Pair) -> genai.Usage:
    """The usage as genai-prices reads it from the provider's words."""
    raw: Mapping[str, object] = pair.told
    model = pair.priced_as.partition("/")[2]
    if pair.host == "google" and "promptTokenCount" in raw:
        body: dict[str, object] = {"modelVersion": model, "usageMetadata": raw}
        flavor = "default"
    else:
        body = {"model": model, "usage": raw}
        flavor = "default" if pair.host == "anthropic" else "responses" if "input_tokens" in raw else "chat"
    if pair.host == "openai" and "completion_tokens" not in raw and "output_tokens" not in raw:
        flavor = "embeddings"
    return extract_usage(body, provider_id=pair.host, api_flavor=flavor).usage


def reference(pair: Pair, usage: genai.Usage, context: Mapping[str, str]) -> int | None:
    """What the other path makes of its tokens, in nano-dollars; None where it finds no price."""
    counted = {unit: count for unit, count in usage.__dict__.items() if unit != "web_searches"}
    try:
        found = calc_price(
            genai.Usage(**counted),
            split_model(pair.priced_as)[1],
            provider_id=pair.host,
            genai_request_timestamp=AT,
            price_context=dict(context) or None,
        )
    except LookupError:
        return None
    return int((found.total_price * Decimal(10**9)).to_integral_value(ROUND_HALF_UP))
