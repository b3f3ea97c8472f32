"""`distill take`: examples from logs that are there already, those that `replay` reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thrift_plugins.cli.cache.opened import ConfigFile, settings
from thrift_plugins.cli.distill.training import Task

if TYPE_CHECKING:
    from thrift_plugins.distillation.dataset import Dataset


def take(
    task: Task,
    log: Annotated[Path, typer.Argument(help="A log of calls: OpenAI-style, LangSmith, Langfuse, LiteLLM.")],
    feature: Annotated[str | None, typer.Option(help="Only calls of this feature; by default all.")] = None,
    model: Annotated[str, typer.Option(help="Only answers of this model; by default of all.")] = "",
    config: ConfigFile = None,
) -> None:
    """Keep the answers in a log as examples, clean and each text once. Hits, failures and cut answers are left out.

    Our own ledger holds no text, so there is nothing in it to learn from.
    """
    from thrift_plugins.distillation.dataset import Dataset
    from thrift_plugins.distillation.recorder import Recorder
    from thrift_plugins.distillation.serving import same_model
    from thrift_plugins.replay.logs.formats import open_log
    from thrift_plugins.teaching import folder_of
    from thrift_plugins.types import Request

    folder = folder_of(settings(config))
    recorder, dataset = Recorder(folder, [task]), Dataset(folder, task)
    before, calls = _count(dataset), 0
    for call in open_log(log):
        wanted = (feature is None or call.scope.feature == feature) and (not model or same_model(model, call.model))
        if call.reply is None or call.error or call.cached or not wanted:
            continue
        calls += 1
        request = Request(call.id, call.at, call.model, call.messages, call.tools, call.schema, call.params)
        recorder.record(request, call.reply, task=task)
    typer.echo(
        f"{calls:,} answers read, {_count(dataset) - before:,} kept as new examples of {task!r}, in {dataset.path}."
    )


def _count(dataset: Dataset) -> int:
    return sum(1 for _ in dataset.examples()) if dataset.path.is_file() else 0
