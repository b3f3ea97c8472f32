"""`thrift-plugins reconcile`: the ledger beside a provider's own account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

_COLUMN_HELP = "A column of a CSV: day=NAME, model=NAME, input=NAME, output=NAME (tokens) or usd=NAME. May be repeated."


def reconcile(
    files: Annotated[list[Path], typer.Argument(help="Exports of one provider: usage, costs or both, JSON or CSV.")],
    column: Annotated[list[str] | None, typer.Option(help=_COLUMN_HELP)] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="THEIRS=OURS: a model that the ledger calls otherwise. May be repeated.")
    ] = None,
    fail_over: Annotated[
        float | None, typer.Option(min=0, help="Exit code 1 where tokens or dollars are more per cent apart in all.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Lines of each table.")] = 20,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
    json_file: JsonFile = None,
) -> None:
    """Set the ledger beside a provider's usage or cost export, by day of UTC and by model, and show how far they are apart.

    Read as they come: OpenAI's usage and costs, Anthropic's usage and cost reports, as JSON of their APIs or CSV. Any other
    CSV with --column. A model with a date in its name and one without are one model where they have one price.
    """
    from rich.console import Console

    from thrift_plugins.prices import Prices
    from thrift_plugins.report.drift import drift_figures, print_drift
    from thrift_plugins.report.reconcile import reconcile as compare
    from thrift_plugins.report.statement import Statement

    statement = Statement()
    for file in files:
        statement.read(file, _pairs("--column", column))
    if not statement.lines:
        raise ConfigError(
            f"{', '.join(map(str, files))}: nothing in it was used, or no column of it is known; see --column"
        )
    prices = Prices(settings(config).prices)
    with ledger_of(config, ledger) as log:
        result = compare(log.bodies(), statement, prices, _named(_pairs("--alias", alias)))
    print_drift(result, statement, most=most, console=Console())
    if json_file is not None:
        write_figures(json_file, drift_figures(result))
    drifts = (result.total.token_drift, result.total.money_drift)
    if fail_over is not None and max(abs(drift or 0.0) for drift in drifts) * 100 > fail_over:
        raise typer.Exit(1)


def _pairs(option: str, given: list[str] | None) -> Mapping[str, str]:
    pairs = {name: told for name, _, told in (each.partition("=") for each in given or ())}
    if not all(pairs.values()):
        raise ConfigError(f"{option} wants NAME=NAME, not {', '.join(given or ())}")
    return pairs


def _named(aliases: Mapping[str, str]) -> Callable[[str], str]:
    """One name for a model that has several in the price list."""
    from thrift_plugins.prices.snapshot import find

    def name(model: str) -> str:
        model = aliases.get(model, model)
        listing = find(model)
        return listing.model.id if listing else model

    return name
