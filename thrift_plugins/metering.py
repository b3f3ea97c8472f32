"""Budgets around calls that somebody else makes: a callback hears that one starts, how it goes on, and how it ends.

The steps are those of a wrapped model's call: the flow of `Engine.call`, with no tactic but the budgets, waits at its
call on the model until the framework tells of the end. What a framework does not tell is inferred: a call whose task
was cancelled, or that its own caller has gone on without, has ended. Where one that was taken for dead shows a sign of
life, it is reserved anew.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import TypeAlias

from thrift_plugins import drive
from thrift_plugins.budgeting import Budget, Fuse
from thrift_plugins.effects import Call, Flow, Replay, SemanticTier, counted
from thrift_plugins.engine import Engine
from thrift_plugins.errors import BudgetExceeded, ConfigError
from thrift_plugins.finalizing import apart
from thrift_plugins.ledger import Ledger
from thrift_plugins.purse import Purse, Remaining
from thrift_plugins.runtime import Runtime, default_runtime
from thrift_plugins.scope import current_run, current_scope
from thrift_plugins.spending import LEASE
from thrift_plugins.stores import LocalSlices, accounts_beside, open_accounts
from thrift_plugins.stores.accounts import Accounts
from thrift_plugins.stores.base import Store
from thrift_plugins.tokens import Bounds
from thrift_plugins.tries import Lost
from thrift_plugins.types import NO_USAGE, Reply, Request, Tier

_REMEMBERED = 1_000
"""Calls taken for dead of which a sign of life would be believed."""

_Task: TypeAlias = asyncio.Task[object]
_Place: TypeAlias = tuple[int, _Task | None]
"""Where code runs: a thread, and the task in it, if any. What was called there has ended when its caller goes on there."""


class NeverMade(Exception):
    """A call was announced, and its caller has gone on without it: another handler has refused it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A call that starts.

    Attributes:
        request: what is asked.
        tier: the model that is asked; its `limit` where the app's settings tell one.
        parent: the framework's name for what makes the call, None if nothing does.
        alone: whether it starts by itself, and not as one of several that are announced together.
        known: names of the budgets that it is reserved of already, by a wrapped model, None if it is made by none.
        allowed: budget to how much more than its limit may be spent.
        paid: whether it is charged whatever is left, since it cannot be refused any more.
        shares: whether in a batch run, whoever makes it again goes on with its reservation.
    """

    request: Request
    tier: Tier
    parent: Hashable = None
    alone: bool = True
    known: Collection[str] | None = None
    allowed: Mapping[str, int] = field(default_factory=dict)
    paid: bool = False
    shares: bool = True


@dataclass(frozen=True, slots=True)
class _Books:
    """What the effects of a call are done on."""

    store: Store
    accounts: Accounts
    local_accounts: Accounts | None
    ledger: Ledger | None
    semantic: SemanticTier | None = None


class Metered:
    """A call that is under way. It is ended once."""

    def __init__(self, heard: Heard, flow: Flow, effect: Call, books: _Books) -> None:
        self.heard, self.place = heard, _here()
        self.pieces = 0
        self._told_by: Hashable = None
        self._flow, self._effect, self._books = flow, effect, books
        self._fuse = Fuse(effect.most, heard.tier.model)
        self._said: list[str] = []

    @property
    def budgets(self) -> Collection[str]:
        """Names of those that it is reserved of."""
        return self._effect.budgets

    @property
    def most(self) -> int | None:
        """Output tokens that are reserved for, None where no hard budget holds."""
        return self._effect.most

    @property
    def imposed(self) -> bool:
        """Whether the app's own settings allow more."""
        return self._effect.imposed

    def burns(self, piece: str, by: Hashable) -> bool:
        """Whether the answer is longer, with this piece of it, than what is reserved for."""
        if not self.pieces:
            self._told_by = by
        elif by != self._told_by:
            return False
        self.pieces += 1
        self._effect.delivered = True
        self._said.append(piece)
        return self._fuse.burns(piece)

    def counted(self, model: object) -> AbstractContextManager[None]:
        """The requests that this model sends in this block are of this call.

        Raises:
            Lost: the answer to one was lost, and it is not repeated before `again`.
        """
        return counted(self._effect, model)

    def again(self, lost: Lost) -> None:
        """Account for an answer that was lost, before the same is asked once more.

        Raises:
            BudgetExceeded: there is no room for it any more, and the call has ended.
        """
        drive.again(self._flow, self._books, lost)

    async def aagain(self, lost: Lost) -> None:
        """`again` without blocking the event loop."""
        await drive.aagain(self._flow, self._books, lost)

    def end(self, reply: Reply) -> None:
        """It was answered."""
        drive.finish(self._flow, self._books, reply, None)

    async def aend(self, reply: Reply) -> None:
        """`end` without blocking the event loop."""
        await drive.afinish(self._flow, self._books, reply, None)

    def fail(self, error: BaseException, partial: Reply | None = None) -> None:
        """It ended without a whole answer."""
        self._broke(partial)
        drive.finish(self._flow, self._books, None, error)

    async def afail(self, error: BaseException, partial: Reply | None = None) -> None:
        """`fail` without blocking the event loop."""
        self._broke(partial)
        await drive.afinish(self._flow, self._books, None, error)

    def _broke(self, partial: Reply | None) -> None:
        if partial is None and any(self._said):
            partial = Reply("".join(self._said), NO_USAGE, complete=False, storable=False)
        self._effect.partial = partial


class Meter:
    """Reserves and settles for calls that are only heard of. Thread-safe.

    Args:
        budgets: those to hold; by default the runtime's.
        runtime: whose accounts, prices and ledger; by default those of the process.
        dialect: the adapter's name, for the ledger.
        imposes: whether calls can be given a lower limit on their answers than the app's own.

    Raises:
        ConfigError: no budgets are given, and the runtime has none; or two of them have one name.
    """

    def __init__(
        self, budgets: Sequence[Budget] | None, runtime: Runtime | None, *, dialect: str, imposes: bool = False
    ) -> None:
        self.runtime = runtime if runtime is not None else default_runtime()
        self._dialect = dialect
        self._purse = replace(_purse(budgets, self.runtime), imposes=imposes)
        self._books = _books(self._purse.budgets, self.runtime)
        # Ends may be told by the garbage collector, at any point of any thread: so no lock, and copies are looked through.
        self._open: dict[Hashable, Metered] = {}
        self._lost: OrderedDict[Hashable, Heard] = OrderedDict()
        self._watched: weakref.WeakSet[_Task] = weakref.WeakSet()
        weakref.finalize(self, _end_all, self._open)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those that are held."""
        return self._purse.budgets

    # A call that is made here -------------------------------------------------------------------------------------

    def begin(self, heard: Heard) -> Metered | None:
        """Reserve for a call; None where no budget of ours covers it. Whoever begins one ends it.

        Raises:
            BudgetExceeded: a hard budget has no room for it.
            UnknownModelPrice: a hard budget in dollars, and a model without a price.
        """
        steps = self._flow(heard)
        return steps and _metered(heard, *steps, drive.begin(*steps))

    async def abegin(self, heard: Heard) -> Metered | None:
        """`begin` without blocking the event loop."""
        steps = self._flow(heard)
        return steps and _metered(heard, *steps, await drive.abegin(*steps))

    # What is heard ------------------------------------------------------------------------------------------------

    def start(self, key: Hashable, heard: Heard) -> None:
        """A call starts: reserve the most that it may cost.

        Args:
            key: the framework's name for the call.

        Raises:
            BudgetExceeded: a hard budget has no room for it.
            UnknownModelPrice: a hard budget in dollars, and a model without a price.
        """
        if key in self._open:  # a handler that is there twice
            return
        place = _here()
        self._bury(self._dead(heard, place))
        try:
            opened = self.begin(replace(heard, shares=False))  # nobody tells whether a batch takes it
        except BaseException:
            if not heard.alone:  # those announced with it are not made either
                together = [key for key, call in self._opened(place, heard.parent) if not call.heard.alone]
                self._bury((key, NeverMade()) for key in together)
            raise
        if opened is None:
            return
        self._open[key] = opened
        self._watch(place)

    def piece(self, key: Hashable, text: str, by: Hashable = None) -> None:
        """A piece of an answer came.

        Args:
            by: who tells of it. Where a framework tells of each piece in several ways, the first one counts.

        Raises:
            BudgetExceeded: the answer is longer than what is reserved for it.
        """
        call = self._open.get(key) or self._revived(key)
        if call is not None and call.burns(text, by):
            raise self._over(call)

    def end(self, key: Hashable, reply: Reply) -> None:
        """A call was answered: charge what it has used."""
        apart(partial(self._end, key, reply))

    def _end(self, key: Hashable, reply: Reply) -> None:
        call = self._open.get(key) or self._revived(key, answered=True)
        if call is not None and self._open.pop(key, None) is not None:
            call.end(reply)

    def fail(self, key: Hashable, error: BaseException, partial: Reply | None = None) -> None:
        """A call ended without a whole answer: charge what it may have used.

        Args:
            partial: what came of its answer, as far as the framework tells.
        """
        self._lost.pop(key, None)
        call = self._open.pop(key, None)
        if call is not None:
            call.fail(error, partial)

    def left(self, parent: Hashable, error: BaseException | None) -> None:
        """What makes calls has ended: those of which nothing was heard that it was waiting for have ended before it."""
        place = _here()
        self._bury((key, _reason(error, place)) for key, _ in self._opened(place, parent))

    def remaining(self) -> list[Remaining]:
        """What is left of every budget that covers the scope of the block, and when it starts anew.

        Raises:
            StoreUnavailable: the accounts are down.
        """
        return self._purse.remaining(self._books.accounts, current_scope(), current_run())

    def close(self) -> None:
        """End what is under way, and let go of accounts that are not the runtime's. Idempotent."""
        _end_all(self._open)
        if self._books.accounts is not self.runtime.accounts:
            self._books.accounts.close()

    # What follows from it -----------------------------------------------------------------------------------------

    def _flow(self, heard: Heard) -> tuple[Flow, _Books] | None:
        """The steps of a call; None where no budget of ours covers it, and somebody else books it."""
        purse, books = replace(self._purse, shares=heard.shares), self._books
        if heard.allowed:
            raised = (replace(each, limit=each.limit + heard.allowed.get(each.name, 0)) for each in purse.budgets)
            purse = replace(purse, budgets=tuple(raised))
        if heard.paid:
            lenient = (replace(each, mode="soft", on_outage="allow") for each in purse.budgets)
            purse = replace(purse, budgets=tuple(lenient))
        if heard.known is not None:
            budgets = tuple(budget for budget in purse.budgets if budget.name not in heard.known)
            if not any(budget.covers(heard.request.scope) for budget in budgets):
                return None
            purse, books = replace(purse, budgets=budgets), replace(books, ledger=None)
        return Engine(purse=purse).call(heard.request, [heard.tier], 0, dialect=self._dialect), books

    def _revived(self, key: Hashable, *, answered: bool = False) -> Metered | None:
        """A call that was taken for dead, reserved anew; None if there was none.

        Args:
            answered: whether it is over. Then it is reserved for whatever is left: it has been paid.

        Raises:
            BudgetExceeded: there is no room for it any more. What has come of it is charged all the same, when it ends.
        """
        heard = self._lost.pop(key, None)
        if heard is None:
            return None
        name = heard.request.id
        if not answered:
            try:
                self.start(key, replace(heard, request=replace(heard.request, id=f"{name}-late")))
                return self._open.get(key)
            except BudgetExceeded:
                self.start(key, replace(heard, request=replace(heard.request, id=f"{name}-paid"), paid=True))
                raise
        self.start(key, replace(heard, request=replace(heard.request, id=f"{name}-paid"), paid=True))
        return self._open.get(key)

    def _opened(self, place: _Place, parent: Hashable) -> list[tuple[Hashable, Metered]]:
        """Calls of one caller, opened where we are now, of which nothing was heard."""
        return [
            (key, call)
            for key, call in self._open.copy().items()
            if call.place == place and call.heard.parent == parent and not call.pieces
        ]

    def _dead(self, heard: Heard, place: _Place) -> list[tuple[Hashable, BaseException]]:
        """Calls that have ended, since their caller makes another; and those of which nothing is heard for too long."""
        found: list[tuple[Hashable, BaseException]] = []
        if heard.alone:
            found = [(key, _reason(None, place)) for key, call in self._opened(place, heard.parent) if call.heard.alone]
        for key, call in self._open.copy().items():  # oldest first
            if heard.request.at - call.heard.request.at < LEASE:
                break
            if not call.pieces:
                found.append((key, asyncio.CancelledError()))
        return found

    def _bury(self, dead: Iterable[tuple[Hashable, BaseException]]) -> None:
        for key, error in list(dead):
            call = self._open.pop(key, None)
            if call is None:
                continue
            call.fail(error)
            self._lost[key] = call.heard
            if len(self._lost) > _REMEMBERED:
                self._lost.popitem(last=False)

    def _watch(self, place: _Place) -> None:
        """Hear of the end of the task that we are in."""
        task = place[1]
        if task is not None and task not in self._watched:
            self._watched.add(task)
            task.add_done_callback(self._task_ended)

    def _task_ended(self, task: _Task) -> None:
        """A task that ends well may have handed its call on, to be read elsewhere."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            return
        left = [key for key, call in self._open.copy().items() if call.place[1] is task and not call.pieces]
        self._bury((key, _reason(error, (0, task))) for key in left)

    def _over(self, call: Metered) -> BudgetExceeded:
        budget = next(budget for budget in self._purse.budgets if budget.name in call.budgets and budget.mode == "hard")
        why = f"its answer is stopped after the {call.most:,} tokens that are reserved for it"
        return BudgetExceeded(budget.name, None, 0, budget.limit, budget.unit, inf, why)


def _metered(heard: Heard, flow: Flow, books: _Books, effect: Call | Replay) -> Metered:
    assert isinstance(effect, Call)  # noqa: S101  without a cache there is nothing to replay
    return Metered(heard, flow, effect, books)


def _purse(budgets: Sequence[Budget] | None, runtime: Runtime) -> Purse:
    shared = runtime.purse
    if budgets is None:
        if shared is None:
            raise ConfigError("no budgets: give [Budget.usd('day', 5, window='day')], or a runtime that has some")
        return shared
    names = [budget.name for budget in budgets]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two budgets are called {name!r}: each needs a name of its own")
    known = {budget.name: budget for budget in shared.budgets} if shared else {}
    for budget in budgets:
        if known.get(budget.name, budget) != budget:  # a wrapped model would hold the one, and this one be left out
            raise ConfigError(f"the runtime's budget {budget.name!r} is another one: give this one a name of its own")
    return Purse(tuple(budgets), runtime.prices, shared.bounds if shared else Bounds())


def _books(budgets: Sequence[Budget], runtime: Runtime) -> _Books:
    settings = runtime.config
    accounts = runtime.accounts or open_accounts(
        settings.budget_url or accounts_beside(settings.store), clock=runtime.clock
    )
    local = runtime.local_accounts
    if local is None and any(budget.outage == "local" for budget in budgets):
        local = LocalSlices(clock=runtime.clock)
        accounts = local.watching(accounts)
    return _Books(runtime.store, accounts, local, runtime.ledger)


def _here() -> _Place:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def _reason(error: BaseException | None, place: _Place) -> BaseException:
    """Why a call has ended whose end nobody tells. Only a task's can be cancelled unheard."""
    if place[1] is None or (isinstance(error, Exception) and not isinstance(error, TimeoutError)):
        return error or NeverMade()
    return asyncio.CancelledError()


def _end_all(calls: dict[Hashable, Metered]) -> None:
    """Settle what is under way when nobody will tell of its end any more."""
    while calls:
        _, call = calls.popitem()
        call.fail(asyncio.CancelledError())
