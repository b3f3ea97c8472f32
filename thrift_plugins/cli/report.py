"""`thrift-plugins report`: what was saved, by which tactic, and for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, Since, Until, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile
from thrift_plugins.cli.figures import JsonFile, write_figures


def report(
    since: Since = None,
    until: Until = None,
    most: Annotated[int, typer.Option(min=1, help="Lines of each table.")] = 20,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
    json_file: JsonFile = None,
    csv: Annotated[Path | None, typer.Option(help="Write every line to this file as CSV.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write every line to this file as Parquet.")] = None,
) -> None:
    """Show the bill before and after, by tactic, tenant, feature, model and day, and what the holdout measured beside it.

    Days and times are of UTC. Files hold every line, with money in whole nano-dollars (1e-9 US dollars).
    """
    from rich.console import Console

    from thrift_plugins.ledger.rollup import roll_up
    from thrift_plugins.report.figures import COLUMNS, figures, rows
    from thrift_plugins.report.files import write_csv, write_parquet
    from thrift_plugins.report.overview import print_overview

    start, end = between(since, until)
    with ledger_of(config, ledger) as log:
        rollup = roll_up(log.bodies(start, end))
    print_overview(rollup, most=most, console=Console())
    if json_file is not None:
        write_figures(json_file, figures(rollup))
    if csv is not None:
        write_csv(csv, COLUMNS, rows(rollup))
    if parquet is not None:
        write_parquet(parquet, COLUMNS, rows(rollup))
