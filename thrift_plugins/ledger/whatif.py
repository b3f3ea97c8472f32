"""What if: the calls of a ledger at other prices, by changing what each tactic changed about them, and pricing that again.

Only what the ledger has booked is used, so nobody is asked. Tokens stay those that were counted: another model counts and
answers otherwise, and how good its answers are is in no ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from thrift_plugins.ledger.bill import Bill, Priced, bill, patched
from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.ledger.summary import is_call
from thrift_plugins.types import Nano, Overhead, Patch, Scope, Usage

EVERY: Final = "*"
"""In the place of a feature."""

Kind: TypeAlias = Literal["batch", "model", "input", "output", "off"]

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One change.

    Attributes:
        kind: "batch": at batch prices; "model": by another model; "input" and "output": prompts or answers of that share of the
            length; "off": without a tactic.
        feature: whose calls, or `EVERY`.
        value: the model, or the tactic.
        share: of the tokens.
    """

    kind: Kind
    feature: str = EVERY
    value: str = ""
    share: float = 1.0

    @property
    def title(self) -> str:
        """For people."""
        where = "every feature" if self.feature == EVERY else self.feature or "calls without a feature"
        match self.kind:
            case "batch":
                return f"batch on for {where}"
            case "model":
                return f"{self.value} for {where}"
            case "input" | "output":
                what = "prompts" if self.kind == "input" else "answers"
                return f"{what} of {self.share:.0%} of the length for {where}"
            case _:
                return f"without {self.value} for {where}"

    def changed(self, event: Event) -> Event:
        """The event as it would have been; the same object where nothing would be otherwise."""
        if self.feature not in (EVERY, event.scope.feature):
            return event
        if self.kind == "off":
            return _without(event, self.value)
        if not event.served or event.outcome != "answered":  # what cost nothing costs nothing at another price
            return event
        now = patched(event.baseline, event.patches)
        match self.kind:
            case "batch":
                patch = Patch("what if", "processing", now.processing, "batch", "counted")
            case "model":
                patch = Patch("what if", "model", now.model, self.value, "modelled")
            case _:
                less = _shorter_prompt if self.kind == "input" else _shorter_answer
                patch = Patch("what if", "usage", now.usage, less(now.usage, self.share), "modelled")
        return replace(event, patches=(*event.patches, patch))


def _shorter_answer(usage: Usage, share: float) -> Usage:
    tokens = round(usage.output_tokens * share)
    return replace(usage, output_tokens=tokens, reasoning=min(usage.reasoning, tokens))


def _shorter_prompt(usage: Usage, share: float) -> Usage:
    """What a provider's prompt cache has read or written stays: shortening that would lose more than it saves."""
    kept = usage.cache_read + usage.cache_write + usage.cache_write_1h + usage.input_audio
    return replace(usage, input_tokens=kept + round((usage.input_tokens - kept) * share))


@dataclass(slots=True)
class Simulated:
    """What a change comes to. Money in nano-dollars.

    Attributes:
        calls: that would cost something else.
        paid: for those, as they were, by today's prices.
        would: as they would have been.
        by_day: day since the epoch to what would have been saved; negative where it costs more.
        unpriced: calls that have no price as they would have been.
    """

    what: WhatIf
    calls: int = 0
    paid: Nano = 0
    would: Nano = 0
    by_day: Counter[int] = field(default_factory=Counter)
    unpriced: int = 0

    @property
    def saved(self) -> Nano:
        """In all."""
        return self.paid - self.would


@dataclass(slots=True)
class Simulation:
    """All changes over one ledger.

    Attributes:
        calls: that were made by the app.
        booked: what all of it cost, as booked.
        repriced: the same by today's prices. They differ where prices, or overrides, have changed.
        start: of the first call, in seconds since the epoch.
        unpriced: events without a price, which are in no sum.
    """

    results: list[Simulated]
    calls: int = 0
    booked: Nano = 0
    repriced: Nano = 0
    start: float = 0.0
    end: float = 0.0
    unpriced: int = 0

    def days(self, result: Simulated) -> list[Nano]:
        """What would have been saved on each whole day, without the first and the last, which are cut off."""
        first, last = int(self.start // _DAY), int(self.end // _DAY)
        return [result.by_day[day] for day in range(first + 1, last)]


def simulate(entries: Iterable[Mapping[str, Any]], whats: Sequence[WhatIf], prices: Priced, *, at: float) -> Simulation:
    """Go through a ledger once, with each change by itself.

    Args:
        entries: ledger records (see `Ledger.records`), in any order.
        at: whose prices, in seconds since the epoch: now, as nobody can change what was paid.
    """
    found = Simulation([Simulated(what) for what in whats])
    for entry in entries:
        if "lost" in entry.get("extra", {}):
            continue
        booked = event_of(entry)
        event = replace(booked, at=at)
        now = bill(event, prices)
        if entry["bill"]["unpriced"] or now.unpriced:
            found.unpriced += 1
            continue
        if is_call(entry):
            found.calls += 1
            found.start = min(found.start or booked.at, booked.at)
            found.end = max(found.end, booked.at)
        found.booked += entry["bill"]["actual"]
        found.repriced += now.actual
        for result in found.results:
            _add(result, int(booked.at // _DAY), event, now, lambda changed: bill(changed, prices))
    return found


def _add(result: Simulated, day: int, event: Event, now: Bill, price: Callable[[Event], Bill]) -> None:
    changed = result.what.changed(event)
    if changed is event:
        return
    then = price(changed)
    if then.unpriced:
        result.unpriced += 1
        return
    result.calls += 1
    result.paid += now.actual
    result.would += then.actual
    result.by_day[day] += now.actual - then.actual


def _without(event: Event, tactic: str) -> Event:
    patches = tuple(patch for patch in event.patches if patch.tactic != tactic)
    overheads = tuple(paid for paid in event.overheads if paid.tactic != tactic)
    if len(patches) == len(event.patches) and len(overheads) == len(event.overheads):
        return event
    return replace(event, patches=patches, overheads=overheads)


def event_of(entry: Mapping[str, Any]) -> Event:
    """The event in a ledger record, as far as a bill needs it."""
    before = entry["baseline"]
    return Event(
        id=entry["id"],
        at=entry["at"],
        dialect=entry["dialect"],
        scope=Scope(entry["tenant"], entry["user"], entry["feature"], entry["session"]),
        outcome=entry["outcome"],
        baseline=Cost(entry["requested_model"], Usage(**before["usage"]), before["made"], before["processing"]),
        served=entry["served_model"],
        usage=Usage(**entry["usage"]),
        patches=tuple(
            Patch(tactic, name, _value(was), _value(now), how) for tactic, name, was, now, how in entry["patches"]
        ),
        overheads=tuple(
            Overhead(tactic, model, Usage(**used), reason, processing)
            for tactic, reason, model, used, processing in entry["overheads"]
        ),
        extra=entry.get("extra", {}),
    )


def _value(value: Any) -> Any:
    return Usage(**value) if isinstance(value, Mapping) else value
