"""The ledger that a command reads, and the part of it that is asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.stores.base import ScannedLog

LedgerUrl: TypeAlias = Annotated[
    str | None, typer.Option("--ledger", help="Another ledger than that of the settings: a path or a URL.")
]
Since: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Only calls from then on: 2026-11-23, a time as 2026-11-23T14:30, or 30d, 12h, 45m ago."),
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Only calls before then, told in the same way.")]

_AGO = re.compile(r"(\d{1,9})([dhm])")
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60}


@contextmanager
def ledger_of(config: Path | None, url: str | None, *, waiting: bool = False) -> Iterator[ScannedLog]:
    """The open ledger of an app with these settings, or of a URL; closed afterwards.

    Args:
        waiting: it may be a server, where events only wait.

    Raises:
        ConfigError: there is none, or it is one that is gone with its process.
        StoreError: it cannot be opened.
    """
    from thrift_plugins.stores import open_event_log

    url = _url(config, url)
    if not waiting and "://" in url and not url.lower().startswith("sqlite:"):
        raise ConfigError(
            "events only wait on a server: 'thrift-plugins ledger collect' moves them into a file for --ledger"
        )
    with closing(open_event_log(url, must_exist=True)) as log:
        yield log


def between(since: str | None, until: str | None) -> tuple[float, float]:
    """Two moments, in seconds since the epoch; infinite where none is given.

    Raises:
        ConfigError: one that cannot be read, or the end comes before the start.
    """
    now = time.time()
    start = -inf if since is None else _moment("--since", since, now)
    end = inf if until is None else _moment("--until", until, now)
    if start >= end:
        raise ConfigError(f"--since {since} is not before --until {until}")
    return start, end


def _url(config: Path | None, url: str | None) -> str:
    from thrift_plugins.cli.cache.opened import settings
    from thrift_plugins.stores import ledger_beside

    if url is None:
        chosen = settings(config)
        if not chosen.ledger.enabled:
            raise ConfigError(
                "the ledger is off in these settings: set enabled = true under [ledger], or give --ledger"
            )
        url = chosen.ledger.url or ledger_beside(chosen.store)
    if url.lower().startswith("memory:"):
        raise ConfigError(
            "a ledger in memory is seen by its own process only: give --ledger, or a ledger in thrift.toml"
        )
    return url


def _moment(option: str, text: str, now: float) -> float:
    ago = _AGO.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no time; write 2026-11-23, 2026-11-23T14:30 or 30d") from None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
