"""`thrift-plugins cache`: look at a store of answers, forget some, copy them, write them to a file, fill it."""

from __future__ import annotations

import typer

from thrift_plugins.cli.cache.forget import clear, forget
from thrift_plugins.cli.cache.stats import stats
from thrift_plugins.cli.cache.transfer import copy, export, read_back
from thrift_plugins.cli.cache.warm import warm

cache = typer.Typer(name="cache", no_args_is_help=True, help="Look after stored answers.")
cache.command()(stats)
cache.command()(forget)
cache.command()(clear)
cache.command()(copy)
cache.command()(export)
cache.command(name="import")(read_back)
cache.command()(warm)

__all__ = ["cache"]
