"""A busy app's ledger: every kind of event, many tenants, some days."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.prices import Prices
from thrift_plugins.stores.base import EventLog
from thrift_plugins.types import NO_USAGE, Overhead, Patch, Scope, Usage

START = 1_762_000_000.0  # 2025-11-01, 12:26:40 UTC
FEATURES = ("faq", "chat", "rag", "agent", "mail", "")
STRONG, CHEAP, UNKNOWN = "gpt-4o", "gpt-4o-mini", "acme-secret-1"
NEVER = Cost(STRONG, NO_USAGE, made=False)


def events(
    count: int, *, days: float = 30.0, tenants: int = 200, seed: int = 1, start: float = START
) -> Iterator[Event]:
    """Events in the order of time, spread over some days."""
    chance = random.Random(seed)
    for number in range(count):
        at = start + number * days * 86_400 / count
        scope = Scope(
            f"tenant-{chance.randrange(tenants)}",
            f"user-{chance.randrange(5000)}",
            chance.choice(FEATURES),
            f"s{number}",
        )
        yield _event(f"{int(at * 1e6):014x}{number:016x}", at, scope, chance)


def fill(
    log: EventLog, count: int, *, days: float = 30.0, tenants: int = 200, seed: int = 1, start: float = START
) -> None:
    """Price events and write them to a log, which stays open."""
    ledger = Ledger(log, Prices(), capacity=count + 1)
    for number, event in enumerate(events(count, days=days, tenants=tenants, seed=seed, start=start)):
        ledger.append(event)
        if number % 5_000 == 0:
            ledger.flush()
    assert ledger.flush()


def _event(name: str, at: float, scope: Scope, chance: random.Random) -> Event:
    source = "provider" if chance.random() < 0.95 else "estimated"
    usage = Usage(chance.randrange(100, 5000), chance.randrange(10, 900), source=source)  # type: ignore[arg-type]
    asked = Cost(STRONG, usage)
    plain = Event(name, at, "langchain", scope, "answered", asked, STRONG, usage, "stop")
    (kind,) = chance.choices(range(7), (30, 50, 5, 2, 1, 2, 10))
    changes: dict[str, Any] = {}
    match kind:
        case 0:
            hit = Patch("cache", "made", before=True, after=False)
            told = {"cache": {"hit": "exact", "age": 1.5}}
            changes = {"outcome": "hit", "served": "", "usage": NO_USAGE, "patches": (hit,), "extra": told}
        case 1:
            cheaper = Patch("routing", "model", STRONG, CHEAP, "modelled")
            changes = {"served": CHEAP, "patches": (cheaper,), "policy": "rules", "reasons": ("short",)}
        case 2:
            beside = Overhead("routing", CHEAP, usage, "rejected")
            changes = {"overheads": (beside,), "fallbacks": ("routing: cheap rejected (length)",)}
        case 3:
            renewal = Overhead("cache", STRONG, usage, "renewal")
            changes = {
                "baseline": NEVER,
                "served": "",
                "usage": NO_USAGE,
                "overheads": (renewal,),
                "extra": {"cache": {"renewal": True}},
            }
        case 4:
            changes = {"baseline": Cost(UNKNOWN, usage), "served": UNKNOWN}
        case 5:
            failed = Cost(STRONG, NO_USAGE)
            changes = {
                "outcome": "error",
                "baseline": failed,
                "served": "",
                "usage": NO_USAGE,
                "error": "RateLimitError",
            }
    return replace(plain, **changes)
