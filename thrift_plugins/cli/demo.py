"""`thrift-plugins demo`: a small app on both frameworks, what it would have cost, what it cost, and why."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from thrift_plugins.demo import Framework, Run
    from thrift_plugins.testing import LoopbackProvider


class Choice(StrEnum):
    """Which builds of the app are run."""

    langchain = "langchain"
    llama_index = "llama_index"
    both = "both"


def demo(
    framework: Annotated[Choice, typer.Option(help="Which framework the app runs on.")] = Choice.both,
    offline: Annotated[bool, typer.Option("--offline", help="Take no notice of OPENAI_API_KEY.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Run a small help centre: what it would have cost, what it cost, and why.

    Without OPENAI_API_KEY it runs offline and free; with it, against OpenAI, for a few cents.
    """
    from rich.console import Console

    from thrift_plugins.demo import show
    from thrift_plugins.testing import offline_openai

    console = Console(highlight=False)
    frameworks = _frameworks(framework)
    console.print(show.introduction(frameworks))
    with offline_openai(force=offline) as provider:
        _announce(console, provider, len(frameworks))
        runs = [_run(console, name, provider) for name in frameworks]
    for part in (show.bills(runs), show.samples(runs[0]), show.proof(runs), show.closing(runs)):
        console.print()
        console.print(part)
    if json_file is not None:
        write_figures(json_file, {run.framework: run.figures() for run in runs})


def _frameworks(choice: Choice) -> list[Framework]:
    """The frameworks to run.

    Raises:
        ConfigError: the OpenAI class of one of them is not installed.
    """
    needed: dict[Framework, str] = {"langchain": "langchain_openai", "llama_index": "llama_index.llms.openai"}
    chosen: list[Framework] = [name for name in needed if choice in (name, Choice.both)]
    lacking = [needed[name] for name in chosen if not _installed(needed[name])]
    if lacking:
        raise ConfigError(f"the demo needs {' and '.join(lacking)}; install with: pip install 'thrift-plugins[openai]'")
    return chosen


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False


def _announce(console: Console, provider: LoopbackProvider | None, runs: int) -> None:
    from thrift_plugins.demo import expected_cost, show
    from thrift_plugins.prices import Prices

    if provider:
        console.print(show.offline_notice())
        return
    console.print(show.real_money_notice(expected_cost(Prices()), runs))
    if sys.stdin.isatty():
        typer.confirm("Go on?", abort=True)


def _run(console: Console, framework: Framework, provider: LoopbackProvider | None) -> Run:
    """One app, with its first answer printed as it streams and a progress bar for the rest."""
    from openai import OpenAIError
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from thrift_plugins.demo import run, show
    from thrift_plugins.demo.knowledge import questions
    from thrift_plugins.report.terminal import stderr

    name = show.NAMES[framework]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=stderr(), transient=True, auto_refresh=False)
    task = bar.add_task(name, total=(2 if provider else 1) * len(questions()))

    def progress() -> None:
        if not bar.live.is_started:  # a bar beside an answer that streams in would overwrite it
            console.print()
            bar.start()
        bar.advance(task)
        bar.refresh()

    console.print(f"\n[bold]{name}[/bold], the first answer as it streams in:\n  {questions()[0]}\n  ", end="")
    try:
        return run(framework, provider, show=lambda piece: console.out(piece, end=""), progress=progress)
    except OpenAIError as error:
        raise ConfigError(f"OpenAI did not answer: {error}") from error
    finally:
        bar.stop()
