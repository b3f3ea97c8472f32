"""Fills a cache from recorded questions and answers, as if the app had asked them itself.

A recording goes through the app's own wrapped model, because its settings are part of every key, and through its policy:
what the app would not keep is not kept here. The flow's wishes are granted by hand: a call is answered by the recording,
and nothing is booked, since nothing was paid.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from thrift_plugins.effects import Append, Call, Effect, Flow, Keep, Renew, Replay
from thrift_plugins.errors import ConfigError
from thrift_plugins.perform import perform
from thrift_plugins.replay.apps import recorded_replies
from thrift_plugins.replay.row import Row
from thrift_plugins.runtime import Runtime
from thrift_plugins.scope import scope
from thrift_plugins.types import Reply

_KINDS = (("langchain", "ThriftChatModel"), ("llama_index", "ThriftLLM"))


@runtime_checkable
class Warmable(Protocol):
    """A `ThriftChatModel` or a `ThriftLLM`."""

    runtime: Runtime


@dataclass(slots=True)
class Warmed:
    """What became of the rows of a recording.

    Attributes:
        known: answers that were in the store already.
        not_kept: rows that the policy does not answer from a cache, and answers that it does not keep.
        not_recorded: rows without the words of the model that would have been asked.
    """

    kept: int = 0
    known: int = 0
    not_kept: int = 0
    not_recorded: int = 0


def warm_up(model: Warmable, rows: Iterable[Row]) -> Warmed:
    """Keep recorded answers under the keys of the app's own model.

    Raises:
        ConfigError: it is not a wrapped model.
        StoreUnavailable: the store is down. What was kept until then stays.
    """
    begin = _beginning(model)
    done = Warmed()
    for row in rows:
        with scope(tenant=row.tenant, user=row.user, feature=row.feature):
            flow, models = begin(model, row.messages, row.tools, row.params)
            ending = _Rehearsal(model.runtime, models, recorded_replies(row)).run(flow)
        setattr(done, ending, getattr(done, ending) + 1)
    return done


def _beginning(model: Warmable) -> Callable[..., tuple[Flow, list[str]]]:
    """How the flow of a call is begun; a framework that is not loaded has no models."""
    for framework, kind in _KINDS:
        adapter = sys.modules.get(f"thrift_plugins.{framework}")
        if adapter is not None and isinstance(model, getattr(adapter, kind)):
            begin: Callable[..., tuple[Flow, list[str]]] = import_module(f"thrift_plugins.{framework}.rehearsal").begin
            return begin
    raise ConfigError(f"only a ThriftChatModel or a ThriftLLM can be warmed up, not a {type(model).__name__}")


class _NotRecordedError(Exception):
    """The model that would be asked has no recorded answer."""


class _Rehearsal:
    """Grants the wishes of one flow."""

    def __init__(self, runtime: Runtime, models: list[str], replies: Mapping[str, Reply]) -> None:
        self._runtime = runtime
        self._models = models
        self._replies = replies
        self._ending = "not_kept"
        self._failed: Exception | None = None

    def run(self, flow: Flow) -> str:
        """How it ended: the name of a count in `Warmed`. Raises what the store raised, which the flow itself bears."""
        step: Callable[[Any], Effect] = flow.send
        told: Any = None
        while True:
            try:
                effect = step(told)
            except (StopIteration, _NotRecordedError):
                break
            try:
                step, told = flow.send, self._grant(effect)
            except _NotRecordedError as error:
                self._ending = "not_recorded"
                step, told = flow.throw, error
            except Exception as error:  # noqa: BLE001  an app's own store may raise anything; the flow must end all the same
                self._failed = self._failed or error
                step, told = flow.throw, error
        if self._failed is not None:
            raise self._failed
        return self._ending

    def _grant(self, effect: Effect) -> Any:
        match effect:
            case Append() | Renew():
                return None
            case Replay():
                self._ending = "known"
                return effect.reply
            case Call():
                return self._answer(self._models[effect.tier])
            case Keep():
                kept = perform(self._runtime, effect)
                self._ending = "kept" if kept else self._ending
                return kept
            case _:
                return perform(self._runtime, effect)

    def _answer(self, model: str) -> Reply:
        if model not in self._replies:
            raise _NotRecordedError
        return self._replies[model]
