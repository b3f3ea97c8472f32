"""`thrift-plugins gate`: what the quality gate has found, and what it has taken off."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.cache.opened import ConfigFile, StoreUrl, settings, store_of
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.config import Config
    from thrift_plugins.quality import Standing
    from thrift_plugins.stores.base import Store


def gate(
    allow: Annotated[str | None, typer.Option(help="Put a tactic on again that was rolled back, or 'all'.")] = None,
    feature: Annotated[str, typer.Option(help="In which feature; '' for calls that name none.")] = "",
    config: ConfigFile = None,
    store: StoreUrl = None,
    json_file: JsonFile = None,
) -> None:
    """Show for every tactic and feature whether answers are as good as without it: holds, broken, or not known yet.

    With --allow, a tactic that was rolled back acts again within seconds, in all processes, and is watched from the beginning.
    """
    chosen = settings(config)
    with store_of(chosen.store if store is None else store) as opened:
        if allow is not None:
            _allow(opened, chosen, allow, feature)
            return
        from thrift_plugins.gating import known

        standings = known(opened, chosen).standings()
    if json_file is not None:
        write_figures(json_file, figures(chosen, standings))
    _print(chosen, standings)


def figures(config: Config, standings: list[Standing]) -> dict[str, Any]:
    """All that is shown, as JSON."""
    from dataclasses import asdict

    return {
        "enabled": config.quality.enabled,
        "margin": config.quality.margin,
        "verdicts": [asdict(standing) for standing in standings],
    }


def _allow(store: Store, config: Config, tactic: str, feature: str) -> None:
    """Tell all processes, and the ledger."""
    from thrift_plugins.gating import known, shared
    from thrift_plugins.ledger.ledger import row
    from thrift_plugins.ledger.remarks import allowed
    from thrift_plugins.prices import Prices
    from thrift_plugins.stores import ledger_beside, open_event_log

    gate, now = known(store, config), time.time()
    if not gate.allow(tactic, feature, now):
        off = ", ".join(f"{one.tactic} for {one.feature or 'no feature'}" for one in gate.standings() if one.off_since)
        raise ConfigError(
            f"{tactic} is not rolled back for {feature or 'no feature'}; rolled back are: {off or 'none'}"
        )
    shared(store, gate).exchange()
    if config.ledger.enabled:
        with closing(open_event_log(config.ledger.url or ledger_beside(config.store))) as log:
            log.extend([row(allowed(tactic, feature, now), Prices())])
    typer.echo(f"{tactic} acts again for {feature or 'calls without a feature'}, and is watched from the beginning.")


def _print(config: Config, standings: list[Standing]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.report.wording import shown

    console, quality = Console(highlight=False), config.quality
    if not quality.enabled:
        console.print(Text("The quality gate is off in these settings: set enabled = true under [quality] in thrift.toml."))
    if not standings:
        console.print("Nothing was compared yet.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("tactic", "feature", "answers"):
        table.add_column(column)
    for column in ("compared", "worse", "better", "drop", "at most"):
        table.add_column(column, justify="right")
    for one in standings:
        drop, most = (f"{one.drop:.1%}", f"{one.high:.1%}") if one.compared else ("", "")
        counts = (f"{count:,}" for count in (one.compared, one.worse, one.better))
        table.add_row(
            one.tactic, Text(shown(one.feature or "(none)")), one.verdict, *counts, drop, most, style=_STYLES[one.verdict]
        )
    console.print(table)
    for one in standings:
        where = shown(one.feature or "calls without a feature")
        if one.off_since:
            since = datetime.fromtimestamp(one.off_since, UTC)
            console.print(Text(f"{one.tactic} is off for {where} since {since:%Y-%m-%d %H:%M} UTC: {one.why}."))
        elif one.unasked:
            why = "no room in the budget of quality.usd (a limit on the answers of your models makes some), or no price"
            console.print(Text(f"{one.tactic} for {where}: {one.unasked:,} answers were not compared, {why}."))
        elif one.unjudged:
            console.print(
                Text(f"{one.tactic} for {where}: {one.unjudged:,} answers could not be judged; see README on judges.")
            )
    share = f"A drop of {quality.margin:.1%} is tolerated, as far as the judge shows it"
    console.print(f"{share}; the bounds are right at all times with a chance of 95 %.", soft_wrap=True)


_STYLES = {"broken": "bold red", "holds": "green", "not known yet": ""}
