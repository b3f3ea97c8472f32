"""Dollars for an event: baseline, actual, and an exact share of the difference for each tactic.

A tactic's share is its Shapley value: the mean, over every order in which the tactics could have acted, of what the
bill drops when it joins. It is found by pricing every subset of the patches, so it does not depend on an order, and

    sum(rows) + sum(overheads) + actual = baseline

holds to the nano-dollar for each call and so for every sum of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from math import factorial
from typing import Any, Protocol

from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.types import Nano, Patch, Usage


class Priced(Protocol):
    """Where prices come from: `thrift_plugins.prices.Prices`."""

    @property
    def snapshot(self) -> Mapping[str, str]: ...

    def cost(self, model: str, usage: Usage, *, at: float | None = None, processing: Any = "standard") -> Nano: ...


@dataclass(frozen=True, slots=True)
class Bill:
    """What one call cost, and what it would have cost. All amounts in nano-dollars.

    Attributes:
        rows: tactic to what it saved; negative where it cost more.
        overheads: tactic to what it paid beside the answer; never positive.
        unpriced: models without a price. If there are any, nothing can be attributed: the amounts above are 0, the event
            counts as unpriced, and `apart` is what its priced models were paid.
    """

    baseline: Nano = 0
    actual: Nano = 0
    rows: Mapping[str, Nano] = field(default_factory=dict)
    overheads: Mapping[str, Nano] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()
    apart: Nano = 0


def bill(event: Event, prices: Priced) -> Bill:
    """Price an event. A model without a price gives an explicit unpriced bill, never a zero that looks like one."""
    try:
        return _bill(event, prices)
    except UnknownModelPrice as unknown:
        return Bill(unpriced=(unknown.model,), apart=_paid(event, prices))


def _paid(event: Event, prices: Priced) -> Nano:
    """What the models with a price were paid for a call that has one without."""
    paid = [(overhead.model, overhead.usage, overhead.processing) for overhead in event.overheads]
    if event.served:
        paid.append((event.served, event.usage, patched(event.baseline, event.patches).processing))
    amount = 0
    for model, usage, processing in paid:
        with suppress(UnknownModelPrice):
            amount += prices.cost(model, usage, at=event.at, processing=processing)
    return amount


def _bill(event: Event, prices: Priced) -> Bill:
    def price(cost: Cost) -> Nano:
        if not cost.made:
            return 0
        return prices.cost(cost.model, cost.usage, at=event.at, processing=cost.processing)

    overheads: dict[str, Nano] = {}
    for paid in event.overheads:
        amount = prices.cost(paid.model, paid.usage, at=event.at, processing=paid.processing)
        overheads[paid.tactic] = overheads.get(paid.tactic, 0) - amount
    rows = shapley(event.baseline, event.patches, price)
    baseline = price(event.baseline)
    served = baseline - sum(rows.values())
    return Bill(baseline, served - sum(overheads.values()), rows, overheads)


def patched(cost: Cost, patches: Sequence[Patch]) -> Cost:
    """A call with some of its patches applied.

    Usages are changed by the difference that a patch made, so that two tactics may both change them, each is counted
    alone, and their order is nothing to the bill. The other fields are set, by the last patch that has them.
    """
    if not patches:
        return cost
    changes: dict[str, Any] = {patch.field: patch.after for patch in patches if patch.field != "usage"}
    steps = [(patch.before, patch.after) for patch in patches if patch.field == "usage"]
    if steps:
        changes["usage"] = steps[0][1] if len(steps) == 1 and steps[0][0] == cost.usage else _moved(cost.usage, steps)
    return replace(cost, **changes)


def _moved(usage: Usage, steps: Sequence[tuple[Usage, Usage]]) -> Usage:
    counts = {
        name: max(
            0, getattr(usage, name) + sum(getattr(after, name) - getattr(before, name) for before, after in steps)
        )
        for name in Usage.__slots__
        if name != "source"
    }
    return Usage(**counts, source=usage.source)


def shapley(baseline: Cost, patches: Sequence[Patch], price: Callable[[Cost], Nano]) -> dict[str, Nano]:
    """Each tactic's exact share of `price(baseline) - price(all patches)`, in whole nano-dollars.

    Shares are fractions of n!; what rounding down leaves over goes, a nano-dollar each, to the largest remainders
    (ties by name), so the rows add up exactly and do not depend on the order of the tactics.
    """
    tactics = sorted({patch.tactic for patch in patches})
    if not tactics:
        return {}
    if len(tactics) == 1:
        return {tactics[0]: price(baseline) - price(patched(baseline, patches))}

    @cache
    def value(members: frozenset[str]) -> Nano:
        return price(patched(baseline, [patch for patch in patches if patch.tactic in members]))

    count, whole = len(tactics), factorial(len(tactics))
    shares: dict[str, int] = {}
    for tactic in tactics:
        others = [name for name in tactics if name != tactic]
        shares[tactic] = sum(
            factorial(size) * factorial(count - 1 - size) * (value(before) - value(before | {tactic}))
            for size in range(count)
            for before in map(frozenset, combinations(others, size))
        )
    rows = {tactic: share // whole for tactic, share in shares.items()}
    left = value(frozenset()) - value(frozenset(tactics)) - sum(rows.values())
    for tactic in sorted(tactics, key=lambda name: (-(shares[name] % whole), name))[:left]:
        rows[tactic] += 1
    return rows
