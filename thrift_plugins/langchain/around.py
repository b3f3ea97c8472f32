"""What a call of ours is inside of: a tier of a `RoutingRunnable` may hold wrapped models, and others of its kind.

Each call books what it uses, and holds the budgets of its runtime. So the one around it must leave that out, or it would be
paid, and saved, twice in the ledger. Whoever begins says so to those around it, by the context that it runs in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

from thrift_plugins.runtime import Runtime
from thrift_plugins.types import Request, Tier


@dataclass(slots=True)
class Around:
    """A call, while one of its tiers runs.

    Attributes:
        runtime: whose ledger and budgets are its own.
        forced: the tier that the app insists on, which this call has obeyed.
        unheard: whether nobody is to hear of what the tier does.
        booked: the requests inside that are booked in the same runtime by themselves.
        outer: the call that this one is inside of.
    """

    runtime: Runtime
    forced: str | None
    unheard: bool
    booked: set[str] = field(default_factory=set)
    outer: Around | None = None


_around: ContextVar[Around | None] = ContextVar("thrift_around", default=None)


def around() -> Around | None:
    """The call that is running here, None where it is the app's own code."""
    return _around.get()


@contextmanager
def inside(call: Around) -> Iterator[None]:
    """What begins in this block is inside of the call."""
    token = _around.set(call)
    try:
        yield
    finally:
        _around.reset(token)


def entered(runtime: Runtime, request: Request, tiers: Sequence[Tier]) -> Request:
    """A call begins: those around it hear of it, and what they have obeyed need not be known here."""
    obeyed, call = False, _around.get()
    while call is not None:
        if call.runtime is runtime:
            call.booked.add(request.id)
        obeyed = obeyed or call.forced == request.forced
        call = call.outer
    known = any(request.forced in (tier.name, tier.model) for tier in tiers)
    return replace(request, forced=None) if obeyed and not known else request


def silent() -> bool:
    """Whether nobody is to hear of what is done here: what comes of it may be rejected."""
    call = _around.get()
    while call is not None:
        if call.unheard:
            return True
        call = call.outer
    return False
