"""From a URL to a store."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

# By name through the package, which loads a store's module, and so its driver, only when it is asked for.
from thrift_plugins import stores
from thrift_plugins.errors import ConfigError
from thrift_plugins.stores.accounts import Accounts
from thrift_plugins.stores.base import Clock, ScannedLog, Store

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)
_ONE_SERVER = ("redis", "rediss", "valkey", "valkeys")
_REDIS = (*_ONE_SERVER, "unix", *(f"{scheme}+{kind}" for scheme in _ONE_SERVER for kind in ("cluster", "sentinel")))
_FILES = "memory:, sqlite:///path or a plain path"


_DEFAULT = "thrift.db"
_MAX_BYTES = 1024 * 1024 * 1024


def home() -> Path:
    """Where files go by default: `THRIFT_HOME`, else `thrift-plugins` in the user's data directory. Not made here."""
    chosen = os.environ.get("THRIFT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "thrift-plugins"


def names_server(url: str) -> bool:
    """Whether a URL names a Redis-protocol server, and not a file or this process's memory."""
    return _scheme(url) in _REDIS


def open_store(
    url: str,
    *,
    clock: Clock = time.time,
    secret: str | bytes | None = None,
    encryption_key: str | bytes | None = None,
    max_bytes: int = _MAX_BYTES,
) -> Store:
    """The store that a URL names.

    Args:
        url: empty for the user's own file; `memory:`, `sqlite:///relative/path`, `sqlite:////absolute/path`, a plain path, `redis://`, `rediss://`,
            `valkey://`, `valkeys://` or `unix://`; `redis+cluster://host:port,host:port`,
            `redis+sentinel://host:port,host:port/service/db`.
        clock: seconds since the epoch.
        secret: what seals the entries. Redis takes it from `THRIFT_SECRET` where it is not given; a SQLite store
            makes its own.
        encryption_key: encrypts what is kept in a file or on a server; by default `THRIFT_ENCRYPTION_KEY`, if that is set.
        max_bytes: bound on a SQLite store's file. A server has its own, and a store in memory a smaller one.

    Raises:
        ConfigError: an unknown scheme, or a setting that cannot work.
        StoreCorrupt: the file is not ours or is damaged.
        StoreUnavailable: the file cannot be made or opened.
    """
    scheme = _scheme(url)
    key = encryption_key or os.environ.get("THRIFT_ENCRYPTION_KEY")
    if scheme == "memory":
        return stores.MemoryStore(clock=clock)
    if scheme in ("", "sqlite"):
        return stores.SQLiteStore(_path(url), clock=clock, secret=secret, max_bytes=max_bytes, encryption_key=key)
    if scheme in _REDIS:
        secret = secret or os.environ.get("THRIFT_SECRET")
        return stores.RedisStore(url, clock=clock, secret=secret, encryption_key=key)
    raise ConfigError(f"no store has the scheme {scheme!r}; known: {_FILES}, {', '.join(f'{s}://' for s in _REDIS)}")


def open_event_log(url: str, *, must_exist: bool = False) -> ScannedLog:
    """The event log that a URL names: `memory:`, `sqlite:///path` or a plain path; or a server, see `RedisEventLog`.

    Args:
        must_exist: refuse a file that is not there, instead of making it.

    Raises:
        ConfigError: an unknown scheme, or there is no such file.
        StoreCorrupt: the file is not ours or is damaged.
        StoreUnavailable: the file cannot be made or opened.
    """
    scheme = _scheme(url)
    if scheme == "memory":
        return stores.MemoryEventLog()
    if scheme in ("", "sqlite"):
        path = _path(url)
        if must_exist and not Path(path).expanduser().is_file():
            raise ConfigError(f"there is no ledger at {path}")
        return stores.SQLiteEventLog(path)
    if scheme in _REDIS:
        return stores.RedisEventLog(url)
    raise ConfigError(
        f"no event log has the scheme {scheme!r}; known: {_FILES}, {', '.join(f'{s}://' for s in _REDIS)}"
    )


def open_accounts(url: str, *, clock: Clock = time.time) -> Accounts:
    """The accounts of budgets that a URL names.

    Args:
        url: as for `open_store`; see `accounts_beside`.
        clock: seconds since the epoch. A server has its own.

    Raises:
        ConfigError: an unknown scheme, or a setting that cannot work.
        StoreCorrupt: the file is not ours or is damaged.
        StoreUnavailable: the file cannot be made or opened.
    """
    scheme = _scheme(url)
    if scheme == "memory":
        return stores.MemoryAccounts(clock=clock)
    if scheme in ("", "sqlite"):
        return stores.SQLiteAccounts(_path(url), clock=clock)
    if scheme in _REDIS:
        return stores.RedisAccounts(url)
    raise ConfigError(
        f"no accounts have the scheme {scheme!r}; known: {_FILES}, {', '.join(f'{s}://' for s in _REDIS)}"
    )


def accounts_beside(url: str) -> str:
    """Where the accounts of a store's app are kept by default: with the store, but in a file of their own.

    Of its own, because whoever writes a file keeps all others waiting.
    """
    return _beside(url, "budgets") if _scheme(url) in ("", "sqlite") else url


def ledger_beside(url: str) -> str:
    """Where the ledger of a store's app is kept by default: in memory with the store, or in a file of its own.

    Of its own, because a batch of events holds SQLite's one writer's place for longer than an answer may wait.
    """
    scheme = _scheme(url)
    if scheme == "memory":
        return url
    return _beside(url if scheme in ("", "sqlite") else "", "ledger")


def students_beside(url: str) -> str:
    """Where an app's recorded answers and students are by default: a folder beside the store's file, or in that of all files."""
    scheme = _scheme(url)
    return str(Path(_path(url if scheme in ("", "sqlite") else "")).with_name("students"))


def questions_beside(url: str) -> str:
    """The file in which an app's questions are written down for its router, where the students' folder is."""
    return str(Path(students_beside(url)).with_name("questions.jsonl"))


def _beside(url: str, what: str) -> str:
    file = Path(_path(url))
    return str(file.with_name(f"{file.stem}-{what}{file.suffix}"))


def _scheme(url: str) -> str:
    """In small letters; empty for a plain path. One letter and a colon are a drive."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _path(url: str) -> str:
    if not url:
        return str(home() / _DEFAULT)
    if not _scheme(url):
        return url
    prefix = "sqlite:///"
    if not url.lower().startswith(prefix) or len(url) == len(prefix):
        raise ConfigError("a SQLite URL is sqlite:/// and a path, with a fourth slash where the path is absolute")
    return url[len(prefix) :]
