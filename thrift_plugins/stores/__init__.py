"""Stores of bytes that expire, and logs of events: in memory, in a SQLite file, on a Redis-protocol server.

Names are loaded when they are first used, so that nobody pays for a driver that they do not use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thrift_plugins.stores.base import Clock, EventLog, Store
    from thrift_plugins.stores.eventlog import MemoryEventLog, SQLiteEventLog
    from thrift_plugins.stores.memory import MemoryStore
    from thrift_plugins.stores.open import home, ledger_beside, open_event_log, open_store
    from thrift_plugins.stores.redis import RedisStore
    from thrift_plugins.stores.sqlite import SQLiteStore

_MODULES = {
    "Clock": "base",
    "EventLog": "base",
    "MemoryEventLog": "eventlog",
    "MemoryStore": "memory",
    "RedisStore": "redis",
    "SQLiteEventLog": "eventlog",
    "SQLiteStore": "sqlite",
    "Store": "base",
    "home": "open",
    "ledger_beside": "open",
    "open_event_log": "open",
    "open_store": "open",
}

__all__ = [
    "Clock",
    "EventLog",
    "MemoryEventLog",
    "MemoryStore",
    "RedisStore",
    "SQLiteEventLog",
    "SQLiteStore",
    "Store",
    "home",
    "ledger_beside",
    "open_event_log",
    "open_store",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
