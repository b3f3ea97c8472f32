"""`thrift-plugins ledger`: bring together what many workers have booked."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from thrift_plugins.ledger.collector import Collected, Collector

ledger = typer.Typer(name="ledger", no_args_is_help=True, help="Look after the ledger of several workers.")


@ledger.callback()
def _group() -> None:
    """Look after the ledger of several workers."""


@ledger.command()
def collect(
    source: Annotated[
        str, typer.Argument(help="Where events wait: the ledger's URL in the workers' settings, redis://...")
    ],
    book: Annotated[Path, typer.Argument(help="The file that they are moved into, made if it is not there.")],
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Go on for ever, with so many seconds between two rounds.")
    ] = None,
) -> None:
    """Move the events that workers have left on a server into a file, each once.

    It may be stopped, or killed, at any time: what was not moved waits. Collect one source into one file.
    """
    from thrift_plugins.ledger.collector import Collector
    from thrift_plugins.stores import RedisEventLog, SQLiteEventLog

    if "://" not in source:
        raise ConfigError(f"{source} is no URL of a server where events wait, such as redis://localhost:6379/0")
    with closing(RedisEventLog(source)) as waiting, closing(SQLiteEventLog(book)) as log:
        collector = Collector(waiting, log, time.time)
        if every is None:
            _tell(collector.collect())
        else:
            _go_on(collector, every)


def _go_on(collector: Collector, every: float) -> None:
    """A server that is down for a while is no reason to end."""
    while True:
        try:
            done = collector.collect()
            if done.moved or done.damaged or done.missing:
                _tell(done)
        except StoreUnavailable as error:
            typer.echo(f"thrift-plugins: {error}", err=True)
        time.sleep(every)


def _tell(done: Collected) -> None:
    known = f", {done.known:,} known already" if done.known else ""
    damaged = f", {done.damaged:,} damaged and thrown away" if done.damaged else ""
    missing = f", {done.missing:,} lost on the server and booked as such" if done.missing else ""
    typer.echo(f"{done.moved:,} events moved{known}{damaged}{missing}.")
