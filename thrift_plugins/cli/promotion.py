"""`thrift-plugins router promote` and `rollback`: which router is in force, and what was before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from thrift_plugins.cli.booked import LedgerUrl
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.lessons import Labels, examples_of
from thrift_plugins.errors import ConfigError

_KEPT = 9  # routers that were in force before

InForce: TypeAlias = Annotated[
    Path | None,
    typer.Option("--router", help="The file that the app reads; by default that of the settings, or router.json."),
]
_FILE: Final = "router.json"


def file_in_force(config: Path | None) -> Path:
    """The file that the app reads: that of its settings, or where these name none, the one that `promote` writes."""
    return Path(settings(config).routing.router or _FILE)


def promote(
    candidate: Annotated[Path, typer.Argument(help="The trained router that is to be put in force.")],
    labels: Labels = None,
    router: InForce = None,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
) -> None:
    """Put a router in force if it keeps its promise on answers that it was not trained on, and beats the one in force."""
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.routing.promise import TOLERANCE
    from thrift_plugins.routing.trial import better, try_out

    made, in_force = LearnedRouter.load(candidate), router or file_in_force(config)
    known = examples_of(labels, made.tiers, "held", config, ledger)
    before = LearnedRouter.load(in_force) if in_force.exists() else None
    why = better(try_out(made, known), try_out(before, known) if before else None, TOLERANCE)
    if why is not None:
        raise ConfigError(f"{candidate} is not put in force: {why}")
    text = candidate.read_bytes()
    for number in range(_KEPT - 1, 0, -1):
        if _old(in_force, number).exists():
            _old(in_force, number).replace(_old(in_force, number + 1))
    if in_force.exists():
        _write(_old(in_force, 1), in_force.read_bytes())  # a copy: the app's file is there at every moment
    _write(in_force, text)
    typer.echo(
        f'{candidate} is in force as {in_force}: [routing] router = "{in_force}". Restart the app; `thrift-plugins router '
        "rollback` takes it back."
    )


def rollback(router: InForce = None, config: ConfigFile = None) -> None:
    """Put the router back in force that was before."""
    from thrift_plugins.routing.learned import LearnedRouter

    in_force = router or file_in_force(config)
    last = _old(in_force, 1)
    if not last.exists():
        raise ConfigError(f"there is no router before {in_force}: set routing.router = '' to go back to the rules")
    LearnedRouter.load(last)
    last.replace(in_force)
    for number in range(2, _KEPT + 1):
        if _old(in_force, number).exists():
            _old(in_force, number).replace(_old(in_force, number - 1))
    typer.echo(f"{in_force} is again what it was; restart the app.")


def _old(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


def _write(file: Path, text: bytes) -> None:
    """All of it or nothing: an app may start meanwhile."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_bytes(text)
    beside.replace(file)
