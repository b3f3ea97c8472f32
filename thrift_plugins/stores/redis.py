"""Entries in Redis, Valkey, or a service that speaks their protocol: few commands, short waits, no waiting in an outage."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator

from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.base import Claim, Clock, Entry, Records
from thrift_plugins.stores.envelope import Sealer
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.redis_claims import Heart
from thrift_plugins.stores.redis_steps import Commands

_HOW_TO_SEAL = (
    "a Redis store needs a secret, the same in every process, so that nobody else can plant an answer: set THRIFT_SECRET"
    ' or pass secret=; make one with: python -c "import secrets; print(secrets.token_hex(32))"'
)


class RedisStore(Asking):
    """Entries on Redis-protocol servers, sealed with a secret that they never see. Threads, forks, loops.

    A server that does not answer costs one call `timeout` seconds, once: from then on it is asked in the background
    alone, every second or more often, and nobody waits for it. On a cluster, only the part that is silent is left alone.
    A server that refuses a command is not silent: where it is full or a replica, hits go on.

    What must happen in one step is a Lua script. A server that runs none refuses `put` with tags, `asked` or a claim,
    and so do `delete`, `forget`, `release`, `publish` and `since`: the answers are given, and none is kept.

    Args:
        url: see `redis_url`.
        secret: the same in every process, 16 bytes or more.
        clock: seconds since the epoch.
        timeout: seconds to wait for an answer; `socket_timeout` in the URL goes before it.
        namespace: goes before every key.
        encryption_key: encrypts what is written, where the server's operators are not to read it.
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
        timeout: float = 0.04,
        namespace: str = "tp1",
        encryption_key: str | bytes | None = None,
        client: Redis | RedisCluster | None = None,
        async_client: AsyncRedis | AsyncRedisCluster | None = None,
    ) -> None:
        if not secret:
            raise ConfigError(_HOW_TO_SEAL)
        self.damaged = 0
        super().__init__(url, timeout, client, async_client)
        self._space = ("redis", namespace, *(self._place.space if client is None else (id(client),)))
        self._commands = Commands(
            namespace, Sealer(secret, encryption_key), clock, clustered=self._wire.clustered, on_damage=self._damage
        )
        self._heart = Heart(lambda claim: self._do(self._commands.extend(claim)))

    @property
    def space(self) -> Hashable:
        """The servers, the database and the namespace."""
        return self._space

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none, it has expired, or it is damaged. One round trip."""
        return self._do(self._commands.get(key))

    def put(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """See `Store`. One round trip, on a cluster another one where `asked` is given."""
        if claim is not None:
            self._heart.drop(claim)
        return self._do(self._commands.put(key, value, ttl, tags, asked, claim))

    def delete(self, key: str) -> None:
        """Forget a value, and leave a mark; no error where there is none."""
        self._do(self._commands.delete(key))

    def forget(self, tag: str, prefix: str = "") -> int:
        """See `Store`. Where `prefix` names no tenant, every name on every server is looked at."""
        return self._do(self._commands.forget(tag, prefix))

    def clear(self, prefix: str = "") -> None:
        """See `Store`. Every name on every server is looked at."""
        self._do(self._commands.clear(prefix))

    def claim(self, key: str) -> Claim | None:
        """See `Store`. A claim ends three seconds after its process."""
        claim = Claim(key, os.urandom(8).hex())
        if not self._do(self._commands.claim(key, claim.token)):
            return None
        self._heart.hold(claim)
        return claim

    def release(self, claim: Claim) -> None:
        """Let others have it. Idempotent, and no error where the claim was lost."""
        self._heart.drop(claim)
        self._do(self._commands.release(claim))

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `Store`."""
        for node in self._do(self._commands.each_node()):
            cursor = 0
            while True:
                cursor, entries = self._do(self._commands.page(node, cursor, prefix))
                yield from entries
                if not cursor:
                    break

    def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """See `Store`."""
        self._do(self._commands.publish(channel, data, ttl))

    def since(self, channel: str, cursor: str, limit: int) -> Records:
        """See `Store`."""
        return self._do(self._commands.since(channel, cursor, limit))

    def close(self) -> None:
        """Close the connections of synchronous calls. They are opened again when the store is used again."""
        self._heart.stop()
        super().close()

    async def aget(self, key: str) -> bytes | None:
        """`get` without blocking the event loop."""
        return await self._ado(self._commands.get(key))

    async def aput(
        self,
        key: str,
        value: bytes,
        ttl: float | None = None,
        *,
        tags: tuple[str, ...] = (),
        asked: float | None = None,
        claim: Claim | None = None,
    ) -> bool:
        """`put` without blocking the event loop."""
        if claim is not None:
            self._heart.drop(claim)
        return await self._ado(self._commands.put(key, value, ttl, tags, asked, claim))

    async def adelete(self, key: str) -> None:
        """`delete` without blocking the event loop."""
        await self._ado(self._commands.delete(key))

    async def aforget(self, tag: str, prefix: str = "") -> int:
        """`forget` without blocking the event loop."""
        return await self._ado(self._commands.forget(tag, prefix))

    async def aclear(self, prefix: str = "") -> None:
        """`clear` without blocking the event loop."""
        await self._ado(self._commands.clear(prefix))

    async def aclaim(self, key: str) -> Claim | None:
        """`claim` without blocking the event loop."""
        claim = Claim(key, os.urandom(8).hex())
        if not await self._ado(self._commands.claim(key, claim.token)):
            return None
        self._heart.hold(claim)
        return claim

    async def arelease(self, claim: Claim) -> None:
        """`release` without blocking the event loop."""
        self._heart.drop(claim)
        await self._ado(self._commands.release(claim))

    async def apublish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
        """`publish` without blocking the event loop."""
        await self._ado(self._commands.publish(channel, data, ttl))

    async def asince(self, channel: str, cursor: str, limit: int) -> Records:
        """`since` without blocking the event loop."""
        return await self._ado(self._commands.since(channel, cursor, limit))

    def _damage(self) -> None:
        with self._lock:
            self.damaged += 1
