"""`thrift-plugins batch`: how far a journal's batches have come, what they cost, and how to stop them."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from thrift_plugins.batching.client import BatchClient
    from thrift_plugins.batching.progress import BatchProgress

batch = typer.Typer(name="batch", no_args_is_help=True, help="See, look after and stop the batches of a journal.")

_Journal = Annotated[str, typer.Argument(help="The journal's file or URL, as it was given to BatchExecutor.")]
_Account = Annotated[str, typer.Option(help="openai, anthropic, mistral or gemini; the key is in the environment.")]


@batch.command()
def status(
    journal: _Journal,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is queued, sent and answered, when it will be done, and what it costs. Looks at the journal alone."""
    progress = _progress(journal)
    if as_json:
        import orjson

        told = {name: getattr(progress, name) for name in progress.__slots__}
        told["incidents"] = [incident._asdict() for incident in progress.incidents]
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(progress)


@batch.command()
def resume(
    journal: _Journal,
    account: _Account = "openai",
    poll: Annotated[float, typer.Option(help="Seconds between two looks.")] = 30.0,
) -> None:
    """Look after what is under way until it is answered: send what is queued, read what has come. The app may then run again.

    What a chain asks after an answer, only the app itself can ask. The key of an encrypted journal is in THRIFT_JOURNAL_KEY.
    """
    from thrift_plugins.batching.executor import Executor
    from thrift_plugins.batching.settings import BatchSettings

    _there(journal)
    settings = BatchSettings(poll=poll, max_age=0)  # nobody else asks here: deadlines that were left count at once
    key = os.environ.get("THRIFT_JOURNAL_KEY")  # no option: others on the machine see a command's
    with Executor(account, journal, settings=settings, key=key) as executor:
        last = -1
        while (progress := executor.progress()).waiting:
            if executor.broken is not None:
                raise executor.broken
            if progress.waiting != last:
                typer.echo(_line(progress))
                last = progress.waiting
            time.sleep(min(poll, 5.0))
        typer.echo(_line(executor.progress()))


@batch.command()
def cancel(
    journal: _Journal,
    account: _Account = "openai",
) -> None:
    """Cancel what was asked until now, and what its runs would ask after it.

    What was answered by then stays paid, and is given to the app when it runs again: a run that begins later goes its usual way.
    """
    from thrift_plugins.batching.accounts import open_client

    _there(journal)
    cancelled = asyncio.run(_cancel(open_client(account), journal))
    typer.echo(f"{cancelled} batches were asked to end. Their answers so far are read when the app runs again.")


async def _cancel(client: BatchClient, path: str) -> int:
    from thrift_plugins.batching.client import BatchError
    from thrift_plugins.batching.journals import open_records

    journal = open_records(path, client.account)
    cancelled = 0
    try:
        journal.stop()  # whoever works on it does not send the rest again
        for one in journal.unfinished():
            try:
                if one.remote:
                    await client.cancel(one.remote)
                    cancelled += 1
            except BatchError as error:  # one that has ended meanwhile cannot be, and the others still are to be
                typer.echo(f"{one.remote} was not cancelled: {error}", err=True)
    finally:
        journal.close()
        await client.aclose()
    return cancelled


def _there(path: str) -> None:
    from thrift_plugins.stores.open import names_server

    if not names_server(path) and not Path(path).is_file():
        raise typer.BadParameter(f"there is no journal {path}")


def _progress(path: str) -> BatchProgress:
    from thrift_plugins.batching.journals import open_records
    from thrift_plugins.batching.progress import progress
    from thrift_plugins.prices import Prices

    _there(path)
    journal = open_records(path)
    try:
        return progress(journal, Prices(), time.time())
    finally:
        journal.close()


def _line(progress: BatchProgress) -> str:
    eta = "" if progress.eta is None else f", about {progress.eta / 60:.0f} minutes to go"
    return f"{progress.answered} answered, {progress.sent} sent, {progress.queued} queued, {progress.errored} in error{eta}"


def _print(progress: BatchProgress) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(_line(progress))
    saved = progress.standard - progress.cost
    console.print(f"${progress.cost / 1e9:,.4f} at batch price, ${saved / 1e9:,.4f} less than at once")
    if progress.doubled:
        console.print(f"${progress.doubled / 1e9:,.4f} beside that for what was paid twice, or at most so much; see below")
    if progress.unpriced:
        console.print(Text(f"no batch price is known for {', '.join(progress.unpriced)}: that is in neither sum"))
    table = Table(box=None, pad_edge=False)
    for column in ("batch", "model", "lines", "answered", "state", "sent"):
        table.add_column(column, justify="right" if column in ("lines", "answered") else "left")
    refused = [one for one in progress.batches if one["state"] == "refused"]
    for one in (one for one in progress.batches if one["state"] != "refused"):
        table.add_row(*(Text(cell) for cell in _row(one)))
    console.print(table)
    if refused:  # while a queue is full, one each time that it is asked
        last = max(one["done_at"] for one in refused)
        console.print(f"{len(refused)} more were not made, the last one {_when(last)}: refused, or never sent")
    for incident in progress.incidents:
        console.print(Text(f"{_when(incident.at)} {incident.kind}: {incident.told}"), style="yellow")


def _row(one: Any) -> tuple[str, ...]:
    state = one["ended"] or one["state"]
    sent = _when(one["sent_at"]) if one["sent_at"] else ""
    return one["remote"] or "-", one["model"], f"{one['count']:,}", f"{one['answered']:,}", state, sent


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
