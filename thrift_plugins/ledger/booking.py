"""Gathers the facts of one call while it runs, and turns them into its one event when it ends, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.errors import StreamClosed
from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.ledger.without import Served, Shorter, without_student, without_us
from thrift_plugins.quality.flaws import Flaw
from thrift_plugins.tokens import count_messages, count_reply
from thrift_plugins.tries import Tries
from thrift_plugins.types import (
    NO_USAGE,
    Decision,
    Json,
    Outcome,
    Overhead,
    Patch,
    Processing,
    Reply,
    Request,
    Scope,
    Tier,
    Usage,
    decision_record,
)

HitKind: TypeAlias = Literal["exact", "stale", "shared", "semantic"]
"""Where an answer from the cache was found: under the request's own address, there but past its time, in the hands of
somebody who was asking for it already, or under another question that means the same."""

_NOTHING: Mapping[str, Json] = {}


class Unasked(NamedTuple):
    """A call that nobody has asked for: a tactic makes it of its own accord, at its own cost.

    Attributes:
        tactic: whose bill it is on.
        reason: as what.
        extra: what the ledger is told of it.
    """

    tactic: str
    reason: str
    extra: Mapping[str, Json]


STUDENT: Final = "(student)"
"""Who served an answer for which no model was asked."""

RENEWAL = Unasked("cache", "renewal", {"cache": {"renewal": True}})


class Booking:
    """The open event of one call.

    Args:
        unasked: why it is made, where nobody has asked for it.
    """

    def __init__(
        self,
        request: Request,
        baseline: Tier,
        dialect: str,
        standing: Iterable[str] = (),
        *,
        unasked: Unasked | None = None,
    ) -> None:
        self._request = request
        self._baseline = baseline
        self.dialect = dialect
        self._decision: Decision | None = None
        self._overheads: list[Overhead] = []
        self._fallbacks: list[str] = [*standing]
        self._notes: list[str] = []
        self._unasked = unasked
        self.flaws: tuple[Flaw, ...] = ()
        self._reserved: dict[str, Json] = {}
        self._settled: dict[str, int] = {}
        self._shortened: Patch | None = None
        self._compressed: Shorter | None = None
        self._held_out = False
        self._requests, self._lost = 0, 0
        self._distilled: Mapping[str, Json] = _NOTHING
        self._asked_as: Processing | None = None

    def fallback(self, what: str) -> None:
        """Note a part that was out of order, in words for the ledger."""
        self._fallbacks.append(what)

    def note(self, what: str) -> None:
        """Note what the cache has done, or why it has not, in words for the ledger."""
        self._notes.append(what)

    def reserved(self, amounts: Mapping[str, Json]) -> None:
        """Note what was set aside of each budget for the attempt that comes."""
        self._reserved = dict(amounts)

    def settled(self, amounts: Mapping[str, int]) -> None:
        """Note what an attempt was charged of each budget."""
        for name, amount in amounts.items():
            self._settled[name] = self._settled.get(name, 0) + amount

    def shortened(self, patch: Patch | None) -> None:
        """Note what an output budget has changed about the usage of the latest attempt."""
        self._shortened = patch

    def compressed(self, prompt: Shorter | None) -> None:
        """Note by how many tokens the prompt of the attempt that comes is shorter, and what was taken back."""
        self._compressed = prompt
        for told, notes in ((self._notes, prompt.notes()), (self._fallbacks, prompt.undoings())) if prompt else ():
            told += [f"compression: {note}" for note in notes if f"compression: {note}" not in told]

    def held_out(self) -> None:
        """Note that no tactic has touched the call."""
        self._held_out = True

    def flawed(self, flaws: tuple[Flaw, ...]) -> None:
        """Note what is wrong with the answer."""
        self.flaws = flaws

    def distilled(self, told: Mapping[str, Json]) -> None:
        """Note what a student had to do with the answer."""
        self._distilled = told

    def unconfirmed(self, tier: Tier, usage: Usage) -> None:
        """Note a cheap answer that did not confirm the student's, and is not given."""
        if usage != NO_USAGE:
            self._overheads.append(Overhead("distillation", tier.model, usage, "unconfirmed", tier.processing))

    def as_if(self, reply: Reply, tier: Tier) -> Usage:
        """What a model would have used for an answer that it was not asked for, by our count."""
        sent = self.sent(tier, lambda: self._request)
        return replace(sent, output_tokens=count_reply(reply, tier.model))

    def by_student(self, usage: Usage, finish_reason: str | None) -> Event:
        """The event of an answer that no model was asked for.

        Args:
            usage: what the baseline would have used for it.
        """
        known = self._request.baseline_usage
        patch = Patch("distillation", "made", before=True, after=False, provenance="replayed" if known else "modelled")
        cost = Cost(self._baseline.model, known or usage, processing=self._baseline.processing)
        return self._event("answered", cost, (patch,), served=STUDENT, finish_reason=finish_reason)

    def confirmed(self, tier: Tier, usage: Usage, finish_reason: str | None) -> Event:
        """The event of a cheap answer that is given because a student thinks it likely too."""
        served = Served(tier, usage, self._asked_as or tier.processing)
        cost, patches = without_student(self._baseline, served, self._request.baseline_usage)
        return self._event("answered", cost, patches, served=tier.model, usage=usage, finish_reason=finish_reason)

    def beside(self, tier: Tier, usage: Usage, reason: str) -> None:
        """Note a further call that was made for one that nobody has asked for."""
        if self._unasked is not None and usage != NO_USAGE:
            self._overheads.append(Overhead(self._unasked.tactic, tier.model, usage, reason, tier.processing))

    def chosen_by_the_app(self, tier: Tier) -> None:
        """Note the tier that the call insists on: the app's own choice is its baseline, and no saving of ours."""
        self._baseline = tier

    def routed(self, decision: Decision) -> None:
        """Note who was chosen, and why."""
        self._decision = decision

    def gave_up(self, tier: Tier, usage: Usage, reason: str, why: str) -> None:
        """Note an attempt whose answer will not be used; what it cost is on routing's bill.

        Args:
            reason: "failed" or "rejected".
            why: the cause in a few words.
        """
        self._fallbacks.append(f"routing: {tier.name} {reason} ({why})")
        if usage != NO_USAGE:
            self._overheads.append(Overhead("routing", tier.model, usage, reason, tier.processing))

    def compared(self, tier: Tier, usage: Usage) -> None:
        """Note a second answer, with which the one that is given, or rejected, was compared."""
        if usage != NO_USAGE:
            self._overheads.append(Overhead("routing", tier.model, usage, "second", tier.processing))

    def batched(self, tier: Tier, worked: Processing | None) -> None:
        """Note that the answer came out of a batch run, None where it did not.

        Args:
            tier: as it would have been asked otherwise.
            worked: "batch", or what a deadline has made of it.
        """
        self._asked_as = tier.processing if worked else None
        if worked and worked != "batch":
            self.note(f"batch: answered by {worked} processing, to meet a deadline")

    def continued(self, tier: Tier, usage: Usage) -> None:
        """Note what it cost to ask for the rest of a cut answer: the output budget's doing, and on its bill."""
        if usage != NO_USAGE:
            self._overheads.append(Overhead("budget", tier.model, usage, "continued", tier.processing))

    def tried(self, tier: Tier, tries: Tries, of_one: Callable[[], Usage]) -> None:
        """Note the requests that an SDK made of one call. What was lost may have been paid: it is no saving of ours.

        Args:
            of_one: gives what one of them has used, as far as anybody knows.
        """
        if tries.sent <= 1 and not tries.lost:
            return
        self._requests += tries.sent
        self._lost += tries.lost
        if tries.lost:
            each = replace(of_one(), source="estimated")
            paid = sum([each] * (tries.lost - 1), each)
            self._overheads.append(Overhead("retries", tier.model, paid, "lost", tier.processing))

    def measured(self, reply: Reply, tier: Tier, asked: Callable[[], Request]) -> Usage:
        """What a reply used: the provider's own count, or ours where it gave none or had not finished counting.

        Args:
            reply: the answer, or what there is of it.
            tier: who gave it.
            asked: gives the request in the form in which it was sent.
        """
        told = reply.usage
        if told.source == "none":
            sent = self.sent(tier, asked).input_tokens
            return Usage(input_tokens=sent, output_tokens=count_reply(reply, tier.model), source="estimated")
        if reply.complete:
            return told
        return replace(told, output_tokens=max(told.output_tokens, count_reply(reply, tier.model)), source="estimated")

    @staticmethod
    def sent(tier: Tier, asked: Callable[[], Request]) -> Usage:
        """What the prompt alone uses, by our count: all that is known of a call that broke before its answer."""
        request = asked()
        counted = count_messages(request.messages, tier.model, request.tools, request.schema)
        return Usage(input_tokens=counted, source="estimated")

    def hit(self, reply: Reply, kind: HitKind, age: float) -> Event:
        """The event of an answer from the cache: worth what the baseline would have used for it.

        Args:
            age: seconds since the answer was asked for.
        """
        saved = self._request.baseline_usage or reply.usage
        patch = Patch("cache", "made", before=True, after=False)
        cost = Cost(self._baseline.model, saved, processing=self._baseline.processing)
        told: Json = {"hit": kind, "age": round(age, 3)}
        return self._event("hit", cost, (patch,), finish_reason=reply.finish_reason, extra={"cache": told})

    def answered(self, reply: Reply, tier: Tier) -> Event:
        """The event of an answer that was paid for."""
        return self._made("answered", tier, reply.usage, finish_reason=reply.finish_reason)

    def orphan(self, lease: str, charged: Mapping[str, int]) -> Event:
        """The event of a call whose process died, and whose own event was never booked.

        Args:
            lease: what was reserved for it.
            charged: account to what it was charged, in the unit of the budget.
        """
        return Event(
            id=f"{lease}/orphan",
            at=self._request.at,
            dialect=self.dialect,
            scope=Scope(),
            outcome="error",
            baseline=Cost(self._baseline.model, NO_USAGE, made=False),
            error="Orphaned",
            extra={"budget": {"orphaned": dict(charged)}},
        )

    def refused(self, error: BaseException) -> Event:
        """The event of a call that ended before any model was asked."""
        return self._event(_outcome(error), Cost(self._baseline.model, NO_USAGE), (), error=type(error).__name__)

    def ended(self, error: BaseException, tier: Tier, usage: Usage) -> Event:
        """The event of a call that ended without a whole answer."""
        return self._made(_outcome(error), tier, usage, error=type(error).__name__)

    def _made(
        self, outcome: Outcome, tier: Tier, usage: Usage, *, finish_reason: str | None = None, error: str = ""
    ) -> Event:
        if self._unasked is not None:
            return self.of_our_own(self._unasked, outcome, tier, usage, error)
        whole = outcome == "answered"
        # Nothing is saved by asking a cheaper model that fails: the app has no answer, and pays for another one.
        cost, patches = without_us(
            tier if outcome == "error" else self._baseline,
            Served(tier, usage, self._asked_as or tier.processing),
            known=self._request.baseline_usage if whole else None,
            compressed=self._compressed,
            shortened=self._shortened if whole else None,
        )
        return self._event(
            outcome, cost, patches, served=tier.model, usage=usage, finish_reason=finish_reason, error=error
        )

    def of_our_own(self, why: Unasked, outcome: Outcome, tier: Tier, usage: Usage, error: str = "") -> Event:
        """The event of a call that nobody has asked for: there is none without us, so all that it costs is the tactic's."""
        self.beside(tier, usage, why.reason)
        return self._event(outcome, Cost(self._baseline.model, NO_USAGE, made=False), (), error=error, extra=why.extra)

    def _event(
        self,
        outcome: Outcome,
        baseline: Cost,
        patches: tuple[Patch, ...],
        *,
        served: str = "",
        usage: Usage = NO_USAGE,
        finish_reason: str | None = None,
        error: str = "",
        extra: Mapping[str, Json] = _NOTHING,
    ) -> Event:
        request, decision = self._request, self._decision
        told: dict[str, Json] = dict(extra)
        if self._held_out:
            told["holdout"] = True
        if self._distilled:
            told["distillation"] = dict(self._distilled)
        if self.flaws:
            told["flaws"] = list(self.flaws)
        if decision is not None and (route := decision_record(decision)):
            told["route"] = route
        if self._requests:
            told["sdk"] = {"requests": self._requests, "lost": self._lost}
        if self._reserved:
            told["budget"] = {"reserved": self._reserved, "settled": self._settled}
        return Event(
            id=request.id,
            at=request.at,
            dialect=self.dialect,
            scope=request.scope,
            outcome=outcome,
            baseline=baseline,
            served=served,
            usage=usage,
            finish_reason=finish_reason,
            patches=patches,
            overheads=tuple(self._overheads),
            policy=decision.policy if decision else "",
            reasons=(*(decision.reasons if decision else ()), *self._notes),
            fallbacks=tuple(self._fallbacks),
            error=error,
            extra=told,
        )


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, StreamClosed):
        return "aborted"
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "cancelled"
    return "error"
