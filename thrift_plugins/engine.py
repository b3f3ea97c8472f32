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
from typing import TYPE_CHECKING, Any, Final

from thrift_plugins.attempts import Attempts, refused
from thrift_plugins.audited import NO_ROOM, PAYS, Audit, Audits, Comparison, tell, unasked
from thrift_plugins.budgeting import OutputPolicy
from thrift_plugins.cached import Cached, Hit
from thrift_plugins.caching import CachePolicy
from thrift_plugins.distilled import Distilled, Given, Pupils, Recording
from thrift_plugins.effects import Append, Effect, Flow, Renew, Replay
from thrift_plugins.errors import ThriftError
from thrift_plugins.ledger.booking import RENEWAL, Booking, Unasked
from thrift_plugins.paired import SHADOW, Lessons, other, others, shadow
from thrift_plugins.purse import Purse
from thrift_plugins.quality import ALL
from thrift_plugins.quality.judge import LOSS
from thrift_plugins.routing import (
    Conversations,
    Router,
    Twice,
    eligible,
    forced,
    turn_of,
)
from thrift_plugins.spending import Spending
from thrift_plugins.types import Decision, Reply, Request, Tier

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
        lessons: writes down what a router is trained on, and asks other tiers for it.
        off: the tactics that were taken out of it.
        twice: asks cheap tiers a second time, where the app wants that.
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
    twice: Twice | None = None
    lessons: Lessons | None = None
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
        asked, request = request, self._fixed(request, tiers, booking)
        own = request is not asked  # the settings insist on a tier, and not the call
        audit = self.audits.of(request, booking, held=held) if self.audits else None
        engine = self.without(audit.off) if audit and audit.off else self
        yield from engine._call(request, tiers, baseline, booking, audit, held=held, own=own, streamed=streamed)  # noqa: SLF001

    def _call(
        self,
        request: Request,
        tiers: Sequence[Tier],
        baseline: int,
        booking: Booking,
        audit: Audit | None,
        *,
        held: bool,
        own: bool,
        streamed: bool,
    ) -> Flow:
        cached = None if held else self._cached(request, booking, streamed=streamed)
        try:
            insisted = _insisted(request, tiers, booking)
            hit = (yield from cached.find()) if cached else None
            elsewhere = insisted is not None and not (own and insisted.tier == baseline)
            distilled = self._distilled(request, tiers, baseline, booking, held=held or elsewhere)
            attempts = self._attempts(request, tiers, cached, booking, held=held) if hit is None else None
            taught = (yield from _taught(attempts, distilled)) if attempts and distilled else None
            asked_for = insisted or (distilled.teacher if distilled else None)
            decision = self._decided(request, tiers, baseline, booking, hit or taught, asked_for, held=held)
        except BaseException as error:
            yield from refused(error, cached, booking)
            raise
        booking.routed(decision)
        if attempts is not None and taught is None:
            attempts.talk, attempts.audit, attempts.distilled = self.conversations, audit, distilled
            attempts.streamed = streamed
            lessons = attempts.lessons = None if held or insisted else self.lessons
            reply, touched = yield from attempts.make(decision, tiers[baseline])
            decision = attempts.decision or decision
            for index in others(lessons, request, tiers, baseline, (decision.tier, *attempts.rejected)):
                yield Renew(f"{request.id}-{index}", self._other(request, tiers, baseline, booking.dialect, index))
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
                again=attempts is not None and attempts.again,
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
        try:
            judgement = yield from Comparison(audits, aim, request, booking).judged(served, other)
        except BaseException:  # interrupted; what was asked is paid for
            yield Append(booking.of_our_own(why, "answered", tiers[decision.tier], other.usage))
            raise
        loss = None if judgement is None else LOSS[judgement]
        told = {"what": "judged", "told": [aim, feature, loss, *gate.limits], "judge": gate.judge.name}
        yield Append(
            booking.of_our_own(why._replace(extra={"quality": told}), "answered", tiers[decision.tier], other.usage)
        )
        yield from tell(gate.compared(aim, feature, judgement, request.at))

    def _other(
        self, request: Request, tiers: Sequence[Tier], baseline: int, dialect: str, index: int
    ) -> Flow:
        """The flow of a call that nobody asked for: what another tier says to the same, to learn from."""
        if self.lessons is not None:
            shadowed = shadow(request, tiers[index])
            booking = Booking(shadowed, tiers[baseline], dialect, self.standing, unasked=SHADOW)
            attempts = self._attempts(shadowed, tiers, None, booking)
            yield from other(attempts, self.lessons, request, tiers, index, booking)

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
            yield from refused(error, cached, booking)
            raise
        booking.routed(decision)
        yield from self._attempts(request, tiers, cached, booking).make(decision, tiers[baseline])

    def _attempts(
        self, request: Request, tiers: Sequence[Tier], cached: Cached | None, booking: Booking, *, held: bool = False
    ) -> Attempts:
        spending = Spending.of(self.purse, request, booking) if self.purse else None
        return Attempts(
            request, tiers, cached, spending, self.output, self.compression, booking, held,
            router=self.router, twice=self.twice,
        )  # fmt: skip

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
                if self.conversations is not None:
                    decision = self.conversations.keep(request, tiers, baseline, decision)
                    if decision.chances:
                        decision = self.conversations.priced(request, tiers, baseline, decision)
                return self.twice.plan(request, tiers, decision) if self.twice else decision
            except ThriftError:
                raise
            except Exception as error:  # noqa: BLE001  a router may be the app's own; its bugs must not stop the call
                booking.fallback(f"routing: policy failed ({type(error).__name__}), baseline asked")
        return Decision(baseline, tiers[baseline].name, "baseline")


OFF: Final[Mapping[str, Mapping[str, Any]]] = {
    "cache": {"cache": None},
    "semantic": {"semantic": False},
    "routing": {"router": None, "conversations": None, "twice": None},
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


def _taught(attempts: Attempts, distilled: Distilled) -> Generator[Effect, Any, Given | None]:
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
