"""Runtimes of models that come back from a pickle, as in the workers of an ingestion pipeline."""

from __future__ import annotations

import threading
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

from thrift_plugins.config import Config
from thrift_plugins.runtime import Runtime

_tickets: WeakKeyDictionary[Runtime, str] = WeakKeyDictionary()
_known: WeakValueDictionary[str, Runtime] = WeakValueDictionary()
_lock = threading.Lock()


def ticket(runtime: Runtime) -> str:
    """What a pickled model knows its runtime by: one that comes back to this process shall have the very same.

    Settings do not tell runtimes apart: two with equal ones may have a store and a ledger each.
    """
    with _lock:
        known = _tickets.setdefault(runtime, uuid4().hex)
        _known[known] = runtime
        return known


def redeem(known: str, config: Config) -> Runtime:
    """The runtime of a ticket; in another process one of the same settings, shared by all models of that ticket."""
    with _lock:
        runtime = _known.get(known)
        if runtime is None:
            runtime = _known[known] = Runtime(config)
            _tickets[runtime] = known
        return runtime
