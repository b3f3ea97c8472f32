"""Runtimes of models that come back from a pickle, as in the workers of an ingestion pipeline."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from thrift_plugins.config import Config
from thrift_plugins.runtime import Runtime

_known: WeakValueDictionary[str, Runtime] = WeakValueDictionary()
_lock = threading.Lock()


def remember(runtime: Runtime) -> None:
    """A model of this runtime is pickled; one that comes back to this process shall have it again."""
    with _lock:
        _known[repr(runtime.config)] = runtime


def runtime_like(config: Config) -> Runtime:
    """The runtime of these settings in this process, made if there is none."""
    with _lock:
        runtime = _known.get(repr(config))
        if runtime is None:
            runtime = _known[repr(config)] = Runtime(config)
        return runtime
