"""`thrift-plugins report`: what was saved, by which tactic, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, Since, Until, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile, settings, store_of
from thrift_plugins.cli.figures import JsonFile, MarkdownFile, writable, write_figures, write_text

if TYPE_CHECKING:
    from thrift_plugins.quality import Standing
    from thrift_plugins.report.story import Story, Verdict


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
    story = tell(rollup, verdicts=_verdicts(config) if ledger is None else ())
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


def _verdicts(config: Path | None) -> list[Verdict]:
    """What the quality gate of these settings says. A report is written without it too, where its store is down."""
    from thrift_plugins.errors import ConfigError, StoreError
    from thrift_plugins.gating import known
    from thrift_plugins.report.story import Verdict

    chosen = settings(config)
    if not chosen.quality.enabled:
        return []
    try:
        with store_of(chosen.store) as store:
            standings = known(store, chosen).standings()
    except (ConfigError, StoreError) as error:
        typer.echo(f"Without the quality gate's verdicts: {error}", err=True)
        return []
    return [Verdict(one.tactic, one.feature, one.verdict, _evidence(one)) for one in standings]


def _evidence(one: Standing) -> str:
    if not one.compared:
        return "nothing compared yet"
    said = f"{one.compared:,} compared, {one.worse:,} worse, {one.better:,} better: a drop of {one.drop:.1%}, at most {one.high:.1%}"
    return f"{said}; rolled back" if one.off_since else said


def _page(story: Story, most: int) -> str:
    from thrift_plugins.report.html import page

    return page(story, most=most, now=datetime.now(UTC))


def _markdown(story: Story, most: int) -> str:
    from thrift_plugins.report.markdown import markdown

    return markdown(story, most=most)

