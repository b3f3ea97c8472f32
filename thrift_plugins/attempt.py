"""How one call on a model ended, and what it may have cost."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from thrift_plugins.effects import Call
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.routing import input_billed
from thrift_plugins.types import NO_USAGE, Processing, Reply, Tier, Usage


class Attempt(NamedTuple):
    """How a call on a model ended.

    Attributes:
        tier: who was asked, with the mode in which the provider says that it has worked.
        why: in a few words why another model should be asked, None where it should not.
    """

    tier: Tier
    usage: Usage
    reply: Reply | None
    error: BaseException | None
    why: str | None

    def answer(self) -> Reply:
        """The reply. Raises the error where there is none."""
        if self.reply is None:
            raise self.error or RuntimeError("neither answer nor error")
        return self.reply


def as_worked(tier: Tier, reply: Reply, batched: Processing | None) -> Tier:
    """The tier, in the mode in which its provider has worked: it need not be the one that was asked for."""
    told = batched or reply.processing
    return tier if told is None or told == tier.processing else replace(tier, processing=told)


def used(call: Call, error: BaseException, tier: Tier, booking: Booking) -> Usage:
    """What a call that did not end well has cost, as far as anybody on this side can know."""
    if call.tries.booked is not None:
        return NO_USAGE
    if call.partial is not None:
        return booking.measured(call.partial, tier, call.as_sent)
    return booking.sent(tier, call.as_sent) if may_be_billed(call, error) else NO_USAGE


def may_be_billed(call: Call, error: BaseException) -> bool:
    """Whether a call of which nothing came may have cost something all the same: a callback of the app's may have raised."""
    return not call.tries.set_aside and call.tries.booked is None and (input_billed(error) or call.tries.answered)
