"""What each of a Redis store's methods asks the servers, step by step, for synchronous and asynchronous calls alike.

A method is a generator: it yields commands and is sent their replies, or thrown what became of them. Names on the server:

    tp1:{tenant}:key          an entry, sealed
    tp1~c:{tenant}:key        the claim to make its call: a token
    tp1~k:{tenant}:key        a mark: the key was deleted
    tp1~t:{tenant}:tag        the keys that have a tag, by expiry; a tag is shown by its digest alone
    tp1~f:{tenant}:tag        a mark: the tag was forgotten, or without a tag all of the tenant
    tp1~f:{*}:tag             the same for all tenants
    tp1~s:channel             a feed, as a stream of sealed records

A tenant's names are in one slot of a cluster. What concerns all tenants is in another, so on a cluster a put looks there
afterwards: the forgetting marks first and removes then, so either the one sees the mark or the other finds the entry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias, TypeVar

from redis import exceptions as errors

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores.base import MARK_TTL, Claim, Clock, Entry, Records
from thrift_plugins.stores.envelope import Opened, Sealer, expiry
from thrift_plugins.stores.redis_claims import LEASE_MS
from thrift_plugins.stores.redis_scripts import EXTEND, MARK, PUBLISH, PUT, RELEASE, SINCE, Script
from thrift_plugins.stores.redis_wire import Word

T = TypeVar("T")


class Ask(NamedTuple):
    """A command, and the server to ask; None for the one that has the command's key."""

    words: tuple[Word, ...]
    node: object = None


class EachNode(NamedTuple):
    """Give the servers that together have every key."""


Effect: TypeAlias = Ask | EachNode
Steps: TypeAlias = Generator[Effect, Any, T]

_ALL = "{*}"
_PAGE = 500
_RECORDS = 10_000
"""Kept in a feed, give or take a hundred."""
_LONGEST_MS = 10**14
"""About 3,000 years: Redis refuses an expiry that overflows its own clock."""


class Commands:
    """The methods of a store, on servers that are nobody's business here.

    Args:
        namespace: goes before every name.
        sealer: seals entries and records.
        clock: seconds since the epoch.
        clustered: whether names without a common `{tenant}` are on different servers.
        on_damage: told of every value that does not open.
    """

    def __init__(
        self, namespace: str, sealer: Sealer, clock: Clock, *, clustered: bool, on_damage: Callable[[], None]
    ) -> None:
        self._namespace = namespace
        self._sealer = sealer
        self._clock = clock
        self._clustered = clustered
        self._on_damage = on_damage

    def get(self, key: str) -> Steps[bytes | None]:
        """See `Store.get`."""
        name = f"{self._namespace}:{key}"
        try:
            raw = yield Ask(("GET", name))
        except errors.ResponseError as error:
            # Where the key holds something that is not a string: no sealed value looks like this.
            if not str(error).startswith("WRONGTYPE"):
                raise
            raw = b""
        if raw is None:
            return None
        entry = self._opened(name, raw)
        if entry is None:
            yield from _quietly(Ask(("UNLINK", name)))
            return None
        # By our clock; the server's may differ.
        return entry.payload if entry.expires > self._clock() else None

    def put(
        self, key: str, value: bytes, ttl: float | None, tags: Sequence[str], asked: float | None, claim: Claim | None
    ) -> Steps[bool]:
        """See `Store.put`."""
        name = f"{self._namespace}:{key}"
        expires = expiry(self._clock(), ttl)
        if expires is None:
            yield Ask(("UNLINK", name))
            if claim is not None:
                yield from self.release(claim)
            return False
        sealed = self._sealer.seal(name, value, expires, written=self._clock(), tags=tuple(tags))
        if not tags and asked is None and claim is None:
            yield Ask(("SET", name, sealed) if ttl is None else ("SET", name, sealed, "PX", _milliseconds(ttl)))
            return True
        everywhere = [self._mark(_ALL), *(self._mark(_ALL, tag) for tag in tags)]
        tenant = _tenant(key)
        marks: list[str] = []
        if asked is not None:
            marks = [f"{self._namespace}~k:{key}", self._mark(tenant), *(self._mark(tenant, tag) for tag in tags)]
            marks += [] if self._clustered else everywhere
        kept = yield from run(
            PUT,
            (name, self._claim(key), *marks, *(self._tagged(tenant, tag) for tag in tags)),
            sealed,
            "" if ttl is None else _milliseconds(ttl),
            "" if claim is None else claim.token,
            "" if asked is None else _microseconds(asked),
            "" if asked is None else _microseconds(max(self._clock() - asked, 0.0)),
            len(marks),
            key,
        )
        if kept and asked is not None and self._clustered:
            return (yield from self._still_wanted(name, everywhere, asked))
        return bool(kept)

    def delete(self, key: str) -> Steps[None]:
        """See `Store.delete`. The claim goes too: whose call is on its way would not answer for what is asked now."""
        yield from self._leave(f"{self._namespace}~k:{key}", f"{self._namespace}:{key}", self._claim(key))

    def forget(self, tag: str, prefix: str) -> Steps[int]:
        """See `Store.forget`."""
        tenant = _tenant(prefix)
        if tenant:
            yield from self._leave(self._mark(tenant, tag))
            return (yield from self._forget_tagged(self._tagged(tenant, tag), tag, prefix))
        yield from self._leave(self._mark(_ALL, tag))
        found = 0

        def forget(names: list[str]) -> Steps[None]:
            nonlocal found
            for name in names:
                found += yield from self._forget_tagged(name, tag, prefix)

        yield from self._each_page(f"{_literally(f'{self._namespace}~t:{prefix}')}*:{self._digest(tag)}", forget)
        return found

    def clear(self, prefix: str) -> Steps[None]:
        """See `Store.clear`. Feeds, claims and tags go with the entries."""
        tenant = _tenant(prefix)
        if not prefix:
            yield from self._leave(self._mark(_ALL))
        elif prefix == f"{tenant}:":
            yield from self._leave(self._mark(tenant))
        ours = tuple(f"{self._namespace}{kind}:{prefix}" for kind in ("", "~c", "~s", "~t"))

        def remove(names: list[str]) -> Steps[None]:
            yield from self._unlink(name for name in names if name.startswith(ours))

        yield from self._each_page(f"{_literally(self._namespace)}*:{_literally(prefix)}*", remove)

    def claim(self, key: str, token: str) -> Steps[bool]:
        """Whether the claim is this token's now."""
        return (yield Ask(("SET", self._claim(key), token, "NX", "PX", LEASE_MS))) is not None

    def release(self, claim: Claim) -> Steps[None]:
        """See `Store.release`."""
        yield from run(RELEASE, (self._claim(claim.key),), claim.token)

    def extend(self, claim: Claim) -> Steps[bool]:
        """Keep a claim alive for another lease; False where it is lost."""
        return bool((yield from run(EXTEND, (self._claim(claim.key),), claim.token, LEASE_MS)))

    def publish(self, channel: str, data: bytes, ttl: float | None) -> Steps[None]:
        """See `Store.publish`."""
        name = f"{self._namespace}~s:{channel}"
        expires = expiry(self._clock(), ttl)
        if expires is not None:
            lives = "" if ttl is None else _milliseconds(ttl)
            yield from run(
                PUBLISH, (name,), self._sealer.seal(name, data, expires, written=self._clock()), _RECORDS, lives
            )

    def since(self, channel: str, cursor: str, limit: int) -> Steps[Records]:
        """See `Store.since`."""
        name = f"{self._namespace}~s:{channel}"
        records: Records = []
        while len(records) < limit:
            asked = limit - len(records)
            flat = yield from run(SINCE, (name,), f"({cursor}" if cursor else "-", asked)
            for place, raw in zip(flat[::2], flat[1::2], strict=True):
                cursor = place.decode()
                opened = self._opened(name, raw)
                if opened is not None and opened.expires > self._clock():
                    records.append((cursor, opened.payload))
            if len(flat) < 2 * asked:
                break
        return records

    def page(self, node: object, cursor: int, prefix: str) -> Steps[tuple[int, list[Entry]]]:
        """Some of a server's entries, and where to go on; 0 at the end."""
        following, names = yield from self._names(node, cursor, f"{_literally(f'{self._namespace}:{prefix}')}*")
        entries = []
        for some in self._together(names):
            for name, raw in zip(some, (yield Ask(("MGET", *some))), strict=True):
                opened = None if raw is None else self._opened(name, raw)
                if opened is not None and opened.expires > self._clock():
                    key = name[len(self._namespace) + 1 :]
                    entries.append(Entry(key, opened.payload, opened.expires, opened.tags, opened.written))
        return following, entries

    def each_node(self) -> Steps[Sequence[object]]:
        """The servers that together have every key."""
        nodes: Sequence[object] = yield EachNode()
        return nodes

    def _still_wanted(self, name: str, marks: list[str], asked: float) -> Steps[bool]:
        """Whether nothing was forgotten everywhere since it was asked; else the entry is removed again."""
        for mark in (yield Ask(("MGET", *marks))):
            if mark is not None and float(mark.split()[1]) >= asked * 1e6:
                yield Ask(("UNLINK", name))
                return False
        return True

    def _forget_tagged(self, tagged: str, tag: str, prefix: str) -> Steps[int]:
        """Remove what the set of a tag names. A key that was put again without the tag is still in the set."""
        found = start = 0
        while members := (yield Ask(("ZRANGE", tagged, start, start + _PAGE - 1))):
            keys = [member.decode() for member in members]
            gone = [key for key in keys if key.startswith(prefix)]
            start += len(keys) - len(gone)
            if gone:
                names = [f"{self._namespace}:{key}" for key in gone]
                kept = yield Ask(("MGET", *names))
                names = [name for name, raw in zip(names, kept, strict=True) if self._has(name, raw, tag)]
                if names:
                    found += yield Ask(("UNLINK", *names))
                yield Ask(("ZREM", tagged, *gone))
        return found

    def _has(self, name: str, raw: bytes | None, tag: str) -> bool:
        opened = None if raw is None else self._sealer.unseal(name, raw)
        return opened is not None and tag in opened.tags

    def _leave(self, mark: str, *gone: str) -> Steps[None]:
        yield from run(MARK, (mark, *gone), _microseconds(self._clock()), int(MARK_TTL * 1000))

    def _each_page(self, pattern: str, do: Callable[[list[str]], Steps[None]]) -> Steps[None]:
        for node in (yield EachNode()):
            cursor = 0
            while True:
                cursor, names = yield from self._names(node, cursor, pattern)
                yield from do(names)
                if not cursor:
                    break

    def _names(self, node: object, cursor: int, pattern: str) -> Steps[tuple[int, list[str]]]:
        reply = yield Ask(("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE), node)
        return int(reply[0]), [name.decode("ascii", "replace") for name in reply[1]]

    def _unlink(self, names: Iterable[str]) -> Steps[None]:
        for some in self._together(names):
            yield Ask(("UNLINK", *some))

    def _together(self, names: Iterable[str]) -> list[list[str]]:
        """Names that one command may have."""
        if not self._clustered:
            every = list(names)
            return [every] if every else []
        return [list(some) for _, some in groupby(sorted(names, key=_slot_tag), key=_slot_tag)]

    def _claim(self, key: str) -> str:
        return f"{self._namespace}~c:{key}"

    def _mark(self, tenant: str, tag: str | None = None) -> str:
        return f"{self._namespace}~f:{tenant}:{'' if tag is None else self._digest(tag)}"

    def _tagged(self, tenant: str, tag: str) -> str:
        return f"{self._namespace}~t:{tenant}:{self._digest(tag)}"

    def _digest(self, tag: str) -> str:
        # Keyed: a tag may be a customer's name, and the server is not to learn it.
        return self._sealer.name(tag).hex()

    def _opened(self, name: str, raw: object) -> Opened | None:
        entry = self._sealer.unseal(name, raw)
        if entry is None:
            self._on_damage()
        return entry


def run(script: Script, names: Sequence[str], *values: Word) -> Steps[Any]:
    """What a script answers, told to the server first where it does not know it."""
    words = (len(names), *names, *values)
    try:
        return (yield Ask(("EVALSHA", script.sha, *words)))
    except errors.NoScriptError:
        return (yield Ask(("EVAL", script.text, *words)))


def each_info(section: str) -> Steps[list[dict[str, str]]]:
    """A section of what each server tells of itself."""
    infos = []
    for node in (yield EachNode()):
        told = yield Ask(("INFO", section), node)
        # A client of the application's own has its own idea of a reply.
        if not isinstance(told, dict):
            told = dict(line.split(":", 1) for line in told.decode().split() if ":" in line)
        infos.append({str(name): str(value) for name, value in told.items()})
    return infos


def _quietly(ask: Ask) -> Steps[None]:
    try:
        yield ask
    except (StoreUnavailable, errors.RedisError):
        return


def _tenant(key: str) -> str:
    """`{tenant}` where a key starts with one, else nothing."""
    found = re.match(r"\{[^}]+\}(?=:)", key)
    return found[0] if found else ""


def _slot_tag(name: str) -> str:
    """By what a cluster places a name."""
    found = re.search(r"\{([^}]+)\}", name)
    return found[1] if found else name


def _literally(text: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _milliseconds(ttl: float) -> int:
    return math.ceil(min(ttl * 1000, _LONGEST_MS))


def _microseconds(seconds: float) -> int:
    return int(seconds * 1e6)
