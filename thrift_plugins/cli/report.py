"""`thrift-plugins report`: what was saved, by which tactic, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, Since, Until, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile
from thrift_plugins.cli.figures import JsonFile, MarkdownFile, writable, write_figures, write_text

if TYPE_CHECKING:
    from thrift_plugins.report.story import Story


def report(
    since: Since = None,
    until: Until = None,
    most: Annotated[int, typer.Option(min=1, help="Lines of each table.")] = 20,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
    json_file: JsonFile = None,
    csv: Annotated[Path | None, typer.Option(help="Write every line to this file as CSV.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write one page of HTML, which needs nothing else and has no script.", callback=writable("--html")),
    ] = None,
    markdown: MarkdownFile = None,
    parquet: Annotated[Path | None, typer.Option(help="Write every line to this file as Parquet.")] = None,
) -> None:
    """Show the bill before and after, by tactic, tenant, feature, model and day, and what the holdout measured beside it.

    Days and times are of UTC. JSON, CSV and Parquet hold every line, with money in whole nano-dollars (1e-9 US dollars); the
    page and Markdown hold what is printed.
    """
    from rich.console import Console

    from thrift_plugins.ledger.rollup import roll_up
    from thrift_plugins.report.figures import COLUMNS, figures, rows
    from thrift_plugins.report.files import write_csv, write_parquet
    from thrift_plugins.report.overview import print_overview
    from thrift_plugins.report.story import tell

    start, end = between(since, until)
    with ledger_of(config, ledger) as log:
        rollup = roll_up(log.bodies(start, end))
    story = tell(rollup)
    print_overview(story, most=most, console=Console())
    if json_file is not None:
        write_figures(json_file, figures(story))
    if html is not None:
        write_text(html, _page(story, most))
    if markdown is not None:
        write_text(markdown, _markdown(story, most))
    if csv is not None:
        write_csv(csv, COLUMNS, rows(rollup))
    if parquet is not None:
        write_parquet(parquet, COLUMNS, rows(rollup))


def _page(story: Story, most: int) -> str:
    from thrift_plugins.report.html import page

    return page(story, most=most, now=datetime.now(UTC))


def _markdown(story: Story, most: int) -> str:
    from thrift_plugins.report.markdown import markdown

    return markdown(story, most=most)

