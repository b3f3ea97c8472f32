"""The response cache's part in the flow of one call: find an answer, or the seat from which to ask for one; keep it; land.

In this order: look up, where what is stale is a hit too, and renewed in the background. Search for a similar question.
Join: a follower's hit is the leader's answer; a leader claims the call among processes, and looks again. After the call:
keep, and land, so that those who wait get the answer, or the reason why there is none for them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from thrift_plugins.caching import Admission, CachePolicy
from thrift_plugins.caching.entry import Stored, pack, unpack
from thrift_plugins.caching.flights import LEFT, Flight, Landing, Place, Reading, Seat
from thrift_plugins.effects import (
    Await,
    Effect,
    Join,
    Judge,
    Keep,
    Learn,
    Leave,
    LookUp,
    Match,
    Pause,
    Search,
    TakeClaim,
)
from thrift_plugins.errors import StoreError
from thrift_plugins.ledger.booking import Booking, HitKind
from thrift_plugins.stores.base import Claim
from thrift_plugins.types import Reply, Request

_SLICE = 1.0
"""Seconds between two looks at a leader that takes its time."""

_STILL = 5
"""Looks at which a leader's app has not asked for the next piece of its stream, before nobody waits for it any more."""

_CRAMPED = 2
"""Looks at which all threads of a pool wait, before one of them goes on."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05
"""Seconds between two looks at what another process is doing."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that need not be asked for.

    Attributes:
        reason: in words, for the app and the ledger.
        age: seconds since it was asked for.
        stale_key: where it is kept, if it is to be asked for anew.
    """

    reply: Reply
    kind: HitKind
    reason: str
    age: float
    stale_key: str | None = None


class Cached:
    """The cache's steps of one call.

    Args:
        policy: what may be stored.
        patience: seconds to wait for others who make the same call, None for no single flight.
        semantic: whether to search for answers to similar questions.
    """

    def __init__(
        self,
        policy: CachePolicy,
        request: Request,
        admission: Admission,
        booking: Booking,
        *,
        patience: float | None,
        semantic: bool,
        streamed: bool,
    ) -> None:
        self._policy, self._request, self._booking = policy, request, booking
        self._shares, self._patience = patience is not None, patience or 0.0
        self._semantic, self._streamed = semantic, streamed
        self._admission, self._key = admission, admission.key
        self._seat: Seat[Claim] | None = None
        self._shadow: Match | None = None
        self._landing = LEFT
        self._down = False
        if admission.key is None and admission.why:
            booking.note(f"cache: {admission.why}")

    # Before the call ------------------------------------------------------------------------------------------------

    def find(self) -> Generator[Effect, Any, Hit | None]:
        """An answer from the store, or from somebody who is asking for it already."""
        key = self._key
        if key is None or self._request.fresh:
            return None
        stored, _ = yield from self._look_up(key)
        if stored is not None:
            return self._exact(stored)
        hit = (yield from self._search()) if self._semantic else None
        if hit is None and self._shares:
            hit = yield from self._fly(key)
        return hit

    def lead(self) -> Generator[Effect, Any, bool]:
        """Take the leader's seat for a stale answer: whether it is to be had at once, and the answer still stale."""
        key = self._key
        if key is None:
            return False
        place: Place[Claim] = yield Join(key)
        if not isinstance(place, Seat):
            return False
        self._seat = place
        place.flight.claim = yield TakeClaim(key)
        if place.flight.claim is not None:
            stored, data = yield from self._look_up(key)
            if stored is None or self._request.at >= stored.until:
                return True
            self._landing = Landing(data)
        yield from self._land(self._landing)
        return False

    def _look_up(self, key: str) -> Generator[Effect, Any, tuple[Stored | None, bytes]]:
        """What is kept, if it may be given, and its bytes."""
        try:
            data: bytes | None = yield LookUp(key)
        except Exception as error:  # noqa: BLE001  a store may be the app's own, and is only an optimisation
            self._down = True
            self._booking.fallback(f"cache: {trouble(error)}, call made")
            return None, b""
        if data is None:
            return None, b""
        stored = unpack(data)
        if stored is None:
            self._booking.fallback("cache: entry of another version, call made")
        elif self._request.at >= stored.until + self._admission.stale:
            return None, b""
        return stored, data

    def _exact(self, stored: Stored) -> Hit:
        if self._request.at < stored.until:
            return self._hit(stored, "exact", "exact hit")
        return replace(self._hit(stored, "stale", "stale, being renewed"), stale_key=self._admission.key)

    def _hit(self, stored: Stored, kind: HitKind, reason: str) -> Hit:
        return Hit(stored.reply, kind, reason, max(0.0, self._request.at - stored.answered))

    def _search(self) -> Generator[Effect, Any, Hit | None]:
        try:
            match: Match | str | None = yield Search(self._request, self._admission)
        except Exception as error:  # noqa: BLE001  as in `_look_up`; an embedder is the app's own
            self._booking.fallback(f"cache: semantic search failed ({type(error).__name__})")
            return None
        if isinstance(match, str):
            self._booking.note(f"cache: {match}")
            return None
        if match is None:
            return None
        if match.shadow:
            self._booking.note(f"cache: semantic hit, probability {match.probability:.2f}, compared and not given")
            self._shadow = match
            return None
        stored = unpack(match.reply_bytes)
        return stored and self._hit(stored, "semantic", f"semantic hit, probability {match.probability:.2f}")

    # Single flight --------------------------------------------------------------------------------------------------

    def _fly(self, key: str) -> Generator[Effect, Any, Hit | None]:
        """Follow whoever makes this call already, or lead."""
        unkept = False
        while True:
            place: Place[Claim] = yield Join(key)
            if isinstance(place, str):
                self._booking.note(f"cache: {place}")
                return None
            if isinstance(place, Seat):
                self._seat = place
                return (yield from self._claim(key, place.flight, self._patience if place.patient else 0.0))
            landing = yield from self._follow(place)
            if landing.value is not None:
                stored = unpack(landing.value)
                return stored and self._hit(stored, "shared", "shared a call in flight")
            if not landing.again or (landing.why and unkept):
                self._booking.note(f"cache: {landing.why}, asked too")
                return None
            unkept = bool(landing.why)

    def _follow(self, flight: Flight[Claim]) -> Generator[Effect, Any, Landing]:
        """Wait for a flight. One whose leader does not read its stream is ended, and somebody else may lead."""
        seen, still, cramped = -1, 0, 0
        while self._patience > 0:
            landing: Landing | None = yield Await(flight, min(self._patience, _SLICE))
            if landing is not None:
                return landing
            self._patience -= _SLICE  # one leader after the other, all told
            reading = flight.reading
            still = still + 1 if reading and reading.held and reading.pieces == seen else 0
            seen = reading.pieces if reading else -1
            if still >= _STILL:
                yield from self._leave(flight, LEFT)
                return LEFT
            cramped = cramped + 1 if flight.may_need_this_thread() else 0
            if cramped >= _CRAMPED:
                return Landing(why="the same call may need this thread")
        return Landing(why="the same call is under way for too long")

    def _claim(self, key: str, flight: Flight[Claim], patience: float) -> Generator[Effect, Any, Hit | None]:
        """Claim the call among all processes; another that has it may have the answer soon."""
        pause, waited = _FIRST_PAUSE, 0.0
        while not self._down:
            try:
                flight.claim = yield TakeClaim(key)
            except Exception as error:  # noqa: BLE001  as in `_look_up`
                self._booking.fallback(f"cache: {trouble(error)}, call not shared")
                return None
            stored, data = yield from self._look_up(key)  # another may have kept it since the first look
            if stored is not None:
                yield from self._land(Landing(data))
                return self._hit(stored, "shared", "shared a call in flight") if waited else self._exact(stored)
            if flight.claim is not None:
                return None
            if waited >= patience:
                self._booking.note("cache: another process is asking, asked too")
                return None
            yield Pause(pause)
            waited += pause
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return None

    # After the call -------------------------------------------------------------------------------------------------

    def answered(self, reply: Reply) -> Generator[Effect, Any, None]:
        """Keep an answer that may be given again, and give it to those who wait."""
        kept = False
        try:
            kept = yield from self._keep(reply)
        finally:
            yield from self._land(self._landing)
        if self._semantic and kept:
            yield from self._attempt(Learn(self._request, self._admission), "index")
        if self._shadow is not None:
            yield from self._attempt(Judge(self._shadow, reply), "check")

    def gone(self, error: BaseException) -> Generator[Effect, Any, None]:
        """The call came to nothing. An error is the provider's, and those who wait go on at once, each by himself."""
        failed = isinstance(error, Exception)
        yield from self._land(Landing(why=f"a shared call failed ({type(error).__name__})") if failed else LEFT)

    def passed(self) -> Generator[Effect, Any, None]:
        """Somebody else has answered, for nothing; those who wait may ask him too."""
        yield from self._land(LEFT)

    def watched(self, reading: Reading) -> None:
        """Let those who wait see how far the call has come."""
        if self._seat is not None:
            self._seat.flight.reading = reading

    def _keep(self, reply: Reply) -> Generator[Effect, Any, bool]:
        """Store it, where it may be, and settle what those who wait get."""
        key, request, admission = self._key, self._request, self._admission
        if key is None:
            return False
        why = self._policy.keeps(request, reply, streamed=self._streamed)
        if why is not None:  # an app that asks again after an answer it cannot use must get another one, too
            self._booking.note(f"cache: not kept, {why}")
            self._landing = Landing(why=f"a shared answer could not be kept ({why})")
            return False
        try:
            value = pack(reply, request.at, request.at + admission.ttl)
        except TypeError:
            self._booking.fallback("cache: answer has no JSON form, not stored")
            self._landing = Landing(why="a shared answer could not be kept (no JSON form)")
            return False
        self._landing = Landing(value)
        flight = self._seat.flight if self._seat else None
        claim = flight.claim if flight else None
        try:
            kept: bool = yield Keep(key, value, admission.ttl + admission.stale, admission.tags, request.at, claim)
        except Exception as error:  # noqa: BLE001  as in `_look_up`; the answer is paid for and must not be lost
            self._booking.fallback(f"cache: {trouble(error)}, answer not stored")
            return False
        if not kept:
            self._booking.note("cache: not kept, forgotten or replaced since it was asked for")
            self._landing = Landing(again=True, why="a shared answer was forgotten or replaced")
        elif flight is not None:
            flight.claim = None  # given back in the same step
        return kept

    def _attempt(self, effect: Learn | Judge, what: str) -> Generator[Effect, Any, None]:
        try:
            yield effect
        except Exception as error:  # noqa: BLE001  as in `_search`
            self._booking.fallback(f"cache: semantic {what} failed ({type(error).__name__})")

    def _land(self, landing: Landing) -> Generator[Effect, Any, None]:
        seat, self._seat = self._seat, None
        if seat is not None:
            yield from self._leave(seat.flight, landing)

    def _leave(self, flight: Flight[Claim], landing: Landing) -> Generator[Effect, Any, None]:
        try:
            yield Leave(flight, landing)
        except Exception as error:  # noqa: BLE001  as in `_look_up`
            self._booking.fallback(f"cache: {trouble(error)}, claim not given back")


def trouble(error: Exception) -> str:
    """What is the matter with a store, in words for the ledger."""
    return "store down" if isinstance(error, StoreError) else f"store failed ({type(error).__name__})"
