"""`thrift-plugins export`: the events of the ledger, for other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from thrift_plugins.cli.booked import LedgerUrl, Since, Until, between, ledger_of
from thrift_plugins.cli.cache.opened import ConfigFile
from thrift_plugins.errors import ConfigError


def export(
    file: Annotated[Path, typer.Argument(help="The file to write: .jsonl, .csv or .parquet. Readable by you alone.")],
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
) -> None:
    """Write every event to a file, in the order of time. No event has a text of a prompt or an answer.

    JSON lines have all that the ledger has. CSV and Parquet have a row for each event, with money in whole nano-dollars
    (1e-9 US dollars), and as JSON what has several values.
    """
    write = _writer(file)
    start, end = between(since, until)
    with ledger_of(config, ledger) as log:
        count = write(file, (body for _, at, body in log.rows() if start <= at < end))
    typer.echo(f"{count:,} events written to {file}.")


def _writer(file: Path) -> Callable[[Path, Iterable[str]], int]:
    writers: Mapping[str, Callable[[Path, Iterable[str]], int]] = {".jsonl": _lines, ".csv": _csv, ".parquet": _parquet}
    if file.suffix not in writers:
        raise ConfigError(f"{file}: the name must end with one of {', '.join(writers)}")
    return writers[file.suffix]


def _lines(file: Path, bodies: Iterable[str]) -> int:
    from thrift_plugins.report.events import write_lines

    return write_lines(file, bodies)


def _csv(file: Path, bodies: Iterable[str]) -> int:
    from thrift_plugins.report.events import COLUMNS, rows
    from thrift_plugins.report.files import write_csv

    return write_csv(file, COLUMNS, rows(bodies))


def _parquet(file: Path, bodies: Iterable[str]) -> int:
    from thrift_plugins.report.events import COLUMNS, rows
    from thrift_plugins.report.files import write_parquet

    return write_parquet(file, COLUMNS, rows(bodies))
