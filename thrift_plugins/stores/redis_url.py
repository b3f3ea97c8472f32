"""From a URL to the servers it names: one, a Sentinel's master, or a cluster; and to clients for them.

    redis://user:password@host:port/db          rediss:// with TLS, unix:///path for a socket file
    redis+cluster://user:password@host:port,host:port
    redis+sentinel://user:password@host:port,host:port/service/db

`valkey` may stand for `redis`, `rediss+cluster` and `rediss+sentinel` are with TLS. Options follow a question mark, as
redis-py names them (`ssl_ca_certs=...`); a Sentinel's own login is `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeAlias

from redis import asyncio as aio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import ConnectionPool as AsyncPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelPool
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.redis_wire import Address, Cluster, Server, Wire, timed

AsyncClient: TypeAlias = "aio.Redis | RedisCluster"

_SEVERAL = re.compile(r"(rediss?)\+(cluster|sentinel)://(?:([^@/?]*)@)?([^/?@]+)(/[^?]*)?(\?.*)?", re.IGNORECASE)
_PORTS = {"cluster": 6379, "sentinel": 26379}
_AGAIN = 0
"""Tries after the first: the store has its own, and no time."""


class Place(NamedTuple):
    """What a URL says.

    Attributes:
        kind: "server", "cluster" or "sentinel".
        seeds: where to ask first; empty for one server.
        options: of a connection, without host and port where there are seeds.
        service: which of a Sentinel's masters.
        guard: options of a connection to a Sentinel.
        url: what redis-py reads.
    """

    kind: str
    seeds: list[Address]
    options: dict[str, Any]
    service: str
    guard: dict[str, Any]
    url: str

    @property
    def space(self) -> tuple[object, ...]:
        """Equal for the same servers and database."""
        named = self.options
        where = self.seeds or [named.get("path") or (named.get("host", "localhost"), named.get("port", 6379))]
        return (*where, self.service, named.get("db", 0))

    @property
    def shown(self) -> str:
        """Without login."""
        if self.seeds:
            return f"redis+{self.kind}://{','.join(f'{host}:{port}' for host, port in self.seeds)}"
        if "path" in self.options:
            return f"unix://{self.options['path']}"
        options = self.options
        return f"redis://{options.get('host', 'localhost')}:{options.get('port', 6379)}/{options.get('db', 0)}"


def parse(url: str, timeout: float) -> Place:
    """What a URL says, with `timeout` seconds for each wait where it does not say otherwise.

    Raises:
        ConfigError: it cannot be read, or its answers would not be bytes.
    """
    plain = re.sub("^valkey", "redis", url, flags=re.IGNORECASE)
    try:
        place = _several(plain) or Place("server", [], dict(parse_url(plain)), "", {}, plain)
    except ValueError:
        # Not shown, and not its cause: the part that does not parse may be the password.
        raise ConfigError("the Redis URL cannot be read; escape the password with urllib.parse.quote") from None
    if place.options.get("decode_responses"):
        raise ConfigError("a Redis store needs a client with decode_responses=False: its values are bytes")
    for options in (place.options, place.guard):
        options.setdefault("socket_timeout", timeout)
        options.setdefault("socket_connect_timeout", timeout)
        options.setdefault("protocol", 2)
    return place


def wire(place: Place) -> Wire:
    """Connections for synchronous calls, made when they are needed."""
    timeout = place.options["socket_timeout"]
    options = {**place.options, "retry": Retry(NoBackoff(), _AGAIN)}
    match place.kind:
        case "cluster":
            return Cluster(place.seeds, options, timeout)
        case "sentinel":
            guard = {**place.guard, "retry": Retry(NoBackoff(), _AGAIN)}
            sentinel = Sentinel(place.seeds, sentinel_kwargs=guard)
            for client in sentinel.sentinels:
                timed(client.connection_pool)
            secured = options.pop("connection_class", None) is SSLConnection
            return Server(SentinelConnectionPool(place.service, sentinel, ssl=secured, **options), timeout)
        case _:
            return Server(ConnectionPool(**options), timeout)


def async_client(place: Place) -> AsyncClient:
    """A client for one event loop."""
    shared = {name: value for name, value in place.options.items() if name != "connection_class"}
    shared["retry"] = AsyncRetry(NoBackoff(), _AGAIN)
    secured = place.options.get("connection_class") is SSLConnection
    match place.kind:
        case "cluster":
            nodes = [ClusterNode(host, port) for host, port in place.seeds]
            return RedisCluster(startup_nodes=nodes, ssl=secured, **shared)
        case "sentinel":
            guard = {**place.guard, "retry": AsyncRetry(NoBackoff(), _AGAIN)}
            sentinel = AsyncSentinel(place.seeds, sentinel_kwargs=guard)
            return aio.Redis.from_pool(AsyncSentinelPool(place.service, sentinel, ssl=secured, **shared))
        case _:
            return aio.Redis.from_pool(AsyncPool.from_url(place.url, **shared))


async def aclose(client: AsyncClient) -> None:
    """Close a client of `async_client`, and those of the Sentinels that it asks: the driver leaves them open."""
    await client.aclose()
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()


def _several(url: str) -> Place | None:
    """The servers of a cluster or of a Sentinel; None where the URL names one server."""
    if "+" not in url.partition(":")[0]:
        return None
    found = _SEVERAL.fullmatch(url)
    if found is None:
        raise ValueError(url)
    scheme, kind, login, hosts, path, query = found.groups(default="")
    kind = kind.lower()
    service, _, database = path.strip("/").partition("/") if kind == "sentinel" else ("", "", "")
    if kind == "sentinel" and not service:
        raise ConfigError("a Sentinel URL ends with the name of its service: redis+sentinel://host:26379/mymaster")
    base = f"{scheme}://{login}@" if login else f"{scheme}://"
    seeds: list[Address] = []
    for host in hosts.split(","):
        named = parse_url(f"{base}{host}")
        seeds.append((named["host"], named.get("port", _PORTS[kind])))
    options = dict(parse_url(f"{base}{hosts.split(',')[0]}/{database}{query}"))
    for name in ("host", "port"):
        options.pop(name, None)
    guard = {
        name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options
    }
    if options.get("connection_class") is SSLConnection:
        guard |= {"ssl": True, **{name: value for name, value in options.items() if name.startswith("ssl_")}}
    return Place(kind, seeds, options, service, guard, "")
