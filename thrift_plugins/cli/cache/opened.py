"""The store and the ledger that a command works on: those of a `thrift.toml`, of the defaults, or of a URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from thrift_plugins.config import Config
    from thrift_plugins.stores.base import Store

ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", help="A thrift.toml; by default the one in this folder.")
]
StoreUrl: TypeAlias = Annotated[
    str | None, typer.Option("--store", help="Another store than that of the settings, by its URL.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant: TypeAlias = Annotated[str | None, typer.Option(help="Only this tenant's; '' for calls that name none.")]


def settings(file: Path | None) -> Config:
    """The settings that an app in this folder would use, or those of a file.

    Raises:
        ConfigError: they cannot be read, or cannot work.
    """
    from thrift_plugins.config import Config

    default = Path("thrift.toml")
    if file is None and not default.is_file():
        return Config()
    return Config.load(file or default)


@contextmanager
def store_of(url: str) -> Iterator[Store]:
    """An open store, closed afterwards.

    Raises:
        ConfigError: no store has such a URL, or it is one that is gone with its process.
        StoreError: it cannot be opened.
    """
    from thrift_plugins.errors import ConfigError
    from thrift_plugins.stores import open_store

    if url.lower().startswith("memory:"):
        raise ConfigError("a store in memory is seen by its own process only: give --store, or a store in thrift.toml")
    with closing(open_store(url)) as store:
        yield store


def ledger_records(config: Config) -> Iterator[Mapping[str, Any]]:
    """The ledger of an app with these settings, streamed; nothing where it is off, or there is none yet.

    Raises:
        StoreError: it cannot be read.
    """
    import orjson

    from thrift_plugins.stores import ledger_beside, open_event_log

    if not config.ledger.enabled:
        return
    with closing(open_event_log(config.ledger.url or ledger_beside(config.store))) as log:
        for _, _, body in log.rows():
            yield orjson.loads(body)


def prefix_of(tenant: str | None) -> str:
    """What the keys of a tenant begin with; empty for all."""
    from thrift_plugins.caching.key import tenant_tag

    return "" if tenant is None else f"{{{tenant_tag(tenant)}}}:"


def tell(facts: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    """Print what was done: one sentence for people, or the facts."""
    import orjson

    typer.echo(orjson.dumps(facts).decode() if as_json else words)
