"""Stores of bytes that expire, and logs of events: in memory, in a SQLite file, on a Redis-protocol server.

Names are loaded when they are first used, so that nobody pays for a driver that they do not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thrift_plugins.stores.accounts import Accounts
    from thrift_plugins.stores.accounts_local import LocalSlices
    from thrift_plugins.stores.accounts_memory import MemoryAccounts
    from thrift_plugins.stores.accounts_redis import RedisAccounts
    from thrift_plugins.stores.accounts_sqlite import SQLiteAccounts
    from thrift_plugins.stores.base import Clock, EventLog, ScannedLog, Store
    from thrift_plugins.stores.eventlog import MemoryEventLog, SQLiteEventLog
    from thrift_plugins.stores.eventlog_redis import RedisEventLog
    from thrift_plugins.stores.memory import MemoryStore
    from thrift_plugins.stores.open import (
        accounts_beside,
        home,
        ledger_beside,
        open_accounts,
        open_event_log,
        open_store,
    )
    from thrift_plugins.stores.redis import RedisStore
    from thrift_plugins.stores.sqlite import SQLiteStore

_MODULES = {
    "Accounts": "accounts",
    "Clock": "base",
    "EventLog": "base",
    "LocalSlices": "accounts_local",
    "MemoryAccounts": "accounts_memory",
    "MemoryEventLog": "eventlog",
    "MemoryStore": "memory",
    "RedisAccounts": "accounts_redis",
    "RedisEventLog": "eventlog_redis",
    "RedisStore": "redis",
    "ScannedLog": "base",
    "SQLiteAccounts": "accounts_sqlite",
    "SQLiteEventLog": "eventlog",
    "SQLiteStore": "sqlite",
    "Store": "base",
    "accounts_beside": "open",
    "home": "open",
    "ledger_beside": "open",
    "open_accounts": "open",
    "open_event_log": "open",
    "open_store": "open",
}

__all__ = [
    "Accounts",
    "Clock",
    "EventLog",
    "LocalSlices",
    "MemoryAccounts",
    "MemoryEventLog",
    "MemoryStore",
    "RedisAccounts",
    "RedisEventLog",
    "RedisStore",
    "SQLiteAccounts",
    "SQLiteEventLog",
    "SQLiteStore",
    "ScannedLog",
    "Store",
    "accounts_beside",
    "home",
    "ledger_beside",
    "open_accounts",
    "open_event_log",
    "open_store",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
