"""What a log tells of an app's bill, through the real engine: what a cache would have answered, and what could be routed.

Only what was answered is known. A repeat that the cache answers is: its answer is in the log, and the one that the model gave
instead is beside it, to compare. What another model would have said, or this one to a shorter prompt, is in no log.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from thrift_plugins import drive
from thrift_plugins.config import Config, LedgerConfig, OutputConfig, QualityConfig, RoutingConfig
from thrift_plugins.effects import Call, Replay
from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.ledger import Line, Summary
from thrift_plugins.ledger.summary import is_call
from thrift_plugins.prices import Prices
from thrift_plugins.quality import AutoJudge, Judgement
from thrift_plugins.replay.logs.formats import Log
from thrift_plugins.replay.logs.logged import Logged
from thrift_plugins.routing import RuleRouter, turn_of
from thrift_plugins.runtime import Runtime
from thrift_plugins.stores import open_store
from thrift_plugins.types import NO_USAGE, Nano, Reply, Request, Tier

_DAY: Final = 86_400


@dataclass(slots=True)
class Routable:
    """What the rules would send to a cheaper model.

    Attributes:
        calls: how many.
        bill: nano-dollars that they have cost.
        cheaper: the same at the cheaper model's prices, for as many tokens: a guess, as another model counts and answers
            otherwise.
    """

    calls: int = 0
    bill: Nano = 0
    cheaper: Nano = 0


@dataclass(slots=True)
class Study:
    """What was found in a log. Money in nano-dollars.

    Attributes:
        bill: of all calls, by the prices of their time: `baseline` as they were, `actual` with a cache before them.
        saved_by_day: day since the epoch to what the cache has saved.
        paid: US dollars that the log itself says it cost, of the calls of which it does.
        priced: what those cost by our prices.
        failed: calls without an answer, by why; they are in no sum.
        cached: calls that a cache of theirs has answered already; they are in no sum.
        wordless: calls of which the log has no prompt or no answer: nothing could have been answered for them.
        unmeasured: calls of which it has neither all words nor tokens, so that nobody can say what they cost; they are in no sum.
        compared: what a hit would have given, beside what was answered then.
        could: what the rules would send to `cheaper`.
        sample: some of those, drawn by chance.
    """

    name: str
    format: str
    bill: Summary = field(default_factory=Summary)
    saved_by_day: Counter[int] = field(default_factory=Counter)
    calls: int = 0
    start: float = 0.0
    end: float = 0.0
    paid: float = 0.0
    priced: Nano = 0
    failed: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    wordless: int = 0
    unmeasured: int = 0
    tenants: int = 0
    nameless: int = 0
    compared: Counter[Judgement] = field(default_factory=Counter)
    cheaper: str = ""
    could: Routable = field(default_factory=Routable)
    sample: list[Logged] = field(default_factory=list)

    @property
    def total(self) -> Line:
        """Of all features."""
        return self.bill.total


def study(
    log: Log,
    config: Config,
    folder: Path,
    *,
    cheaper: str | None = None,
    sample: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> Study:
    """Every call of a log, on the log's clock, with a cache before it.

    Args:
        config: whose cache settings and prices count. Its store and its ledger are left alone.
        folder: an empty one, for a store.
        cheaper: the model that the rules may choose; None for the cheapest of the log's.
        sample: calls to draw from those that the rules would send elsewhere.

    Raises:
        TraceError: the log cannot be read.
    """
    found = Study(log.path.name, log.format.title)
    clock = _Clock()
    settings = replace(
        config, store="memory:", routing=RoutingConfig(enabled=False), output=OutputConfig(), budgets=(),
        quality=QualityConfig(), ledger=LedgerConfig(holdout=0.0),
    )  # fmt: skip
    store = open_store(str(folder / "replay.db"), clock=clock)
    runtime = Runtime(settings, store=store, event_log=_Tally(found), clock=clock)
    with closing(runtime):
        router = _Router(found, runtime.prices, log, cheaper, sample)
        tenants = set[int]()
        for call in log:
            found.calls += 1
            found.start, clock.now = found.start or call.at, call.at
            found.end = max(found.end, call.at)
            found.nameless += not call.scope.tenant
            if len(tenants) < _MANY:
                tenants.add(hash(call.scope.tenant))
            _ask(call, found, runtime, router)
            progress()
        if runtime.ledger:
            runtime.ledger.flush()
    found.tenants = len(tenants)
    return found


_MANY: Final = 10_000


class _Clock:
    """The log's."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Tally:
    """A log of events that adds them up and keeps none."""

    def __init__(self, found: Study) -> None:
        self._found = found

    def extend(self, rows: Any) -> int:
        bill, days, count = self._found.bill, self._found.saved_by_day, 0
        for count, (_, at, body) in enumerate(rows, 1):  # noqa: B007
            entry = orjson.loads(body)
            bill.total.add(entry)
            bill.by_feature.setdefault(entry["feature"], Line()).add(entry)
            if is_call(entry):
                days[int(at // _DAY)] += entry["bill"]["baseline"] - entry["bill"]["actual"]
        return count

    def rows(self) -> Iterator[tuple[str, float, str]]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""


class _Recorded:
    """Answers as the log did, and compares what a hit would have given."""

    def __init__(self, call: Logged, request: Request, found: Study) -> None:
        self._call, self._request, self._found = call, request, found

    def call(self, effect: Call | Replay) -> Reply:
        own = self._call.reply or Reply("", self._call.usage, finish_reason="stop", storable=False)
        if isinstance(effect, Replay) and not effect.tried:
            self._compare(effect.reply, own)
        return own

    async def acall(self, effect: Call | Replay) -> Reply:
        return self.call(effect)

    def quiet(self) -> _Recorded:
        return self

    def aside(self) -> _Recorded:
        return self

    def _compare(self, given: Reply, own: Reply) -> None:
        if not _JUDGE.reads(self._request, own):
            return
        judging = _JUDGE.judge(self._request, given, own)
        try:
            next(judging)
        except StopIteration as end:
            if end.value is not None:
                self._found.compared[end.value] += 1


_JUDGE: Final = AutoJudge()


class _Router:
    """What the rules would do with a cheaper model beside the one that was asked."""

    def __init__(self, found: Study, prices: Prices, log: Log, cheaper: str | None, sample: int) -> None:
        self._found, self._prices, self._log, self._sample = found, prices, log, sample
        self._wanted = cheaper
        self._chance = random.Random(0)  # noqa: S311  a sample, and the same again for the same log
        self._rules = RuleRouter()
        self._costs: dict[str, float] = {}

    def look(self, call: Logged, request: Request) -> None:
        """Count a call that the rules would send elsewhere."""
        cheap = self._found.cheaper = self._found.cheaper or self._wanted or self._cheapest()
        if not cheap or not self._cost(cheap) < self._cost(call.model) < float("inf"):
            return
        tiers = (Tier(cheap, cheap), Tier(call.model, call.model))
        if self._rules.decide(turn_of(request), tiers, 1).tier:
            return
        could = self._found.could
        could.calls += 1
        could.bill += self._prices.cost(call.model, call.usage, at=call.at)
        could.cheaper += self._prices.cost(cheap, call.usage, at=call.at)
        self._draw(call, could.calls)

    def _draw(self, call: Logged, seen: int) -> None:
        """Keep a sample in which each has had the same chance."""
        sample = self._found.sample
        if len(sample) < self._sample:
            sample.append(call)
        elif self._sample and (place := self._chance.randrange(seen)) < self._sample:
            sample[place] = call

    def _cheapest(self) -> str:
        priced = [model for model in self._log.models if self._cost(model) != float("inf")]
        return min(priced, key=lambda model: (self._cost(model), model), default="")

    def _cost(self, model: str) -> float:
        """Of a thousand tokens in and a hundred out; infinite without a price, of which nobody can say that it is less."""
        known = self._costs.get(model)
        if known is None:
            try:
                rates = self._prices.rates(model)
                known = 10 * rates.input + rates.output
            except UnknownModelPrice:
                known = float("inf")
            self._costs[model] = known
        return known


def _ask(call: Logged, found: Study, runtime: Runtime, router: _Router) -> None:
    if call.error:
        found.failed[call.error] += 1
        return
    if call.cached:
        found.cached += 1
        return
    known = call.usage != NO_USAGE
    whole = bool(call.messages) and call.reply is not None
    if not known and not whole:
        found.unmeasured += 1
        return
    found.wordless += not whole
    request = Request(
        id=f"{found.calls}", at=call.at, model=call.model, messages=call.messages, tools=call.tools, schema=call.schema,
        params=call.params, identity=f"log {call.model}", scope=call.scope, cacheable=whole,
        baseline_usage=replace(call.usage, source="replayed") if known else None,
    )  # fmt: skip
    flow = runtime.engine.call(request, (Tier(call.model, call.model),), 0, dialect="log")
    ledger = runtime.ledger
    if ledger and ledger.waiting >= runtime.config.ledger.capacity // 2:
        ledger.flush()
    drive.run(flow, runtime, _Recorded(call, request, found))
    if known:
        _compare_prices(call, found, runtime.prices)
        if call.messages:
            router.look(call, request)


def _compare_prices(call: Logged, found: Study, prices: Prices) -> None:
    """What the log says that a call cost, beside our own price of it."""
    if call.paid is None:
        return
    try:
        found.priced += prices.cost(call.model, call.usage, at=call.at)
    except UnknownModelPrice:
        return
    found.paid += call.paid


def unknowns(found: Study, config: Config) -> list[str]:
    """What the log cannot tell, in sentences."""
    told: list[str] = []
    if found.could.calls and not found.sample:
        told.append(
            f"whether {found.cheaper} answers the {found.could.calls:,} calls as well that could go there, and at what length: "
            f"it was never asked them. --ask {found.cheaper} asks a sample"
        )
    if found.wordless:
        told.append(
            f"what a cache would have answered of {found.wordless:,} calls whose prompt or answer is not in the log"
        )
    if found.unmeasured:
        told.append(
            f"what {found.unmeasured:,} calls cost of which neither tokens nor all words are in the log; they are in no sum"
        )
    if found.tenants <= 1 and found.nameless and found.total.outcomes["hit"]:
        told.append(
            "whose calls they are: the log names no tenant, so hits are counted across all of its users. If answers must not be "
            "shared, name the field that keeps them apart with --tenant"
        )
    told.append("what shorter answers or prompts would save: the model was never asked for any")
    if config.quality.enabled or config.output.mode != "off" or config.budgets:
        told.append(
            "what output budgets, budgets and the quality gate of these settings would have done; they were left out"
        )
    return told


def figures(found: Study) -> Mapping[str, Any]:
    """All figures as JSON: money in US dollars."""
    total, usd = found.total, 1e9
    judged = found.compared.total()
    return {
        "format": found.format,
        "calls": found.calls,
        "bill_usd": total.baseline / usd,
        "with_cache_usd": total.actual / usd,
        "saved_by_cache_usd": (total.baseline - total.actual) / usd,
        "hits": total.outcomes["hit"],
        "hits_judged": judged,
        "hits_same": found.compared["same"],
        "failed": found.failed.total(),
        "cached_already": found.cached,
        "without_words": found.wordless,
        "without_words_or_tokens": found.unmeasured,
        "unpriced": dict(total.unpriced),
        "paid_as_logged_usd": found.paid,
        "priced_of_those_usd": found.priced / usd,
        "cheaper_model": found.cheaper,
        "routable_calls": found.could.calls,
        "routable_bill_usd": found.could.bill / usd,
        "routable_at_cheaper_usd": found.could.cheaper / usd,
        "by_feature": {
            name: {
                "calls": line.requests,
                "bill_usd": line.baseline / usd,
                "with_cache_usd": line.actual / usd,
            }
            for name, line in sorted(found.bill.by_feature.items())
        },
    }
