"""Rates in integer pico-dollars per token, and the one sum that is made with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from thrift_plugins.types import Nano, Processing, Usage

CONTEXTS: Final[Mapping[Processing, Mapping[str, str]]] = {
    "standard": {},
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
"""Each mode in the words of genai-prices."""

_SERVICE_TIERS: Final[Mapping[str, Processing]] = {"default": "standard", "flex": "flex", "priority": "priority"}


def processing_of(service_tier: object) -> Processing | None:
    """What a `service_tier` of OpenAI's API means for the price, None where it says nothing: "auto" is up to the provider."""
    return _SERVICE_TIERS.get(service_tier) if isinstance(service_tier, str) else None


def processing_in(settings: Mapping[str, Any], extras: Sequence[str] = ()) -> Processing | None:
    """The mode that settings ask for, None where they do not name one.

    Args:
        extras: names of settings that are sent as they are, over those with a name of their own.
    """
    inner = (table for name in extras if isinstance(table := settings.get(name), Mapping))
    named = [table["service_tier"] for table in (*inner, settings) if table.get("service_tier") is not None]
    return (processing_of(named[0]) or "standard") if named else None

_PICO_PER_TOKEN = 1_000_000  # of a dollar per million tokens
_PICO_PER_NANO = 1_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Integer pico-dollars (1e-12 US dollars) per token, and per request.

    Attributes:
        reasoning: of hidden output; the output rate with nearly every model.
        request: flat fee of a call, which a few search models have.
        source: whose row it is: "genai-prices:PROVIDER/MODEL", or "override".
        version: version of the snapshot, or "override".
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    input_audio: int
    output_audio: int
    reasoning: int
    request: int
    source: str
    version: str

    def cost(self, usage: Usage) -> Nano:
        """What the usage costs: an exact sum, rounded once, half up.

        Cached and audio tokens are parts of the input, audio and hidden ones of the output. Where a provider's parts
        exceed their total, the parts are charged and nothing else.
        """
        cached = usage.cache_read + usage.cache_write + usage.cache_write_1h
        plain_input = max(0, usage.input_tokens - cached - usage.input_audio)
        plain_output = max(0, usage.output_tokens - usage.reasoning - usage.output_audio)
        pico = (
            plain_input * self.input
            + usage.cache_read * self.cache_read
            + usage.cache_write * self.cache_write
            + usage.cache_write_1h * self.cache_write_1h
            + usage.input_audio * self.input_audio
            + plain_output * self.output
            + usage.reasoning * self.reasoning
            + usage.output_audio * self.output_audio
        )
        if usage.input_tokens or usage.output_tokens:
            pico += self.request
        return (pico + _PICO_PER_NANO // 2) // _PICO_PER_NANO


def pico_per_token(usd_per_million: Decimal) -> int:
    """A price in pico-dollars per token.

    What is finer than that is rounded half up: a few published rows carry the noise of binary fractions
    (0.08333333333333334), and no provider bills so finely.
    """
    return int((usd_per_million * _PICO_PER_TOKEN).to_integral_value(ROUND_HALF_UP))
