"""The budgets' part in the flow of one call: reserve the most that it may cost, and settle what it did cost, however it ends.

Each attempt is reserved and settled for itself: a fallback or an escalation is another paid call. A lease that is not
settled, because the process died, ends by itself and is charged as its budget says.

A call in a batch run may be left while the provider has it, and made again by a process that comes hours later. Its lease is named by what
it asks, stays when it is left, and is taken over by whoever asks again: what is sent is reserved all the while, and once. Whoever
asks for what is paid is given it, however little is left.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from thrift_plugins.batching.session import Session, current
from thrift_plugins.budgeting import Budget, Estimate, affordable, most_output, spent
from thrift_plugins.caching.key import surroundings
from thrift_plugins.effects import Append, Call, Effect, Paid, Reap, Reserve, Settle
from thrift_plugins.errors import BudgetExceeded, StoreError, UnknownModelPrice
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.purse import Purse, hold_of
from thrift_plugins.stores.accounts import AGAIN, Grant, Hold, Orphan
from thrift_plugins.tries import Tries
from thrift_plugins.types import NO_USAGE, Nano, Request, Tier, Usage

logger = logging.getLogger("thrift_plugins")

LEASE = 900.0
"""Seconds after which a call that was never settled is taken for dead. SDKs give up after ten minutes."""

LEASE_IN_BATCH = 172_800.0
"""The same for a call that is made in a batch: providers have a day, and a batch that expires is sent again."""

FLOOR = 64
"""Output tokens below which an answer is not worth having: a call that would be cut to fewer is refused."""

_TAKEN_BY_ALL = 4_096
"""The largest limit on an answer's length that no chat model refuses, for those whose own is not known."""

_SAY_HOW_LONG: Final = "with max_tokens on the model or the call, a batch run reserves less for each answer"

_PASSING: Final = ("run", "call")
"""Windows of accounts that a later run, or the next call, does not have."""


class Spending:
    """The budgets' steps of one call."""

    @classmethod
    def of(cls, purse: Purse, request: Request, booking: Booking) -> Spending | None:
        """Those of a request, None where no budget covers it."""
        mine = [budget for budget in purse.budgets if budget.covers(request.scope)]
        return cls(purse, mine, request, booking) if mine else None

    def __init__(self, purse: Purse, budgets: Sequence[Budget], request: Request, booking: Booking) -> None:
        self._purse, self._budgets, self._request, self._booking = purse, budgets, request, booking
        self._attempts = 0
        self._lease: str | None = None
        self._local = False
        self._reserved: tuple[int, ...] = ()
        self._shared = self._known = False
        self._session: Session | None = None

    def reserve(self, call: Call, tier: Tier) -> Generator[Effect, Any, None]:
        """Set aside the most that an attempt may cost, and say in `call.most` how long its answer may be.

        Raises:
            BudgetExceeded: there is no room in a hard budget.
            UnknownModelPrice: a hard budget in dollars, and a model without a price.
        """
        if self._purse.reaps():
            yield from self._reap()
        sent = call.as_sent()
        estimate, known = self._estimate(sent, call.most, tier)
        self._attempts += 1
        self._known = False
        asks_again = self._request.waits and self._purse.shares and not call.tries.alone
        session = self._session = current() if asks_again else None
        name = self._name(session, sent, call.most, tier) if session else ""
        lease = name or self._own()
        call.tries.name = name
        grant = yield from self._ask(lease, estimate)
        if grant is not None and not grant.granted and session and name:
            yield from self._paid(session, name, self._refused(estimate, grant, _SAY_HOW_LONG * (tier.limit is None)))
            grant, self._known, self._reserved = None, True, (0,) * len(self._budgets)
        elif grant is not None and not grant.granted:
            estimate, grant = yield from self._cut(call, lease, estimate, grant, known=known)
        self._lease = lease if grant is not None else None
        call.budgets = tuple(budget.name for budget in self._budgets)
        if any(budget.mode == "hard" for budget in self._budgets):
            call.most = estimate.output_tokens
            call.tries.stops = True
        if grant is not None:
            self._warn(grant)
            self._shared = grant.shared
            self._reserved = tuple(estimate.amount(budget.unit) for budget in self._budgets)
            self._booking.reserved(dict(zip((budget.name for budget in self._budgets), self._reserved, strict=True)))

    def _cut(
        self, call: Call, lease: str, estimate: Estimate, grant: Grant, *, known: bool
    ) -> Generator[Effect, Any, tuple[Estimate, Grant | None]]:
        """Reserve for an answer that is as short as what is left demands.

        Raises:
            BudgetExceeded: that is too short, or the answer cannot be limited.
        """
        firm = known and not self._purse.imposes
        less = None if firm else self._less(estimate, grant, None if known else _TAKEN_BY_ALL)
        if less is None:
            raise self._refused(estimate, grant)
        call.imposed = True
        again = yield from self._ask(lease, less)
        if again is not None and not again.granted:
            raise self._refused(less, again)
        self._booking.note(f"budget: answer cut to {less.output_tokens} tokens")
        return less, again

    @staticmethod
    def _paid(session: Session, name: str, refused: BudgetExceeded) -> Generator[Effect, Any, None]:
        """Let a call of a batch run pass for which there is no room, if it was paid and its answer only has to be given again.

        It is not cut as others are: to find its answer, it must ask the same, however much is left by then.

        Raises:
            BudgetExceeded: it was not.
        """
        try:
            paid: bool = yield Paid(session.notes.paid, name)
        except StoreError as error:
            raise refused from error
        if not paid:
            raise refused

    def charge(self) -> Generator[Effect, Any, None]:
        """Charge all that was reserved: an answer was lost, and nobody knows what it has cost."""
        lease, self._lease = self._lease, None
        if lease is not None:
            yield from self._settle(lease, self._reserved)

    def part(self, tier: Tier) -> Generator[Effect, Any, None]:
        """Nothing was sent yet, and no batch takes it: it needs a lease of its own, and others may have this one too."""
        _takes_no_batch(tier)
        lease, self._lease = self._lease, None
        if lease is not None and not self._shared:
            yield from self._settle(lease, (0,) * len(self._reserved))

    def settle(
        self, tier: Tier, usage: Usage, *, lost: bool = False, broken: bool = False, tries: Tries | None = None
    ) -> Generator[Effect, Any, None]:
        """Charge what the attempt has used, and give the rest back.

        Args:
            usage: what is known of it.
            lost: whether the whole answer may have been made and billed all the same. A hard budget takes it for that, as
                it does where a process died, unless it says otherwise.
            broken: whether there is only a part of it. That says nothing of what a model reasons in hiding, which is then
                taken for lost too.
            tries: how it was asked. Where it was left to a batch run's journal, it is paid all the same, and its reservation
                waits for whoever asks again; so does one that somebody else has left, or has too.
        """
        if usage.source == "provider":
            self._purse.bounds.learn(self._request, tier.model, usage)
            self._purse.unseen.learn(tier.model, usage)
        lease, self._lease = self._lease, None
        if (lease is None and not self._known) or (tries is not None and self._stays(lease, usage, tries)):
            return
        amounts = self._owed(tier, usage, lost=lost, broken=broken)
        if tries is not None and tries.shared and tries.processing is None and any(amounts):
            if not lost:
                _takes_no_batch(tier)
            lease = None if self._shared else lease
        if lease is None:
            yield from self._beside(amounts)
            return
        for budget, amount, reserved in zip(self._budgets, amounts, self._reserved, strict=True):
            if amount > reserved:
                self._booking.fallback(f"budget: {budget.name} charged more than was reserved, by {amount - reserved}")
        yield from self._settle(lease, amounts)

    def _stays(self, lease: str | None, usage: Usage, tries: Tries) -> bool:
        """Whether a lease is settled by whoever has it too, or asks again."""
        if lease != tries.name:
            return False
        unanswered = tries.set_aside or tries.processing is None
        left = unanswered and usage == NO_USAGE and (tries.kept or self._shared)
        if left:
            self._booking.note("budget: reserved until its batch is read")
        return left or tries.booked == lease

    def _owed(self, tier: Tier, usage: Usage, *, lost: bool, broken: bool) -> tuple[int, ...]:
        """What an attempt is charged in each budget; see `settle`."""
        amounts = self._amounts(tier, usage)
        hidden = broken and usage.source != "provider" and self._purse.unseen.may_be(self._request, tier.model)
        if (lost or hidden) and any(map(_in_full, self._budgets)):
            what = "reasoning that nobody saw" if hidden else "answer lost"
            self._booking.fallback(f"budget: {what}, charged as reserved")
            return tuple(
                max(amount, reserved) if _in_full(budget) else amount
                for budget, amount, reserved in zip(self._budgets, amounts, self._reserved, strict=True)
            )
        return amounts

    def _beside(self, amounts: tuple[int, ...]) -> Generator[Effect, Any, None]:
        """Charge what was paid beside what a lease is for that others have too, or although it was taken for paid."""
        if not any(amounts):
            return
        self._booking.note("budget: paid by itself")
        self._attempts += 1
        lease = self._own()
        try:
            yield from self._spend(lease, amounts)
        except Exception as error:  # noqa: BLE001  the call is over
            self._booking.fallback(f"budget: not charged ({type(error).__name__})")
            return
        yield from self._settle(lease, amounts)

    def _spend(self, lease: str, amounts: tuple[int, ...]) -> Generator[Effect, Any, None]:
        """Reserve what is spent already, which nobody can refuse any more."""
        holds = (hold_of(budget, self._request) for budget in self._budgets)
        spent = tuple(hold._replace(amount=amount, hard=False) for hold, amount in zip(holds, amounts, strict=True))
        yield Reserve(lease, spent, LEASE, self._local)

    def _amounts(self, tier: Tier, usage: Usage) -> tuple[int, ...]:
        """What an attempt came to, for each budget. What has no price is charged as it was reserved."""
        cost: Nano | None = None
        try:
            cost = self._purse.prices.cost(tier.model, usage, at=self._request.at, processing=tier.processing)
        except UnknownModelPrice as unknown:
            if any(budget.unit == "usd" and held for budget, held in zip(self._budgets, self._reserved, strict=True)):
                self._booking.fallback(f"budget: no price for {unknown.model}, charged as reserved")
        return tuple(
            reserved if cost is None and budget.unit == "usd" else spent(budget.unit, usage, cost)
            for budget, reserved in zip(self._budgets, self._reserved, strict=True)
        )

    def _settle(self, lease: str, amounts: tuple[int, ...]) -> Generator[Effect, Any, None]:
        self._booking.settled(dict(zip((budget.name for budget in self._budgets), amounts, strict=True)))
        try:
            stands = yield Settle(lease, amounts, self._local)
            if not stands and any(amounts) and not (yield from self._charged_elsewhere(lease)):
                yield from self._spend(lease, amounts)
                yield Settle(lease, amounts, self._local)
        except Exception as error:  # noqa: BLE001  the call is over; its lease ends by itself and is charged in full
            self._booking.fallback(f"budget: not settled ({type(error).__name__}), charged in full")
        except BaseException:  # interrupted while it was on its way: told twice, it counts once
            with suppress(StoreError):
                yield Settle(lease, amounts, self._local)
            raise

    def _charged_elsewhere(self, lease: str) -> Generator[Effect, Any, bool]:
        """Whether a lease that is not open any more is charged. Who has it too may have settled it, or asked nothing and given it back."""
        if self._session is None or not lease.startswith(AGAIN):
            return True
        try:
            paid: bool = yield Paid(self._session.notes.paid, lease)
        except StoreError:
            return False
        return paid

    def _own(self) -> str:
        """A lease that nobody else has."""
        return f"{self._request.id}/{self._attempts}"

    def _name(self, session: Session, sent: Request, most: int | None, tier: Tier) -> str:
        """The lease of a call in a batch run: the same for whoever asks the same, and is to settle it in the same accounts.

        Empty for what no batch takes, and for what has no canonical form.
        """
        if (tier.name, tier.model) in session.at_once:
            return ""
        # Of settings without a canonical form, others may be asked by this name: each is reserved once all the same.
        asked = surroundings(replace(sent, cacheable=True))
        if asked is None:
            return ""
        whose = [
            budget.name if budget.window in _PASSING else budget.account(self._request) for budget in self._budgets
        ]
        said = repr((tier.name, tier.model, tier.limit, most, whose)).encode("utf-8", "backslashreplace")
        return AGAIN + session.name(said, asked)

    def _estimate(self, request: Request, limit: int | None, tier: Tier) -> tuple[Estimate, bool]:
        """The most that a request may cost with answers of so many tokens, and whether that limit on them is known."""
        bound = self._purse.bounds.bound(request, tier.model)
        try:
            rates = self._purse.prices.rates(tier.model, at=request.at, processing=tier.processing, input_tokens=bound)
        except UnknownModelPrice:
            if any(budget.unit == "usd" and budget.mode == "hard" for budget in self._budgets):
                raise
            self._booking.fallback(f"budget: no price for {tier.model}, dollars not counted")
            rates = None
        most, known = most_output(tier)
        if limit is not None and limit < most:
            most, known = limit, True
        return Estimate.of(request, bound, most, rates), known

    def _ask(self, lease: str, estimate: Estimate) -> Generator[Effect, Any, Grant | None]:
        holds = tuple(hold_of(budget, self._request, estimate) for budget in self._budgets)
        try:
            grant: Grant = yield Reserve(lease, holds, self._ttl, self._local)
        except StoreError as error:
            return (yield from self._without(error, lease, holds))
        except Exception:
            raise
        except BaseException:  # interrupted while it was on its way: nobody knows whether it arrived
            if not lease.startswith(AGAIN):  # which may be somebody's who has left it
                with suppress(StoreError):
                    yield Settle(lease, (0,) * len(holds), self._local)
            raise
        return grant

    @property
    def _ttl(self) -> float:
        return LEASE_IN_BATCH if self._request.waits else LEASE

    def _reap(self) -> Generator[Effect, Any, None]:
        """Book what became of the calls of dead processes."""
        try:
            orphans: list[Orphan] = yield Reap()
        except StoreError:  # the reservation after this one says so
            return
        for lease, lines in itertools.groupby(orphans, key=lambda orphan: orphan.lease):
            yield Append(self._booking.orphan(lease, {line.account: line.charged for line in lines}))

    def _without(self, error: StoreError, lease: str, holds: tuple[Hold, ...]) -> Generator[Effect, Any, Grant | None]:
        """The accounts are down: refuse, go on alone, or let it go, as the strictest of the budgets says."""
        ways = {budget.outage for budget in self._budgets}
        if "refuse" in ways:
            strict = next(budget for budget in self._budgets if budget.outage == "refuse")
            why = f"its accounts are down ({error})"
            raise BudgetExceeded(strict.name, None, 0, strict.limit, strict.unit, float("inf"), why) from error
        self._booking.fallback(
            f"budget: accounts down, {'a local share is spent' if 'local' in ways else 'not counted'}"
        )
        if "local" not in ways:
            return None
        self._local = True
        grant: Grant = yield Reserve(lease, holds, self._ttl, self._local)
        return grant

    def _less(self, estimate: Estimate, grant: Grant, most: int | None) -> Estimate | None:
        """The estimate with answers as short as what is left demands, None where they would be too short."""
        room = min(
            affordable(estimate, budget.unit, standing.limit - standing.used - standing.held)
            for budget, standing in zip(self._budgets, grant.standings, strict=True)
            if budget.mode == "hard"
        )
        if room < min(FLOOR, estimate.output_tokens):
            return None
        room = room if most is None else min(room, most)
        return Estimate(estimate.input_tokens, room, estimate.answers, estimate.rates, estimate.input_rate)

    def _refused(self, estimate: Estimate, grant: Grant, advice: str = "") -> BudgetExceeded:
        budget, standing = self._budgets[grant.refused], grant.standings[grant.refused]
        left = max(0, standing.limit - standing.used - standing.held)
        return BudgetExceeded(
            budget.name,
            estimate.amount(budget.unit),
            left,
            budget.limit,
            budget.unit,
            standing.resets,
            advice=advice,
        )

    def _warn(self, grant: Grant) -> None:
        for budget, standing in zip(self._budgets, grant.standings, strict=True):
            if not standing.limit:  # the accounts are down, and this one was never seen: nobody knows how it stands
                continue
            share = self._purse.warned.due(budget, standing)
            if share is not None:
                logger.warning("budget %r: %d %% of an account's limit is spent", budget.name, share * 100)
                self._booking.note(f"budget: {budget.name} at {share:.0%}")
            if budget.mode == "soft" and standing.used + standing.held > standing.limit:
                self._booking.note(f"budget: {budget.name} exceeded, soft")


def _takes_no_batch(tier: Tier) -> None:
    """Note for the run that it is in that what a tier is asked goes out by itself."""
    session = current()
    if session is not None:
        session.at_once.add((tier.name, tier.model))


def _in_full(budget: Budget) -> bool:
    """Whether it is charged all that was reserved for a call of which nobody knows what it came to."""
    return budget.mode == "hard" and budget.orphans == "charge"
