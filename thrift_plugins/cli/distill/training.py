"""`distill plan`, `run` and `report`: what a student could do, a student, and what one was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.config import Config
    from thrift_plugins.distillation.training import Plan
    from thrift_plugins.types import Json

Task = Annotated[str, typer.Argument(help="The task: a feature of the app.")]
Teacher = Annotated[str, typer.Option(help="Whose answers to follow, where several models were recorded.")]
Agreement = Annotated[
    float | None, typer.Option(help="Share of answers that the teacher would give too; by default that of thrift.toml.")
]

Schema = Annotated[
    Path | None,
    typer.Option(help='A file with the JSON schema of the answers, such as {"enum": ["a", "b"]}: others are left out.'),
]

_ROUTED = (
    "A router has chosen these examples, and not chance: what is said here holds for what it sends to the teacher. Let the teacher"
    " answer the task alone for a while ([routing.features]); the shadow asks it anyway, whatever the router thinks."
)

_TERMS = (
    "The terms of most providers say what may be trained on their models' answers: several forbid models that compete with"
    " theirs, some more than that. Read those of {teacher}, decide, and run again with --i-have-read-terms."
)


def plan(
    task: Task,
    teacher: Teacher = "",
    agreement: Agreement = None,
    requests: Annotated[float, typer.Option(help="Requests of the task in a month, for dollars.")] = 0.0,
    extra: Annotated[int, typer.Option(help="Recorded answers that were paid for this purpose alone.")] = 0,
    schema: Schema = None,
    config: ConfigFile = None,
    json_file: JsonFile = None,
) -> None:
    """Say what share of requests a student could answer, and from when on it pays. Exit code 1: it is refused.

    Each recorded answer is told by a student that has learnt from all others. Nothing is written.
    """
    from thrift_plugins.distillation.dataset import Dataset
    from thrift_plugins.distillation.training import Material
    from thrift_plugins.distillation.training import plan as planned
    from thrift_plugins.teaching import folder_of
    from thrift_plugins.text.embed import word_embedder

    chosen = settings(config)
    own = chosen.distillation
    material = Material.of(
        list(Dataset(folder_of(chosen), task).examples()), teacher=teacher, schema=_schema(schema)
    )
    _, judged = material.learn(word_embedder())
    promised = own.agreement if agreement is None else agreement
    made = planned(judged, examples=extra, agreement=promised, audit=own.audit, shadow=own.shadow)
    saved = _dollars(chosen, material.examples[-1].teacher, material.tokens) * made.saving * requests
    if json_file is not None:
        write_figures(json_file, _figures(made, saved))
    _print_plan(task, made, saved, requests)
    if material.left_out:
        typer.echo(f"{material.left_out:,} answers have another form than the rest: they are left out, and count as wrong.")
    if material.routed:
        typer.echo(_ROUTED)
    if made.why:
        typer.echo(f"Refused: {made.why}.")
        raise typer.Exit(1)
    typer.echo(f"Next: thrift-plugins distill run {task}")


def run(
    task: Task,
    teacher: Teacher = "",
    agreement: Agreement = None,
    schema: Schema = None,
    terms: Annotated[
        bool, typer.Option("--i-have-read-terms", help="You have read the teacher's provider's terms.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Train a student on what was recorded, on this machine, and let it begin in the shadow."""
    from thrift_plugins.distillation.dataset import Dataset, one_teacher
    from thrift_plugins.distillation.training import WORTH
    from thrift_plugins.teaching import folder_of, student_path, trained

    chosen = settings(config)
    if not terms:
        own = one_teacher(list(Dataset(folder_of(chosen), task).examples()), teacher=teacher)
        raise ConfigError(_TERMS.format(teacher=f"{own[-1].teacher}'s provider"))
    student = trained(chosen, task, teacher=teacher, agreement=agreement, schema=_schema(schema))
    told = student.certificate
    typer.echo(
        f"Version {student.version}, in {student_path(folder_of(chosen), task, student.version)}: it may answer"
        f" {told.coverage:.1%} of requests, and differ from {student.teacher} on {1 - told.agreement:.0%} of all at most"
        f" ({told.confidence:.0%} confidence, {told.calibrated:,} examples)."
    )
    if student.about.get("routed"):
        typer.echo(_ROUTED)
    if told.coverage < WORTH:
        typer.echo(f"It needs {WORTH:.0%} in the shadow, or it stays there: see `thrift-plugins distill plan {task}`.")
    if not chosen.distillation.enabled:
        typer.echo("Put it to use: [distillation] enabled = true. It begins in the shadow, and answers nothing there.")


def report(
    task: Task,
    version: Annotated[str, typer.Option(help="Which; by default the one that serves.")] = "",
    config: ConfigFile = None,
    json_file: JsonFile = None,
) -> None:
    """Show what a student was trained on, what is promised of it, and how it does on examples that it has not seen."""
    from rich.console import Console
    from rich.table import Table

    from thrift_plugins.distillation.student import Student
    from thrift_plugins.teaching import current, folder_of, student_path

    folder = folder_of(settings(config))
    student = Student.load(student_path(folder, task, version)) if version else current(folder, task)
    told, held = student.certificate, student.about.get("held_back") or {}
    figures: dict[str, Any] = {
        "task": student.task,
        "version": student.version,
        "teacher": student.teacher,
        "examples": student.about.get("examples"),
        "chosen_by_chance": student.about.get("drawn"),
        "classes": sum(len(head.classes) for head in student.mind.heads),
        "agrees": told.agrees,
        "promised_agreement": told.agreement,
        "confidence": told.confidence,
        "coverage": told.coverage,
        "differ": told.differ,
        "differ_bound": told.bound,
        "word_vectors": student.embedder.name if student.embedder else "none",
        **{f"held_back_{name}": value for name, value in held.items()},
    }
    if json_file is not None:
        write_figures(json_file, figures)
    table = Table("", "", show_header=False, title=f"Student of {student.task!r}", title_justify="left")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:.3f}" if isinstance(value, float) else str(value))
    Console().print(table)


def _schema(path: Path | None) -> Mapping[str, Json] | None:
    """The JSON schema in a file."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the schema {path}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"the schema {path} is no JSON object")
    return found


def _dollars(config: Config, model: str, tokens: tuple[float, float]) -> float:
    """What an answer of the teacher costs in the mean, in dollars; 0 where nobody knows."""
    from thrift_plugins.errors import UnknownModelPrice
    from thrift_plugins.prices import Prices
    from thrift_plugins.types import Usage, usd

    try:
        usage = Usage(round(tokens[0] * 1_000), round(tokens[1] * 1_000))
        return usd(Prices(config.prices).cost(model, usage)) / 1_000
    except UnknownModelPrice:
        return 0.0


def _figures(made: Plan, saved: float) -> dict[str, Any]:
    return {
        "examples": made.examples,
        "agrees": made.agrees,
        "agreement": made.agreement,
        "coverage": made.forecast,
        "possible": made.possible,
        "saving": made.saving,
        "saved_usd_per_month": saved,
        "break_even_requests": made.break_even if isfinite(made.break_even) else None,
        "refused": made.why,
        **{f"coverage_at_{level:g}": told.coverage for level, told in made.choices.items()},
    }


def _print_plan(task: str, made: Plan, saved: float, requests: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("agreement promised", "answered by the student", title_justify="left")
    table.title = f"{task}: a student agrees on {made.agrees:.1%} of {made.examples:,} examples"
    for level, told in made.choices.items():
        table.add_row(f"{level:.0%}", f"{told.coverage:.1%}" if told.holds else "none")
    Console().print(table)
    typer.echo(
        f"At {made.agreement:.0%}: {made.forecast:.1%} answered ({made.possible:.0%} is the most that anything could),"
        f" {made.saving:.1%} of calls saved after audits"
        + (f", and {made.break_even:,.0f} requests until it has paid for itself." if isfinite(made.break_even) else ".")
    )
    if requests and saved:
        typer.echo(f"{requests:,.0f} requests a month: about ${saved:,.2f} saved.")
