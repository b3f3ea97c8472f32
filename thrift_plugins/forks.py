"""Locks after a fork: one that another thread held at that moment would stay held in the child for ever."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Renewable(Protocol):
    """What has locks."""

    def renew(self) -> None:
        """Take new locks; called in a forked child, before anything else runs there."""


_kept: WeakSet[Renewable] = WeakSet()
_locks: WeakSet[Any] = WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """Have it renewed in every forked child for as long as it lives."""
    _kept.add(renewable)


def new_lock() -> threading.Lock:
    """A lock that is free in every forked child, whoever held it then. What it guards may be in the middle of a change there."""
    return _freed(threading.Lock())


def new_rlock() -> threading.RLock:
    """The same, for a thread that may come by again."""
    return _freed(threading.RLock())


def _freed(lock: T) -> T:
    _locks.add(lock)
    return lock


def _after_fork_in_child() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001  as the standard library's own locks are freed
    for renewable in list(_kept):
        renewable.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
