"""`thrift-plugins cache copy`, `export` and `import`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    tell,
)

if TYPE_CHECKING:
    from thrift_plugins.upkeep import Copied


def copy(
    target: Annotated[str, typer.Argument(help="URL of the store to copy to.")],
    most: Annotated[int | None, typer.Option(min=1, help="At most so many answers, the most used first.")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="At most so many bytes of them.")] = None,
    tenant: Tenant = None,
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Copy answers to another store, with their tags and for the rest of their time.

    With a limit those go first that the ledger says were used most, then the newest.
    """
    from thrift_plugins.upkeep import Limits, copy_entries, hottest

    chosen = settings(config)
    limits = Limits(most, max_bytes, prefix_of(tenant))
    uses = hottest(ledger_records(chosen)) if limits.bounded else None
    with store_of(chosen.store if store is None else store) as source, store_of(target) as other:
        _tell("copied", copy_entries(source, other, time.time(), uses=uses, limits=limits), as_json=as_json)


def export(
    file: Annotated[Path, typer.Argument(help="The file to write: JSON lines, readable by you alone.")],
    with_answers: Annotated[
        bool, typer.Option("--with-answers", help="The answers too, in clear; 'import' needs them.")
    ] = False,
    tenant: Tenant = None,
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Write what the store holds to a file: keys, times, tags and sizes, and the answers only if asked for."""
    from thrift_plugins.upkeep import export_entries

    with (
        store_of(settings(config).store if store is None else store) as source,
        os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened,
    ):
        os.fchmod(opened.fileno(), 0o600)  # one that was there keeps its mode otherwise
        count = export_entries(source, opened, answers=with_answers, prefix=prefix_of(tenant))
    without = "" if with_answers else ", without their answers"
    tell({"written": count}, f"{count:,} entries written to {file}{without}.", as_json=as_json)


def read_back(
    file: Annotated[
        Path, typer.Argument(help="A file that 'export --with-answers' wrote. Whoever wrote it is believed.")
    ],
    config: ConfigFile = None,
    store: StoreUrl = None,
    as_json: Json = False,
) -> None:
    """Keep the answers of a file that 'export --with-answers' wrote. What has expired is left out."""
    from thrift_plugins.upkeep import import_entries

    with store_of(settings(config).store if store is None else store) as target:
        _tell("read", import_entries(file, target, time.time()), as_json=as_json)


def _tell(done: str, copied: Copied, *, as_json: bool) -> None:
    facts = {"entries": copied.entries, "bytes": copied.size, "refused": copied.refused}
    refused = f" {copied.refused:,} were not taken." if copied.refused else ""
    tell(facts, f"{copied.entries:,} answers {done}, {copied.size:,} bytes.{refused}", as_json=as_json)
