"""Whether the store keeps what it is given, and who may read it."""

from __future__ import annotations

import re
import secrets
import stat
from collections.abc import Iterator, Mapping

from thrift_plugins.cli.checks.finding import Finding, State
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError, StoreError
from thrift_plugins.stores import SQLiteStore, Store, open_store

_AREA = "store"
_PROBE_SECONDS = 60.0
_PATIENCE = 2.0  # seconds for a server to tell its version

# The first safe patch of each branch; later branches are safe, branches that are not listed never were.
_CVE = "CVE-2025-49844"
_SAFE: Mapping[str, Mapping[tuple[int, int], int]] = {
    "Redis": {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2},
    "Valkey": {(7, 2): 11, (8, 0): 6, (8, 1): 4},
}


def store(config: Config) -> Iterator[Finding]:
    """Opens the store, and writes, reads and deletes a key of its own."""
    try:
        opened = open_store(config.store)
    except (ConfigError, StoreError) as error:
        yield Finding(_AREA, "open", str(error), State.wrong)
        return
    try:
        yield _probe(opened)
        if isinstance(opened, SQLiteStore):
            yield _readers(opened)
        elif opened.kind == "redis":
            yield from _server(config.store)
        else:
            yield Finding(_AREA, "lifetime", "in memory: gone with each process, and shared with none", State.note)
    finally:
        opened.close()


def _probe(opened: Store) -> Finding:
    key, value = f"{{-}}:doctor-{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        opened.put(key, value, _PROBE_SECONDS)
        found = opened.get(key)
        opened.put(key, b"", 0)  # gone, without the mark that forgetting leaves
    except StoreError as error:
        return Finding(_AREA, "write and read", f"{error}; calls are made without a cache meanwhile", State.wrong)
    if found != value:
        return Finding(_AREA, "write and read", f"{opened!r} gave back something else", State.wrong)
    return Finding(_AREA, "write and read", f"{opened!r} works")


def _readers(opened: SQLiteStore) -> Finding:
    found = opened.path.stat()
    mode = stat.S_IMODE(found.st_mode)
    told = f"mode {mode:03o}, {found.st_size / 1_048_576:.1f} MB"
    if mode & 0o077:
        return Finding(_AREA, "file", f"{told}: others may read the answers; chmod 600 '{opened.path}'", State.wrong)
    return Finding(_AREA, "file", f"{told}, readable by its owner alone")


def _server(url: str) -> Iterator[Finding]:
    """Of a cluster, each finding once, however many of its servers it is true of."""
    try:
        told = _info(url)
    except Exception as error:  # noqa: BLE001 - managed services refuse INFO in ways of their own
        yield Finding(_AREA, "server", f"does not tell its version ({type(error).__name__})", State.note)
        return
    yield from dict.fromkeys(_release(info) for info in told)
    yield from dict.fromkeys(_memory(info) for info in told)


def _release(info: Mapping[str, str]) -> Finding:
    if "valkey_version" in info:
        return release("Valkey", info["valkey_version"])
    return release("Redis", info.get("redis_version", ""))


def _memory(info: Mapping[str, str]) -> Finding:
    limit, policy = int(info.get("maxmemory", 0)), info.get("maxmemory_policy", "unknown")
    if limit and policy == "noeviction":
        told = "noeviction: once it is full no answer is kept any more; use volatile-lru, which spares budgets"
        return Finding(_AREA, "memory", told, State.note)
    return Finding(_AREA, "memory", f"{f'{limit / 1_048_576:.0f} MB' if limit else 'no limit'}, {policy}")


def _info(url: str) -> list[Mapping[str, str]]:
    """What each server says of itself, by field."""
    from thrift_plugins.stores.redis_url import parse, wire

    servers = wire(parse(url, _PATIENCE))
    try:
        return [_fields(node.ask(("INFO",))) for node in servers.nodes()]
    finally:
        servers.close()


def _fields(told: object) -> Mapping[str, str]:
    lines = told.decode(errors="replace").splitlines() if isinstance(told, bytes) else []
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def release(name: str, version: str) -> Finding:
    """Whether a server's version has the repair of a hole that lets a client run code on it.

    Args:
        name: "Redis" or "Valkey".
        version: like "7.2.11".
    """
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        return Finding(_AREA, "server", f"{name} {version or 'of an unknown version'}", State.note)
    major, minor, patch = map(int, numbers.groups())
    branches = _SAFE[name]
    first_safe = branches.get((major, minor))
    if (major, minor) > max(branches) or (first_safe is not None and patch >= first_safe):
        return Finding(_AREA, "server", f"{name} {version}")
    fix = f"{major}.{minor}.{first_safe}" if first_safe is not None else "a supported branch"
    told = f"{name} {version} is open to {_CVE}, unless its distributor has patched it; upgrade to {fix} or later"
    return Finding(_AREA, "server", told, State.note)
