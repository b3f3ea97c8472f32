"""`thrift-plugins cache stats`: what the store holds, and what the ledger says of its use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.cache.opened import (
    ConfigFile,
    Json,
    StoreUrl,
    Tenant,
    ledger_records,
    prefix_of,
    settings,
    store_of,
)

if TYPE_CHECKING:
    from rich.table import Table

    from thrift_plugins.caching.semantic.guard import Standing
    from thrift_plugins.upkeep import Holdings, Traffic

_SHOWN = 20


def stats(
    tenant: Tenant = None,
    most: Annotated[int, typer.Option(min=1, help="Lines of each table.")] = _SHOWN,
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Show entries, bytes, ages and tags of the store, and hit rate and saved dollars by tenant, feature and day.

    Without a tenant also how the semantic tier does, as its processes have told one another.
    """
    from thrift_plugins.semantic import standings
    from thrift_plugins.upkeep import holdings, traffic
    from thrift_plugins.upkeep.statistics import By

    chosen = settings(config)
    with store_of(chosen.store if store is None else store) as opened:
        held = holdings(opened, time.time(), prefix_of(tenant))
        scopes = standings(opened, chosen.cache.semantic) if tenant is None else []
    records = (entry for entry in ledger_records(chosen) if tenant is None or entry["tenant"] == tenant)
    columns: tuple[By, ...] = ("tenant", "feature", "day")
    total, parts = traffic(records, columns)
    if as_json:
        _print_json(held, total, dict(parts), scopes)
    else:
        _print(held, total, dict(parts), most)
        _print_scopes(scopes[:most])


def _print_json(held: Holdings, total: Traffic, parts: dict[Any, dict[str, Traffic]], scopes: list[Standing]) -> None:
    from dataclasses import asdict

    import orjson

    told = {
        "entries": held.entries,
        "bytes": held.size,
        "oldest_s": held.oldest,
        "newest_s": held.newest,
        "tenants": held.tenants,
        "tags": held.tags,
        **_figures(total),
        "semantic": [asdict(scope) for scope in scopes],
        **{f"by_{name}": {key: _figures(line) for key, line in lines.items()} for name, lines in parts.items()},
    }
    typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


def _figures(line: Traffic) -> dict[str, float | int]:
    from thrift_plugins.types import usd

    return {
        "calls": line.calls,
        "hits": line.hits,
        "hit_rate": line.hit_rate,
        "saved_usd": usd(line.saved),
        "unpriced_hits": line.unpriced,
    }


def _print(held: Holdings, total: Traffic, parts: dict[Any, dict[str, Traffic]], most: int) -> None:
    from rich.console import Console

    from thrift_plugins.report.wording import money, shown

    console = Console(highlight=False)
    ages = f", written {_span(held.newest)} to {_span(held.oldest)} ago" if held.entries else ""
    console.print(f"{held.entries:,} answers, {held.size:,} bytes ({held.mean_size:,.0f} each){ages}.")
    if held.tags:
        listed = ", ".join(f"{shown(tag)} ({count:,})" for tag, count in held.tags.most_common(most))
        console.print(f"Tags: {listed}.", markup=False)
    if not total.calls:
        console.print("The ledger has no calls.")
        return
    console.print(f"{total.calls:,} calls, {total.hits:,} hits ({total.hit_rate:.1%}), {money(total.saved)} saved.")
    if total.unpriced:
        console.print(f"{total.unpriced:,} hits of models without a price are not in that sum.")
    for name, lines in parts.items():
        console.print(_table(name, lines, most))


def _print_scopes(scopes: list[Standing]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not scopes:
        return
    table = Table(title="Semantic tier", title_justify="left")
    for head in ("scope", "is", "lookups", "hits", "compared", "wrong", "wrong of all, at most"):
        table.add_column(head, justify="left" if head in {"scope", "is"} else "right")
    for scope in scopes:
        counts = (f"{count:,}" for count in (scope.lookups, scope.hits, scope.checked, scope.wrong))
        table.add_row(Text(scope.name), scope.mode, *counts, f"{scope.at_most_over_all:.1%}")
    Console(highlight=False).print(table)


def _table(name: str, lines: dict[str, Traffic], most: int) -> Table:
    """The lines that saved most; the last days."""
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.report.wording import money, shown

    table = Table(title=f"By {name}", title_justify="left")
    for head in (name, "calls", "hits", "hit rate", "saved"):
        table.add_column(head, justify="left" if head == name else "right")
    ordered = sorted(lines.items(), key=lambda item: item[0] if name == "day" else item[1].saved, reverse=True)
    for value, line in ordered[:most]:
        cells = (f"{line.calls:,}", f"{line.hits:,}", f"{line.hit_rate:.1%}", money(line.saved))
        table.add_row(Text(shown(value)), *cells)
    return table


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
