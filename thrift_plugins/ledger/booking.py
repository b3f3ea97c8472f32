"""Gathers the facts of one call while it runs, and turns them into its one event when it ends, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from thrift_plugins.errors import StreamClosed
from thrift_plugins.ledger.event import Cost, Event
from thrift_plugins.tokens import count_messages, count_reply
from thrift_plugins.types import NO_USAGE, Decision, Outcome, Overhead, Patch, Provenance, Reply, Request, Tier, Usage


class Booking:
    """The open event of one call."""

    def __init__(self, request: Request, baseline: Tier, dialect: str, standing: Iterable[str] = ()) -> None:
        self._request = request
        self._baseline = baseline
        self._dialect = dialect
        self._decision: Decision | None = None
        self._overheads: list[Overhead] = []
        self._fallbacks: list[str] = [*standing]

    def fallback(self, what: str) -> None:
        """Note a part that was out of order, in words for the ledger."""
        self._fallbacks.append(what)

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
            self._overheads.append(Overhead("routing", tier.model, usage, reason))

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

    def hit(self, reply: Reply) -> Event:
        """The event of an answer from the cache: worth what the baseline would have used for it."""
        saved = self._request.baseline_usage or reply.usage
        patch = Patch("cache", "made", before=True, after=False)
        return self._event("hit", Cost(self._baseline.model, saved), (patch,), finish_reason=reply.finish_reason)

    def answered(self, reply: Reply, tier: Tier) -> Event:
        """The event of an answer that was paid for."""
        return self._made("answered", tier, reply.usage, finish_reason=reply.finish_reason)

    def refused(self, error: BaseException) -> Event:
        """The event of a call that ended before any model was asked."""
        return self._event(_outcome(error), Cost(self._baseline.model, NO_USAGE), (), error=type(error).__name__)

    def ended(self, error: BaseException, tier: Tier, usage: Usage) -> Event:
        """The event of a call that ended without a whole answer."""
        return self._made(_outcome(error), tier, usage, error=type(error).__name__)

    def _made(self, outcome: Outcome, tier: Tier, usage: Usage, *, finish_reason: str | None = None, error: str = "") -> Event:
        known = self._request.baseline_usage if outcome == "answered" else None
        before = known or usage
        patches: list[Patch] = []
        if tier.model != self._baseline.model:
            source: Provenance = "replayed" if known else "modelled"
            patches.append(Patch("routing", "model", self._baseline.model, tier.model, source))
            if known and replace(known, source=usage.source) != usage:
                patches.append(Patch("routing", "usage", before, usage, source))
        else:
            before = usage
        cost = Cost(self._baseline.model, before)
        return self._event(
            outcome, cost, tuple(patches), served=tier.model, usage=usage, finish_reason=finish_reason, error=error
        )

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
    ) -> Event:
        request, decision = self._request, self._decision
        return Event(
            id=request.id,
            at=request.at,
            dialect=self._dialect,
            scope=request.scope,
            outcome=outcome,
            baseline=baseline,
            served=served,
            usage=usage,
            finish_reason=finish_reason,
            patches=patches,
            overheads=tuple(self._overheads),
            policy=decision.policy if decision else "",
            reasons=decision.reasons if decision else (),
            fallbacks=tuple(self._fallbacks),
            error=error,
        )


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, StreamClosed):
        return "aborted"
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
        return "cancelled"
    return "error"
