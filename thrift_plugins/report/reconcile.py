"""The ledger beside a provider's statement: what each says of every day and model, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.prices import Prices
from thrift_plugins.report.statement import Amounts, Statement
from thrift_plugins.types import Usage

Key = tuple[str, str]
"""Day and model."""


@dataclass(slots=True)
class Pair:
    """What the two say of the same."""

    ours: Amounts = field(default_factory=Amounts)
    theirs: Amounts = field(default_factory=Amounts)

    def add(self, other: Pair) -> None:
        """Add what they say of something else."""
        self.ours.add(other.ours)
        self.theirs.add(other.theirs)

    @property
    def token_drift(self) -> float | None:
        """By how much of theirs our tokens are more; None where they have none."""
        theirs = self.theirs.input + self.theirs.output
        return (self.ours.input + self.ours.output - theirs) / theirs if theirs else None

    @property
    def money_drift(self) -> float | None:
        """The same of money."""
        return (self.ours.nano - self.theirs.nano) / self.theirs.nano if self.theirs.nano else None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result. Only days from the statement's first to its last are compared.

    Attributes:
        pairs: by day and model, of every model that the statement names.
        unnamed: what the statement says without naming a model.
        only_ours: what the ledger has of models that the statement never names, by model: another provider's, perhaps.
        only_theirs: models of the statement that the ledger does not have at all.
    """

    pairs: Mapping[Key, Pair]
    unnamed: Amounts
    only_ours: Mapping[str, Amounts]
    only_theirs: tuple[str, ...]

    def by_model(self) -> dict[str, Pair]:
        """Sums by model."""
        return self._summed(1)

    def by_day(self) -> dict[str, Pair]:
        """Sums by day, in order."""
        return self._summed(0)

    @property
    def total(self) -> Pair:
        """Of all models that the statement names."""
        total = Pair()
        for pair in self.pairs.values():
            total.add(pair)
        return total

    def _summed(self, place: int) -> dict[str, Pair]:
        sums: dict[str, Pair] = {}
        for key in sorted(self.pairs):
            sums.setdefault(key[place], Pair()).add(self.pairs[key])
        return sums


def reconcile(bodies: Iterable[str], statement: Statement, prices: Prices, name: Callable[[str], str]) -> Reconciled:
    """Compare.

    Args:
        bodies: the ledger's events, each as its JSON.
        prices: tell how a call is shared where one tactic has paid several models in it.
        name: what the two call the same model.
    """
    days = [day for day, _ in statement.lines]
    pairs: dict[Key, Pair] = {}
    unnamed = Amounts()
    for (day, model), amounts in statement.lines.items():
        if model:
            pairs.setdefault((day, name(model)), Pair()).theirs.add(amounts)
        else:
            unnamed.add(amounts)
    named = {model for _, model in pairs}
    only_ours: dict[str, Amounts] = {}
    known: set[str] = set()
    for (day, model), amounts in _booked(bodies, prices):
        if not days or not min(days) <= day <= max(days):
            continue
        model = name(model)  # noqa: PLW2901  one name for it from here on
        known.add(model)
        mine = pairs.setdefault((day, model), Pair()).ours if model in named else only_ours.setdefault(model, Amounts())
        mine.add(amounts)
    return Reconciled(pairs, unnamed, only_ours, tuple(sorted(named - known)))


def _booked(bodies: Iterable[str], prices: Prices) -> Iterator[tuple[Key, Amounts]]:
    """What each model was paid, event by event."""
    for body in bodies:
        entry = orjson.loads(body)
        day = f"{datetime.fromtimestamp(entry['at'], UTC):%Y-%m-%d}"
        bill = entry["bill"]
        beside: dict[str, list[tuple[str, Usage, str]]] = {}
        for tactic, _, model, usage, processing in entry["overheads"]:
            beside.setdefault(tactic, []).append((model, Usage(**usage), processing))
        for tactic, paid in beside.items():
            for (model, usage, _), nano in zip(
                paid, _shares(-bill["overheads"].get(tactic, 0), paid, entry, prices), strict=True
            ):
                yield (day, model), Amounts(usage.input_tokens, usage.output_tokens, nano)
        if entry["served_model"]:
            used, nano = entry["usage"], bill["actual"] + sum(bill["overheads"].values())
            yield (day, entry["served_model"]), Amounts(used.get("input_tokens", 0), used.get("output_tokens", 0), nano)


def _shares(whole: int, paid: list[tuple[str, Usage, str]], entry: Mapping[str, Any], prices: Prices) -> list[int]:
    """An amount, shared by what each call costs; the last has what rounding leaves."""
    if len(paid) == 1:
        return [whole]
    costs = [_cost(prices, *each, entry["at"]) for each in paid]
    shares = [whole * cost // (sum(costs) or 1) for cost in costs[:-1]]
    return [*shares, whole - sum(shares)]


def _cost(prices: Prices, model: str, usage: Usage, processing: Any, at: float) -> int:
    try:
        return prices.cost(model, usage, at=at, processing=processing)
    except UnknownModelPrice:
        return 0
