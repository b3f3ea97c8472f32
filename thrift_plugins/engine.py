"""One call, start to end: the only place that knows the order of the tactics.

`Engine.call` is a generator. It yields effects (look up, call this tier, replay this answer, store, append) and is
sent their results; it does no I/O, reads no clock, and knows no framework. `drive` runs it synchronously or
asynchronously, whole or streamed. Whatever ends a call, the generator books it before it lets the exception through.

    cache: find an answer             hit: replay it, pay nothing; stale: and renew it in the background
    route: a tier, with the reason    constraints before score
    call                              a recoverable failure: the next tier that can
    verify                            a rejected cheap answer: the next tier up
    cache: keep, land                 whoever waits for the same answer gets it
    append one ledger event
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thrift_plugins.cached import Cached, Hit
from thrift_plugins.caching import CachePolicy
from thrift_plugins.effects import Append, Call, Effect, Flow, Renew, Replay
from thrift_plugins.errors import ThriftError
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.routing import Router, forced, input_billed, recoverable, rejects
from thrift_plugins.types import NO_USAGE, Decision, Reply, Request, Tier, Usage


@dataclass(frozen=True, slots=True)
class Engine:
    """The policies of an app, in the order of a call. A tactic that is None is off.

    Attributes:
        cache: the exact response cache.
        router: chooses among tiers; without one the baseline answers.
        standing: what is out of order for every call, for the ledger.
        patience: seconds to wait for others who make the same call already; None: nobody waits.
        semantic: whether answers to similar questions are searched for.
    """

    cache: CachePolicy | None = None
    router: Router | None = None
    standing: tuple[str, ...] = ()
    patience: float | None = None
    semantic: bool = False

    def call(
        self, request: Request, tiers: Sequence[Tier], baseline: int, *, dialect: str, streamed: bool = False
    ) -> Flow:
        """The flow of one call.

        Args:
            request: what the app asks.
            tiers: the app's models, cheapest first.
            baseline: index of the one that it would use without us.
            dialect: the adapter's name, for the ledger.
            streamed: whether the answer is delivered in pieces, as it comes.

        Raises:
            UnsupportedByTier: no tier can serve the request.
            ConfigError: the request insists on a tier that there is not.
        """
        booking = Booking(request, tiers[baseline], dialect, self.standing)
        cached = self._cached(request, booking, streamed=streamed)
        try:
            insisted = _insisted(request, tiers, booking)
            hit = (yield from cached.find()) if cached else None
            if hit is None:
                decision = insisted or self._route(request, tiers, baseline, booking)
            else:
                decision = _stood_for(hit, tiers, baseline)
        except BaseException as error:
            yield from _refused(error, cached, booking)
            raise
        booking.routed(decision)
        if hit is None:
            yield from _made(request, tiers, decision, cached, booking)
        else:
            if hit.stale_key is not None:
                yield Renew(hit.stale_key, self._renewal(request, tiers, baseline, dialect))
            yield from _replay(hit, decision, booking)

    def _renewal(self, request: Request, tiers: Sequence[Tier], baseline: int, dialect: str) -> Flow:
        """The flow of a call that nobody asked for: a stale answer is asked for anew, unless somebody does already."""
        request = replace(request, id=f"{request.id}-renewal", baseline_usage=None)
        booking = Booking(request, tiers[baseline], dialect, self.standing, renewal=True)
        cached = self._cached(request, booking, streamed=False)
        try:
            if cached is None or not (yield from cached.lead()):
                return
            decision = _insisted(request, tiers, booking) or self._route(request, tiers, baseline, booking)
        except BaseException as error:
            yield from _refused(error, cached, booking)
            raise
        booking.routed(decision)
        yield from _made(request, tiers, decision, cached, booking)

    def _cached(self, request: Request, booking: Booking, *, streamed: bool) -> Cached | None:
        if self.cache is None:
            return None
        try:
            admission = self.cache.admit(request)
        except Exception as error:  # noqa: BLE001  a rule may be the app's own; its bugs must not stop the call
            booking.fallback(f"cache: policy failed ({type(error).__name__}), call made")
            return None
        return Cached(
            self.cache,
            request,
            admission,
            booking,
            patience=self.patience,
            semantic=self.semantic,
            streamed=streamed,
        )

    def _route(self, request: Request, tiers: Sequence[Tier], baseline: int, booking: Booking) -> Decision:
        if self.router is not None and len(tiers) > 1:
            try:
                return self.router.decide(request, tiers, baseline)
            except ThriftError:
                raise
            except Exception as error:  # noqa: BLE001  a router may be the app's own; its bugs must not stop the call
                booking.fallback(f"routing: policy failed ({type(error).__name__}), baseline asked")
        return Decision(baseline, tiers[baseline].name, "baseline")


def _insisted(request: Request, tiers: Sequence[Tier], booking: Booking) -> Decision | None:
    insisted = forced(request, tiers)
    if insisted is not None:
        booking.chosen_by_the_app(tiers[insisted.tier])
    return insisted


def _stood_for(hit: Hit, tiers: Sequence[Tier], baseline: int) -> Decision:
    """A stored answer is shown as the tier that gave it, whose parsers know its form."""
    index = next((place for place, tier in enumerate(tiers) if tier.name == hit.reply.tier), baseline)
    return Decision(index, tiers[index].name, "cache", (hit.reason,))


def _replay(hit: Hit, decision: Decision, booking: Booking) -> Flow:
    try:
        yield Replay(hit.reply, decision)
    finally:
        yield Append(booking.hit(hit.reply, hit.kind, hit.age))


def _refused(error: BaseException, cached: Cached | None, booking: Booking) -> Flow:
    """The call ended before any model was asked."""
    try:
        if cached:
            yield from cached.gone(error)
    finally:
        yield Append(booking.refused(error))


def _made(request: Request, tiers: Sequence[Tier], decision: Decision, cached: Cached | None, booking: Booking) -> Flow:
    """Ask, keep, book."""
    reply, tier = yield from _answer(request, tiers, decision, cached, booking)
    try:
        if cached:
            yield from cached.answered(reply)
    finally:
        yield Append(booking.answered(reply, tier))


def _answer(
    request: Request, tiers: Sequence[Tier], decision: Decision, cached: Cached | None, booking: Booking
) -> Generator[Effect, Any, tuple[Reply, Tier]]:
    """Ask the tier chosen, and those above it while one fails or its answer cannot stand."""
    left = list(decision.alternatives)
    while True:
        tier = tiers[decision.tier]
        call = Call(decision.tier, request, decision)
        if cached:
            cached.watched(call)
        try:
            reply: Reply = yield call
        except BaseException as error:
            usage = _used(call, error, tier, booking)
            may_go_on = left and not call.delivered and isinstance(error, Exception)
            why = recoverable(error) if may_go_on else None
            if why is None:
                yield from _lost(error, tier, usage, cached, booking)
                raise
            booking.gave_up(tier, usage, "failed", why)
        else:
            reply = reply.given_by(tier.name, booking.measured(reply, tier, call.as_sent))
            why = rejects(request, reply) if left and not call.delivered else None
            if why is None:
                return reply, tier
            booking.gave_up(tier, reply.usage, "rejected", why)
        above = left.pop(0)
        decision = replace(
            decision, tier=above, name=tiers[above].name, policy="fallback", reasons=(why, *decision.reasons)
        )
        booking.routed(decision)


def _lost(error: BaseException, tier: Tier, usage: Usage, cached: Cached | None, booking: Booking) -> Flow:
    """The call ended without a whole answer."""
    try:
        if cached:
            yield from cached.gone(error)
    finally:
        yield Append(booking.ended(error, tier, usage))


def _used(call: Call, error: BaseException, tier: Tier, booking: Booking) -> Usage:
    """What a call that did not end well has cost, as far as anybody on this side can know."""
    if call.partial is not None:
        return booking.measured(call.partial, tier, call.as_sent)
    return booking.sent(tier, call.as_sent) if input_billed(error) else NO_USAGE
