"""`thrift-plugins replay`: a recorded month through the real adapters, or any log of an app, as a bill before and after."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.figures import JsonFile, write_figures
from thrift_plugins.cli.replay_log import Wanted, is_trace, replay_log
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.config import Config
    from thrift_plugins.replay import Outcome, Setup, Trace

_CONFIG_HELP = "'all', 'none', tactics like 'cache,routing', or a thrift.toml, whose store and ledger are not touched: a replay has its own."

_FORMAT_HELP = "Of a log: openai, langsmith, langfuse, litellm or ledger; by default found out."


class Framework(StrEnum):
    """Whose adapter the requests go through."""

    langchain = "langchain"
    llama_index = "llama_index"


def replay(
    trace: Annotated[
        Path, typer.Argument(help="A trace of ours, or a log: JSON lines or one array, CSV, Parquet, a ledger.")
    ],
    framework: Annotated[
        Framework, typer.Option(help="Of a trace: whose adapter it goes through.")
    ] = Framework.langchain,
    config: Annotated[str, typer.Option(help=_CONFIG_HELP)] = "all",
    warm: Annotated[
        Path | None, typer.Option(help="Of a trace: folder with what the app has from the month before.")
    ] = None,
    shared: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a trace: a feature whose answers are the same for every tenant, so that they share them."
        ),
    ] = None,
    format: Annotated[str | None, typer.Option(help=_FORMAT_HELP)] = None,  # noqa: A002  the option's name
    tenant: Annotated[str | None, typer.Option(help="Of a log: the field that names the tenant: metadata.org.")] = None,
    feature: Annotated[str | None, typer.Option(help="Of a log: the field that names the feature.")] = None,
    cheaper: Annotated[
        str | None, typer.Option(help="Of a log: the model to route to; by default its cheapest.")
    ] = None,
    ask: Annotated[
        str | None, typer.Option(help="Of a log: ask this model a sample, at your cost (OpenAI's SDK).")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="With --ask: a model that judges prose.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="With --ask: calls to ask.")] = 100,
    usd: Annotated[
        float, typer.Option(min=0.000001, help="With --ask: the most that it may cost, in US dollars.")
    ] = 1.0,
    json_file: JsonFile = None,
) -> None:
    """Replay a recorded month: every request through the real adapter over recorded models, on the trace's clock.

    Prints the bill before and after, by tactic and by feature, with quality beside the money.

    Of a log (OpenAI-style requests and responses, LangSmith, Langfuse, LiteLLM's spend logs, our ledger) it shows the bill,
    what a cache would have answered of it, what the rules would route, and what cannot be known from it.
    """
    from thrift_plugins.replay import Trace
    from thrift_plugins.report.terminal import print_outcome

    if format is not None or not is_trace(trace):
        wanted = Wanted(format, tenant, feature, ask or cheaper, ask, judge, sample, usd)
        replay_log(trace, _settings(config), wanted, json_file)
        return
    setup, outcome = _run(Trace(trace), framework, config, warm, frozenset(shared or ()))
    print_outcome(outcome, learnt=setup.learnt)
    if json_file is not None:
        write_figures(json_file, outcome.figures())


def _settings(config: str) -> Config:
    """Of a log, which tells nothing that a tactic could learn from."""
    from thrift_plugins.config import Config

    if config == "all":
        return Config()
    return Config.none() if config == "none" else Config.load(config)


def _setup(trace: Trace, config: str, warm: Path | None, folder: Path) -> Setup:
    """The settings that are asked for by name, or those of a file."""
    from thrift_plugins.config import Config
    from thrift_plugins.replay import SWITCHES, Setup, prepared

    named = {"all": list(SWITCHES), "none": []}.get(config) or config.split(",")
    if config == "none" or set(named) <= SWITCHES.keys():
        return prepared(named if config != "none" else [], trace, warm, folder)
    if warm is not None and not warm.is_dir():
        raise ConfigError(f"--warm {warm}: no such folder")
    learnt = ("Settings from a file are taken as they are: --warm changed nothing.",) if warm else ()
    return Setup(Config.load(config), learnt=learnt)


def _run(
    trace: Trace, framework: Framework, config: str, warm: Path | None, shared: frozenset[str]
) -> tuple[Setup, Outcome]:
    """Check the whole trace first, so that a broken line costs nothing, then replay it with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from thrift_plugins.replay import replay as run
    from thrift_plugins.report.terminal import stderr

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=stderr(), transient=True) as bar,
        tempfile.TemporaryDirectory() as made,
        tempfile.TemporaryDirectory() as folder,
    ):
        reading = bar.add_task("reading", total=None)
        rows = sum(1 for _ in trace)
        setup = replace(_setup(trace, config, warm, Path(made)), shared=shared)
        bar.remove_task(reading)
        task = bar.add_task(f"replaying through {framework.value}", total=rows)
        step = lambda: bar.advance(task)  # noqa: E731  one line
        return setup, run(trace, framework.value, setup, Path(folder), progress=step)
