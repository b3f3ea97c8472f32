"""Two independent counts of the same calls: the provider's and the ledger's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from thrift_plugins.prices import Prices
from thrift_plugins.testing import BilledCall
from thrift_plugins.types import Nano, Usage


@dataclass(frozen=True, slots=True)
class Billed:
    """What some model calls add up to. Tokens are whole calls' tokens; `cost` is in nano-dollars."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: Nano

    @classmethod
    def by_provider(cls, rows: Sequence[BilledCall], prices: Prices) -> Self:
        """What a provider counted on its side of the wire; refused requests are left out."""
        paid = [row for row in rows if row.status == 200]
        return cls(
            len(paid),
            sum(row.input_tokens for row in paid),
            sum(row.output_tokens for row in paid),
            sum(prices.cost(row.model, Usage(row.input_tokens, row.output_tokens)) for row in paid),
        )

    @classmethod
    def by_ledger(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """What ledger records say was paid: the answers, and what was paid beside them."""
        calls = input_tokens = output_tokens = cost = 0
        for record in records:
            used = [record["usage"]] if record["served_model"] else []
            used += [usage for _tactic, _reason, _model, usage, _processing in record["overheads"]]
            calls += len(used)
            input_tokens += sum(usage.get("input_tokens", 0) for usage in used)
            output_tokens += sum(usage.get("output_tokens", 0) for usage in used)
            cost += record["bill"]["actual"]
        return cls(calls, input_tokens, output_tokens, cost)
