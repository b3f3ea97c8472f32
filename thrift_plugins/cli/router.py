"""`thrift-plugins router`: train a router on answers of known quality, try it on others, and ask it about a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures

if TYPE_CHECKING:
    from thrift_plugins.routing.example import Example
    from thrift_plugins.routing.learned import LearnedRouter

router = typer.Typer(name="router", no_args_is_help=True, help="Train a router on answers of known quality.")

Labels = Annotated[
    Path,
    typer.Argument(help="JSON lines with `prompt` or `messages`, `scores` by tier, `feature`, `answers`, `costs`."),
]
Trained = Annotated[Path, typer.Option("--router", help="The trained router.")]
_OUT = Path("router.json")


@router.command()
def train(
    labels: Labels,
    tiers: Annotated[
        str, typer.Option(help="Names of the tiers, cheapest first, with commas between; the last is yours.")
    ],
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


def held_out(labels: Path) -> list[Example]:
    """The examples of a file."""
    from thrift_plugins.routing.labelled import examples

    return list(examples(labels))


@router.command()
def evaluate(
    labels: Labels,
    trained: Trained = _OUT,
    json_file: JsonFile = None,
    html: Annotated[Path | None, typer.Option(help="Write the curve to this page.")] = None,
) -> None:
    """Try a router on answers that it was not trained on, and show what it would have cost to be more careful, or less."""
    from thrift_plugins.report.curve import in_characters, page, picture
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.routing.trial import curve, try_out

    made, known = LearnedRouter.load(trained), held_out(labels)
    trial = try_out(made, known)
    point, points, target = trial.point, curve(made, known), made.target
    kept = "at least what was promised" if point.quality >= target else "LESS than what was promised"
    told = (
        f"{len(trial.served):,} examples: {point.quality:.2%} of {made.tiers[-1]}'s quality ({kept}, {target:.0%}), "
        f"{point.cheaper:.1%} of them by a cheaper tier, at {point.cost:.1%} of the cost."
    )
    typer.echo(told)
    typer.echo(in_characters(points, point, target))
    if html is not None:
        html.write_text(page("What the router comes to", [told], picture(points, point, target)), encoding="utf-8")
    if json_file is not None:
        figures: dict[str, Any] = {
            "examples": len(trial.served),
            "quality": point.quality,
            "promised": target,
            "cheaper_share": point.cheaper,
            "saved": 1 - point.cost,
            "curve": [list(each) for each in points],
        }
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


def _print_promises(made: LearnedRouter) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.routing.drift import EVERY

    table = Table("feature", "examples", "by a cheaper tier", "quality of those", title_justify="left")
    table.title = f"{made.target:.0%} of {made.tiers[-1]}'s quality, with {made.confidence:.0%} confidence"
    for name, promise in made.promises.items():
        shown = Text("every feature" if name == EVERY else name or "(none)")
        if not promise.routes:
            table.add_row(shown, f"{promise.examples:,}", "none: it cannot be promised", "")
        else:
            table.add_row(shown, f"{promise.examples:,}", f"{promise.cheaper:.1%}", f"{promise.quality:.2%}")
    Console().print(table)
