"""Deadlines of batches over random outages, on a clock of their own: each is met, and what that cost is told.

100 outages by default; THRIFT_TEST_SCALE=10 makes it 1,000.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path
from random import Random

import orjson

from tests.batch_outages import DAY, OutageClient, Outages
from tests.virtual_time import VirtualLoop, run_virtually
from thrift_plugins.batching.client import Address
from thrift_plugins.batching.courier import Courier
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.journal_sqlite import SQLiteJournal
from thrift_plugins.batching.lots import lead
from thrift_plugins.batching.pending import Pending, content_key
from thrift_plugins.batching.progress import cost_of
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.prices import Prices
from thrift_plugins.types import Usage

CASES = max(20, int(100 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))))
START = 1_800_000_000.0
URL = "/v1/chat/completions"
PRICES = Prices(clock=lambda: START)


def spans(draw: Random, until: float, most: float) -> list[tuple[float, float]]:
    """Some outages before a time, each no longer than `most`."""
    starts = (draw.uniform(START, until) for _ in range(draw.randint(0, 4)))
    return [(start, start + draw.uniform(0.0, most)) for start in starts]


def outages(draw: Random, deadline: float) -> Outages:
    """Outages of everything; calls made at once come back in time for the last part of what is left, or none could be met."""
    span = deadline - START
    last = deadline - lead(deadline, START) / 3
    instant = [(start, min(end, last)) for start, end in spans(draw, deadline, span) if start < last]
    return Outages(
        api=spans(draw, deadline, span * draw.choice((0.01, 0.2, 2.0))),
        work=spans(draw, deadline, span * draw.choice((0.1, 1.0))),
        flex=spans(draw, deadline, span * draw.choice((0.05, 1.0))),
        instant=instant,
    )


class Case:
    """Requests with deadlines and without, and how they end."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draw = Random(seed)
        self.loop = VirtualLoop(START)
        self.deadline = START + self.draw.choice((600.0, 3600.0, 4 * 3600.0, 20 * 3600.0, DAY)) * self.draw.uniform(
            0.5, 1.5
        )
        faults = outages(self.draw, self.deadline)
        needs = partial(self.draw.uniform, 60.0, self.draw.choice((600.0, DAY, 3 * DAY)))
        self.client = OutageClient(self.loop.time, faults, self.draw, needs)
        self.journal = SQLiteJournal(folder / f"{seed}.db", self.client.account, retention=1e9, now=START)
        self.settings = BatchSettings()
        self.answered: dict[bytes, tuple[float, str]] = {}

    def cost(self, model: str, usage: Usage, processing: object) -> int | None:
        return cost_of(PRICES, model, usage, processing, START)

    async def run(self) -> None:
        courier = Courier(Desk(self.client, self.journal, self.settings, self.loop.time, self.cost))
        courier.start()
        asked = [self.pending(number) for number in range(self.draw.randint(1, 12))]
        waiters = [self.wait(one) for one in asked]
        courier.take(asked)
        self.deadlines = {one.key: one.deadline for one in asked}
        self.models = {one.key: one.address.model for one in asked}
        await asyncio.gather(*waiters)
        while courier.carrying:  # noqa: ASYNC110  (of a clock that is ours)
            await asyncio.sleep(10)
        await courier.stop()

    def pending(self, number: int) -> Pending:
        model = self.draw.choice(("gpt-5-mini", "gpt-4o-mini"))
        body = {"model": model, "messages": [{"role": "user", "content": f"question {number}"}]}
        address = Address(model, URL)
        deadline = self.deadline if self.draw.random() < 0.7 else None
        waiter = self.loop.create_future()
        return Pending(content_key("a", address, body, 0), address, orjson.dumps(body), deadline, waiter)

    async def wait(self, pending: Pending) -> None:
        answer = await pending.waiter  # type: ignore[misc]
        assert answer.status == 200, answer
        self.answered[pending.key] = (self.loop.time(), answer.processing)


def test_every_deadline_is_met_and_every_promotion_priced(tmp_path: Path) -> None:
    promoted = late = 0
    for seed in range(CASES):
        case = Case(seed, tmp_path)
        try:
            run_virtually(case.run(), case.loop)
            incidents = [incident for incident in case.journal.incidents() if incident.kind == "promoted"]
        finally:
            case.journal.close()
        for key, (at, processing) in case.answered.items():
            deadline = case.deadlines[key]
            assert deadline is None or at <= deadline, f"case {seed}: {at - (deadline or 0):.0f} s late"
            assert deadline is not None or processing == "batch", f"case {seed}: promoted without a deadline"
        dearer = [processing for _, processing in case.answered.values() if processing != "batch"]
        assert sum(incident.lines for incident in incidents) == len(dearer), f"case {seed}"
        assert all(incident.nano is not None for incident in incidents), f"case {seed}"
        assert sum(incident.nano or 0 for incident in incidents) == priced(case), f"case {seed}"
        promoted += len(dearer)
        late += len(case.answered)
    assert 0 < promoted < late


def priced(case: Case) -> int:
    """What the promotions cost more than batches, from the price list alone."""
    usage = Usage(1000, 200)
    total = 0
    for key, (_, processing) in case.answered.items():
        if processing != "batch":
            model = case.models[key]
            total += PRICES.cost(model, usage, at=START, processing=processing) - PRICES.cost(
                model, usage, at=START, processing="batch"
            )  # type: ignore[arg-type]
    return total
