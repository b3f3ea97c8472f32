"""The router's lessons in the flow of one call: what was asked and answered is written down, and now and then the other tiers too.

One answer says nothing of the models that were not asked. So for a share of the calls, drawn by chance, the same is asked of the
other tiers in the background, and the bill for that is routing's. Pairs that chance has drawn are like all that an app asks.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from thrift_plugins.audited import NO_ROOM, unasked
from thrift_plugins.effects import Append, Effect, Flow
from thrift_plugins.ledger.booking import Booking, Unasked
from thrift_plugins.routing import eligible
from thrift_plugins.routing.rules import ladder_of
from thrift_plugins.types import Decision, Reply, Request, Tier

SHADOW: Final = Unasked("routing", "shadow", {"routing": {"shadow": True}})


class Lessons(Protocol):
    """Writes down questions with their answers, to train a router on; see `lessons.Questions`."""

    def wants(self, request: Request) -> bool:
        """Whether this request may be written down."""
        ...

    def draws(self, request: Request) -> bool:
        """Whether chance has it that the other tiers are asked too."""
        ...

    def record(self, request: Request, tier: Tier, reply: Reply, *, served: bool, drawn: bool) -> None:
        """Write an answer down.

        Args:
            served: whether the app was given it.
            drawn: whether chance has drawn the request.
        """
        ...


class Once(Protocol):
    """Asks one tier, whole or not at all; see `Attempts.once`."""

    def once(self, decision: Decision) -> Generator[Effect, Any, Reply | None]: ...


def recorded(
    lessons: Lessons | None, request: Request, tier: Tier, reply: Reply, booking: Booking, *, served: bool
) -> None:
    """Write an answer down, where the app wants that. It is paid for: that it cannot be written is no reason to lose it."""
    if lessons is None:
        return
    try:
        if lessons.wants(request):
            lessons.record(request, tier, reply, served=served, drawn=lessons.draws(request))
    except Exception as error:  # noqa: BLE001  see above
        booking.fallback(f"routing: answer not written down ({type(error).__name__})")


def others(
    lessons: Lessons | None, request: Request, tiers: Sequence[Tier], baseline: int, answered: Collection[int]
) -> tuple[int, ...]:
    """Indices of the tiers that the same is asked of too; none where the app does not want it, or it might do something twice.

    Args:
        answered: who has, also where its answer did not stand: that is written down, and paid for.
    """
    if lessons is None or not request.cacheable or request.waits or not lessons.wants(request):
        return ()
    if not lessons.draws(request):
        return ()
    return tuple(index for index in ladder_of(eligible(request, tiers), baseline) if index not in answered)


def shadow(request: Request, tier: Tier) -> Request:
    """The request that a tier is asked in the background."""
    return replace(unasked(request), id=f"{request.id}-{tier.name}")


def other(asking: Once, lessons: Lessons, request: Request, tiers: Sequence[Tier], index: int, booking: Booking) -> Flow:
    """Ask a tier that was not asked, and write down what it says.

    Args:
        asking: of the shadow of the request, in the same booking.
    """
    tier = tiers[index]
    try:
        reply = yield from asking.once(Decision(index, tier.name, "shadow"))
    except NO_ROOM:
        return
    if reply is None:
        return
    recorded(lessons, request, tier, reply, booking, served=False)
    yield Append(booking.of_our_own(SHADOW, "answered", tier, reply.usage))
