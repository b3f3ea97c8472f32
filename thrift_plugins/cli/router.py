"""`thrift-plugins router`: train a router on answers of known quality, try it on others, and ask it about a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from thrift_plugins.cli.booked import LedgerUrl
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.cli.in_force import file_in_force
from thrift_plugins.cli.lessons import Labels, examples_of
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.config import RoutingConfig
    from thrift_plugins.routing.learned import Goal, LearnedRouter

router = typer.Typer(name="router", no_args_is_help=True, help="Train a router on answers of known quality.")

_OUT: Final = Path("candidate.json")
"""What is trained serves nobody before it is promoted."""

Trained = Annotated[Path, typer.Option("--router", help="The trained router.")]


@router.command()
def train(
    tiers: Annotated[
        str, typer.Option(help="Names of the tiers, cheapest first, with commas between; the last is yours.")
    ],
    labels: Labels = None,
    quality: Annotated[
        float | None, typer.Option(help="Share of your own tier's quality to promise; by default that of the settings, or 0.99.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="With which confidence; by default that of the settings, or 0.95.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write; not one that is in force.")] = _OUT,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
) -> None:
    """Learn how good each tier is at what, and what may be promised. The file holds no text of an example.

    Features that have a `quality` or `confidence` of their own in the settings are promised that.
    """
    from thrift_plugins.routing.training import train as trained

    names = [name.strip() for name in tiers.split(",") if name.strip()]
    own = settings(config).routing
    if out.exists() and out.resolve() == file_in_force(own).resolve():
        raise ConfigError(
            f"{out} is the router in force: train another file, and `thrift-plugins router promote` puts it in its place if it "
            "is better"
        )
    goal, goals = _goals(own, quality, confidence)
    known = examples_of(labels, names, "train", config, ledger)
    made = trained(known, names, quality=goal.quality, confidence=goal.confidence, goals=goals)
    made.save(out)
    _print_promises(made)
    typer.echo(
        f"Written to {out}. Try it on other answers with `thrift-plugins router evaluate`, and put it in force with "
        f"`thrift-plugins router promote {out}`."
    )


def _goals(own: RoutingConfig, quality: float | None, confidence: float | None) -> tuple[Goal, dict[str, Goal]]:
    """What is to be promised: of all features, and of those that have settings of their own."""
    from thrift_plugins.routing.learned import Goal

    def filled(promised: float | None, sure: float | None, by: Goal) -> Goal:
        return Goal(by.quality if promised is None else promised, by.confidence if sure is None else sure)

    goal = filled(quality, confidence, filled(own.quality, own.confidence, Goal()))
    apart = {name: table for name, table in own.features.items() if not isinstance(table, str)}
    goals = {name: filled(table.get("quality"), table.get("confidence"), goal) for name, table in apart.items()}
    return goal, {name: each for name, each in goals.items() if each != goal}


@router.command()
def evaluate(
    labels: Labels = None,
    trained: Trained = _OUT,
    json_file: JsonFile = None,
    html: Annotated[Path | None, typer.Option(help="Write the curve to this page.")] = None,
    config: ConfigFile = None,
    ledger: LedgerUrl = None,
) -> None:
    """Try a router on answers that it was not trained on, and show what it would have cost to be more careful, or less."""
    from thrift_plugins.report.curve import in_characters, page, picture
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.routing.trial import curve, try_out

    made = LearnedRouter.load(trained)
    known = examples_of(labels, made.tiers, "held", config, ledger)
    trial = try_out(made, known)
    point, points, target = trial.point, curve(made, known), trial.due
    kept = "at least what was promised" if point.quality >= target else "LESS than what was promised"
    told = (
        f"{len(trial.served):,} examples: {point.quality:.2%} of {made.tiers[-1]}'s quality ({kept}, {target:.1%}), "
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
    trained: Annotated[
        Path | None, typer.Option("--router", help="The trained router; by default the one in force, or else candidate.json.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Say which tier would answer a prompt, and why."""
    from thrift_plugins.routing.learned import LearnedRouter
    from thrift_plugins.types import Message, Request, Scope, Tier

    in_force = file_in_force(settings(config).routing)
    made = LearnedRouter.load(trained or (in_force if in_force.exists() else _OUT))
    request = Request("", 0.0, "", (Message("user", prompt),), scope=Scope(feature=feature))
    decision = made.decide(request, [Tier(name, name) for name in made.tiers], len(made.tiers) - 1)
    typer.echo(f"{decision.name}: {'; '.join(decision.reasons)}")


def _print_promises(made: LearnedRouter) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from thrift_plugins.routing.drift import EVERY

    table = Table("feature", "examples", "promised", "by a cheaper tier", "quality of those", title_justify="left")
    table.title = f"Promised of {made.tiers[-1]}'s quality, and with which confidence"
    for name, promise in made.promises.items():
        shown = Text("every feature" if name == EVERY else name or "(none)")
        goal = made.goal(name)
        told = [f"{promise.examples:,}", f"{goal.quality:.4g} ({goal.confidence:.4g})"]
        if not promise.routes:
            table.add_row(shown, *told, "none: it cannot be promised", "")
        else:
            table.add_row(shown, *told, f"{promise.cheaper:.1%}", f"{promise.quality:.2%}")
    Console().print(table)
