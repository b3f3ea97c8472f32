"""One call, start to end: the only place that knows the order of the tactics.

`Engine.call` is a generator. It yields effects (look up, call this tier, replay this answer, store, append) and is
sent their results; it does no I/O, reads no clock, and knows no framework. `drive` runs it synchronously or
asynchronously, whole or streamed. Whatever ends a call, the generator books it before it lets the exception through.

    cache: find an answer             hit: replay it, pay nothing; stale: and renew it in the background
    student: answer                   sure: a local model; not sure: a cheap one that agrees with it; else the teacher
    route: a tier, with the reason    constraints before score
    compress: send a shorter prompt   the part of it that no provider has cached
    output: ask for a shorter answer  by the feature's target; what it is worth is modelled
    budget: reserve                   refuse here, before anything is paid
    call, or hand over to a batch     a recoverable failure: the next tier that can
    budget: settle                    what was used, whatever came of it
    verify                            a rejected cheap answer: the next tier up
    cache: keep, land                 whoever waits for the same answer gets it
    append one ledger event
    gate: now and then, the same once more without a tactic, in the background, to compare the answers
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from thrift_plugins.audited import NO_ROOM, PAYS, Audit, Audits, Comparison, NoRoom, tell, unasked
from thrift_plugins.budgeting import OutputPolicy, is_cut
from thrift_plugins.cached import Cached, Hit
from thrift_plugins.caching import CachePolicy
from thrift_plugins.compression.result import Compressed
from thrift_plugins.distilled import Distilled, Given, Pupils, Recording
from thrift_plugins.effects import Append, Call, Effect, Flow, Renew, Replay, Try
from thrift_plugins.errors import BudgetExceeded, ThriftError, UnknownModelPrice
from thrift_plugins.ledger.booking import RENEWAL, Booking, Unasked
from thrift_plugins.quality import ALL
from thrift_plugins.quality.judge import LOSS
from thrift_plugins.routing import (
    Conversations,
    Router,
    Verifier,
    eligible,
    forced,
    input_billed,
    recoverable,
    rejects,
    turn_of,
)
from thrift_plugins.spending import Purse, Spending
from thrift_plugins.tries import Lost, Tries
from thrift_plugins.types import NO_USAGE, Decision, Patch, Processing, Reply, Request, Tier, Usage

if TYPE_CHECKING:
    from thrift_plugins.compression.policy import CompressionPolicy


@dataclass(frozen=True, slots=True)
class Engine:
    """The policies of an app, in the order of a call. A tactic that is None is off.

    Attributes:
        cache: the exact response cache.
        router: chooses among tiers; without one the baseline answers.
        standing: what is out of order for every call, for the ledger.
        patience: seconds to wait for others who make the same call already; None: nobody waits.
        semantic: whether answers to similar questions are searched for.
        purse: the budgets of what may be spent.
        output: the budgets of how long answers may be.
        compression: what of a prompt need not be sent.
        holdout: whether a call is left alone by every tactic, so that it can be seen what they are worth.
        conversations: keeps each where it costs least.
        audits: the quality gate.
        pupils: the students, each for a task.
        recorder: writes down answers of the baseline, to learn from.
        off: the tactics that were taken out of it.
        fixed: feature to the tier that its calls go to, where they do not insist on another.
    """

    cache: CachePolicy | None = None
    router: Router | None = None
    standing: tuple[str, ...] = ()
    patience: float | None = None
    semantic: bool = False
    purse: Purse | None = None
    output: OutputPolicy | None = None
    compression: CompressionPolicy | None = None
    holdout: Callable[[Request], bool] | None = None
    conversations: Conversations | None = None
    audits: Audits | None = None
    pupils: Pupils | None = None
    recorder: Recording | None = None
    off: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = field(default_factory=dict)

    def without(self, tactics: frozenset[str]) -> Engine:
        """The same app, without some of the tactics."""
        names = OFF.keys() if ALL in tactics else tactics & OFF.keys()
        switched = {policy: value for name in names for policy, value in OFF[name].items()}
        return replace(self, **switched, off=self.off | tactics)

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
            BudgetExceeded: a hard budget has no room for it.
            UnknownModelPrice: a hard budget in dollars, and a model without a price.
        """
        booking = Booking(request, tiers[baseline], dialect, self.standing)
        held = self.holdout is not None and self.holdout(request)
        if held:
            booking.held_out()
        request = self._fixed(request, tiers, booking)
        audit = self.audits.of(request, booking, held=held) if self.audits else None
        engine = self.without(audit.off) if audit and audit.off else self
        yield from engine._call(request, tiers, baseline, booking, audit, held=held, streamed=streamed)  # noqa: SLF001

    def _call(
        self,
        request: Request,
        tiers: Sequence[Tier],
        baseline: int,
        booking: Booking,
        audit: Audit | None,
        *,
        held: bool,
        streamed: bool,
    ) -> Flow:
        cached = None if held else self._cached(request, booking, streamed=streamed)
        try:
            insisted = _insisted(request, tiers, booking)
            hit = (yield from cached.find()) if cached else None
            distilled = self._distilled(request, tiers, baseline, booking, held=held or insisted is not None)
            attempts = self._attempts(request, tiers, cached, booking, held=held) if hit is None else None
            taught = (yield from _taught(attempts, distilled)) if attempts and distilled else None
            asked_for = insisted or (distilled.teacher if distilled else None)
            decision = self._decided(request, tiers, baseline, booking, hit or taught, asked_for, held=held)
        except BaseException as error:
            yield from _refused(error, cached, booking)
            raise
        booking.routed(decision)
        if attempts is not None and taught is None:
            attempts.talk, attempts.audit, attempts.distilled = self.conversations, audit, distilled
            attempts.streamed = streamed
            reply, touched = yield from attempts.make(decision, tiers[baseline])
            decision = attempts.decision or decision
        else:
            if hit and hit.stale_key is not None:
                yield Renew(hit.stale_key, self._renewal(request, tiers, baseline, booking.dialect))
            reply, touched = yield from _given(hit or taught, decision, booking, audit)
        if audit:
            asked = None if hit or taught else decision
            yield from audit.answered(
                reply,
                touched & OFF.keys(),
                lambda aim: self._shadow(request, tiers, baseline, booking.dialect, aim, reply, asked),
            )

    def _distilled(
        self, request: Request, tiers: Sequence[Tier], baseline: int, booking: Booking, *, held: bool
    ) -> Distilled | None:
        """The student's steps, where there is one, or where one is to learn.

        Args:
            held: whether the baseline, or whom the app insists on, answers; that is learnt from all the same.
        """
        pupils = None if held else self.pupils
        if pupils is None and self.recorder is None:
            return None
        return Distilled(pupils, self.recorder, request, booking, tiers, baseline)

    def _decided(
        self,
        request: Request,
        tiers: Sequence[Tier],
        baseline: int,
        booking: Booking,
        found: Hit | Given | None,
        asked_for: Decision | None,
        *,
        held: bool,
    ) -> Decision:
        """Who answers, and why; for an answer that is there already, as whose it is shown."""
        if isinstance(found, Given):
            return found.decision
        if found is not None:
            return _stood_for(found, tiers, baseline)
        if held:
            return asked_for or Decision(baseline, tiers[baseline].name, "holdout")
        return asked_for or self._route(request, tiers, baseline, booking)

    def _fixed(self, request: Request, tiers: Sequence[Tier], booking: Booking) -> Request:
        """The request with the tier that the app's settings have for its feature."""
        own = self.fixed.get(request.scope.feature) if self.fixed and request.forced is None else None
        if own is None:
            return request
        if any(own in (tier.name, tier.model) for tier in tiers):
            return replace(request, forced=own)
        booking.fallback(f"routing: no tier is called {own}")
        return request

    def _shadow(
        self,
        request: Request,
        tiers: Sequence[Tier],
        baseline: int,
        dialect: str,
        aim: str,
        served: Reply,
        asked: Decision | None,
    ) -> Flow:
        """The flow of a call that nobody asked for: what would have been answered without a tactic, beside what was.

        Args:
            aim: the tactic.
            asked: who was asked, None where nobody was.
        """
        audits = self.audits
        if audits is None:
            return
        bare = replace(self.without(frozenset({aim})), cache=None, conversations=None, purse=audits.purse)
        request = unasked(request)
        gate, feature = audits.gate, request.scope.feature
        why = Unasked(PAYS.get(aim, aim), "shadow", {"quality": {"what": "failed", "told": [aim, feature]}})
        booking = Booking(request, tiers[baseline], dialect, self.standing, unasked=why)
        decision = _insisted(request, tiers, booking) or (asked if bare.router is not None else None)
        decision = replace(decision or bare._route(request, tiers, baseline, booking), alternatives=())  # noqa: SLF001
        attempts = bare._attempts(request, tiers, None, booking)  # noqa: SLF001
        try:
            other = yield from attempts.once(decision)
        except NO_ROOM:
            gate.unasked(aim, feature, request.at)
            return
        if other is None:
            return
        judgement = yield from Comparison(audits, aim, request, booking).judged(served, other)
        loss = None if judgement is None else LOSS[judgement]
        told = {"what": "judged", "told": [aim, feature, loss, *gate.limits], "judge": gate.judge.name}
        yield Append(
            booking.of_our_own(why._replace(extra={"quality": told}), "answered", tiers[decision.tier], other.usage)
        )
        yield from tell(gate.compared(aim, feature, judgement, request.at))

    def _renewal(self, request: Request, tiers: Sequence[Tier], baseline: int, dialect: str) -> Flow:
        """The flow of a call that nobody asked for: a stale answer is asked for anew, unless somebody does already."""
        request = replace(request, id=f"{request.id}-renewal", baseline_usage=None)
        booking = Booking(request, tiers[baseline], dialect, self.standing, unasked=RENEWAL)
        cached = self._cached(request, booking, streamed=False)
        try:
            if cached is None or not (yield from cached.lead()):
                return
            decision = _insisted(request, tiers, booking) or self._route(request, tiers, baseline, booking)
        except BaseException as error:
            yield from _refused(error, cached, booking)
            raise
        booking.routed(decision)
        yield from self._attempts(request, tiers, cached, booking).make(decision, tiers[baseline])

    def _attempts(
        self, request: Request, tiers: Sequence[Tier], cached: Cached | None, booking: Booking, *, held: bool = False
    ) -> _Attempts:
        spending = self.purse.of(request, booking) if self.purse else None
        return _Attempts(request, tiers, cached, spending, self.output, self.compression, booking, held, router=self.router)

    def _cached(self, request: Request, booking: Booking, *, streamed: bool) -> Cached | None:
        if self.cache is None:
            return None
        policies = (self.output, self.compression)
        shorter = " ".join(filter(None, (policy.signature(request) for policy in policies if policy)))
        if shorter or self.off:  # answers that a tactic has given which harms them are no answers any more
            request = replace(request, identity=" ".join([request.identity, shorter, *sorted(self.off)]))
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
            patience=None if request.waits else self.patience,  # the collector knows equal requests itself
            semantic=self.semantic,
            streamed=streamed,
        )

    def _route(self, request: Request, tiers: Sequence[Tier], baseline: int, booking: Booking) -> Decision:
        if self.router is not None and len(tiers) > 1:
            try:
                decision = self.router.decide(turn_of(request), tiers, baseline)
                if self.conversations is None:
                    return decision
                decision = self.conversations.keep(request, tiers, baseline, decision)
                return self.conversations.priced(request, tiers, baseline, decision) if decision.chances else decision
            except ThriftError:
                raise
            except Exception as error:  # noqa: BLE001  a router may be the app's own; its bugs must not stop the call
                booking.fallback(f"routing: policy failed ({type(error).__name__}), baseline asked")
        return Decision(baseline, tiers[baseline].name, "baseline")


OFF: Final[Mapping[str, Mapping[str, Any]]] = {
    "cache": {"cache": None},
    "semantic": {"semantic": False},
    "routing": {"router": None, "conversations": None},
    "compression": {"compression": None},
    "budget": {"output": None},
    "distillation": {"pupils": None},
}
"""What each tactic that changes answers is without. The quality gate compares these, and may take them off."""

_HITS: Final[Mapping[str, frozenset[str]]] = {
    "exact": frozenset({"cache"}),
    "stale": frozenset({"cache"}),
    "semantic": frozenset({"semantic"}),
}
"""The tactic that has given an answer of a kind. One that is shared with a call under way is that call's own."""


def _insisted(request: Request, tiers: Sequence[Tier], booking: Booking) -> Decision | None:
    insisted = forced(request, tiers)
    if insisted is not None:
        booking.chosen_by_the_app(tiers[insisted.tier])
    return insisted


def _stood_for(hit: Hit, tiers: Sequence[Tier], baseline: int) -> Decision:
    """A stored answer is shown as the tier that gave it, whose parsers know its form."""
    index = next((place for place, tier in enumerate(tiers) if tier.name == hit.reply.tier), baseline)
    return Decision(index, tiers[index].name, "cache", (hit.reason,))


def _taught(attempts: _Attempts, distilled: Distilled) -> Generator[Effect, Any, Given | None]:
    """What a student answers."""

    def cheaper() -> int | None:
        return next((index for index in eligible(attempts.request, attempts.tiers) if index < distilled.baseline), None)

    taught = yield from distilled.answer(attempts, cheaper)
    if taught is not None and attempts.cached:
        yield from attempts.cached.passed()
    return taught


def _given(
    found: Hit | Given | None, decision: Decision, booking: Booking, audit: Audit | None
) -> Generator[Effect, Any, tuple[Reply, frozenset[str]]]:
    """Show an answer that is there already. Gives it, and the tactics that have touched it."""
    if found is None:
        raise RuntimeError("there is no answer to give")
    if audit:
        audit.look(found.reply)
    if isinstance(found, Given):
        yield from found.shown()
        return found.reply, frozenset({"distillation"})
    yield from _replay(found, decision, booking)
    return found.reply, _HITS.get(found.kind, frozenset())


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


class _Attempt(NamedTuple):
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


@dataclass(slots=True)
class _Attempts:
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

    def make(self, decision: Decision, baseline: Tier) -> Generator[Effect, Any, tuple[Reply, frozenset[str]]]:
        """Ask, keep, book. Gives the answer, and the tactics that have touched it."""
        reply, tier = yield from self._answer(decision)
        if self.audit:
            self.audit.look(reply)
        if self.distilled:
            self.distilled.taught(reply, tier.name)
        if self.talk is not None and len(self.tiers) > 1:
            self.talk.learn(self.request, tier, baseline, reply.usage)
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

    def unshown(self, decision: Decision) -> Generator[Effect, Any, tuple[Reply | None, Usage]]:
        """Ask one tier for an answer that the app does not see, or not yet. Gives None where there is none, and what it used."""
        call, tier = Call(decision.tier, self.request, decision), self.tiers[decision.tier]
        yield from self._reserve(call, tier)
        attempt = yield from self._performed(call, tier, aside=True)
        if attempt.error is not None and not isinstance(attempt.error, Exception):
            raise attempt.error
        return attempt.reply, attempt.usage

    def _answer(self, decision: Decision) -> Generator[Effect, Any, tuple[Reply, Tier]]:
        """Ask the tier chosen, and those above it while one fails or its answer cannot stand."""
        left = list(decision.alternatives)
        tier, call = self.tiers[decision.tier], self._call(decision)
        try:
            yield from self._reserve(call, tier)
        except BaseException as error:
            yield from _refused(error, self.cached, self.booking)
            raise
        while True:
            self.decision, self.planned = decision, call.plan is not None
            aside = bool(left) and self._may_be_rejected(decision)
            attempt = yield from self._ask(call, tier, may_go_on=bool(left), aside=aside)
            tier = attempt.tier
            try:
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
            self.booking.gave_up(tier, attempt.usage, "failed" if attempt.error else "rejected", attempt.why or "")
            call = above
            decision, tier = call.decision, self.tiers[call.tier]
            self.booking.routed(decision)

    def _may_be_rejected(self, decision: Decision) -> bool:
        """Whether an answer is checked before anybody sees it. Words that are streamed are not held up for their form alone."""
        request = self.request
        return not self.streamed or decision.verify is not None or bool(request.tools) or request.schema is not None

    def _call(self, decision: Decision) -> Call:
        """The call that a decision comes to, compressed, with what is asked so that its answer is shorter."""
        compressed = self._compressed(decision)
        base = replace(self.request, messages=compressed.messages) if compressed else self.request
        call = Call(decision.tier, base, decision, edits=compressed.edits if compressed else ())
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
        return compressed if compressed is not None and compressed.edits else None

    def _learnt(self, output: OutputPolicy, call: Call, tier: Tier, reply: Reply, whole: Reply) -> Patch | None:
        """What the plan was worth to an answer, once the whole of it has been learnt from."""
        try:
            output.learn(self.request, tier, whole, call.plan)
            return output.patch(self.request, tier, reply, call.plan) if call.plan else None
        except Exception as error:  # noqa: BLE001  as above
            self.booking.fallback(f"output: not learnt ({type(error).__name__})")
            return None

    def _ask(self, call: Call, tier: Tier, *, may_go_on: bool, aside: bool = False) -> Generator[Effect, Any, _Attempt]:
        """One call on a model, with what follows from its answer.

        Args:
            aside: whether nobody is to hear of the answer yet.
        """
        attempt = yield from self._performed(call, tier, aside=aside)
        may_go_on = may_go_on and not call.delivered
        if attempt.reply is None:
            error = attempt.error if may_go_on else None
            return attempt._replace(why=recoverable(error) if isinstance(error, Exception) else None)
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

    def _performed(self, call: Call, tier: Tier, *, aside: bool = False) -> Generator[Effect, Any, _Attempt]:
        """One call on a model, settled however it ends."""
        answer: Reply | None = None
        while answer is None:
            try:
                answer = yield (Try(call) if aside else call)
            except Lost:
                refused = yield from self._again(call, tier)
                if refused is not None:
                    self.booking.tried(tier, call.tries, lambda: self.booking.sent(tier, call.as_sent))
                    return _Attempt(tier, NO_USAGE, None, refused, None)
            except BaseException as error:  # noqa: BLE001  whoever asked raises it again, where nobody else can answer
                usage = _used(call, error, tier, self.booking)
                lost = call.partial is None and _may_be_billed(call, error)
                yield from self._settle(tier, usage, lost=lost, broken=call.partial is not None)
                self.booking.tried(tier, call.tries, lambda: self.booking.sent(tier, call.as_sent))
                return _Attempt(tier, usage, None, error, None)
        self.booking.batched(tier, call.tries.processing)
        tier = _as_worked(tier, answer, call.tries.processing)
        reply = answer.given_by(tier.name, self.booking.measured(answer, tier, call.as_sent))
        yield from self._settle(tier, reply.usage, broken=not reply.complete)
        self.booking.tried(tier, call.tries, lambda: reply.usage)
        return _Attempt(tier, reply.usage, reply, None, None)

    def _again(self, call: Call, tier: Tier) -> Generator[Effect, Any, BaseException | None]:
        """Before an SDK repeats a request whose answer it has lost: charge the first in full, and reserve for the second.

        Returns:
            Why it is not repeated, None where it is.
        """
        if self.spending is not None:
            yield from self.spending.charge()
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

    def _escalated(self, decision: Decision, attempt: _Attempt, left: list[int]) -> Generator[Effect, Any, Call | None]:
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

    def _settle(self, tier: Tier, usage: Usage, *, lost: bool = False, broken: bool = False) -> Flow:
        if self.spending is not None:
            yield from self.spending.settle(tier, usage, lost=lost, broken=broken)

    def _lost(self, error: BaseException, tier: Tier, usage: Usage) -> Flow:
        """The call ended without a whole answer."""
        try:
            if self.cached:
                yield from self.cached.gone(error)
        finally:
            yield Append(self.booking.ended(error, tier, usage))


def _as_worked(tier: Tier, reply: Reply, batched: Processing | None) -> Tier:
    """The tier, in the mode in which its provider has worked: it need not be the one that was asked for."""
    told = batched or reply.processing
    return tier if told is None or told == tier.processing else replace(tier, processing=told)


def _used(call: Call, error: BaseException, tier: Tier, booking: Booking) -> Usage:
    """What a call that did not end well has cost, as far as anybody on this side can know."""
    if call.partial is not None:
        return booking.measured(call.partial, tier, call.as_sent)
    return booking.sent(tier, call.as_sent) if _may_be_billed(call, error) else NO_USAGE


def _may_be_billed(call: Call, error: BaseException) -> bool:
    """Whether a call of which nothing came may have cost something all the same: a callback of the app's may have raised."""
    return input_billed(error) or call.tries.answered
