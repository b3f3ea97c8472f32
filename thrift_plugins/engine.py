"""One call, start to end: the only place that knows the order of the tactics.

`Engine.call` is a generator. It yields effects (look up, call this tier, replay this answer, store, append) and is
sent their results; it does no I/O, reads no clock, and knows no framework. `drive` runs it synchronously or
asynchronously, whole or streamed. Whatever ends a call, the generator books it before it lets the exception through.

    cache: look up                    hit: replay the answer, pay nothing
    route: a tier, with the reason    constraints before score
    call                              a recoverable failure: the next tier that can
    verify                            a rejected cheap answer: the next tier up
    store, append one ledger event
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from thrift_plugins.caching import CachePolicy, pack, unpack
from thrift_plugins.errors import StoreError, ThriftError
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.ledger.event import Event
from thrift_plugins.routing import Router, forced, input_billed, recoverable, rejects
from thrift_plugins.types import NO_USAGE, Decision, Reply, Request, Tier, Usage


@dataclass(frozen=True, slots=True)
class LookUp:
    """Give the bytes kept under `key`, or None. May be answered by a `StoreError`."""

    key: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Store `value` under `key` for `ttl` seconds. May be answered by a `StoreError`."""

    key: str
    value: bytes
    ttl: float


@dataclass(frozen=True, slots=True)
class Append:
    """Book an event."""

    event: Event


@dataclass(slots=True)
class Call:
    """Ask a tier; give its `Reply`.

    Whoever performs it fills in, for a call that fails, how far it came.

    Attributes:
        form: gives the request in the form in which it is sent, where whoever performs it knows a better one.
        delivered: whether the caller has seen any of the answer, so that nobody else may answer now.
        partial: what arrived before the failure, None if nothing.
    """

    tier: int
    request: Request
    decision: Decision
    delivered: bool = False
    partial: Reply | None = None
    form: Callable[[Request], Request] | None = None

    def as_sent(self) -> Request:
        """What to count, where the provider has not."""
        return self.form(self.request) if self.form else self.request


@dataclass(frozen=True, slots=True)
class Replay:
    """Show a stored answer as if a model gave it now; give nothing."""

    reply: Reply
    decision: Decision


Effect: TypeAlias = LookUp | Keep | Append | Call | Replay
Flow: TypeAlias = Generator[Effect, Any, None]


@dataclass(frozen=True, slots=True)
class Engine:
    """The policies of an app, in the order of a call. A tactic that is None is off.

    Attributes:
        cache: the exact response cache.
        router: chooses among tiers; without one the baseline answers.
        standing: what is out of order for every call, for the ledger.
    """

    cache: CachePolicy | None = None
    router: Router | None = None
    standing: tuple[str, ...] = ()

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
        key = self.cache.address(request) if self.cache else None
        try:
            insisted = forced(request, tiers)
            if insisted is not None:
                booking.chosen_by_the_app(tiers[insisted.tier])
            found = None if key is None or request.fresh else (yield from _look_up(key, booking))
            if found is None:
                decision = insisted or self._route(request, tiers, baseline, booking)
            else:
                decision = _stood_for(found, tiers, baseline)
        except BaseException as error:
            yield Append(booking.refused(error))
            raise
        booking.routed(decision)
        if found is not None:
            yield from _replay(found, decision, booking)
            return
        reply, tier = yield from _answer(request, tiers, decision, booking)
        try:
            if self.cache and key is not None and self.cache.keeps(reply, streamed=streamed):
                yield from _keep(key, request, reply, self.cache.ttl, booking)
        finally:
            yield Append(booking.answered(reply, tier))

    def _route(self, request: Request, tiers: Sequence[Tier], baseline: int, booking: Booking) -> Decision:
        if self.router is not None and len(tiers) > 1:
            try:
                return self.router.decide(request, tiers, baseline)
            except ThriftError:
                raise
            except Exception as error:  # noqa: BLE001  a router may be the app's own; its bugs must not stop the call
                booking.fallback(f"routing: policy failed ({type(error).__name__}), baseline asked")
        return Decision(baseline, tiers[baseline].name, "baseline")


def _look_up(key: str, booking: Booking) -> Generator[Effect, Any, Reply | None]:
    try:
        data: bytes | None = yield LookUp(key)
    except Exception as error:  # noqa: BLE001  a store may be the app's own, and is only an optimisation
        booking.fallback(f"cache: {_trouble(error)}, call made")
        return None
    if data is None:
        return None
    found = unpack(data)
    if found is None:
        booking.fallback("cache: entry of another version, call made")
    return found


def _stood_for(reply: Reply, tiers: Sequence[Tier], baseline: int) -> Decision:
    """A stored answer is shown as the tier that gave it, whose parsers know its form."""
    index = next((place for place, tier in enumerate(tiers) if tier.name == reply.tier), baseline)
    return Decision(index, tiers[index].name, "cache", ("exact hit",))


def _replay(reply: Reply, decision: Decision, booking: Booking) -> Flow:
    try:
        yield Replay(reply, decision)
    finally:
        yield Append(booking.hit(reply))


def _keep(key: str, request: Request, reply: Reply, ttl: float, booking: Booking) -> Flow:
    if rejects(request, reply) is not None:
        return  # an app that asks again after an answer it cannot use must get another one
    try:
        value = pack(reply)
    except TypeError:
        booking.fallback("cache: answer has no JSON form, not stored")
        return
    try:
        yield Keep(key, value, ttl)
    except Exception as error:  # noqa: BLE001  as in `_look_up`; the answer is paid for and must not be lost
        booking.fallback(f"cache: {_trouble(error)}, answer not stored")


def _trouble(error: Exception) -> str:
    return "store down" if isinstance(error, StoreError) else f"store failed ({type(error).__name__})"


def _answer(
    request: Request, tiers: Sequence[Tier], decision: Decision, booking: Booking
) -> Generator[Effect, Any, tuple[Reply, Tier]]:
    """Ask the tier chosen, and those above it while one fails or its answer cannot stand."""
    left = list(decision.alternatives)
    while True:
        tier = tiers[decision.tier]
        call = Call(decision.tier, request, decision)
        try:
            reply: Reply = yield call
        except BaseException as error:
            usage = _used(call, error, tier, booking)
            may_go_on = left and not call.delivered and isinstance(error, Exception)
            why = recoverable(error) if may_go_on else None
            if why is None:
                yield Append(booking.ended(error, tier, usage))
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


def _used(call: Call, error: BaseException, tier: Tier, booking: Booking) -> Usage:
    """What a call that did not end well has cost, as far as anybody on this side can know."""
    if call.partial is not None:
        return booking.measured(call.partial, tier, call.as_sent)
    return booking.sent(tier, call.as_sent) if input_billed(error) else NO_USAGE
