"""`thrift-plugins replay` on a log that somebody else has written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thrift_plugins.cli.figures import write_figures
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from thrift_plugins.config import Config
    from thrift_plugins.replay.logs import Log, Study
    from thrift_plugins.replay.logs.asking import Asked


class Wanted(NamedTuple):
    """What is asked for on the command line; see there."""

    format: str | None
    tenant: str | None
    feature: str | None
    cheaper: str | None
    ask: str | None
    judge: str | None
    sample: int
    usd: float


_LOOKED_AT = 50
"""Records, for the first that can be read."""


def is_trace(path: Path) -> bool:
    """Whether a file is one of our traces, or wants to be one."""
    from thrift_plugins.replay.logs.stream import records

    if not path.is_file():  # whose ending may be left out
        return True
    found = (record for _, record in islice(records(path), _LOOKED_AT) if not isinstance(record, str))
    first = next(found, {})
    return first.get("kind") == "header" or "arms" in first


def replay_log(path: Path, config: Config, wanted: Wanted, json_file: Path | None) -> None:
    """Study a log, ask a live model a sample if that is wanted, and print both."""
    from rich.console import Console

    from thrift_plugins.replay.logs import open_log
    from thrift_plugins.replay.logs.study import figures, unknowns
    from thrift_plugins.report.study import print_asked, print_study

    model, judge = _model(wanted.ask), _model(wanted.judge)
    log, console = open_log(path, wanted.format), Console(highlight=False)
    log.named = _naming(wanted)
    found = _studied(log, config, wanted)
    told: dict[str, Any] = {**figures(found), "unread": log.unread.total()}
    print_study(found, log, unknowns(found, config), console)
    if model is not None:
        done = _asked(found, model, judge, config, wanted.usd)
        print_asked(done, console)
        told |= _figures(done)
    if json_file is not None:
        write_figures(json_file, told)


def _studied(log: Log, config: Config, wanted: Wanted) -> Study:
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from thrift_plugins.replay.logs import study
    from thrift_plugins.report.terminal import stderr

    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr(), transient=True) as bar, tempfile.TemporaryDirectory() as folder:
        task = bar.add_task(f"reading {log.format.title}", total=None)
        return study(
            log,
            config,
            Path(folder),
            cheaper=wanted.cheaper,
            sample=wanted.sample if wanted.ask else 0,
            progress=lambda: bar.advance(task),
        )


def _asked(found: Study, model: BaseChatModel, judge: BaseChatModel | None, config: Config, usd: float) -> Asked:
    from rich.progress import Progress

    from thrift_plugins.replay.logs.asking import ask
    from thrift_plugins.report.terminal import stderr

    with Progress(console=stderr(), transient=True) as bar:
        task = bar.add_task("asking", total=len(found.sample))
        return ask(found.sample, model, usd=usd, settings=config, judge=judge, progress=lambda: bar.advance(task))


def _figures(done: Asked) -> dict[str, Any]:
    cost, standing = done.cost, done.standing
    told: dict[str, Any] = {"asked": done.asked, "asked_usd": done.spent / 1e9, "asked_stopped": done.stopped}
    if cost is not None:
        told["asked_cost_share"] = [cost.low, cost.value, cost.high]
    if standing is not None:
        told["asked_judged"] = standing.compared
        told["asked_drop"] = [standing.low, standing.drop, standing.high]
        told["asked_verdict"] = standing.verdict
    return told


def _model(name: str | None) -> BaseChatModel | None:
    """A model of OpenAI's SDK, which `OPENAI_BASE_URL` may send elsewhere."""
    if name is None:
        return None
    try:
        from langchain_openai import ChatOpenAI
    except ModuleNotFoundError as error:
        raise ConfigError("--ask needs OpenAI's SDK: pip install 'thrift-plugins[openai]'") from error
    try:
        return ChatOpenAI(model=name, max_retries=2)
    except Exception as error:  # pydantic's, of which the key is the usual cause
        raise ConfigError(f"--ask {name}: {str(error).partition(chr(10))[0]}") from error


def _naming(wanted: Wanted) -> Callable[[Mapping[str, Any]], Mapping[str, str]]:
    """Reads names from the fields that the user has named."""
    fields = {"tenant": wanted.tenant, "feature": wanted.feature}
    paths = {name: path.split(".") for name, path in fields.items() if path}

    def named(record: Mapping[str, Any]) -> Mapping[str, str]:
        return {name: _found(record, path) for name, path in paths.items()}

    return named


def _found(record: Any, path: list[str]) -> str:
    from thrift_plugins.replay.logs.logged import mapping

    for name in path:
        record = mapping(record).get(name)
    return "" if record is None else str(record)
