"""What each tactic did lately, and what to do next, by dollars: from the ledger of the last thirty days."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import orjson

from thrift_plugins.cli.checks.finding import Finding, State
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.ledger.rollup import Rollup, roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.report.actions import Action
from thrift_plugins.report.advice import advice
from thrift_plugins.report.story import tell
from thrift_plugins.report.wording import digits_of, money, shown
from thrift_plugins.stores import ledger_beside, open_event_log
from thrift_plugins.stores.base import ScannedLog
from thrift_plugins.types import Nano

_DAYS = 30
_ACTIONS = 5


def worth(config: Config, on: frozenset[str]) -> Iterator[Finding]:
    """What the ledger says of the tactics.

    Args:
        on: the names of those that are on, as in the ledger.
    """
    url = config.ledger.url or ledger_beside(config.store)
    on_a_server = "://" in url and not url.lower().startswith("sqlite:")
    if not config.ledger.enabled or on_a_server or url.startswith("memory:"):
        return  # nothing is kept, or events only wait there
    try:
        with closing(open_event_log(url)) as log:
            yield from _told(log, config, on)
    except (ConfigError, StoreError):
        return  # which the ledger's own check has said


def _told(log: ScannedLog, config: Config, on: frozenset[str]) -> Iterator[Finding]:
    now = time.time()
    since = now - _DAYS * 86_400
    rollup = roll_up(log.bodies(since))
    if not rollup.total.requests:
        yield Finding("lately", "calls", f"none in the last {_DAYS} days, so nobody knows what to turn on next")
        return
    yield from _lately(rollup, on)
    advised = advice(lambda: map(orjson.loads, log.bodies(since)), Prices(config.prices), at=now)
    found = [
        (action.amount or 0, action.what[0].lower() + action.what[1:], _why(action)) for action in tell(rollup).actions
    ]
    found += [(each.amount, each.told, f"about {_money(each.amount)} a month, {each.why}") for each in advised]
    for place, (_, what, why) in enumerate(sorted(found, key=lambda told: -told[0])[:_ACTIONS], 1):
        yield Finding("next", f"{place}.", f"{shown(what)}: {shown(why)}")
    if not found:
        yield Finding("next", "-", "nothing that the ledger can see; 'thrift-plugins replay' on your own log sees more")


def _lately(rollup: Rollup, on: frozenset[str]) -> Iterator[Finding]:
    total = rollup.total
    digits = digits_of(total.baseline)
    told = f"{total.requests:,} calls in {_DAYS} days: {money(total.baseline, digits)} without us, {money(total.actual, digits)} paid"
    yield Finding("lately", "calls", told)
    acted = {*total.by_tactic, *total.overheads} - {"retries"}
    for tactic in sorted(acted | on, key=lambda name: -total.by_tactic[name]):
        if tactic not in acted:
            yield Finding("lately", tactic, "is on and has done nothing", State.note)
            continue
        saved, beside = total.by_tactic[tactic], -total.overheads[tactic]
        cost = f", for {money(beside, digits)} beside the answers" if beside else ""
        loses = saved < beside
        share = f" ({saved / total.baseline:.1%})" if total.baseline else ""
        yield Finding("lately", tactic, f"saved {money(saved, digits)}{share}{cost}", State.note if loses else State.ok)


def _why(action: Action) -> str:
    if action.amount is None:
        return action.why
    about = "about " if action.basis == "modelled" else ""
    return f"{about}{_money(action.amount)} in {_DAYS} days; {action.why}"


def _money(amount: Nano) -> str:
    return money(amount, digits_of(amount))
