"""Takes the steps of a Redis store's methods, synchronously or asynchronously: short waits, and none in an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary, finalize

from redis import Redis, RedisCluster
from redis import exceptions as errors
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.forks import new_lock
from thrift_plugins.stores.outage import Outage
from thrift_plugins.stores.redis_steps import Ask, Effect, Steps
from thrift_plugins.stores.redis_url import AsyncClient, aclose, async_client, parse, wire
from thrift_plugins.stores.redis_wire import Borrowed, Node, Word, key_of

T = TypeVar("T")

_CONNECTIONS_PER_LOOP = 16

# No answer, or not one that can be understood; every other RedisError is the server's prompt word.
_SILENT = (
    errors.ConnectionError,
    errors.TimeoutError,
    errors.InvalidResponse,
    errors.ClusterDownError,
    OSError,
    ValueError,
)
_REFUSED = (errors.RedisError, errors.RedisClusterException)

_WHAT_TO_DO = {
    errors.MovedError: "; for a cluster the URL is redis+cluster://",
    errors.OutOfMemoryError: "; it is full: give it more memory, or maxmemory-policy volatile-lru, which spares budgets",
    errors.ReadOnlyError: "; it is a replica",
    errors.NoPermissionError: "; its user may not run this command",
}


@dataclass(frozen=True)
class _Lane:
    """What one event loop uses.

    Attributes:
        slots: bounds the connections of one loop. Waiting for a slot has no time limit: it is this process that is
            busy then, and a hit that comes late is still cheaper than a call. When it is the server that is slow,
            the outage begins and the queue is refused at once.
        lifetime: closes the client when the loop shuts down, as it does for every asynchronous generator.
    """

    client: AsyncClient
    slots: asyncio.Semaphore
    lifetime: AsyncGenerator[None, None]


class Asking:
    """What is kept on Redis-protocol servers. Threads, forks, loops.

    Args:
        url: see `redis_url`.
        timeout: seconds to wait for an answer; `socket_timeout` in the URL goes before it.
        client: a client to use as it is, instead of one made from `url`. It stays open.
        async_client: the same for asynchronous calls, all of them on one event loop.

    Raises:
        ConfigError: an unreadable URL, or a client that decodes responses.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        client: Redis | RedisCluster | None,
        async_client: AsyncRedis | AsyncRedisCluster | None,
    ) -> None:
        for given in (client, async_client):
            if given is not None and given.get_encoder().decode_responses:
                raise ConfigError("a Redis store needs a client with decode_responses=False: its values are bytes")
        self._place = parse(url, timeout)
        self._timeout: float = self._place.options["socket_timeout"]
        self._wire = wire(self._place) if client is None else Borrowed(client)
        finalize(self, self._wire.close)  # a store that nobody closed leaves no socket behind
        self._async_client = async_client
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()
        self._outages: dict[int, Outage] = {}
        self._lock = new_lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place.shown!r})"

    def close(self) -> None:
        """Close the connections of synchronous calls. They are opened again when they are needed."""
        for outage in list(self._outages.values()):
            outage.end()
        self._wire.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop. Without it they are closed when the loop shuts down."""
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        if lane is not None:
            await lane.lifetime.aclose()

    def _do(self, steps: Steps[T]) -> T:
        """Take the steps. Raises `StoreUnavailable`, and what interrupts the process."""
        take: Callable[[Any], Effect] = steps.send
        told: Any = None
        while True:
            try:
                effect = take(told)
            except StopIteration as end:
                return cast("T", end.value)
            except _REFUSED as error:
                raise self._refused(error) from None
            take = steps.send
            try:
                told = self._perform(effect)
            except (StoreUnavailable, *_REFUSED) as error:
                take, told = steps.throw, error

    def _perform(self, effect: Effect) -> object:
        if not isinstance(effect, Ask):
            return self._asking("", self._wire.nodes)
        if effect.node is not None:
            return self._asking("", cast("Node", effect.node).ask, effect.words)
        return self._asking(key_of(effect.words), self._wire.ask, effect.words)

    def _asking(self, name: str, ask: Callable[..., object], *words: Sequence[Word]) -> object:
        place = self._wire.place(name)
        outage = self._outages.get(place)
        if outage is not None and outage.lasts:
            raise self._not_asked()
        try:
            return ask(*words)
        except _SILENT as error:
            raise self._silent(error, place, name) from None

    async def _ado(self, steps: Steps[T]) -> T:
        """`_do` without blocking the event loop."""
        lane = await self._lane()
        take: Callable[[Any], Effect] = steps.send
        told: Any = None
        while True:
            try:
                effect = take(told)
            except StopIteration as end:
                return cast("T", end.value)
            except _REFUSED as error:
                raise self._refused(error) from None
            take = steps.send
            try:
                async with lane.slots:
                    told = await self._aperform(effect, lane.client)
            except (StoreUnavailable, *_REFUSED) as error:
                take, told = steps.throw, error

    async def _aperform(self, effect: Effect, client: AsyncClient) -> object:
        name = key_of(effect.words) if isinstance(effect, Ask) and effect.node is None else ""
        place = self._wire.place(name)
        outage = self._outages.get(place)
        if outage is not None and outage.lasts:
            raise self._not_asked()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                if not isinstance(effect, Ask):
                    return await _async_nodes(client)
                asked: Any = client if effect.node is None else effect.node
                return await asked.execute_command(*effect.words)
        except _SILENT as error:
            # Where the event loop was held up by other work, every call in flight runs out of time at once.
            late = time.monotonic() - started > 1.5 * self._timeout
            raise self._silent(error, None if late else place, name) from None
        except RuntimeError as error:
            # What asyncio says of an application's client on another event loop than its own: not the server's fault.
            raise StoreUnavailable(f"{self!r} cannot be asked from here: {error}") from None

    def _silent(self, error: BaseException, place: int | None, name: str) -> StoreUnavailable:
        """Begins the outage of a place; of none where the silence says nothing about the server."""
        if place is not None:
            self._outage(place, name).begin()
        return StoreUnavailable(f"{self!r} does not answer: {type(error).__name__}: {error}")

    def _refused(self, error: BaseException) -> StoreUnavailable:
        # Neither the cause nor its words: a server's refusal can quote the command, and with it the value.
        hint = next((told for kind, told in _WHAT_TO_DO.items() if isinstance(error, kind)), "")
        return StoreUnavailable(f"{self!r} refused: {type(error).__name__}{hint}")

    def _not_asked(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self!r} did not answer lately; not asked")

    def _outage(self, place: int, name: str) -> Outage:
        outage = self._outages.get(place)
        if outage is None:
            outage = self._outages.setdefault(place, Outage(partial(self._wire.answers, name)))
        return outage

    async def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            client = self._async_client or async_client(self._place)
            lane = _Lane(client, asyncio.Semaphore(_CONNECTIONS_PER_LOOP), self._lifetime(loop, client))
            with self._lock:
                for known in self._lanes.keyrefs():  # loops in other threads end at any moment, and take out their own
                    other = known()
                    if other is not None and other.is_closed():
                        self._lanes.pop(other, None)
                self._lanes[loop] = lane
            await anext(lane.lifetime)
        return lane

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, client: AsyncClient) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._lanes.pop(loop, None)
            if client is not self._async_client:
                await aclose(client)


async def _async_nodes(client: AsyncClient) -> Sequence[object]:
    if not isinstance(client, AsyncRedisCluster):
        return [client]
    await client.initialize()
    return client.get_primaries()
