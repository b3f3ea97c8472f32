"""The calls on models that one call of the app comes to: shortened, reserved, made, settled, checked, and made again higher up.

`Engine` says in which order the tactics have their turn; this is the part of it from the choice of a tier to the event in
the ledger.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thrift_plugins.attempt import Attempt, as_worked, may_be_billed, used
from thrift_plugins.audited import Audit, NoRoom
from thrift_plugins.budgeting import OutputPolicy, is_cut
from thrift_plugins.cached import Cached
from thrift_plugins.compression.result import Compressed
from thrift_plugins.distilled import Distilled
from thrift_plugins.effects import Append, Booked, Call, Effect, Flow, Replay, Try
from thrift_plugins.errors import BudgetExceeded, UnknownModelPrice
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.paired import Lessons, recorded
from thrift_plugins.routing import (
    LEAST_HEAT,
    Conversations,
    Router,
    Twice,
    Verifier,
    alike,
    misread,
    recoverable,
    rejects,
)
from thrift_plugins.spending import Spending
from thrift_plugins.tries import Lost, Tries
from thrift_plugins.types import NO_USAGE, Decision, Patch, Reply, Request, Tier, Usage

if TYPE_CHECKING:
    from thrift_plugins.compression.policy import CompressionPolicy


def refused(error: BaseException, cached: Cached | None, booking: Booking) -> Flow:
    """The call ended before any model was asked."""
    try:
        if cached:
            yield from cached.gone(error)
    finally:
        yield Append(booking.refused(error))


@dataclass(slots=True)
class Attempts:
    """The calls on models that one call of the app comes to: one, and those after it while an answer cannot stand."""

    request: Request
    tiers: Sequence[Tier]
    cached: Cached | None
    spending: Spending | None
    output: OutputPolicy | None
    compression: CompressionPolicy | None
    booking: Booking
    held: bool
    talk: Conversations | None = None
    audit: Audit | None = None
    distilled: Distilled | None = None
    decision: Decision | None = None
    planned: bool = False
    router: Router | None = None
    streamed: bool = False
    twice: Twice | None = None
    lessons: Lessons | None = None
    rejected: list[int] = field(default_factory=list)
    wasted: list[tuple[Tier, Usage]] = field(default_factory=list)
    again: bool = False  # whether the last answer is one that a batch run has given before

    def make(self, decision: Decision, baseline: Tier) -> Generator[Effect, Any, tuple[Reply, frozenset[str]]]:
        """Ask, keep, book. Gives the answer, and the tactics that have touched it."""
        reply, tier = yield from self._answer(decision)
        if self.audit:
            self.audit.look(reply)
        if self.distilled and not self.again:
            self.distilled.taught(reply, tier.name, (self.decision or decision).policy)
        self._recorded(tier, reply, served=True)
        if self.talk is not None and len(self.tiers) > 1:
            self.talk.learn(self.request, tier, baseline, reply.usage, reply.tool_calls, self.wasted)
        try:
            if self.cached:
                yield from self.cached.answered(reply)
        finally:
            event = self.booking.answered(reply, tier)
            yield Append(event)
        touched = frozenset(patch.tactic for patch in event.patches)
        return reply, touched | {"budget"} if self.planned else touched

    def once(self, decision: Decision) -> Generator[Effect, Any, Reply | None]:
        """Ask one tier, whole or not at all. Gives None where its answer says nothing; raises where it cannot be asked."""
        call, tier = self._call(decision), self.tiers[decision.tier]
        planned = call.imposed
        yield from self._reserve(call, tier)
        if call.imposed and not planned:
            yield from self._settle(tier, NO_USAGE)
            raise NoRoom
        attempt = yield from self._ask(call, tier, may_go_on=False)
        error = attempt.error
        if error is not None:
            yield Append(self.booking.ended(error, tier, attempt.usage))
            if not isinstance(error, Exception):
                raise error
        return attempt.reply

    def unshown(self, decision: Decision) -> Generator[Effect, Any, tuple[Reply | None, Usage, Tier]]:
        """Ask one tier for an answer that the app does not see, or not yet.

        Returns:
            The answer, None where there is none; what it used; and the tier, in the mode in which it has worked.
        """
        call, tier = Call(decision.tier, self.request, decision), self.tiers[decision.tier]
        yield from self._reserve(call, tier)
        attempt = yield from self._performed(call, tier, aside=True)
        if attempt.error is not None and not isinstance(attempt.error, Exception):
            self.booking.unconfirmed(attempt.tier, attempt.usage)  # the provider may have made it
            raise attempt.error
        return attempt.reply, attempt.usage, attempt.tier

    def _answer(self, decision: Decision) -> Generator[Effect, Any, tuple[Reply, Tier]]:
        """Ask the tier chosen, and those above it while one fails or its answer cannot stand."""
        left = list(decision.alternatives)
        tier, call = self.tiers[decision.tier], self._call(decision)
        try:
            yield from self._reserve(call, tier)
        except BaseException as error:
            yield from refused(error, self.cached, self.booking)
            raise
        while True:
            self.decision, self.planned = decision, call.plan is not None
            aside = bool(left) and self._may_be_rejected(decision)
            attempt = yield from self._ask(call, tier, may_go_on=bool(left), aside=aside)
            tier = attempt.tier
            try:
                if aside and decision.twice and attempt.why is None:
                    attempt = attempt._replace(why=(yield from self._unlike(attempt)))
                above = (yield from self._escalated(decision, attempt, left)) if attempt.why else None
                if above is None:
                    reply = attempt.answer()
                    if aside:
                        yield Replay(reply, decision, tried=True)
                    return reply, tier
            except BaseException as error:
                yield from self._lost(error, tier, attempt.usage)
                del attempt  # its error holds this frame
                raise
            if attempt.reply is not None:
                self._recorded(tier, attempt.reply, served=False)
                self.rejected.append(decision.tier)
            self.wasted.append((tier, attempt.usage))
            self.booking.gave_up(tier, attempt.usage, "failed" if attempt.error else "rejected", attempt.why or "")
            call = above
            decision, tier = call.decision, self.tiers[call.tier]
            self.booking.routed(decision)

    def _may_be_rejected(self, decision: Decision) -> bool:
        """Whether an answer is checked before anybody sees it. Words that are streamed are not held up for their form alone."""
        request = self.request
        checked = decision.verify is not None or decision.twice
        return not self.streamed or checked or bool(request.tools) or request.schema is not None

    def _call(self, decision: Decision) -> Call:
        """The call that a decision comes to, compressed, with what is asked so that its answer is shorter."""
        compressed = self._compressed(decision)
        base = replace(self.request, messages=compressed.messages) if compressed else self.request
        call = Call(decision.tier, base, decision, change=compressed.change if compressed else None)
        if self.output is None or self.held:
            return call
        try:
            plan = self.output.plan(base, self.tiers[decision.tier])
        except Exception as error:  # noqa: BLE001  a prompt may hold anything; a longer answer is no reason to fail
            self.booking.fallback(f"output: not planned ({type(error).__name__})")
            return call
        if plan is not None:
            request = replace(base, messages=plan.messages) if plan.messages else base
            call = replace(call, request=request, most=plan.most, imposed=plan.most is not None, plan=plan)
            self.booking.note(f"output: {', '.join(plan.reasons)}")
        return call

    def _compressed(self, decision: Decision) -> Compressed | None:
        """The prompt for the tier chosen, None where it goes as it is."""
        if self.compression is None or self.held:
            return None
        try:
            compressed = self.compression.compress(self.request, self.tiers[decision.tier])
        except Exception as error:  # noqa: BLE001  a prompt may hold anything, and can always be sent as it is
            self.booking.fallback(f"compression: failed ({type(error).__name__}), prompt sent as it was")
            compressed = None
        self.booking.compressed(compressed)
        return compressed if compressed is not None and compressed.change else None

    def _learnt(self, output: OutputPolicy, call: Call, tier: Tier, reply: Reply, whole: Reply) -> Patch | None:
        """What the plan was worth to an answer, once the whole of it has been learnt from."""
        try:
            output.learn(self.request, tier, whole, call.plan)
            return output.patch(self.request, tier, reply, call.plan) if call.plan else None
        except Exception as error:  # noqa: BLE001  as above
            self.booking.fallback(f"output: not learnt ({type(error).__name__})")
            return None

    def _ask(self, call: Call, tier: Tier, *, may_go_on: bool, aside: bool = False) -> Generator[Effect, Any, Attempt]:
        """One call on a model, with what follows from its answer.

        Args:
            aside: whether nobody is to hear of the answer yet.
        """
        attempt = yield from self._performed(call, tier, aside=aside)
        may_go_on = may_go_on and not call.delivered
        if attempt.reply is None:
            return attempt._replace(why=self._failed(call, attempt.error) if may_go_on else None)
        reply = attempt.reply
        if call.imposed and is_cut(reply):
            self.booking.note(f"output: cut at {call.most} tokens")
        whole, error = (yield from self._continued(call, tier, reply, aside=aside)) if is_cut(reply) else (reply, None)
        if self.output is not None:
            self.booking.shortened(self._learnt(self.output, call, tier, reply, whole))
        if error is not None:
            return attempt._replace(reply=None, error=error)
        if call.imposed and is_cut(whole):  # by us: another model would be cut too
            may_go_on = False
        why = self._rejects(call.decision, whole) if may_go_on else None
        answer = reply if whole is reply else replace(whole, usage=reply.usage)
        return attempt._replace(reply=answer, why=why)

    def _failed(self, call: Call, error: BaseException | None) -> str | None:
        """Why another model may do better where this one has failed, None where the app must see the error."""
        if not isinstance(error, Exception):
            return None
        why = recoverable(error)
        if why is None and self.request.schema is not None:
            why = misread(error)
        if call.imposed and why in ("truncated", "wrong form"):  # cut by us: another model would be too
            return None
        return why

    def _rejects(self, decision: Decision, reply: Reply) -> str | None:
        """Why an answer must not stand: by its form, or by what the router has learnt of such answers."""
        why = rejects(self.request, reply)
        if why is not None or decision.verify is None or not isinstance(self.router, Verifier):
            return why
        try:
            return self.router.rejects(self.request, reply, decision)
        except Exception as error:  # noqa: BLE001  in doubt, the stronger model
            self.booking.fallback(f"routing: check failed ({type(error).__name__})")
            return "not checked"

    def _unlike(self, attempt: Attempt) -> Generator[Effect, Any, str | None]:
        """Ask the same tier once more. Gives why the answer that is there must not stand: the two differ, or there are no two."""
        decision, reply = self.decision, attempt.reply
        if decision is None or reply is None or is_cut(reply):
            return None
        tier = self.tiers[decision.tier]
        call = self._call(decision)
        call.least_heat = LEAST_HEAT
        try:
            yield from self._reserve(call, tier)
        except (BudgetExceeded, UnknownModelPrice) as refused:
            self.booking.fallback(f"budget: {tier.name} not asked twice ({type(refused).__name__})")
            return None
        second = yield from self._performed(call, tier, aside=True, kept=False)
        self.booking.compared(second.tier, second.usage)
        self.wasted.append((second.tier, second.usage))
        if second.reply is None:
            if second.error is not None and not isinstance(second.error, Exception):
                raise second.error
            failed = second.error and recoverable(second.error)
            return f"no second answer ({failed or type(second.error).__name__})"
        agreed = rejects(self.request, second.reply) is None and alike(self.request, reply, second.reply)
        if self.twice is not None and not self.again:
            self.twice.learn(self.request, tier, second.usage, agreed=agreed)
        return None if agreed else "two answers differ"

    def _performed(
        self, call: Call, tier: Tier, *, aside: bool = False, kept: bool = True
    ) -> Generator[Effect, Any, Attempt]:
        """One call on a model, settled however it ends."""
        answer: Reply | None = None
        while answer is None:
            try:
                answer = yield (Try(call, kept) if aside else call)
            except Lost:
                refused = yield from self._again(call, tier)
                if refused is not None:
                    self.booking.tried(tier, call.tries, lambda: self.booking.sent(tier, call.as_sent))
                    return Attempt(tier, NO_USAGE, None, refused, None)
            except BaseException as error:  # noqa: BLE001  whoever asked raises it again, where nobody else can answer
                usage = used(call, error, tier, self.booking)
                lost = call.partial is None and may_be_billed(call, error)
                later = yield from self._settled(tier, usage, call.tries, lost=lost, broken=call.partial is not None)
                self.booking.tried(tier, call.tries, lambda: self.booking.sent(tier, call.as_sent))
                yield from self._booked(call)
                return Attempt(tier, usage, None, later or error, None)
        self.booking.batched(tier, call.tries.processing)
        tier = as_worked(tier, answer, call.tries.processing)
        usage = self.booking.measured(answer, tier, call.as_sent) if call.tries.booked is None else NO_USAGE
        reply = answer.given_by(tier.name, usage)
        later = yield from self._settled(tier, reply.usage, call.tries, broken=not reply.complete)
        self.booking.tried(tier, call.tries, lambda: reply.usage)
        yield from self._booked(call)
        return Attempt(tier, reply.usage, None if later else reply, later, None)

    def _booked(self, call: Call) -> Flow:
        """A batch run's journal hears that what a line has cost is booked; or the ledger, that it was before."""
        self.again = call.tries.booked is not None
        if self.again:
            self.booking.note("batch: answered from the journal, and booked before")
        elif call.tries.book is not None:
            yield Booked(call.tries.book, call.tries.name)

    def _recorded(self, tier: Tier, reply: Reply, *, served: bool) -> None:
        """Write an answer down to learn from, unless a batch run gives it once more."""
        if not self.again:
            recorded(self.lessons, self.request, tier, reply, self.booking, served=served)

    def _again(self, call: Call, tier: Tier) -> Generator[Effect, Any, BaseException | None]:
        """Before an SDK repeats a request whose answer it has lost: charge the first in full, and reserve for the second.

        One that was not sent yet, and that no batch takes, gets a reservation of its own.

        Returns:
            Why it is not repeated, None where it is.
        """
        if self.spending is not None:
            yield from (self.spending.part(tier) if call.tries.alone else self.spending.charge())
        call.tries.again()
        try:
            yield from self._reserve(call, tier)
        except BaseException as error:  # noqa: BLE001  as in `_performed`
            return error
        return None

    def _continued(
        self, call: Call, tier: Tier, reply: Reply, *, aside: bool = False
    ) -> Generator[Effect, Any, tuple[Reply, BaseException | None]]:
        """A cut answer with its rest, where the feature wants it, and what there is of it where there can be none.

        Returns:
            The answer, and what interrupted the app while it waited for the rest. Where the two join, with the usage of both.
        """
        asking = self._asking_on(call, tier, reply)
        if asking is None:
            return reply, None
        try:
            yield from self._reserve(asking, tier)
        except (BudgetExceeded, UnknownModelPrice) as refused:
            self.booking.fallback(f"budget: {tier.name} not asked for the rest ({type(refused).__name__})")
            return reply, None
        except BaseException as error:  # noqa: BLE001  as in `_performed`
            return reply, error
        rest = yield from self._performed(asking, tier, aside=aside)
        self.booking.continued(rest.tier, rest.usage)
        if rest.error is not None:
            self.booking.fallback(f"output: no rest ({type(rest.error).__name__})")
            return reply, None if isinstance(rest.error, Exception) else rest.error
        self.booking.note("output: continued" if asking.whole else "output: its rest does not join")
        return asking.whole or reply, None

    def _asking_on(self, call: Call, tier: Tier, reply: Reply) -> Call | None:
        """The call for the rest of a cut answer, None where there is none to be made."""
        if self.output is None or self.held or call.delivered:
            return None
        try:
            rest = self.output.rest(self.request, tier, reply, imposed=call.imposed)
        except Exception as error:  # noqa: BLE001  as in `_call`
            self.booking.fallback(f"output: not continued ({type(error).__name__})")
            return None
        if rest is None:
            return None
        request = replace(call.request, messages=(*call.request.messages, *rest.turns))
        limited = rest.most is not None
        return replace(
            call,
            request=request,
            most=rest.most,
            imposed=limited,
            continues=reply,
            partial=None,
            form=None,
            tries=Tries(),
        )

    def _escalated(self, decision: Decision, attempt: Attempt, left: list[int]) -> Generator[Effect, Any, Call | None]:
        """The call on the tier above, None where no budget has room for it: what there is must do then."""
        above = left.pop(0)
        tier = self.tiers[above]
        reasons = (attempt.why or "", *decision.reasons)
        call = self._call(replace(decision, tier=above, name=tier.name, policy="fallback", reasons=reasons))
        try:
            yield from self._reserve(call, tier)
        except (BudgetExceeded, UnknownModelPrice) as refused:
            self.booking.fallback(f"budget: {tier.name} not asked ({type(refused).__name__})")
            return None
        return call

    def _reserve(self, call: Call, tier: Tier) -> Flow:
        if self.cached:
            self.cached.watched(call)
        if self.spending is not None:
            yield from self.spending.reserve(call, tier)

    def _settle(
        self, tier: Tier, usage: Usage, *, lost: bool = False, broken: bool = False, tries: Tries | None = None
    ) -> Flow:
        if self.spending is not None:
            yield from self.spending.settle(tier, usage, lost=lost, broken=broken, tries=tries)

    def _settled(
        self, tier: Tier, usage: Usage, tries: Tries, *, lost: bool = False, broken: bool = False
    ) -> Generator[Effect, Any, BaseException | None]:
        """Settle, and give what interrupted the app meanwhile: the answer is paid for, and is to be booked all the same."""
        try:
            yield from self._settle(tier, usage, lost=lost, broken=broken, tries=tries)
        except BaseException as error:  # noqa: BLE001  as in `_performed`
            return error
        return None

    def _lost(self, error: BaseException, tier: Tier, usage: Usage) -> Flow:
        """The call ended without a whole answer."""
        try:
            if self.cached:
                yield from self.cached.gone(error)
        finally:
            yield Append(self.booking.ended(error, tier, usage))
