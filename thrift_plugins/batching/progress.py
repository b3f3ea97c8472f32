"""How far a journal's work has come, when it will be done, and what it costs: for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thrift_plugins.batching.records import Incident, Records
from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.prices import Prices
from thrift_plugins.types import Nano, Processing, Usage


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """Where a journal stands.

    Attributes:
        queued: lines that are still to be sent.
        sent: lines that the provider has.
        answered: lines with an answer.
        errored: lines that ended in an error.
        batches: every batch: model, count, state, times in seconds since the epoch, tokens.
        incidents: what a person should know of: double payments, promotions, missing results.
        cost: nano-dollars of what batches have answered, at batch price.
        standard: the same at standard price.
        unpriced: models among them that have no batch price in the list at that date: their cost is in neither sum.
        doubled: nano-dollars of what was paid twice, as the incidents say it: in neither sum, nor in any call's place in a ledger,
            because no call has it. Where a provider does not tell what was used, what that cost at most.
        eta: seconds until what is sent is answered at the pace of the batches before, None where nobody can say.
    """

    queued: int
    sent: int
    answered: int
    errored: int
    batches: Sequence[Mapping[str, Any]]
    incidents: Sequence[Incident]
    cost: Nano
    standard: Nano
    unpriced: tuple[str, ...]
    doubled: Nano
    eta: float | None

    @property
    def waiting(self) -> int:
        """Lines without an answer."""
        return self.queued + self.sent


def progress(journal: Records, prices: Prices, now: float) -> BatchProgress:
    """Where a journal stands."""
    batches = journal.batches()
    cost = standard = 0
    unpriced: set[str] = set()
    for batch in batches:
        if not batch["answered"]:
            continue
        paid, usual = price_of(prices, batch, "batch"), price_of(prices, batch, "standard")
        if paid is None or usual is None or paid >= usual:  # without a row of its own, a mode has the standard price
            unpriced.add(batch["model"])
        else:
            cost, standard = cost + paid, standard + usual
    incidents = journal.incidents()
    doubled = sum(incident.nano or 0 for incident in incidents if incident.kind == "duplicate")
    return BatchProgress(
        **journal.counts(), batches=batches, incidents=incidents, cost=cost, standard=standard,
        unpriced=tuple(sorted(unpriced)), doubled=doubled, eta=_eta(batches, now),
    )  # fmt: skip


def price_of(prices: Prices, batch: Mapping[str, Any], processing: Processing) -> Nano | None:
    """What the answers of a batch cost in a mode, None where the list has no price for that."""
    usage = Usage(
        input_tokens=batch["input_tokens"],
        output_tokens=batch["output_tokens"],
        cache_read=batch["cache_read"],
        source="provider",
    )
    return cost_of(prices, batch["model"], usage, processing, batch["made_at"])


def cost_of(prices: Prices, model: str, usage: Usage, processing: Processing, at: float) -> Nano | None:
    """What a usage costs in a mode, None where the list has no price for the model."""
    try:
        return prices.cost(model, usage, at=at, processing=processing)
    except UnknownModelPrice:
        return None


def most_of(prices: Prices, model: str, at: float) -> Nano | None:
    """What one call of a model costs at most in a batch: one that fills its context, with what is dearer."""
    window = prices.window(model)
    if window is None:
        return None
    costs = [cost_of(prices, model, usage, "batch", at) for usage in (Usage(window, 0), Usage(0, window))]
    return max((cost for cost in costs if cost is not None), default=None)


def _eta(batches: Sequence[Mapping[str, Any]], now: float) -> float | None:
    """By how long the last batches took: their pace is the provider's, and says more than their counts."""
    took = [
        batch["done_at"] - batch["sent_at"]
        for batch in batches
        if batch["state"] == "done" and batch["sent_at"] and batch["done_at"] and batch["ended"] != "stray"
    ][-5:]
    waiting = [
        batch["sent_at"] or batch["made_at"] for batch in batches if batch["state"] in ("planned", "sending", "sent")
    ]
    if not took or not waiting:
        return None
    usual: float = sorted(took)[len(took) // 2]
    return max(0.0, float(max(waiting)) + usual - now)
