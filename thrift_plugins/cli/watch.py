"""`thrift-plugins watch`: what an app does right now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile
from thrift_plugins.errors import StoreUnavailable

if TYPE_CHECKING:
    from rich.console import Console

    from thrift_plugins.report.live import Watched
    from thrift_plugins.stores.base import ScannedLog

_AT_ONCE = 2_000


def watch(
    since: Annotated[str, typer.Option(help="Calls from then on: 2026-11-23, or 30d, 12h, 45m ago.")] = "1h",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="End after so many; 0 shows what there is. By default, on Ctrl-C.")
    ] = None,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
) -> None:
    """Watch the ledger while an app runs: the bill so far, its pace, and the last calls. A file, or the server where events wait.

    On a server, events that are collected between two looks are not seen: watch the file that they are collected into. What is
    not a terminal gets a line whenever there were calls.
    """
    from rich.console import Console

    from thrift_plugins.report.live import Watched

    start, _ = between(since, None)
    end = time.monotonic() + seconds if seconds is not None else None
    console = Console()
    with ledger_of(config, ledger, waiting=True) as log:
        watched = Watched(start)
        looks = _looks(log, watched, every, end)
        try:
            if console.is_terminal:
                _show(watched, looks, console)
            else:
                _tell(watched, looks)
        except KeyboardInterrupt:
            typer.echo()
    typer.echo(f"{watched.sentence()}.")
    if watched.trouble:
        raise typer.Exit(2)


def _looks(log: ScannedLog, watched: Watched, every: float, end: float | None) -> Iterator[int]:
    """Look at the ledger, once or until the end, and yield how many calls were new. A ledger that is down for a while is no end."""
    place: str | None = None
    while True:
        new = 0
        try:
            place = log.place(watched.since) if place is None else place
            while True:
                bodies, place = log.after(place, _AT_ONCE)
                new += watched.add(bodies)
                if len(bodies) < _AT_ONCE:
                    break
            watched.trouble = ""
        except StoreUnavailable as error:
            watched.trouble = str(error)
        yield new
        if end is not None and time.monotonic() + every > end:
            return
        time.sleep(every)
        watched.tick()


def _show(watched: Watched, looks: Iterator[int], console: Console) -> None:
    from rich.live import Live

    with Live(console=console, screen=True, auto_refresh=False) as live:
        for _ in looks:
            live.update(watched.drawn(console.size.height), refresh=True)
    console.print(watched.drawn(console.size.height))


def _tell(watched: Watched, looks: Iterator[int]) -> None:
    trouble = ""
    for new in looks:
        if new:
            typer.echo(f"{time.strftime('%H:%M:%S')} +{new:,}: {watched.sentence()}")
        if watched.trouble != trouble:
            trouble = watched.trouble
            typer.echo(f"thrift-plugins: {trouble or 'the ledger is there again'}", err=True)
