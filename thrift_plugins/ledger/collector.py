"""Moves events from where many workers leave them into the book: each once, whatever dies on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import orjson

from thrift_plugins.ledger.gap import gap
from thrift_plugins.ledger.ledger import row
from thrift_plugins.prices import Prices
from thrift_plugins.stores.base import Clock, EventLog
from thrift_plugins.stores.eventlog_redis import Missing, Waiting

logger = logging.getLogger("thrift_plugins")

_AT_ONCE = 500


class Source(Protocol):
    """Where events wait: `RedisEventLog`."""

    def take(self, limit: int, after: str = "") -> list[Waiting]: ...

    def remove(self, events: Sequence[Waiting]) -> int: ...

    def missing(self, told: int = 0) -> Missing: ...


@dataclass(slots=True)
class Collected:
    """What became of events that waited.

    Attributes:
        moved: new in the book.
        known: in the book already: a collector had died between the two.
        damaged: not events of ours, and thrown away.
        missing: lost on the server, and booked as such.
    """

    moved: int = 0
    known: int = 0
    damaged: int = 0
    missing: int = 0


class Collector:
    """Writes events into the book first and removes them then. Several may run, if they write into the same book.

    Args:
        source: where they wait.
        book: where they go.
        clock: seconds since the epoch.
    """

    def __init__(self, source: Source, book: EventLog, clock: Clock) -> None:
        self._source, self._book, self._clock = source, book, clock

    def collect(self) -> Collected:
        """Move all that wait, and book what is missing.

        Raises:
            StoreUnavailable: one of the two is down; what was not moved waits.
        """
        done = Collected()
        while page := self._source.take(_AT_ONCE):
            whole = [event for event in page if _is_event(event)]
            moved = self._book.extend(event.row for event in whole)
            damaged = len(page) - len(whole)
            if damaged:
                logger.error("ledger: %d of the events that waited are not ours, and are thrown away", damaged)
            self._source.remove(page)
            done.moved += moved
            done.known += len(whole) - moved
            done.damaged += damaged
        done.missing = self._book_missing()
        return done

    def _book_missing(self) -> int:
        missing = self._source.missing()
        if missing.events:
            why = "lost on the server where they waited"
            lost = gap(f"gap/server/{missing.after}", self._clock(), missing.events, why)
            self._book.extend([row(lost, Prices())])
            self._source.missing(told=missing.events)
            logger.error("ledger: %d events were %s", missing.events, why)
        return missing.events


def _is_event(waiting: Waiting) -> bool:
    with suppress(orjson.JSONDecodeError):
        entry = orjson.loads(waiting.body)
        return isinstance(entry, dict) and entry.get("id") == waiting.id and "bill" in entry
    return False
