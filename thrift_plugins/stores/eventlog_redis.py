"""Where the events of many workers wait, as a stream on a Redis-protocol server, until somebody writes them to a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from redis import Redis, RedisCluster

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores.eventlog_scripts import APPEND, MISSING, REMOVE
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.redis_scripts import Script
from thrift_plugins.stores.redis_steps import Ask, Steps, run
from thrift_plugins.stores.redis_wire import Word

_PAGE: Final = 500
_CLOCKS_APART: Final = 60.0  # seconds, at most


class Waiting(NamedTuple):
    """An event that waits.

    Attributes:
        place: in the stream.
    """

    place: str
    id: str
    at: float
    body: str

    @property
    def row(self) -> tuple[str, float, str]:
        """As `EventLog.extend` takes it."""
        return self.id, self.at, self.body


class Missing(NamedTuple):
    """Events that the server took and has no more, though nobody collected them: it evicted them, or failed over.

    Attributes:
        after: how many had been collected, or told to be missing, by then.
    """

    events: int
    after: int


class RedisEventLog(Asking):
    """An `EventLog` that many workers share: events wait in a stream until a `Collector` moves them into a file.

    Nothing is trimmed. Where `most` events wait, the next are refused: they wait in their workers, and what finds no room
    there is counted by the ledger. An event waits once, and is kept once, however often it is tried. A server that is full should
    refuse to write (maxmemory-policy noeviction); what one that evicts has lost is counted, unless the counts went with it.

    On the server, in one slot: `tp1~l:{ledger}` the stream, `tp1~li:{ledger}` the ids in it, `tp1~lc:{ledger}` counts. Events
    hold no text of a prompt, and are not encrypted.

    Args:
        url: see `redis_url`.
        most: events that may wait. One takes about 1.5 kB of the server's memory.
        timeout: seconds to wait for an answer; `socket_timeout` in the URL goes before it.
        namespace: goes before every key.
        client: a client to use as it is, instead of one made from `url`. It stays open.

    Raises:
        ConfigError: an unreadable URL, or a client that decodes responses.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int = 200_000,
        timeout: float = 2.0,
        namespace: str = "tp1",
        client: Redis | RedisCluster | None = None,
    ) -> None:
        super().__init__(url, timeout, client, None)
        self._most = most
        self._names = tuple(f"{namespace}~{kind}:{{ledger}}" for kind in ("l", "li", "lc"))

    def extend(self, rows: Iterable[tuple[str, float, str]]) -> int:
        """Append rows of (event id, seconds, JSON); one that waits already is passed over. Returns how many were new.

        Raises:
            StoreUnavailable: none of them were kept, or nobody knows; too many wait already.
        """
        words = [word for event_id, at, body in rows for word in (event_id, repr(at), body)]
        if not words:
            return 0
        new: int = self._do(self._step(APPEND, self._most, *words))
        if new < 0:
            raise StoreUnavailable(f"{self!r} has {self._most:,} events that wait: run 'thrift-plugins ledger collect'")
        return new

    def take(self, limit: int, after: str = "") -> list[Waiting]:
        """At most `limit` events that wait, the first or those after a place. They stay until they are removed.

        Raises:
            StoreUnavailable: the server did not say.
        """
        return self._do(self._page(limit, after))

    def remove(self, events: Sequence[Waiting]) -> int:
        """Remove events that are kept elsewhere. Returns how many were still here.

        Raises:
            StoreUnavailable: nobody knows whether they were.
        """
        removed: int = self._do(self._step(REMOVE, *(word for event in events for word in (event.place, event.id))))
        return removed

    def missing(self, told: int = 0) -> Missing:
        """What is missing.

        Args:
            told: how many that are missing have been booked as such; from now on they count as told.

        Raises:
            StoreUnavailable: the server did not say.
        """
        return Missing(*self._do(self._step(MISSING, told)))

    def rows(self) -> Iterator[tuple[str, float, str]]:
        """All events that wait, in the order of time, then id; all of them at once in memory."""
        yield from sorted((event.row for event in self._all()), key=lambda row: (row[1], row[0]))

    def bodies(self, since: float = -inf, until: float = inf) -> Iterator[str]:
        """See `ScannedLog`: of the events that wait."""
        return (event.body for event in self._all() if since <= event.at < until)

    def place(self, since: float) -> str:
        """See `ScannedLog`. Places begin with the server's time, in milliseconds: an event is appended after it began."""
        return f"{max(0, int((since - _CLOCKS_APART) * 1000))}-0" if since > 0 else ""

    def after(self, place: str, limit: int) -> tuple[list[str], str]:
        """See `ScannedLog`. What a collector has moved meanwhile is not seen."""
        page = self.take(limit, place)
        return [event.body for event in page], page[-1].place if page else place

    def _all(self) -> Iterator[Waiting]:
        after = ""
        while page := self.take(_PAGE, after):
            yield from page
            after = page[-1].place

    def _step(self, script: Script, *values: Word) -> Steps[Any]:
        return (yield from run(script, self._names, *values))

    def _page(self, limit: int, after: str) -> Steps[list[Waiting]]:
        told = yield Ask(("XRANGE", self._names[0], f"({after}" if after else "-", "+", "COUNT", limit))
        return [_waiting(place, fields) for place, fields in told]


def _waiting(place: bytes, fields: Sequence[bytes] | dict[bytes, bytes]) -> Waiting:
    # A client of the application's own has its own idea of a reply.
    named = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
    return Waiting(place.decode(), named[b"id"].decode(), float(named[b"at"]), named[b"body"].decode())
