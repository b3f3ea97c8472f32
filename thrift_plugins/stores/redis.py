"""Entries in Redis, Valkey, or a service that speaks their protocol: plain commands, short waits, a breaker."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar
from weakref import WeakKeyDictionary

from redis import Redis
from redis import exceptions as errors
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.stores.base import Clock
from thrift_plugins.stores.breaker import Breaker
from thrift_plugins.stores.envelope import Opened, as_secret, expiry, seal, unseal
from thrift_plugins.stores.forks import renew_after_fork

T = TypeVar("T")

_HOW_TO_SEAL = (
    "a Redis store needs a secret, the same in every process, so that nobody else can plant an answer: set THRIFT_SECRET"
    ' or pass secret=; make one with: python -c "import secrets; print(secrets.token_hex(32))"'
)

_CONNECTIONS_PER_LOOP = 16
_SCAN_COUNT = 500
_LONGEST_MS = 10**14
"""About 3,000 years: Redis refuses an expiry that overflows its own clock."""

# No answer, or not one that can be understood; every other RedisError is the server's prompt word.
_SILENT = (errors.ConnectionError, errors.TimeoutError, errors.InvalidResponse, OSError, ValueError)
_REFUSED = (errors.RedisError, errors.RedisClusterException)


@dataclass(frozen=True)
class _Lane:
    """What one event loop uses.

    Attributes:
        slots: bounds the connections of one loop. Waiting for a slot has no time limit: it is this process that is
            busy then, and a hit that comes late is still cheaper than a call. When it is the server that is slow,
            the breaker opens and the queue is refused at once.
        lifetime: closes the client when the loop shuts down, as it does for every asynchronous generator.
    """

    client: AsyncRedis
    slots: asyncio.Semaphore
    lifetime: AsyncGenerator[None, None]


class RedisStore:
    """Entries on a Redis-protocol server, sealed with a secret that the server never sees. Threads, forks, loops.

    A server that does not answer costs a call `timeout` seconds, and nothing once the breaker is open; the server is
    tried again every second.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`.
        secret: the same in every process, 16 bytes or more.
        clock: seconds since the epoch.
        timeout: seconds to wait for a connection or an answer.
        namespace: goes before every key.
        client: a client to use as it is, instead of one made from `url`. It stays open.
        async_client: the same for asynchronous calls, all of them on one event loop.

    Raises:
        ConfigError: no secret, an unreadable URL, or a client that decodes responses.
    """

    kind = "redis"

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | None = None,
        clock: Clock = time.time,
        timeout: float = 0.05,
        namespace: str = "tp1",
        client: Redis | None = None,
        async_client: AsyncRedis | None = None,
    ) -> None:
        if not secret:
            raise ConfigError(_HOW_TO_SEAL)
        self.damaged = 0
        self._secret = as_secret(secret)
        self._url = re.sub("^valkey", "redis", url)
        self._clock = clock
        self._timeout = timeout
        self._namespace = namespace
        self._client = self._connected_later() if client is None else client
        self._owns_client = client is None
        self._async_client = async_client
        self._lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, _Lane] = WeakKeyDictionary()
        self._breaker = Breaker()
        self.renew()
        renew_after_fork(self)
        clients: tuple[Redis | AsyncRedis | None, ...] = (self._client, async_client)
        for used in clients:
            if used is not None and used.get_encoder().decode_responses:
                raise ConfigError("a Redis store needs a client with decode_responses=False: its values are bytes")

    def __repr__(self) -> str:
        return f"RedisStore({_address(self._client)!r})"

    def renew(self) -> None:
        """A lock of this process's own."""
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged."""
        name = self._name(key)
        with self._asking():
            try:
                raw = self._client.get(name)
            except errors.ResponseError as error:
                raw = _wrong_type(error)
        if raw is None:
            return None
        entry = self._opened(name, raw)
        if entry is None:
            with suppress(StoreUnavailable):
                self.delete(key)
        return self._current(entry)

    def put(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value for `ttl` seconds, or until the server evicts it."""
        sealed = self._sealed(key, value, ttl)
        if sealed is None:
            self.delete(key)
            return
        with self._asking():
            self._client.set(self._name(key), sealed, px=_milliseconds(ttl))

    def delete(self, key: str) -> None:
        """Forget a value; no error where there is none."""
        with self._asking():
            self._client.unlink(self._name(key))

    def clear(self, prefix: str = "") -> None:
        """Forget every value whose key starts with `prefix`."""
        with self._asking():
            for name in self._client.scan_iter(match=self._pattern(prefix), count=_SCAN_COUNT):
                self._client.unlink(name)

    def close(self) -> None:
        """Close the connections of synchronous calls. They are opened again when the store is used again."""
        if self._owns_client:
            self._client.close()

    async def aget(self, key: str) -> bytes | None:
        """`get` without blocking the event loop."""
        name = self._name(key)

        async def read(client: AsyncRedis) -> object:
            try:
                return await client.get(name)
            except errors.ResponseError as error:
                return _wrong_type(error)

        raw = await self._ask(read)
        if raw is None:
            return None
        entry = self._opened(name, raw)
        if entry is None:
            with suppress(StoreUnavailable):
                await self.adelete(key)
        return self._current(entry)

    async def aput(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """`put` without blocking the event loop."""
        sealed = self._sealed(key, value, ttl)
        if sealed is None:
            await self.adelete(key)
            return
        await self._ask(lambda client: client.set(self._name(key), sealed, px=_milliseconds(ttl)))

    async def adelete(self, key: str) -> None:
        """`delete` without blocking the event loop."""
        await self._ask(lambda client: client.unlink(self._name(key)))

    async def aclear(self, prefix: str = "") -> None:
        """`clear` without blocking the event loop."""
        lane = await self._lane()
        with self._asking():
            async for name in lane.client.scan_iter(match=self._pattern(prefix), count=_SCAN_COUNT):
                await lane.client.unlink(name)

    async def aclose(self) -> None:
        """Close the connections of this event loop. Without it they are closed when the loop shuts down."""
        lane = self._lanes.pop(asyncio.get_running_loop(), None)
        if lane is not None:
            await lane.lifetime.aclose()

    def _name(self, key: str) -> str:
        return f"{self._namespace}:{key}"

    def _pattern(self, prefix: str) -> str:
        return re.sub(r"([*?\[\]\\])", r"\\\1", self._name(prefix)) + "*"

    def _sealed(self, key: str, value: bytes, ttl: float | None) -> bytes | None:
        """What to keep; None where it has expired already."""
        expires = expiry(self._clock(), ttl)
        return None if expires is None else seal(self._name(key), value, expires, self._secret)

    def _opened(self, name: str, raw: object) -> Opened | None:
        entry = unseal(name, raw, self._secret)
        if entry is None:
            with self._lock:
                self.damaged += 1
        return entry

    def _current(self, entry: Opened | None) -> bytes | None:
        """The value, unless it has expired by our clock; the server's may differ."""
        return entry.payload if entry is not None and entry.expires > self._clock() else None

    @contextmanager
    def _asking(self, late_after: float = math.inf) -> Iterator[None]:
        """Ask the breaker, tell it how it went, and let nothing out but `StoreUnavailable` and cancellation.

        A failure that took more than `late_after` seconds says nothing about the server.
        """
        if not self._breaker.allow():
            raise StoreUnavailable(f"{self!r} did not answer lately; not asked")
        started = time.monotonic()
        # The cause is dropped: a server's refusal can quote the command, and with it the value.
        try:
            yield
        except _SILENT as error:
            if time.monotonic() - started <= late_after:
                self._breaker.failure()
            raise StoreUnavailable(f"{self!r} does not answer: {type(error).__name__}: {error}") from None
        except _REFUSED as error:
            self._breaker.success()
            raise StoreUnavailable(f"{self!r} refused: {type(error).__name__}") from None
        except RuntimeError as error:
            # What asyncio says of an application's client on another event loop than its own: not the server's fault.
            raise StoreUnavailable(f"{self!r} cannot be asked from here: {error}") from None
        self._breaker.success()

    async def _ask(self, command: Callable[[AsyncRedis], Awaitable[T]]) -> T:
        lane = await self._lane()
        async with lane.slots:
            # Where the event loop was held up by other work, every call in flight runs out of time at once.
            with self._asking(late_after=1.5 * self._timeout):
                async with asyncio.timeout(self._timeout):
                    return await command(lane.client)

    async def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            client = self._async_client or self._async_connected_later()
            lane = _Lane(client, asyncio.Semaphore(_CONNECTIONS_PER_LOOP), self._lifetime(loop, client))
            with self._lock:
                for closed in [other for other in self._lanes if other.is_closed()]:
                    del self._lanes[closed]
                self._lanes[loop] = lane
            await anext(lane.lifetime)
        return lane

    async def _lifetime(self, loop: asyncio.AbstractEventLoop, client: AsyncRedis) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._lanes.pop(loop, None)
            if client is not self._async_client:
                await client.aclose()

    def _connected_later(self) -> Redis:
        try:
            return Redis.from_url(
                self._url,
                protocol=2,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            # Not shown, and not its cause: the part that does not parse may be the password.
            raise ConfigError("the Redis URL cannot be read; escape the password with urllib.parse.quote") from None

    def _async_connected_later(self) -> AsyncRedis:
        return AsyncRedis.from_url(
            self._url,
            protocol=2,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            retry=AsyncRetry(NoBackoff(), 0),
        )


def _milliseconds(ttl: float | None) -> int | None:
    return None if ttl is None else math.ceil(min(ttl * 1000, _LONGEST_MS))


def _wrong_type(error: errors.ResponseError) -> bytes:
    """What no sealed value looks like, where the key holds something that is not a string; else the error."""
    if str(error).startswith("WRONGTYPE"):
        return b""
    raise error


def _address(client: Redis) -> str:
    where = client.get_connection_kwargs()
    if "path" in where:
        return f"unix://{where['path']}"
    return f"redis://{where.get('host', 'localhost')}:{where.get('port', 6379)}/{where.get('db', 0)}"
