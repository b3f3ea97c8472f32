"""`thrift-plugins router`: train a router on answers of known quality, try it on others, and ask it about a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures

if TYPE_CHECKING:
    from thrift_plugins.routing.learned import LearnedRouter

router = typer.Typer(name="router", no_args_is_help=True, help="Train a router on answers of known quality.")

Labels = Annotated[Path, typer.Argument(help="JSON lines with `prompt` or `messages`, `scores` by tier, and `feature`.")]
Trained = Annotated[Path, typer.Option("--router", help="The trained router.")]
_OUT = Path("router.json")


@router.command()
def train(
    labels: Labels,
    tiers: Annotated[str, typer.Option(help="Names of the tiers, cheapest first, with commas between; the last is yours.")],
    quality: Annotated[float, typer.Option(help="Share of your own tier's quality to promise.")] = 0.99,
    confidence: Annotated[float, typer.Option(help="With which confidence.")] = 0.95,
    out: Annotated[Path, typer.Option(help="The file to write.")] = _OUT,
) -> None:
    """Learn how good each tier is at what, and what may be promised. The file holds no text of an example."""
    from thrift_plugins.routing.labelled import examples
    from thrift_plugins.routing.training import train as trained

    names = [name.strip() for name in tiers.split(",") if name.strip()]
    made = trained(list(examples(labels)), names, quality=quality, confidence=confidence)
    made.save(out)
    _print_promises(made)
    typer.echo(f'Written to {out}. Put it to use: [routing] router = "{out}".')


@router.command()
def evaluate(labels: Labels, trained: Trained = _OUT, json_file: JsonFile = None) -> None:
    """Try a router on answers that it was not trained on."""
    from thrift_plugins.errors import ConfigError
    from thrift_plugins.routing.labelled import examples
    from thrift_plugins.routing.learned import LearnedRouter

    made = LearnedRouter.load(trained)
    served: list[float] = []
    best: list[float] = []
    cheaper = 0
    for example in examples(labels):
        if not all(tier in example.scores for tier in made.tiers):
            continue
        name = made.tiers[_choice(made, example.request)]
        served.append(example.scores[name])
        best.append(example.scores[made.tiers[-1]])
        cheaper += name != made.tiers[-1]
    if not served or not sum(best):
        raise ConfigError(f"no line of {labels} has a score for each of {', '.join(made.tiers)}, or none is above 0")
    figures: dict[str, Any] = {
        "examples": len(served),
        "quality": sum(served) / sum(best),
        "promised": made.target,
        "cheaper_share": cheaper / len(served),
    }
    kept = "at least what was promised" if figures["quality"] >= made.target else "LESS than what was promised"
    typer.echo(
        f"{len(served):,} examples: {figures['quality']:.2%} of {made.tiers[-1]}'s quality ({kept}, {made.target:.0%}), "
        f"{figures['cheaper_share']:.1%} of them by a cheaper tier."
    )
    if json_file is not None:
        write_figures(json_file, figures)


@router.command()
def explain(
    prompt: Annotated[str, typer.Argument(help="What a user may ask.")],
    feature: Annotated[str, typer.Option(help="In which feature.")] = "",
    trained: Trained = _OUT,
) -> None:
    """Say which tier would answer a prompt, and why."""
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.types import Message, Request, Scope, Tier

    made = LearnedRouter.load(trained)
    request = Request("", 0.0, "", (Message("user", prompt),), scope=Scope(feature=feature))
    decision = made.decide(request, [Tier(name, name) for name in made.tiers], len(made.tiers) - 1)
    typer.echo(f"{decision.name}: {'; '.join(decision.reasons)}")


def _choice(made: LearnedRouter, request: Any) -> int:
    from thrift_plugins.types import Tier

    return made.decide(request, [Tier(name, name) for name in made.tiers], len(made.tiers) - 1).tier


def _print_promises(made: LearnedRouter) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.routing.learned import EVERY

    table = Table("feature", "examples", "by a cheaper tier", "quality of those", title_justify="left")
    table.title = f"{made.target:.0%} of {made.tiers[-1]}'s quality, with {made.confidence:.0%} confidence"
    for name, promise in made.promises.items():
        shown = Text("every feature" if name == EVERY else name or "(none)")
        if promise.limit is None:
            table.add_row(shown, f"{promise.examples:,}", "none: it cannot be promised", "")
        else:
            table.add_row(shown, f"{promise.examples:,}", f"{promise.cheaper:.1%}", f"{promise.quality:.2%}")
    Console().print(table)
