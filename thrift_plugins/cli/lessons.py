"""The examples that `router` commands work on: those of a file of labels, or what the app has written down and booked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import orjson
import typer

from thrift_plugins.cli.booked import ledger_of
from thrift_plugins.cli.cache.opened import settings
from thrift_plugins.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from thrift_plugins.labels import Booked
    from thrift_plugins.routing.example import Example

Labels: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        help="JSON lines with `prompt` or `messages`, `scores` by tier, `feature`, `answers`, `costs`; by default what was "
        "written down for routing.record, with what the ledger says of it."
    ),
]
_HELD: Final = 0.2
"""Share of the questions that were written down that nothing is learnt from, so that routers can be tried on it."""


def examples_of(
    labels: Path | None, tiers: Sequence[str], part: Literal["train", "held"], config: Path | None, ledger: str | None
) -> list[Example]:
    """Examples with scores.

    Args:
        tiers: names, cheapest first.
        part: which part of what was written down; a file of labels is taken whole.

    Raises:
        ConfigError: the file cannot be read; or nothing was written down, or nothing of it is known to be good or bad.
    """
    if labels is not None:
        from thrift_plugins.routing.labelled import examples

        return list(examples(labels))
    from thrift_plugins.labels import labelled
    from thrift_plugins.lessons import chance, lessons, questions_file

    asked = lessons(questions_file(settings(config)))
    made, tally = labelled(asked, _booked(config, ledger), tiers)
    typer.echo(f"{len(asked):,} questions were written down: " + "; ".join(f"{n:,} {how}" for how, n in tally.most_common()))
    if not made:
        raise ConfigError(
            f"of no question it is known how good the answers of {', '.join(tiers)} are: set routing.shadow, so that all tiers "
            "are asked for a share of them, and tell what readers think (feedback); prose is judged by readers only"
        )
    return [each for each in made if (chance(f"held {_question(each)}") < _HELD) == (part == "held")]


def _question(example: Example) -> str:
    """The same question is on one side only."""
    return "\n".join(message.text for message in example.request.messages if message.role == "user")


def _booked(config: Path | None, url: str | None) -> Booked:
    from thrift_plugins.labels import Booked

    try:
        with ledger_of(config, url) as log:
            return Booked.of(orjson.loads(body) for _, _, body in log.rows())
    except (ConfigError, StoreError) as error:
        if url is not None:
            raise
        typer.echo(f"No ledger is read ({error}), so what readers and the quality gate have found is not counted.")
        return Booked()
