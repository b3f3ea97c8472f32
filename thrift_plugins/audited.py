"""The quality gate's part in the flow of one call: what is off for it, what is wrong with its answer, and its shadow.

A shadow is the same call once more, in the background, without one of the tactics that have acted on it. Nobody waits for
it, it has a budget of its own, and what it costs is on the bill of that tactic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from thrift_plugins.effects import Append, Call, Effect, Flow, Renew
from thrift_plugins.errors import BudgetExceeded, StoreError, UnknownModelPrice
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.ledger.remarks import rephrased, rolled_back
from thrift_plugins.purse import Purse
from thrift_plugins.quality import ALL, Consult, Gate, Judgement
from thrift_plugins.quality.gate import Rolled
from thrift_plugins.spending import Spending
from thrift_plugins.types import NO_USAGE, Decision, Message, Reply, Request

logger = logging.getLogger("thrift_plugins")

PAYS: Final[Mapping[str, str]] = {ALL: "quality", "semantic": "cache"}
"""On whose bill a shadow is, where that is not the tactic's own."""


class NoRoom(Exception):
    """A budget has room for a part of an answer only."""


NO_ROOM: Final = (BudgetExceeded, UnknownModelPrice, StoreError, NoRoom)
"""What keeps a shadow from being asked."""


@dataclass(frozen=True, slots=True)
class Audits:
    """What all calls of an app share.

    Attributes:
        gate: decides and remembers.
        purse: the budgets of shadows: that of the gate, and those that hold for all calls of the app.
        shadows: whether the same may be asked once more: not of what may do something beside answering.
    """

    gate: Gate
    purse: Purse
    shadows: bool = True

    def of(self, request: Request, booking: Booking, *, held: bool) -> Audit:
        """The steps of a call."""
        off = frozenset() if held else self.gate.off(request.scope.feature)
        for tactic in sorted(off):
            booking.fallback(
                f"quality: {tactic} is rolled back for {request.scope.feature or 'calls without a feature'}"
            )
        return Audit(self, request, booking, held, off)


@dataclass(slots=True)
class Audit:
    """The gate's steps of one call.

    Attributes:
        held: whether no tactic touches it.
        off: the tactics that are rolled back for it.
    """

    _audits: Audits
    request: Request
    _booking: Booking
    held: bool
    off: frozenset[str]

    def look(self, reply: Reply) -> None:
        """Note what is wrong with an answer, before it is booked."""
        self._booking.flawed(self._audits.gate.flaws(self.request, reply))

    def answered(
        self, reply: Reply, touched: frozenset[str], shadow: Callable[[str], Flow], *, again: bool = False
    ) -> Flow:
        """The call was answered and booked.

        Args:
            touched: the tactics that have acted on it.
            shadow: makes the flow of the same call without a tactic.
            again: whether a batch run gave it what another call has had: a comparison is paid for as often as it is made.
        """
        gate, request = self._audits.gate, self.request
        try:
            before, rolled = gate.answered(request, self._booking.flaws, held=self.held)
            aim = gate.draw(request, touched, reply) if self._audits.shadows and not (self.held or again) else None
        except Exception as error:  # noqa: BLE001  a judge may be the app's own; its bugs are no reason to lose an answer
            logger.warning("quality: an answer could not be looked at (%s)", type(error).__name__)
            return
        if before is not None:
            yield Append(rephrased(before, request))
        yield from tell(rolled)
        if aim is not None:
            yield Renew(f"{request.id}-shadow", shadow(aim))


@dataclass(slots=True)
class Comparison:
    """The judge's steps on a shadow.

    Attributes:
        aim: the tactic that the shadow was made without.
        booking: of the shadow.
    """

    audits: Audits
    aim: str
    request: Request
    booking: Booking
    _asked: int = field(default=0, init=False)

    def judged(self, served: Reply, other: Reply) -> Generator[Effect, Any, Judgement | None]:
        """How the answer that was served compares with the other, None where nobody can say."""
        judging = self.audits.gate.judge.judge(self.request, served, other)
        told: Any = None
        try:
            while True:
                told = yield from self._consulted(judging.send(told))
        except StopIteration as end:
            judgement: Judgement | None = end.value
            return judgement
        except Exception as error:  # noqa: BLE001  a judge may be the app's own, and its model may fail
            self.booking.fallback(f"quality: not judged ({type(error).__name__})")
            return None

    def _consulted(self, consult: Consult) -> Generator[Effect, Any, Reply]:
        """Ask the judge's model, on the budget of shadows."""
        self._asked += 1
        tier = consult.asker.tier
        request = replace(
            self.request, id=f"{self.request.id}-judge-{self._asked}", messages=(Message("user", consult.prompt),),
            tools=(), schema=None, params={}, model=tier.model,
        )  # fmt: skip
        call = Call(0, request, Decision(0, tier.name, "quality"))
        spending = Spending.of(self.audits.purse, request, self.booking)
        if spending is not None:
            yield from spending.reserve(call, tier)
        usage = NO_USAGE
        try:
            if call.imposed:
                raise NoRoom
            usage = self.booking.sent(tier, call.as_sent)
            reply: Reply = yield consult
            usage = self.booking.measured(reply, tier, call.as_sent)
        finally:
            self.booking.beside(tier, usage, "judge")
            if spending is not None:
                yield from spending.settle(tier, usage)
        return reply


def tell(rolled: list[Rolled]) -> Flow:
    """Book what was rolled back."""
    for each in rolled:
        yield Append(rolled_back(each.tactic, each.feature, each.at, each.why))


def unasked(request: Request) -> Request:
    """The request of a shadow. It is nobody's run, and no recorded one."""
    return replace(request, id=f"{request.id}-shadow", baseline_usage=None, run="", fresh=False)
