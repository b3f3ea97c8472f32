"""One command at a time, where two would undo each other's work or pay twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thrift_plugins.errors import ConfigError


@contextmanager
def alone(lock: Path, otherwise: str) -> Iterator[None]:
    """No other process is in such a block of the same lock.

    Args:
        lock: a file, made where there is none.
        otherwise: what to tell where another one is.

    Raises:
        ConfigError: another one is.
    """
    from thrift_plugins.stores.locks import FileLocks

    locks = FileLocks(lock)
    token = locks.take(0)
    if token is None:
        raise ConfigError(otherwise)
    try:
        yield
    finally:
        locks.leave(token)
