"""`thrift-plugins router promote` and `rollback`: which router is in force, and what was before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from thrift_plugins.cli.booked import LedgerUrl
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.in_force import changing, file_in_force, put, take_back
from thrift_plugins.cli.lessons import Labels, examples_of
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.routing.example import Example
    from thrift_plugins.routing.trial import Trial

InForce: TypeAlias = Annotated[
    Path | None,
    typer.Option("--router", help="The file that the app reads; by default that of the settings, or router.json."),
]


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

    in_force = router or file_in_force(settings(config).routing)
    with changing(in_force):
        text = candidate.read_bytes() if candidate.exists() else b""
        made = LearnedRouter.load(candidate)
        known = examples_of(labels, made.tiers, "held", config, ledger)
        before = _tried(in_force, known, candidate) if in_force.exists() else None
        why = better(try_out(made, known), before, TOLERANCE)
        if why is not None:
            raise ConfigError(f"{candidate} is not put in force: {why}")
        if candidate.read_bytes() != text:
            raise ConfigError(f"{candidate} is not put in force: it was written anew while it was tried; promote it again")
        put(in_force, text)
    typer.echo(
        f'{candidate} is in force as {in_force}: [routing] router = "{in_force}". Restart the app; `thrift-plugins router '
        "rollback` takes it back."
    )


def rollback(router: InForce = None, config: ConfigFile = None) -> None:
    """Put the router back in force that was before."""
    in_force = router or file_in_force(settings(config).routing)
    with changing(in_force):
        take_back(in_force)
    typer.echo(f"{in_force} is again what it was; restart the app.")


def _tried(in_force: Path, known: Sequence[Example], candidate: Path) -> Trial:
    """What the router in force comes to on the same examples."""
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.routing.trial import try_out

    try:
        return try_out(LearnedRouter.load(in_force), known)
    except ConfigError as error:
        raise ConfigError(
            f"{candidate} cannot be compared with the router in force: {error}. If that one is of no use any more, since it was changed "
            f"or a model of it is gone, move {in_force} away, and promote again"
        ) from error
