"""One event a call: what was asked for, what was used, and what each tactic changed about it. No prompt text.

An event holds facts only (models, tokens, patches). Dollars are put on it once, by `bill.py`, with the price
snapshot that is pinned beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thrift_plugins.types import NO_USAGE, Json, Outcome, Overhead, Patch, Processing, Scope, Usage

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What decides the price of one call.

    Attributes:
        made: False where no model was asked.
        processing: how the provider is asked to work.
    """

    model: str
    usage: Usage
    made: bool = True
    processing: Processing = "standard"


@dataclass(frozen=True, slots=True)
class Event:
    """One call, from the app's point of view.

    Attributes:
        id: unique, and the same when the same call is booked again, so that appending is idempotent.
        at: start of the call, seconds since the epoch.
        dialect: "langchain" or "llama_index".
        baseline: the call as the app alone would have made it.
        patches: what the tactics changed about it, in the order in which they acted.
        served: the model that answered, "" on a hit.
        overheads: further paid calls that did not become the answer.
        fallbacks: parts that were out of order, like "cache: store down".
    """

    id: str
    at: float
    dialect: str
    scope: Scope
    outcome: Outcome
    baseline: Cost
    served: str = ""
    usage: Usage = NO_USAGE
    finish_reason: str | None = None
    patches: tuple[Patch, ...] = ()
    overheads: tuple[Overhead, ...] = ()
    policy: str = ""
    reasons: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    error: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)


def usage_record(usage: Usage) -> dict[str, Any]:
    """A usage as JSON, zeros left out."""
    counts = {name: getattr(usage, name) for name in Usage.__slots__}
    return {name: value for name, value in counts.items() if value}


def _value(value: Any) -> Any:
    return usage_record(value) if isinstance(value, Usage) else value


def record(event: Event) -> dict[str, Any]:
    """An event as JSON, in a fixed order of keys. `id` and `dialect` first: `ledger_sha256` leaves them out."""
    scope = event.scope
    return {
        "schema": SCHEMA,
        "id": event.id,
        "dialect": event.dialect,
        "at": event.at,
        "tenant": scope.tenant,
        "user": scope.user,
        "feature": scope.feature,
        "session": scope.session,
        "keys": dict(scope.keys),
        "outcome": event.outcome,
        "requested_model": event.baseline.model,
        "served_model": event.served,
        "usage": usage_record(event.usage),
        "finish_reason": event.finish_reason,
        "baseline": {
            "usage": usage_record(event.baseline.usage),
            "made": event.baseline.made,
            "processing": event.baseline.processing,
        },
        "patches": [[p.tactic, p.field, _value(p.before), _value(p.after), p.provenance] for p in event.patches],
        "overheads": [[o.tactic, o.reason, o.model, usage_record(o.usage), o.processing] for o in event.overheads],
        "policy": event.policy,
        "reasons": list(event.reasons),
        "fallbacks": list(event.fallbacks),
        "error": event.error,
        **({"extra": dict(event.extra)} if event.extra else {}),
    }
