"""Lines in the book that are no calls: what readers made of an answer, and what the quality gate has done. They cost nothing."""

from __future__ import annotations

from typing import Any

from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.types import NO_USAGE, Json, Request, Scope

ROLLED_BACK = "RolledBack"
"""The `error` of a line that says that a tactic was taken off."""


def rephrased(call: str, request: Request) -> Event:
    """The reader of a call's answer has asked the same in other words."""
    return _line(f"{call}/rephrased", request.at, request.scope, "rephrased", call, request.id)


def feedback(call: str, at: float, scope: Scope, *, good: bool) -> Event:
    """What a reader thinks of an answer."""
    return _line(f"{call}/{'good' if good else 'bad'}", at, scope, "feedback", call, good)


def rolled_back(tactic: str, feature: str, at: float, why: str) -> Event:
    """A tactic was taken off a feature. All processes that find so book the same line, once."""
    name = f"quality/off/{tactic}/{feature}/{at}"
    note = f"quality: {tactic} rolled back for {feature or 'calls without a feature'}: {why}"
    told = ("off", tactic, feature, why)
    return _line(name, at, Scope(feature=feature), *told, outcome="error", fallbacks=(note,), error=ROLLED_BACK)


def allowed(tactic: str, feature: str, at: float) -> Event:
    """Somebody has taken that back."""
    return _line(f"quality/allow/{tactic}/{feature}/{at}", at, Scope(feature=feature), "allow", tactic, feature)


def _line(name: str, at: float, scope: Scope, what: str, *told: Json, **further: Any) -> Event:
    extra: dict[str, Json] = {"quality": {"what": what, "told": list(told)}}
    nothing = Cost("", NO_USAGE, made=False)
    return Event(name, at, "", scope, further.pop("outcome", "answered"), nothing, extra=extra, **further)
