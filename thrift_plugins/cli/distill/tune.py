"""`distill tune`: fine-tune a model at its provider, where free text or the last points of accuracy need one."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.alone import alone
from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.distill.training import Task, Teacher
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thrift_plugins.config import Config
    from thrift_plugins.distillation.dataset import Example
    from thrift_plugins.distillation.tuning import Quote


def tune(
    task: Task,
    model: Annotated[str, typer.Option(help="The model to tune.")],
    training_usd: Annotated[
        float, typer.Option(help="The provider's price in US dollars for a million trained tokens.")
    ],
    max_usd: Annotated[float, typer.Option(help="The most that you will pay; nothing is asked for above it.")] = 0.0,
    requests: Annotated[float, typer.Option(help="Requests of the task in a day.")] = 0.0,
    saved_usd: Annotated[
        float, typer.Option(help="US dollars that a thousand answers of the tuned model are cheaper.")
    ] = 0.0,
    rent_usd: Annotated[
        float, typer.Option(help="US dollars a day for machines that serve it, where its host rents them.")
    ] = 0.0,
    epochs: Annotated[int, typer.Option(min=1, max=50)] = 3,
    seed: int = 1,
    system_file: Annotated[
        Path | None, typer.Option(help="The instructions that it will be given when it serves.")
    ] = None,
    base_url: Annotated[str, typer.Option(envvar="OPENAI_BASE_URL")] = "https://api.openai.com/v1",
    journal: Annotated[
        Path | None, typer.Option(help="Where the run is written down; by default in the task's folder.")
    ] = None,
    teacher: Teacher = "",
    terms: Annotated[
        bool, typer.Option("--i-have-read-terms", help="You have read the teacher's provider's terms.")
    ] = False,
    anyway: Annotated[bool, typer.Option("--anyway", help="Do it although it does not pay.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what a fine-tuning job costs; with --max-usd, ask for it and wait. Killed, it goes on with the same job."""
    from thrift_plugins.distillation.dataset import Dataset
    from thrift_plugins.distillation.openai_jobs import OpenAIJobs
    from thrift_plugins.distillation.tuning import Files, Tuning, asked_already, quote
    from thrift_plugins.teaching import folder_of

    chosen = settings(config)
    place = journal or Dataset(folder_of(chosen), task).folder / "tuning.json"
    files = Files.kept(place, model)
    if files is None:
        files = Files.of(_examples(chosen, task, teacher), model, system_file.read_text("utf-8") if system_file else "")
    jobs = OpenAIJobs(base_url, os.environ.get("OPENAI_API_KEY", ""))
    if not asked_already(place):
        told = quote(
            files.tokens, epochs, training=training_usd, saved=saved_usd / 1_000, host=jobs.host, rent=rent_usd,
            requests=requests, today=datetime.now(UTC).date(), shutdown=jobs.shutdown(model) if max_usd else None,
        )  # fmt: skip
        if not _agreed(told, training_usd, max_usd, terms=terms, anyway=anyway):
            return
    with _alone(place):
        done = Tuning(jobs, place, clock=time.time, sleep=time.sleep).run(
            files, model=model, epochs=epochs, seed=seed, suffix=f"thrift-{task}"
        )
    _print_done(done, place)


def _agreed(told: Quote, price: float, most: float, *, terms: bool, anyway: bool) -> bool:
    """Whether a job may be asked for: what it costs is shown first.

    Raises:
        ConfigError: it does not pay, or nobody has said that the terms were read.
    """
    typer.echo(
        f"{told.tokens:,} tokens x {told.epochs} epochs at ${price:g} a million: ${told.usd:,.2f}, by our count"
        + (f"; paid back after {told.break_even:,.0f} requests." if isfinite(told.break_even) else ".")
    )
    if told.why and not anyway:
        raise ConfigError(f"not asked for: {told.why} (--anyway does it all the same)")
    if told.usd > most:
        typer.echo("Nothing was asked for. To go on, say the most that you will pay: --max-usd.")
        return False
    if not terms:
        raise ConfigError("say that you have read the terms of the teacher's provider on training: --i-have-read-terms")
    return True


@contextmanager
def _alone(journal: Path) -> Iterator[None]:
    """While no other process is at the same run: two would ask for a job each."""
    journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(journal.with_suffix(".lock"), f"another process is at the run in {journal}: wait for it"):
        yield


def _print_done(done: Mapping[str, Any], journal: Path) -> None:
    from thrift_plugins.distillation.tuning import ENDED

    typer.echo(f"Job {done['job']}: {done['status']}" + (f", {done['error']}" if done.get("error") else "."))
    for point in done.get("checkpoints") or []:
        typer.echo(f"  checkpoint {point['model']}, step {point['step']}: {point['metrics']}")
    if done.get("tuned_model"):
        typer.echo(
            f"Model {done['tuned_model']}. Give it a price under [prices], and put it among your tiers: it serves the prompt that"
            " it was trained on, and no other."
        )
    if done["status"] in ENDED:
        typer.echo(f"This run has ended. For another one, on what was recorded since: --journal, with another file than {journal}.")


def _examples(config: Config, task: str, teacher: str) -> list[Example]:
    from thrift_plugins.distillation.dataset import Dataset, one_teacher
    from thrift_plugins.teaching import folder_of

    return one_teacher(list(Dataset(folder_of(config), task).examples()), teacher=teacher)
