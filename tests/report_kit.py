"""A month of a help desk with everything in it that a report can show: six tactics, a true holdout, flaws, leaks, odd names."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.gap import gap
from thrift_plugins.prices import Prices
from thrift_plugins.stores.base import EventLog
from thrift_plugins.types import NO_USAGE, Overhead, Patch, Scope, Usage

START: Final = 1_762_000_000.0  # 2025-11-01, 12:26:40 UTC
NOW: Final = datetime(2025, 12, 1, 9, 0, tzinfo=UTC)
STRONG, CHEAP, UNKNOWN, LOCAL = "gpt-4o", "gpt-4o-mini", "acme-secret-1", "gpt-4.1-nano"
HOLDOUT: Final = 0.1

PRICES: Final = Prices(
    {
        STRONG: {"input": 2.5, "output": 10, "batch_input": 1.25, "batch_output": 5},
        CHEAP: {"input": 0.15, "output": 0.6, "batch_input": 0.075, "batch_output": 0.3},
    }
)
"""With those of batches, which the price list has for later months only."""

MAIL, KEY, PHONE = "jane.doe@example.org", "sk-proj-0123456789abcdefghijkl", "+49 170 1234567"
TENANTS: Final = ("acme", "globex", "initech", "umbrella", "<b>hooli</b>", "ünïcode 株式会社", MAIL, KEY, PHONE, "=cmd()", "")


@dataclass(frozen=True)
class Feature:
    """How a feature is used: its share of the calls, the tokens of one, and how often each tactic acts."""

    name: str
    share: int
    tokens: tuple[int, int]
    tactics: dict[str, float]
    cut: float = 0.004
    refused: float = 0.002


FEATURES: Final = (
    Feature("faq", 40, (900, 250), {"cache": 0.35, "routing": 0.55, "distillation": 0.2}),
    Feature("contract review", 12, (9000, 900), {"compression": 0.7, "routing": 0.1}, cut=0.03),
    Feature("sql agent", 20, (3500, 300), {"routing": 0.3, "budget": 0.5}),
    Feature("tagging", 18, (500, 40), {"batch": 0.9, "routing": 0.9, "cache": 0.05}),
    Feature("small talk", 10, (300, 120), {"distillation": 0.1}, refused=0.02),
)


def events(count: int, *, days: float = 30.0, seed: int = 1) -> Iterator[Event]:
    """Events in the order of time; what the tactics do and who is in the holdout is drawn call by call."""
    chance = random.Random(seed)
    for number in range(count):
        at = START + number * days * 86_400 / count
        (feature,) = chance.choices(FEATURES, [each.share for each in FEATURES])
        tenant = TENANTS[min(int(chance.expovariate(0.5)), len(TENANTS) - 1)]
        scope = Scope(tenant, f"user-{chance.randrange(500)}", feature.name, f"s{number}")
        yield _event(f"{number:016x}", at, scope, feature, chance)
    yield replace(gap("gap/kit", START + days * 86_400 - 10, 12, "the log was down"))


def fill(log: EventLog, count: int = 6_000, *, days: float = 30.0, seed: int = 1) -> None:
    """Price events and write them to a log, which stays open."""
    ledger = Ledger(log, PRICES, capacity=count + 2)
    for event in events(count, days=days, seed=seed):
        ledger.append(event)
    assert ledger.flush()


def _event(name: str, at: float, scope: Scope, feature: Feature, chance: random.Random) -> Event:
    sent, got = (max(1, round(mean * chance.lognormvariate(0, 0.5))) for mean in feature.tokens)
    usage = Usage(sent, got, source="provider" if chance.random() < 0.97 else "estimated")
    plain = Event(name, at, "langchain", scope, "answered", Cost(STRONG, usage), STRONG, usage, _ending(feature, chance))
    odd = chance.random()
    if odd < 0.004:
        return replace(plain, baseline=Cost(UNKNOWN, usage), served=UNKNOWN)
    if odd < 0.010:
        error = chance.choice(["RateLimitError", "APITimeoutError", "BudgetExceeded", "Orphaned"])
        return replace(plain, outcome="error", served="", usage=NO_USAGE, baseline=Cost(STRONG, NO_USAGE), error=error,
                       finish_reason=None)  # fmt: skip
    if odd < 0.013:
        return replace(plain, outcome="aborted", finish_reason=None)
    if chance.random() < HOLDOUT:
        return replace(plain, extra={"holdout": True})
    return _treated(plain, feature, chance)


def _ending(feature: Feature, chance: random.Random) -> str:
    drawn = chance.random()
    return "length" if drawn < feature.cut else "content_filter" if drawn < feature.cut + feature.refused else "stop"


def _treated(event: Event, feature: Feature, chance: random.Random) -> Event:
    acting = [tactic for tactic, often in feature.tactics.items() if chance.random() < often]
    if "cache" in acting:
        patch = Patch("cache", "made", before=True, after=False)
        return replace(event, outcome="hit", served="", usage=NO_USAGE, patches=(patch,), extra={"cache": {"hit": "exact"}})
    patches: list[Patch] = []
    usage, served, overheads = event.usage, STRONG, list[Overhead]()
    for tactic in acting:
        if tactic in ("routing", "distillation"):
            served = CHEAP if tactic == "routing" else LOCAL
            patches.append(Patch(tactic, "model", STRONG, served, "modelled"))
        elif tactic == "batch":
            patches.append(Patch("batch", "processing", "standard", "batch", "counted"))
        elif tactic == "compression":
            less = replace(usage, input_tokens=usage.input_tokens * 6 // 10)
            patches.append(Patch("compression", "usage", usage, less, "counted"))
            usage = less
        else:
            more = replace(usage, output_tokens=usage.output_tokens * 14 // 10)
            patches.append(Patch("budget", "usage", more, usage, "modelled"))
            event = replace(event, baseline=Cost(STRONG, more))
    changes: dict[str, Any] = {"patches": tuple(patches), "served": served, "usage": usage}
    if "routing" in acting and chance.random() < 0.08:
        overheads.append(Overhead("routing", CHEAP, usage, "rejected"))
        changes |= {"served": STRONG, "patches": (), "fallbacks": ("routing: gpt-4o-mini rejected (length)",)}
        changes |= {"usage": event.baseline.usage}
    if "distillation" in feature.tactics and feature.name == "small talk":
        overheads.append(Overhead("distillation", LOCAL, Usage(4000, 400), "training"))
    return replace(event, **changes, overheads=tuple(overheads))
