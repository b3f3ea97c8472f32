"""What a flow asks to be done. `drive` has it done, by the runtime or by the caller, and tells the flow what came of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from thrift_plugins.batching.session import collected, current
from thrift_plugins.budgeting import Plan
from thrift_plugins.caching import Admission
from thrift_plugins.caching.flights import Flight, Landing
from thrift_plugins.compression.result import Change
from thrift_plugins.ledger.event import Event
from thrift_plugins.quality import Consult
from thrift_plugins.stores.accounts import Hold
from thrift_plugins.stores.base import Claim
from thrift_plugins.tries import Tries, counting, retries_of
from thrift_plugins.types import Decision, Reply, Request

# The cache. Every one of these may be answered by a `StoreError`, and from an app's own store by any other.


class LookUp(NamedTuple):
    """Give the bytes kept under `key`, or None."""

    key: str


class Keep(NamedTuple):
    """Store `value` under `key` for `ttl` seconds; give whether it was kept. For the rest see `Store.put`."""

    key: str
    value: bytes
    ttl: float
    tags: tuple[str, ...]
    asked: float
    claim: Claim | None


# Single flight.


class Join(NamedTuple):
    """Take part in the flight for `key`; give a `Place`."""

    key: str


class Await(NamedTuple):
    """Wait for a flight, for so many seconds at most; give its `Landing`, or None."""

    flight: Flight[Claim]
    seconds: float


class TakeClaim(NamedTuple):
    """Give the right to make the call for `key` among all processes, or None while another has it."""

    key: str


class Pause(NamedTuple):
    """Wait."""

    seconds: float


class Leave(NamedTuple):
    """Give the claim back, and land."""

    flight: Flight[Claim]
    landing: Landing


# Answers to similar questions. Any of these may be answered by any error.


class Match(Protocol):
    """A stored answer to a question that means the same.

    Attributes:
        key: where it is kept.
        reply_bytes: the packed answer.
        score: how near the two questions are.
        probability: that the answer is right.
        shadow: whether it is to be checked against a real answer, and not given.
    """

    @property
    def key(self) -> str: ...
    @property
    def reply_bytes(self) -> bytes: ...
    @property
    def score(self) -> float: ...
    @property
    def probability(self) -> float: ...
    @property
    def shadow(self) -> bool: ...


class SemanticTier(Protocol):
    """Finds answers to similar questions, and learns whether they were right."""

    def search(self, request: Request, admission: Admission) -> Match | str | None: ...
    def learn(self, request: Request, admission: Admission) -> None: ...
    def judge(self, match: Match, reply: Reply) -> None: ...
    async def asearch(self, request: Request, admission: Admission) -> Match | str | None: ...
    async def alearn(self, request: Request, admission: Admission) -> None: ...


class Search(NamedTuple):
    """Give a `Match`, the reason in words why there can be none, or None."""

    request: Request
    admission: Admission


class Learn(NamedTuple):
    """An answer to this request was kept."""

    request: Request
    admission: Admission


class Judge(NamedTuple):
    """A match that was not given can be compared with the real answer."""

    match: Match
    reply: Reply


# Budgets. Both may be answered by a `StoreError`.


class Reserve(NamedTuple):
    """Set amounts aside, all or none; give a `Grant`. With `local`, from this process's own share."""

    lease: str
    holds: tuple[Hold, ...]
    ttl: float
    local: bool


class Settle(NamedTuple):
    """Charge what was used of each amount; give how the accounts stand, or nothing where the lease is not open any more."""

    lease: str
    amounts: tuple[int, ...]
    local: bool


class Booked(NamedTuple):
    """Tell a batch run's journal that what a line has cost is booked, by a call of this name."""

    tell: Callable[[str], None]
    name: str


class Paid(NamedTuple):
    """Ask a batch run's journal whether a call of this name was paid, and its answer is there."""

    ask: Callable[[str], bool]
    name: str


class Reap(NamedTuple):
    """Close leases whose processes died; give the `Orphan`s, each once."""


# The answer.


@dataclass(slots=True)
class Call:
    """Ask a tier; give its `Reply`.

    Whoever performs it fills in how far it has come.

    Attributes:
        most: output tokens that an answer may have, None where nobody counts them. A stream that gives more is cut.
        imposed: whether the app's own settings allow more, so that the provider must be told.
        budgets: names of those that it is reserved of.
        plan: how the answer is to be shorter, None where nothing is asked. `request` has its notes already.
        change: where the prompt is compressed, None where it is not. `request` has it already.
        continues: a cut answer whose rest is asked for. The last two messages of `request` do so: what there is of it, and
            the question for what is not. The app gets both as one answer, if they join, and what it has already if not.
        whole: both as one answer, None until then, and where they do not join.
        least_heat: temperature that it is asked at, at least, where one is set: a second answer must not be the first again.
        form: gives the request in the form in which it is sent, where whoever performs it knows a better one.
        delivered: whether the caller has seen any of the answer, so that nobody else may answer now.
        held: whether the app has a piece of the answer in its hands, and has not asked for the next.
        pieces: how many it has been given.
        partial: what arrived before a failure, None if nothing.
        tries: the requests that it came to.
    """

    tier: int
    request: Request
    decision: Decision
    delivered: bool = False
    held: bool = False
    pieces: int = 0
    partial: Reply | None = None
    most: int | None = None
    imposed: bool = False
    budgets: tuple[str, ...] = ()
    plan: Plan | None = None
    change: Change | None = None
    continues: Reply | None = None
    whole: Reply | None = None
    least_heat: float | None = None
    form: Callable[[Request], Request] | None = None
    tries: Tries = field(default_factory=Tries)

    def as_sent(self) -> Request:
        """What to count, where the provider has not."""
        return self.form(self.request) if self.form else self.request

    def heat(self, own: object) -> float | None:
        """The temperature to ask at, None to leave it.

        Args:
            own: the one that the model, or the app's call, has set.
        """
        planned = self.plan.temperature if self.plan else None
        told = own if planned is None else planned
        if self.least_heat is None or not isinstance(told, int | float) or told >= self.least_heat:
            return planned
        return self.least_heat


def counted(effect: Call | Replay, model: object) -> AbstractContextManager[None]:
    """The requests that this model sends in this block are of this call; a replay sends none.

    Without a model, nobody knows which of them an SDK has repeated, and they are not counted.
    In a batch run, they are handed over to its collector, or go out at once where the call may not wait.
    """
    if not isinstance(effect, Call):
        return nullcontext()
    effect.tries.retries, effect.tries.several = retries_of(model), model is None
    return counting(effect.tries) if current() is None else _handed(effect)


@contextmanager
def _handed(call: Call) -> Iterator[None]:
    request = call.request
    with counting(call.tries), collected(waits=request.waits, deadline=request.within and request.at + request.within):
        yield


class Try(NamedTuple):
    """Ask a tier for a whole answer that may yet be rejected, so that nobody hears of it; give its `Reply`.

    Attributes:
        kept: whether a `Replay` may show it; one that is only compared with another is thrown away.
    """

    call: Call
    kept: bool = True


class Replay(NamedTuple):
    """Show an answer as if a model gave it now; give nothing.

    Attributes:
        tried: whether it is the one that the last `Try` got, and no stored one.
    """

    reply: Reply
    decision: Decision
    tried: bool = False


class Renew(NamedTuple):
    """Run a flow in the background, which asks anew for an answer: for that kept under `key`, or to compare; give nothing."""

    key: str
    flow: Flow


class Append(NamedTuple):
    """Book an event."""

    event: Event


Effect: TypeAlias = (
    LookUp
    | Keep
    | Join
    | Await
    | TakeClaim
    | Pause
    | Leave
    | Search
    | Learn
    | Judge
    | Reserve
    | Booked
    | Paid
    | Settle
    | Reap
    | Call
    | Try
    | Replay
    | Renew
    | Consult
    | Append
)
Flow: TypeAlias = Generator[Effect, Any, None]
