"""The prices inside the installed genai-prices: which row is in force, for which model, when.

No discount is ever multiplied. A combination without a price of its own, like cached input in batch, costs what
genai-prices itself makes of it: the standard price of the same kind, and where there is none, the plain input or
output price of the mode. A mode that a model has no prices for at all costs the standard price.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, TypeAlias

from thrift_plugins.prices.matching import is_meant
from thrift_plugins.prices.names import listed_names, split_model
from thrift_plugins.prices.rates import CONTEXTS, Rates, pico_per_token
from thrift_plugins.types import Processing

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import (
        ModelInfo,
        ModelPrice,
        Provider,
        StartDateConstraint,
        TieredPrices,
        TimeOfDateConstraint,
    )

    Constraint: TypeAlias = StartDateConstraint | TimeOfDateConstraint | None

SOURCE: Final = "genai-prices"

_DAY = 86_400  # seconds
_REQUESTS_TO_TOKENS = 1_000  # a price per thousand requests, as one per million
# Price keys of each rate; the first one that a row has, counts.
_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "input_audio": ("input_audio_mtok", "input_mtok"),
    "output_audio": ("output_audio_mtok", "output_mtok"),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
}


@cache
def installed_version() -> str:
    """Version of the installed price list; each of its releases is a price update."""
    return version(SOURCE)


@dataclass(frozen=True, slots=True)
class Listing:
    """One model as one provider sells it."""

    provider: Provider
    model: ModelInfo

    @property
    def is_priced(self) -> bool:
        """Whether its tokens have a price: some models are billed by the hour or page, or nobody knows how."""
        return any(row.input_mtok is not None or row.output_mtok is not None for _, row in self._standard())

    def in_mode(self, processing: Processing) -> Rates | Schedule:
        """Its rates in a processing mode: one set where they never change."""
        # A provider that sells another one's model does not give that one's discounts.
        owned = any(model is self.model for model in self.provider.models)
        context = CONTEXTS[processing] if owned else {}
        rows = [*self._standard(), *self._variants(context)]
        schedule = Schedule(self, context, *_changes([constraint for constraint, _ in rows]), _tiers(rows))
        if schedule.dates or schedule.hours or schedule.tiers:
            return schedule
        return self.rates(0, 0, context)

    def rates(self, when: float, input_tokens: int, context: Mapping[str, str]) -> Rates:
        """The rates in force at a time, for a prompt size."""
        row = self.model.get_prices(datetime.fromtimestamp(when, UTC), context)
        per_token = {name: pico_per_token(_price(row, keys, input_tokens)) for name, keys in _KEYS.items()}
        return Rates(
            **per_token,
            request=pico_per_token(_price(row, ("requests_kcount",), input_tokens) * _REQUESTS_TO_TOKENS),
            source=f"{SOURCE}:{self.provider.id}/{self.model.id}",
            version=installed_version(),
        )

    def _standard(self) -> list[tuple[Constraint, ModelPrice]]:
        prices = self.model.prices
        return [(row.constraint, row.prices) for row in prices] if isinstance(prices, list) else [(None, prices)]

    def _variants(self, context: Mapping[str, str]) -> list[tuple[Constraint, ModelPrice]]:
        return [
            (variant.constraint, variant.prices)
            for variant in self.model.price_variants or ()
            if variant.when.items() <= context.items()
        ]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates that change, each set of them resolved once.

    Attributes:
        dates: instants at which they may change, in seconds since the epoch.
        hours: times of day at which they may change, in seconds of the UTC day.
        tiers: prompt sizes in tokens above which they may change.
    """

    listing: Listing
    context: Mapping[str, str]
    dates: Sequence[float]
    hours: Sequence[float]
    tiers: Sequence[int]
    _known: dict[tuple[int, int, int], Rates] = field(default_factory=dict)

    def at(self, when: float, input_tokens: int) -> Rates:
        """The rates at a time in seconds since the epoch, for a prompt size in tokens."""
        place = (
            bisect_right(self.dates, when),
            bisect_right(self.hours, when % _DAY),
            bisect_left(self.tiers, input_tokens),
        )
        rates = self._known.get(place)
        if rates is None:
            rates = self._known[place] = self.listing.rates(when, input_tokens, self.context)
        return rates


@lru_cache(maxsize=4096)
def find(model: str) -> Listing | None:
    """The listing that a name means, None where there is none."""
    for provider, name in listed_names(model):
        try:
            found = Listing(*_snapshot().find_provider_model(name, None, provider, None))
        except LookupError:
            continue
        if is_meant(found.model, name):
            return found
    return _fine_tuned(model)


def _fine_tuned(model: str) -> Listing | None:
    """The listing of a fine-tune whose base is named without its date, which the list's own rules ask for."""
    name = split_model(model)[1]
    if not name.startswith("ft:"):
        return None
    base = "ft:" + name.split(":")[1]
    listed = (Listing(provider, one) for provider in _snapshot().providers for one in provider.models)
    return next((one for one in listed if one.model.id.removesuffix("-") == base), None)


@cache
def _snapshot() -> DataSnapshot:
    from genai_prices.data import providers  # noqa: PLC0415 - 1.6 MB of prices, at first need
    from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415

    return DataSnapshot(providers=providers, from_auto_update=False)


def _price(row: ModelPrice, keys: Sequence[str], input_tokens: int) -> Decimal:
    """The first of the prices that the row has, at the tier of the prompt; 0 where it has none."""
    prices: list[Decimal | TieredPrices | None] = [getattr(row, key) for key in keys]
    price = next((price for price in prices if price is not None), Decimal(0))
    if isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return reached[-1] if reached else price.base


def _changes(constraints: Sequence[Constraint]) -> tuple[Sequence[float], Sequence[float]]:
    """The dates and the times of day at which any of the constraints begins or ends."""
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint  # noqa: PLC0415

    dates: set[float] = set()
    hours: set[float] = set()
    for constraint in constraints:
        if isinstance(constraint, StartDateConstraint):
            dates.add(datetime.combine(constraint.start_date, time(), UTC).timestamp())
        elif isinstance(constraint, TimeOfDateConstraint):
            hours |= {_second_of_day(constraint.start_time), _second_of_day(constraint.end_time)}
    return sorted(dates), sorted(hours)


def _second_of_day(moment: time) -> float:
    """Seconds since midnight UTC; a time without a zone is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(datetime(1970, 1, 2, tzinfo=UTC), aware).timestamp() % _DAY


def _tiers(rows: Sequence[tuple[Constraint, ModelPrice]]) -> Sequence[int]:
    """The prompt sizes at which any price of any row changes."""
    keys = {key for keys in _KEYS.values() for key in keys}
    prices: list[Decimal | TieredPrices | None] = [getattr(row, key) for _, row in rows for key in keys]
    return sorted({tier.start for price in prices if price and not isinstance(price, Decimal) for tier in price.tiers})
