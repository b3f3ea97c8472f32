"""A line in the book where some are missing: what was lost is counted for good, beside what was kept."""

from __future__ import annotations

from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.types import NO_USAGE, Scope

LOST = "EventsLost"
"""The `error` of such a line."""


def gap(name: str, at: float, lost: int, why: str) -> Event:
    """The event that stands for events that were lost. It costs nothing, and is no call.

    Args:
        name: the same when the same loss is booked again.
        at: when it was found, in seconds since the epoch.
        why: in a few words.
    """
    nothing = Cost("", NO_USAGE, made=False)
    extra = {"lost": lost}
    return Event(name, at, "", Scope(), "error", nothing, fallbacks=(f"ledger: {why}",), error=LOST, extra=extra)
