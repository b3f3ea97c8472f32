"""`thrift-plugins simulate`: what a change would be worth, on the calls that the ledger has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer

from thrift_plugins.cli.booked import LedgerUrl, Since, Until, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thrift_plugins.learning.survey import Estimate
    from thrift_plugins.ledger.whatif import Simulated, Simulation, WhatIf
    from thrift_plugins.stores.base import ScannedLog

_MOST_FEATURES = 10


def simulate(
    batch: Annotated[
        list[str] | None, typer.Option(help="A feature at batch prices, '*' for every one. May be repeated.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="FEATURE=MODEL: answered by another model.")] = None,
    input: Annotated[  # noqa: A002  the option's name
        list[str] | None, typer.Option(help="FEATURE=0.5: prompts of half the length.")
    ] = None,
    output: Annotated[list[str] | None, typer.Option(help="FEATURE=0.7: answers of 70 % of the length.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="TACTIC, or FEATURE=TACTIC: without it.")] = None,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
    json_file: JsonFile = None,
) -> None:
    """Say what a change would save a month, with its interval, by pricing the calls of the ledger again, at today's prices.

    Without a change: batch for each feature. Tokens stay as they were counted; how good other answers are, the quality gate or
    'replay --ask' can tell, and no ledger.
    """
    from thrift_plugins.ledger.whatif import simulate as simulated
    from thrift_plugins.prices import Prices

    start, end = between(since, until)
    whats = _wanted(batch, model, {"input": input, "output": output}, off)
    prices = Prices(settings(config).prices)
    with ledger_of(config, ledger) as log:
        whats = whats or _by_default(log, start, end)
        found = simulated(map(orjson.loads, log.bodies(start, end)), whats, prices, at=time.time())
    if not found.calls:
        raise ConfigError("the ledger has no call in this time, or none with a price")
    _print(found)
    if json_file is not None:
        write_figures(json_file, figures(found))


def figures(found: Simulation) -> dict[str, Any]:
    """All of it as JSON, money in whole nano-dollars, but for a month's: US dollars."""
    return {
        "calls": found.calls,
        "booked_nano": found.booked,
        "repriced_nano": found.repriced,
        "unpriced": found.unpriced,
        "what_if": [
            {
                "what": result.what.title,
                "kind": result.what.kind,
                "feature": result.what.feature,
                "calls": result.calls,
                "paid_nano": result.paid,
                "would_nano": result.would,
                "saved_nano": result.saved,
                "unpriced": result.unpriced,
                "days": len(found.days(result)),
                "saved_a_month_usd": None
                if not result.calls or (month := _month(found, result)) is None
                else [month.low, month.value, month.high],
            }
            for result in found.results
        ],
    }


def _wanted(
    batch: Sequence[str] | None,
    model: Sequence[str] | None,
    shares: Mapping[Literal["input", "output"], Sequence[str] | None],
    off: Sequence[str] | None,
) -> list[WhatIf]:
    from thrift_plugins.ledger.whatif import WhatIf

    whats = [WhatIf("batch", feature) for feature in batch or ()]
    whats += [WhatIf("model", *_pair("--model", told, "faq=gpt-4o-mini")) for told in model or ()]
    whats += [WhatIf(kind, *_share(kind, told)) for kind, every in shares.items() for told in every or ()]
    for told in off or ():
        feature, equals, tactic = told.partition("=")
        whats.append(WhatIf("off", feature, tactic) if equals else WhatIf("off", value=told))
    return whats


def _share(kind: str, told: str) -> tuple[str, str, float]:
    """Of a length: the feature, no other value, and the share."""
    feature, share = _pair(f"--{kind}", told, "faq=0.7")
    try:
        length = float(share)
    except ValueError:
        length = -1.0
    if not 0 < length <= 10:
        raise ConfigError(f"--{kind} {told}: the share of the length must be above 0, as in faq=0.7")
    return feature, "", length


def _pair(option: str, told: str, example: str) -> tuple[str, str]:
    feature, equals, value = told.partition("=")
    if not equals or not value:
        raise ConfigError(f"{option} wants FEATURE=VALUE, as in {example}, not {told!r}; '*' is every feature")
    return feature, value


def _by_default(log: ScannedLog, start: float, end: float) -> list[WhatIf]:
    """Batch for each of the dearest features."""
    from collections import Counter

    from thrift_plugins.ledger.whatif import WhatIf

    paid = Counter[str]()
    for entry in map(orjson.loads, log.bodies(start, end)):
        paid[entry["feature"]] += entry["bill"]["actual"]
    return [WhatIf("batch", feature) for feature, _ in paid.most_common(_MOST_FEATURES)]


def _month(found: Simulation, result: Simulated) -> Estimate | None:
    from thrift_plugins.learning.spread import monthly

    return monthly([day / 1e9 for day in found.days(result)])


def _print(found: Simulation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.report.study import interval
    from thrift_plugins.report.wording import money, shown

    table = Table(box=None, pad_edge=False)
    table.add_column("what if")
    for column in ("calls", "paid", "would be", "a month, 95 %"):
        table.add_column(column, justify="right")
    for result in found.results:
        month = _month(found, result)
        saved = interval(month) if month is not None else f"{money(result.saved, 2)} in all; too few days"
        saved = saved if result.calls else "-"
        style = "green" if result.saved > 0 else "red" if result.saved < 0 else ""
        table.add_row(
            Text(shown(result.what.title)), f"{result.calls:,}", money(result.paid), money(result.would), saved, style=style
        )  # fmt: skip
    console = Console(highlight=False)
    console.print(table)
    for line in _notes(found):
        console.print(Text(line))


def _notes(found: Simulation) -> Iterator[str]:
    from thrift_plugins.report.wording import counted, money

    yield f"{counted(found.calls, 'call')} for {money(found.booked)}, as booked."
    if found.booked and abs(found.repriced - found.booked) > 0.001 * found.booked:
        yield f"By today's prices that is {money(found.repriced)}: prices or overrides have changed since."
    if found.unpriced:
        yield f"{counted(found.unpriced, 'event')} without a price: in no sum."
    for result in found.results:
        if result.unpriced:
            yield f"{result.what.title}: {counted(result.unpriced, 'call')} would have no price, and nobody knows what that saves."
        elif not result.calls:
            yield f"{result.what.title}: no call would be otherwise."
        elif result.what.kind == "batch" and not result.saved:
            yield f"{result.what.title}: there is no batch price for its models, so nothing is claimed."
    if any(result.what.kind in ("model", "input", "output") for result in found.results):
        yield "For as many tokens as were counted; how good such answers are is in no ledger: see the quality gate, and replay --ask."
