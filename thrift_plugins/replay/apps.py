"""The app that a trace recorded: its models, wrapped or bare, asked one row at a time; `*_app.py` build it anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Final, TypeAlias

import orjson

from thrift_plugins.prices import Prices
from thrift_plugins.replay.check import Answer
from thrift_plugins.replay.row import Arm, Row
from thrift_plugins.runtime import Runtime
from thrift_plugins.tape import Heard, Tape
from thrift_plugins.tokens import count
from thrift_plugins.tries import worked_as
from thrift_plugins.types import Json, Reply, ToolCall

Order: TypeAlias = Callable[[str], float]
"""A model's price, for putting the cheapest first."""


def app_of(framework: str) -> type[RecordedApp]:
    """The app on a framework; loads that framework only."""
    app: type[RecordedApp] = import_module(f"thrift_plugins.replay.{framework}_app").App
    return app


def cheapness(prices: Prices) -> Order:
    """A model's price for a thousand tokens in and a hundred out."""
    return lambda model: 10 * prices.rates(model).input + prices.rates(model).output


def replies(row: Row) -> Mapping[str, Reply]:
    """The recorded answers of a row, marked so that they are known again when a cache gives them to another row."""
    marked: dict[str, Reply] = {}
    for model, arm in row.arms.items():
        mark: Mapping[str, Json] = {"recorded": {"model": model, "topic": row.check.topic}}
        words = _unrecorded(row) if arm.text is None else arm.text
        marked[model] = replace(_reply(row, model, arm, words), extra={"additional_kwargs": mark})
    return marked


BATCH: Final = 86_400.0
"""Seconds in which providers promise a batch."""


def heard(row: Row, *, waits: bool = False) -> Heard:
    """What a recorded answer used, where the prompt that is sent is not the recorded one: as many tokens less, or more.

    Args:
        waits: whether what may wait for a day is answered by a batch.
    """
    batched = waits and row.deadline is not None and row.deadline >= BATCH
    recorded = "\n".join(message["content"] for message in row.messages)

    def of(reply: Reply, sent: str) -> Reply:
        if batched:
            worked_as("batch", known=False)
        if sent == recorded:
            return reply
        used = reply.usage
        change = count(sent, reply.model) - count(recorded, reply.model)
        tokens = max(1, used.input_tokens + change)
        return replace(reply, usage=replace(used, input_tokens=tokens, cache_read=min(used.cache_read, tokens)))

    return of


def _unrecorded(row: Row) -> str:
    """What stands for words that were not recorded: alike where the answers are, for who compares them."""
    return f"(what was said about {row.check.topic or row.id} was not recorded)"


def recorded_replies(row: Row) -> Mapping[str, Reply]:
    """The answers of a row whose words were recorded, as their models gave them."""
    return {model: _reply(row, model, arm, arm.text) for model, arm in row.arms.items() if arm.text is not None}


def _reply(row: Row, model: str, arm: Arm, words: str) -> Reply:
    calls = _tool_calls(arm.text) if row.tools else ()
    finish = "tool_calls" if calls else "stop"
    return Reply("" if calls else words, arm.usage, calls, finish, model)


def _tool_calls(text: str | None) -> tuple[ToolCall, ...]:
    """The calls in an answer that was recorded as `[{"tool": "{arguments}"}]`; none where it is prose."""
    try:
        listed = orjson.loads(text or "")
        pairs = [pair for call in listed for pair in call.items()]
        return tuple(
            ToolCall(f"call_{place}", name, orjson.loads(given) if isinstance(given, str) else given)
            for place, (name, given) in enumerate(pairs)
        )
    except (ValueError, AttributeError, TypeError):
        return ()


class RecordedApp:
    """What the frameworks have in common: one model object for each set of recorded models."""

    def __init__(self, tape: Tape, price: Order, runtime: Runtime | None = None) -> None:
        self._tape, self._price, self._runtime = tape, price, runtime
        self._models: dict[tuple[str, ...], Any] = {}

    def _model(self, row: Row) -> Any:
        """The app's model for a row: bare, or wrapped with every model that was recorded for it, cheapest first."""
        names = (row.baseline, *sorted(row.arms, key=self._price)) if self._runtime else (row.baseline,)
        if names not in self._models:
            self._models[names] = self._make(names)
        return self._models[names]

    def _make(self, names: Sequence[str]) -> Any:
        """The model object for a baseline and its tiers, which `names` are, in this order."""
        raise NotImplementedError

    def ask(self, row: Row) -> Answer:
        """Ask the app's model for a row."""
        raise NotImplementedError

    def _answer(self, row: Row, text: str, mark: Mapping[str, str] | None) -> Answer:
        if mark is None:  # no recorded model said it: a student did
            return Answer(text, "")
        hit = self._tape.sent is None
        sent = self._tape.sent() if self._tape.sent and row.check.kind in ("evidence", "spans") else None
        return Answer(text, mark["model"], mark["topic"] if hit else "", sent)
