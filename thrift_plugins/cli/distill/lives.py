"""`distill status`, `promote` and `rollback`: what students do in production, and what a person wants them to do."""

from __future__ import annotations

import time
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.cache.opened import ConfigFile, StoreUrl, settings, store_of
from thrift_plugins.cli.distill.training import Task
from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thrift_plugins.config import Config
    from thrift_plugins.distillation.life import Life, Terms
    from thrift_plugins.stores.base import Store


def status(config: ConfigFile = None, store: StoreUrl = None, json_file: JsonFile = None) -> None:
    """Show every student: shadow, canary, active or demoted, why, and what its audits have found."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    chosen = settings(config)
    with store_of(chosen.store if store is None else store) as opened:
        found = [_told(task, _life(opened, chosen, task)) for task in _tasks(chosen)]
    if json_file is not None:
        write_figures(json_file, {"students": found})
    table = Table(
        "task", "state", "why", "compared", "audits", "wrong", "requests", title="Students", title_justify="left"
    )
    for told in found:
        table.add_row(
            *(Text(str(told[name])) for name in ("task", "state", "why", "compared", "audits", "wrong", "requests"))
        )
    Console().print(table) if found else typer.echo("There are no students yet: see `thrift-plugins distill run`.")


def promote(
    task: Task,
    again: Annotated[bool, typer.Option("--again", help="Put one that was demoted into the shadow again.")] = False,
    config: ConfigFile = None,
    store: StoreUrl = None,
) -> None:
    """Let a student go one step up, if what came in production certifies it: shadow, canary, active."""
    chosen = settings(config)

    def up(life: Life) -> Life:
        if again:
            life.restart("by hand", time.time())
        elif why := life.promote(time.time()):
            raise ConfigError(f"the student of {task!r} cannot go up: {why}")
        return life

    with store_of(chosen.store if store is None else store) as opened:
        life = _changed(opened, chosen, task, up)
    typer.echo(f"The student of {task!r} is {life.state} now. Running apps follow within seconds.")


def rollback(
    task: Task,
    to: Annotated[str, typer.Option(help="The version; by default the one before.")] = "",
    config: ConfigFile = None,
    store: StoreUrl = None,
) -> None:
    """Demote the student that serves at once, and let an earlier version serve after the apps' next start."""
    from thrift_plugins.teaching import folder_of, make_current, student_path, versions

    chosen = settings(config)
    folder = folder_of(chosen)
    before = [each for each in versions(folder, task)[1:] if student_path(folder, task, each).is_file()]
    if to and to not in before:
        raise ConfigError(f"version {to!r} of {task!r} has not served before; these have: {', '.join(before) or 'none'}")

    def down(life: Life) -> Life:
        life.demote("rolled back by hand", time.time())
        return life

    with store_of(chosen.store if store is None else store) as opened:
        life = _changed(opened, chosen, task, down)
    typer.echo(f"The student of {task!r}, version {life.version}, is demoted.")
    version = to or next(iter(before), "")
    if version:
        make_current(folder, task, version, instead=True)
        typer.echo(f"Version {version} serves from the next start of an app on, in the state in which it was.")


def _tasks(config: Config) -> list[str]:
    from thrift_plugins.teaching import folder_of

    return sorted(path.parent.name for path in Path(folder_of(config)).glob("*/current"))


def _life(store: Store, config: Config, task: str) -> Life:
    from thrift_plugins.teaching import read_life

    return read_life(store, task, *_version(config, task))


def _changed(store: Store, config: Config, task: str, change: Callable[[Life], Life]) -> Life:
    from thrift_plugins.teaching import change_life

    return change_life(store, task, *_version(config, task), change)


def _version(config: Config, task: str) -> tuple[str, Terms]:
    """The version that serves, and by what it goes up and down."""
    from thrift_plugins.distillation.serving import terms_for
    from thrift_plugins.teaching import current, folder_of, terms_of

    student = current(folder_of(config), task)
    return student.version, terms_for(student, terms_of(config.distillation))


def _told(task: str, life: Life) -> dict[str, Any]:
    audits, wrong = life.audits
    return {
        "task": task,
        "version": life.version,
        "state": life.state,
        "why": life.why,
        "since": life.since,
        "threshold": life.threshold if isfinite(life.threshold) else None,
        "compared": len(life.compared),
        "audits": audits,
        "wrong": wrong,
        "requests": life.requests[0],
    }
