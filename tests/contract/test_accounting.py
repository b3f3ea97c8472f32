"""The ledger against the provider's own counters, over mixed calls of both frameworks: no token and no cent between them.

600 calls by default; `THRIFT_TEST_SCALE=17` makes it more than 10,000.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import httpx
import openai
import pytest

from tests.traffic import CHEAP, MARK, STRONG, App, LangChainApp, LlamaIndexApp, Plan, prompt
from thrift_plugins import Config, Runtime, scope
from thrift_plugins.ledger import summarise
from thrift_plugins.testing import LoopbackProvider

CALLS = int(600 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))
PRICES = {CHEAP: {"input": 0.153, "output": 0.611}, STRONG: {"input": 2.507, "output": 10.009}}
"""US dollars per million tokens. A thousand times that is a whole number of nano-dollars a token."""

NANO_PER_TOKEN = {model: (Fraction(str(p["input"])) * 1000, Fraction(str(p["output"])) * 1000) for model, p in PRICES.items()}
POOL = 12


@dataclass
class Traffic:
    """Makes calls of every kind; a method a kind. Counts the calls that our models were asked for."""

    plan: Plan
    made: Counter[str] = field(default_factory=Counter)

    async def whole(self, app: App, text: str, number: int) -> None:
        """Synchronously in a thread, or as a task."""
        if number % 4 < 2:
            await asyncio.to_thread(app.whole, text)
        else:
            await app.awhole(text)

    async def streamed(self, app: App, text: str, number: int, *, told: bool, stop_after: int | None = None) -> None:
        """A stream, left after so many pieces with words in them."""
        if number % 4 < 2:
            await asyncio.to_thread(_read, app, text, told, stop_after)
        else:
            await _aread(app, text, told, stop_after)

    async def plain(self, app: App, number: int) -> None:
        await self.whole(app, prompt("plain", number), number)

    async def pool(self, app: App, number: int) -> None:
        await self.whole(app, prompt("pool", number % POOL), number)

    async def stream(self, app: App, number: int) -> None:
        text = prompt("stream", number if number % 3 else number % POOL)
        await self.streamed(app, text, number, told=number % 8 < 4)

    async def stall(self, app: App, number: int) -> None:
        pieces = 1 + number % 14
        await self.streamed(app, prompt("stall", number, pieces), number, told=number % 8 < 4, stop_after=pieces)

    async def cut(self, app: App, number: int) -> None:
        """A task that is cancelled while it waits for the next piece."""
        pieces = 1 + number % 14
        seen = asyncio.Event()
        task = asyncio.ensure_future(_aread(app, prompt("cut", number, pieces), number % 8 < 4, None, (pieces, seen)))
        await seen.wait()
        await _cancelled(task)

    async def broken(self, app: App, number: int) -> None:
        with suppress(httpx.RemoteProtocolError, openai.APIConnectionError):
            await self.streamed(app, prompt("broken", number, 1 + number % 9), number, told=True)

    async def cancel(self, app: App, number: int) -> None:
        await self.left(app.awhole, prompt("cancel", number))

    async def leave(self, app: App, number: int) -> None:
        await self.left(lambda text: _aread(app, text, True, None), prompt("leave", number))

    async def canceltool(self, app: App, number: int) -> None:
        await self.left(app.atool, prompt("canceltool", number))

    async def cancelturns(self, app: App, number: int) -> None:
        await self.left(app.aturns, prompt("cancelturns", number))

    async def cancelobject(self, app: App, number: int) -> None:
        await self.left(lambda text: app.aobject(text, number), prompt("cancelobject", number))

    async def left(self, ask: Callable[[str], Awaitable[None]], text: str) -> None:
        """A task that is cancelled once the provider has the prompt."""
        task = asyncio.ensure_future(ask(text))
        mark = MARK.search(text)
        assert mark is not None
        while not self.plan.arrived[mark[0]].is_set():  # noqa: ASYNC110  the provider's thread sets it
            await asyncio.sleep(0.001)
        await _cancelled(task)

    async def retry(self, app: App, number: int) -> None:
        refusals = 1 + number % 2
        await asyncio.to_thread(app.retry, prompt("retry", number, refusals))
        self.made["retry"] += refusals

    async def sdk(self, app: App, number: int) -> None:
        refusals = 1 + number % 2
        await asyncio.to_thread(app.sdk, prompt("sdk", number, refusals))
        if app.sdk == getattr(app, "retry", None):
            self.made["sdk"] += refusals

    async def fallback(self, app: App, number: int) -> None:
        await self.whole(app, prompt("fallback", number), number)

    async def lost(self, app: App, number: int) -> None:
        await self.whole(app, prompt("lost", number), number)

    async def truncate(self, app: App, number: int) -> None:
        await self.whole(app, prompt("truncate", number), number)

    async def refused(self, app: App, number: int) -> None:
        with pytest.raises(openai.BadRequestError):
            await self.whole(app, prompt("refused", number), number)

    async def badtool(self, app: App, number: int) -> None:
        await self.tool(app, number, "badtool")

    async def tool(self, app: App, number: int, kind: str = "tool") -> None:
        text = prompt(kind, number)
        if number % 4 < 2:
            await asyncio.to_thread(app.tool, text)
        else:
            await app.atool(text)

    async def toolstream(self, app: App, number: int) -> None:
        await asyncio.to_thread(list, app.toolstream(prompt("toolstream", number)))

    async def halftool(self, app: App, number: int) -> None:
        """A stream that breaks in the middle of a tool call."""
        with suppress(httpx.RemoteProtocolError, openai.APIConnectionError):
            await asyncio.to_thread(list, app.toolstream(prompt("halftool", number, 4 + number % 9)))

    async def object(self, app: App, number: int) -> None:
        text = prompt("object", number)
        if number % 4 < 2:
            await asyncio.to_thread(app.object, text, number)
        else:
            await app.aobject(text, number)


KINDS = (
    "plain", "plain", "pool", "pool", "pool", "pool", "stream", "stream", "stream", "stall", "stall", "cut", "broken", "cancel",
    "leave", "canceltool", "cancelturns", "cancelobject", "retry", "sdk", "fallback", "lost", "truncate", "refused",
    "badtool", "tool", "toolstream", "halftool", "object",
)  # fmt: skip


def _read(app: App, text: str, told: bool, stop_after: int | None) -> None:
    seen = 0
    with closing(app.stream(text, told=told)) as stream:
        for piece in stream:
            seen += bool(app.said(piece))
            if seen == stop_after:
                return


async def _aread(
    app: App, text: str, told: bool, stop_after: int | None, tell: tuple[int, asyncio.Event] | None = None
) -> None:
    seen = 0
    async with aclosing(await app.astream(text, told=told)) as stream:
        async for piece in stream:
            seen += bool(app.said(piece))
            if tell and seen == tell[0]:
                tell[1].set()
            if seen == stop_after:
                return


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def run(traffic: Traffic, apps: list[App]) -> None:
    """All calls, 16 at a time, half of them in threads."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        kind = random.Random(number).choice(KINDS)
        async with gate:
            with scope(feature=kind):
                traffic.made[kind] += 1
                await getattr(traffic, kind)(apps[number % 2], number)

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(8))
    async with asyncio.TaskGroup() as group:
        for number in range(CALLS):
            group.create_task(one(number))


Tokens = dict[tuple[str, str], list[int]]
"""Kind and model to input and output tokens."""


def billed(provider: LoopbackProvider) -> Tokens:
    """What the provider counted."""
    kinds = {request.number: MARK.search(request.text) for request in provider.requests}
    sums: Tokens = defaultdict(lambda: [0, 0])
    for row in provider.billed:
        kind = kinds[row.number]
        assert kind is not None
        place = sums[kind[1], row.model]
        place[0] += row.input_tokens
        place[1] += row.output_tokens
    return {where: counts for where, counts in sums.items() if any(counts)}


def booked(records: list[dict[str, Any]]) -> Tokens:
    """What the ledger says was used: by the answers, and beside them. Hits used nothing."""
    sums: Tokens = defaultdict(lambda: [0, 0])
    for entry in records:
        used = [(entry["served_model"], entry["usage"]), *((o[2], o[3]) for o in entry["overheads"])]
        for model, usage in used:
            place = sums[entry["feature"], model]
            place[0] += usage.get("input_tokens", 0)
            place[1] += usage.get("output_tokens", 0)
    return {where: counts for where, counts in sums.items() if any(counts)}


def by_model(tokens: Tokens) -> dict[str, tuple[int, int]]:
    """The same, of each model in all."""
    sums: dict[str, tuple[int, int]] = {}
    for (_, model), (sent, got) in tokens.items():
        before = sums.get(model, (0, 0))
        sums[model] = (before[0] + sent, before[1] + got)
    return sums


def nano(model: str, usage: Mapping[str, int]) -> Fraction:
    """What a usage costs, by the price list at the top of this file and nothing else."""
    sent, got = NANO_PER_TOKEN[model]
    return sent * usage.get("input_tokens", 0) + got * usage.get("output_tokens", 0)


def check_money(records: list[dict[str, Any]]) -> None:
    for entry in records:
        bill = entry["bill"]
        beside = sum((nano(o[2], o[3]) for o in entry["overheads"]), Fraction(0))
        paid = nano(entry["served_model"], entry["usage"]) if entry["served_model"] else Fraction(0)
        assert bill["actual"] == paid + beside, entry
        assert bill["baseline"] == nano(entry["requested_model"], entry["baseline"]["usage"]), entry
        assert sum(bill["rows"].values()) + sum(bill["overheads"].values()) + bill["actual"] == bill["baseline"], entry


async def test_the_ledger_and_the_provider_agree_to_the_token():
    runtime = Runtime(Config(store="memory:", prices=PRICES))
    plan = Plan()
    traffic = Traffic(plan)
    with LoopbackProvider(keep_requests=10 * CALLS) as provider, httpx.Client(verify=False) as client:
        async with httpx.AsyncClient(verify=False) as async_client:
            provider.faults.rule(plan.fault)
            provider.script(plan.answer)
            clients = {"http_client": client, "http_async_client": async_client}
            apps: list[App] = [app(provider, runtime, clients) for app in (LangChainApp, LlamaIndexApp)]
            await run(traffic, apps)
        assert provider.wait_idle(10)
        told, total = billed(provider), {m: (u.input_tokens, u.output_tokens) for m, u in provider.totals.items()}
    # With tools, a cheap answer is asked for whole, to be checked before a stream shows it: where its connection breaks,
    # what there was of it is not known on this side.
    unknown, told["halftool", CHEAP][1] = told["halftool", CHEAP][1], 0
    total[CHEAP] = (total[CHEAP][0], total[CHEAP][1] - unknown)
    assert runtime.ledger is not None
    records = list(runtime.ledger.records())
    ours = booked(records)

    assert len(records) == sum(traffic.made.values())
    assert Counter(entry["feature"] for entry in records) == traffic.made
    assert (runtime.ledger.dropped, runtime.ledger.waiting) == (0, 0)
    assert {where: counts for where, counts in ours.items() if told.get(where) != counts} == {}
    assert by_model(ours) == total
    check_money(records)
    summary = summarise(records)
    assert summary.total.closes()
    assert summary.total.actual == sum(nano(m, {"input_tokens": i, "output_tokens": o}) for m, (i, o) in total.items())
    assert not summary.total.unpriced
    assert {"answered", "hit", "aborted", "cancelled", "error"} == set(summary.total.outcomes)
    assert summary.total.overheads["routing"] < 0
    runtime.close()
