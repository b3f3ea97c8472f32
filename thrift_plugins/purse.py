"""What all calls of an app share of its budgets: which there are, what was warned of, and how they stand."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from thrift_plugins.budgeting import Budget, Estimate
from thrift_plugins.budgeting.unseen import Unseen
from thrift_plugins.finalizing import catch_up
from thrift_plugins.forks import new_lock
from thrift_plugins.prices import Prices
from thrift_plugins.stores.accounts import Accounts, Hold, Standing
from thrift_plugins.types import Request, Scope, Usage

_REAP_EVERY: Final = 64
_REMEMBERED: Final = 10_000


class Bounds(Protocol):
    """Knows how many tokens a prompt can have."""

    def bound(self, request: Request, model: str) -> int: ...
    def learn(self, request: Request, model: str, usage: Usage) -> None: ...


class Warned:
    """Which warnings have been given. One object for an app."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[str, float, float], None] = OrderedDict()
        self._lock = new_lock()

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

    def remaining(self, accounts: Accounts, scope: Scope, run: str) -> list[Remaining]:
        """How the budgets stand that cover a scope; those of a run only where one is named, of single calls none."""
        catch_up()
        asked = Request(id="", at=0.0, model="", messages=(), scope=scope, run=run)
        mine = [
            budget
            for budget in self.budgets
            if budget.covers(scope) and budget.window != "call" and (run or budget.window != "run")
        ]
        standings = accounts.standing([hold_of(budget, asked) for budget in mine]) if mine else ()
        return [
            Remaining(budget, standing.used, standing.held, standing.resets)
            for budget, standing in zip(mine, standings, strict=True)
        ]


def hold_of(budget: Budget, request: Request, estimate: Estimate | None = None) -> Hold:
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
