"""Does the effects of a flow that are not the caller's: on the store, the flights, the semantic tier and the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from thrift_plugins.caching.flights import Flight, Place, join
from thrift_plugins.effects import (
    Append,
    Await,
    Booked,
    Effect,
    Join,
    Judge,
    Keep,
    Learn,
    Leave,
    LookUp,
    Match,
    Paid,
    Pause,
    Reap,
    Reserve,
    Search,
    SemanticTier,
    Settle,
    TakeClaim,
)
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.ledger import Ledger
from thrift_plugins.quality import Consult
from thrift_plugins.stores.accounts import Accounts, Grant, Orphan, Standing
from thrift_plugins.stores.base import Claim, Store


class Parts(Protocol):
    """What effects are done on. A part that is None is off."""

    @property
    def store(self) -> Store: ...
    @property
    def semantic(self) -> SemanticTier | None: ...
    @property
    def accounts(self) -> Accounts | None: ...
    @property
    def local_accounts(self) -> Accounts | None: ...
    @property
    def ledger(self) -> Ledger | None: ...


def perform(parts: Parts, effect: Effect) -> Any:
    """Do an effect. Raises what the part raises."""
    return _DO[type(effect)](parts, effect)


async def aperform(parts: Parts, effect: Effect) -> Any:
    """`perform` without blocking the event loop."""
    do = _ADO.get(type(effect))
    return await do(parts, effect) if do is not None else perform(parts, effect)


def _join(parts: Parts, effect: Join) -> Place[Claim]:
    return join(parts.store, parts.store.space, effect.key, asynchronous=False)


async def _ajoin(parts: Parts, effect: Join) -> Place[Claim]:
    return join(parts.store, parts.store.space, effect.key, asynchronous=True)


def _keep(parts: Parts, effect: Keep) -> bool:
    key, value, ttl, tags, asked, claim = effect
    return parts.store.put(key, value, ttl, tags=tags, asked=asked, claim=claim)


async def _akeep(parts: Parts, effect: Keep) -> bool:
    key, value, ttl, tags, asked, claim = effect
    return await parts.store.aput(key, value, ttl, tags=tags, asked=asked, claim=claim)


def _taken(flight: Flight[Claim]) -> Claim | None:
    """The flight's claim, which is given back once."""
    claim, flight.claim = flight.claim, None
    return claim


def _leave(parts: Parts, effect: Leave) -> None:
    claim = _taken(effect.flight)
    try:
        if claim is not None:
            parts.store.release(claim)
    finally:  # whatever the store does, nobody here is to wait any longer
        effect.flight.land(effect.landing)


async def _aleave(parts: Parts, effect: Leave) -> None:
    claim = _taken(effect.flight)
    try:
        if claim is not None:
            await parts.store.arelease(claim)
    finally:
        effect.flight.land(effect.landing)


def _search(parts: Parts, effect: Search) -> Match | str | None:
    return parts.semantic.search(effect.request, effect.admission) if parts.semantic else None


async def _asearch(parts: Parts, effect: Search) -> Match | str | None:
    return await parts.semantic.asearch(effect.request, effect.admission) if parts.semantic else None


def _learn(parts: Parts, effect: Learn) -> None:
    if parts.semantic:
        parts.semantic.learn(effect.request, effect.admission)


async def _alearn(parts: Parts, effect: Learn) -> None:
    if parts.semantic:
        await parts.semantic.alearn(effect.request, effect.admission)


def _judge(parts: Parts, effect: Judge) -> None:
    if parts.semantic:
        parts.semantic.judge(effect.match, effect.reply)


def _accounts(parts: Parts, *, local: bool) -> Accounts:
    found = parts.local_accounts if local else parts.accounts
    if found is None:
        raise StoreUnavailable("there are no accounts")
    return found


def _reserve(parts: Parts, effect: Reserve) -> Grant:
    return _accounts(parts, local=effect.local).reserve(effect.lease, effect.holds, effect.ttl)


async def _areserve(parts: Parts, effect: Reserve) -> Grant:
    return await _accounts(parts, local=effect.local).areserve(effect.lease, effect.holds, effect.ttl)


def _settle(parts: Parts, effect: Settle) -> tuple[Standing, ...]:
    return _accounts(parts, local=effect.local).settle(effect.lease, effect.amounts)


async def _asettle(parts: Parts, effect: Settle) -> tuple[Standing, ...]:
    return await _accounts(parts, local=effect.local).asettle(effect.lease, effect.amounts)


def _reap(parts: Parts, _effect: Reap) -> list[Orphan]:
    return _accounts(parts, local=False).reap()


async def _areap(parts: Parts, _effect: Reap) -> list[Orphan]:
    return await _accounts(parts, local=False).areap()


def _append(parts: Parts, effect: Append) -> None:
    if parts.ledger:
        parts.ledger.append(effect.event)


_DO: Mapping[type, Callable[[Parts, Any], Any]] = {
    LookUp: lambda parts, effect: parts.store.get(effect.key),
    Keep: _keep,
    Join: _join,
    Await: lambda _, effect: effect.flight.wait(effect.seconds),
    TakeClaim: lambda parts, effect: parts.store.claim(effect.key),
    Pause: lambda _, effect: time.sleep(effect.seconds),
    Leave: _leave,
    Search: _search,
    Learn: _learn,
    Judge: _judge,
    Reserve: _reserve,
    Settle: _settle,
    Reap: _reap,
    Booked: lambda _, effect: effect.tell(effect.name),
    Paid: lambda _, effect: effect.ask(effect.name),
    Consult: lambda _, effect: effect.asker.ask(effect.prompt),
    Append: _append,
}

_ADO: Mapping[type, Callable[[Parts, Any], Awaitable[Any]]] = {
    LookUp: lambda parts, effect: parts.store.aget(effect.key),
    Keep: _akeep,
    Join: _ajoin,
    Await: lambda _, effect: effect.flight.await_landing(effect.seconds),
    TakeClaim: lambda parts, effect: parts.store.aclaim(effect.key),
    Pause: lambda _, effect: asyncio.sleep(effect.seconds),
    Leave: _aleave,
    Search: _asearch,
    Learn: _alearn,
    Reserve: _areserve,
    Settle: _asettle,
    Reap: _areap,
    Paid: lambda _, effect: asyncio.to_thread(effect.ask, effect.name),
    Consult: lambda _, effect: effect.asker.aask(effect.prompt),
}
"""The others do not block."""
