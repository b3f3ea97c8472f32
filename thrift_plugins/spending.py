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
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Final, Protocol

from thrift_plugins.batching.session import current
from thrift_plugins.budgeting import Budget, Estimate, affordable, most_output, spent
from thrift_plugins.budgeting.unseen import Unseen
from thrift_plugins.caching.key import surroundings
from thrift_plugins.effects import Append, Call, Effect, Reap, Reserve, Settle
from thrift_plugins.errors import BudgetExceeded, StoreError, UnknownModelPrice
from thrift_plugins.finalizing import catch_up
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.prices import Prices
from thrift_plugins.stores.accounts import AGAIN, Accounts, Before, Grant, Hold, Orphan, Standing
from thrift_plugins.tries import Tries
from thrift_plugins.types import NO_USAGE, Nano, Request, Scope, Tier, Usage

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

_REAP_EVERY = 64
_REMEMBERED = 10_000


class Bounds(Protocol):
    """Knows how many tokens a prompt can have."""

    def bound(self, request: Request, model: str) -> int: ...
    def learn(self, request: Request, model: str, usage: Usage) -> None: ...


class Warned:
    """Which warnings have been given. One object for an app."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[str, float, float], None] = OrderedDict()
        self._lock = Lock()

    def due(self, budget: Budget, standing: Standing) -> float | None:
        """The highest share of the limit that is spent now, and of which nothing was said in this window.

        What is only reserved says little: an answer is mostly far shorter, and a warning is given once.
        """
        taken = standing.used / standing.limit
        reached = max((share for share in budget.warn if taken >= share), default=None)
        if reached is None:
            return None
        mark = (standing.account, standing.resets if not budget.rolling else 0.0, reached)
        with self._lock:
            if mark in self._given:
                return None
            self._given[mark] = None
            if len(self._given) > _REMEMBERED:
                self._given.popitem(last=False)
        return reached


@dataclass(frozen=True, slots=True)
class Remaining:
    """How a budget stands.

    Attributes:
        budget: which.
        used: nano-dollars or tokens that are spent in this window.
        held: reserved for calls that are under way.
        resets: when it starts anew, in seconds since the epoch, infinite where it does not.
    """

    budget: Budget
    used: int
    held: int
    resets: float

    @property
    def left(self) -> int:
        """What a call may still cost, 0 or more."""
        return max(0, self.budget.limit - self.used - self.held)


@dataclass(frozen=True, slots=True)
class Purse:
    """What all calls of an app share.

    Attributes:
        budgets: those in force.
        prices: what a usage costs.
        bounds: how many tokens a prompt can have.
        warned: warnings given so far.
        imposes: whether a model can be told to answer shorter than the app lets it. Where nobody can tell it, a call whose
            own limit does not fit is refused.
        unseen: whose answers may be longer than they show.
        shares: whether whoever makes a call of a batch run again goes on with its reservation. Not where nobody tells how a
            call is sent.
    """

    budgets: tuple[Budget, ...]
    prices: Prices
    bounds: Bounds
    warned: Warned = field(default_factory=Warned)
    imposes: bool = True
    unseen: Unseen = field(default_factory=Unseen)
    shares: bool = True
    _reserved: Iterator[int] = field(default_factory=itertools.count)

    def reaps(self) -> bool:
        """Whether a reservation is to look for leases whose processes died: the first one, and then now and then."""
        return next(self._reserved) % _REAP_EVERY == 0

    def of(self, request: Request, booking: Booking) -> Spending | None:
        """The steps of a call, None where no budget covers it."""
        mine = [budget for budget in self.budgets if budget.covers(request.scope)]
        return Spending(self, mine, request, booking) if mine else None

    def remaining(self, accounts: Accounts, scope: Scope, run: str) -> list[Remaining]:
        """How the budgets stand that cover a scope; those of a run only where one is named, of single calls none."""
        catch_up()
        asked = Request(id="", at=0.0, model="", messages=(), scope=scope, run=run)
        mine = [
            budget
            for budget in self.budgets
            if budget.covers(scope) and budget.window != "call" and (run or budget.window != "run")
        ]
        standings = accounts.standing([_hold(budget, asked) for budget in mine]) if mine else ()
        return [
            Remaining(budget, standing.used, standing.held, standing.resets)
            for budget, standing in zip(mine, standings, strict=True)
        ]


class Spending:
    """The budgets' steps of one call."""

    def __init__(self, purse: Purse, budgets: Sequence[Budget], request: Request, booking: Booking) -> None:
        self._purse, self._budgets, self._request, self._booking = purse, budgets, request, booking
        self._attempts = 0
        self._lease: str | None = None
        self._local = False
        self._reserved: tuple[int, ...] = ()
        self._before: Before = ""

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
        name = None if call.tries.alone else self._name(sent, call.most, tier)
        lease = name or self._own()
        call.tries.shared = name is not None
        grant = yield from self._ask(lease, estimate)
        if grant is not None and not grant.granted:
            # One that is made again must ask the same to find its answer, however much is left by then.
            again = lease.startswith(AGAIN)
            firm = again or (known and not self._purse.imposes)
            less = None if firm else self._less(estimate, grant, None if known else _TAKEN_BY_ALL)
            if less is None:
                raise self._refused(estimate, grant, _SAY_HOW_LONG if again and tier.limit is None else "")
            estimate = less
            call.imposed = True
            grant = yield from self._ask(lease, estimate)
            if grant is not None and not grant.granted:
                raise self._refused(estimate, grant)
            self._booking.note(f"budget: answer cut to {estimate.output_tokens} tokens")
        self._lease = lease if grant is not None else None
        call.budgets = tuple(budget.name for budget in self._budgets)
        if any(budget.mode == "hard" for budget in self._budgets):
            call.most = estimate.output_tokens
            call.tries.stops = True
        if grant is not None:
            self._warn(grant)
            self._before = grant.before
            held = self._before != "paid"
            self._reserved = tuple(held * estimate.amount(budget.unit) for budget in self._budgets)
            self._booking.reserved(dict(zip((budget.name for budget in self._budgets), self._reserved, strict=True)))

    def charge(self) -> Generator[Effect, Any, None]:
        """Charge all that was reserved: an answer was lost, and nobody knows what it has cost."""
        lease, self._lease = self._lease, None
        if lease is not None:
            yield from self._settle(lease, self._reserved)

    def part(self, tier: Tier) -> Generator[Effect, Any, None]:
        """Nothing was sent yet, and no batch takes it: it needs a lease of its own, and others may have this one too."""
        self._takes_no_batch(tier)
        lease, self._lease = self._lease, None
        if lease is not None and not self._before:
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
        if lease is None:
            return
        left = tries is not None and tries.set_aside and usage == NO_USAGE
        if tries is not None and left and (tries.kept or self._before):
            self._booking.note("budget: reserved until its batch is read")
            return
        amounts = self._amounts(tier, usage)
        hidden = broken and usage.source != "provider" and self._purse.unseen.may_be(self._request, tier.model)
        if (lost or hidden) and any(map(_in_full, self._budgets)):
            what = "reasoning that nobody saw" if hidden else "answer lost"
            self._booking.fallback(f"budget: {what}, charged as reserved")
            amounts = tuple(
                max(amount, reserved) if _in_full(budget) else amount
                for budget, amount, reserved in zip(self._budgets, amounts, self._reserved, strict=True)
            )
        if tries is not None and tries.shared and any(amounts) and self._anew(tier, tries):
            self._booking.note("budget: paid anew")
            yield from self._beside(amounts)
            return
        if self._before == "paid":
            self._booking.note("budget: paid before")
            return
        for budget, amount, reserved in zip(self._budgets, amounts, self._reserved, strict=True):
            if amount > reserved:
                self._booking.fallback(f"budget: {budget.name} charged more than was reserved, by {amount - reserved}")
        yield from self._settle(lease, amounts)

    def _takes_no_batch(self, tier: Tier) -> None:
        session = current()
        if session is not None:
            session.at_once.add((tier.name, tier.model))

    def _anew(self, tier: Tier, tries: Tries) -> bool:
        """Whether it was paid beside what its lease is for: no batch has answered it, or its journal had lost what was paid."""
        if tries.processing is None:
            self._takes_no_batch(tier)
            return bool(self._before)
        return self._before == "paid" and not tries.known

    def _beside(self, amounts: tuple[int, ...]) -> Generator[Effect, Any, None]:
        """Charge what was paid beside what a lease was for that others have too, or that is settled."""
        self._attempts += 1
        lease = self._own()
        try:
            yield from self._spend(lease, amounts)
        except Exception as error:  # noqa: BLE001  the call is over
            self._booking.fallback(f"budget: not charged ({type(error).__name__})")
            return
        yield from self._settle(lease, amounts)

    def _spend(self, lease: str, amounts: tuple[int, ...]) -> Generator[Effect, Any, Grant]:
        """Reserve what is spent already, which nobody can refuse any more."""
        holds = (_hold(budget, self._request) for budget in self._budgets)
        spent = tuple(hold._replace(amount=amount, hard=False) for hold, amount in zip(holds, amounts, strict=True))
        grant: Grant = yield Reserve(lease, spent, LEASE, self._local)
        return grant

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
            if not stands and any(amounts) and lease.startswith(AGAIN):
                # Somebody else has settled it: for what it came to, or for nothing, since they had it first and asked nothing.
                grant = yield from self._spend(lease, amounts)
                if grant.before != "paid":
                    yield Settle(lease, amounts, self._local)
        except Exception as error:  # noqa: BLE001  the call is over; its lease ends by itself and is charged in full
            self._booking.fallback(f"budget: not settled ({type(error).__name__}), charged in full")

    def _own(self) -> str:
        """A lease that nobody else has."""
        return f"{self._request.id}/{self._attempts}"

    def _name(self, sent: Request, most: int | None, tier: Tier) -> str | None:
        """The lease of a call in a batch run: the same for whoever asks the same, and is to settle it in the same accounts.

        None for any other, for what no batch takes, or where nobody tells, and for what has no canonical form.
        """
        session = current() if self._request.waits and self._purse.shares else None
        if session is None or (tier.name, tier.model) in session.at_once:
            return None
        # Of settings without a canonical form, others may be asked by this name: each is reserved once all the same.
        asked = surroundings(replace(sent, cacheable=True))
        if asked is None:
            return None
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
        holds = tuple(_hold(budget, self._request, estimate) for budget in self._budgets)
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


def _in_full(budget: Budget) -> bool:
    """Whether it is charged all that was reserved for a call of which nobody knows what it came to."""
    return budget.mode == "hard" and budget.orphans == "charge"


def _hold(budget: Budget, request: Request, estimate: Estimate | None = None) -> Hold:
    """The budget's line of a reservation; without an estimate, of nothing."""
    return Hold(
        budget.account(request),
        budget.limit,
        budget.window,
        budget.rolling,
        estimate.amount(budget.unit) if estimate else 0,
        budget.mode == "hard",
        budget.orphans,
        estimate.amount(budget.unit, 0) if estimate else 0,
    )
