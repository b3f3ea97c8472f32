"""A Runnable, and a config, by which nobody hears of what is done: without callbacks, and out of a graph's streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.base import RunnableSerializable

_STREAM: Final = "__pregel_stream"
_RUNTIME: Final = "__pregel_runtime"
"""Where LangGraph keeps, in a config, what a graph inside another one, and `get_stream_writer`, write to."""


def for_nobody(config: RunnableConfig) -> RunnableConfig:
    """The config of a call that nobody is to hear of. What else is in it may decide what is answered, and stays."""
    told = dict(config.get("configurable") or {})
    told.pop(_STREAM, None)
    runtime: Any = told.get(_RUNTIME)
    if hasattr(runtime, "override"):
        told[_RUNTIME] = runtime.override(stream_writer=_written)
    return {**config, "callbacks": [], "configurable": told}


def _written(_: object) -> None:
    """Nowhere."""


def without_callbacks(runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The same for nobody's ears: in sequences, parallel steps, branches, fallbacks and whatever else holds others in its fields.

    What a function or a graph calls cannot be seen.
    """
    if not isinstance(runnable, RunnableSerializable):
        return runnable
    if isinstance(runnable, RunnableBinding):
        config = {name: value for name, value in runnable.config.items() if name != "callbacks"}
        told = {"bound": without_callbacks(runnable.bound), "config": config, "config_factories": []}
        return runnable.model_copy(update=told)
    fields = type(runnable).model_fields
    if "callbacks" in fields:  # a model, a tool, a retriever
        return runnable if getattr(runnable, "callbacks", None) is None else runnable.model_copy(update={"callbacks": None})
    changed = {name: new for name in fields if (new := _part(old := getattr(runnable, name))) is not old}
    return runnable.model_copy(update=changed) if changed else runnable


def _part(value: Any) -> Any:
    """A field's value; the same object where nothing is changed in it."""
    if isinstance(value, Runnable):
        return without_callbacks(value)
    if isinstance(value, Mapping):
        parts = {name: _part(inner) for name, inner in value.items()}
        return parts if any(parts[name] is not value[name] for name in parts) else value
    if isinstance(value, list | tuple):
        made = [_part(inner) for inner in value]
        return type(value)(made) if any(new is not old for new, old in zip(made, value, strict=True)) else value
    return value
