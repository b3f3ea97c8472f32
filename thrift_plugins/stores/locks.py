"""Locks on single bytes of a file: one process has each, and the kernel frees them the moment that it dies.

POSIX byte-range locks: a microsecond each, no heartbeat, nothing to clean up. They belong to a process, so threads are
for the caller to arbitrate, and a forked child has none of its parent's. A process loses all its locks on a file when it
closes any descriptor of it, so each file is opened once and never closed, and nothing else is kept in it.

Where there are no such locks (Windows, some network file systems, a folder that cannot be written) every claim is
granted, and that is logged once.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Final

from thrift_plugins.forks import renew_after_fork

_fcntl: ModuleType | None
try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _fcntl = None

logger = logging.getLogger("thrift_plugins")

PLACES: Final = 2**62
"""Numbers of places that a file has to lock; none of them needs to be written."""

_LOOK_EVERY = 64
"""Claims between two looks at whether the file is still there."""


class FileLocks:
    """The places of one file.

    Args:
        path: made at the first claim, for its owner alone. Moved or deleted, it is made anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _File | None = None
        self._asked = 0
        self._said = False

    def take(self, place: int) -> str | None:
        """A token for a place from 0 to `PLACES` - 1, or None while another process has it. Never waits.

        A place that this process has already is granted again, and is free when all of its tokens are given back.
        """
        if _fcntl is None:
            self._say("this system has no byte-range locks")
            return _held.add(_nowhere, place)
        try:
            # Looking at the path takes longer than the lock, and nobody moves it between two calls.
            if self._file is None or self._asked % _LOOK_EVERY == 0:
                self._file = _held.file(self._path)
            self._asked += 1
            return _held.take(self._file, place)
        except OSError as error:
            self._say(str(error))
            return _held.add(_nowhere, place)

    def holds(self, token: str) -> bool:
        """Whether a token is still good in this process."""
        return _held.knows(token)

    def leave(self, token: str) -> None:
        """Give a token back. Idempotent."""
        _held.leave(token)

    def _say(self, why: str) -> None:
        if not self._said:
            self._said = True
            logger.warning("the same call may be made once in each process: %s cannot be locked: %s", self._path, why)


class _File:
    """An open file, and how many tokens there are for each place."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.places: dict[int, int] = {}


_nowhere = _File(-1)


class _Held:
    """Everything that this process has locked: one for the process, because the locks are the process's."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], _File] = {}
        self._tokens: dict[str, tuple[_File, int]] = {}
        self._numbers = count()
        self._lock = Lock()
        renew_after_fork(self)

    def renew(self) -> None:
        """In a forked child: its parent's descriptors are as good as new ones, its parent's locks are not its own."""
        self._lock = Lock()
        self._tokens = {}
        for file in (*self._files.values(), _nowhere):
            file.places = {}

    def file(self, path: Path) -> _File:
        """The file at a path, opened if it was not.

        Raises:
            OSError: it cannot be.
        """
        with suppress(FileNotFoundError):
            known = self._files.get(_identity(path.stat()))
            if known is not None:
                return known
        with self._lock:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            # Another thread may have been faster. Its file is used then, and this descriptor left open: closing it
            # would drop the locks.
            return self._files.setdefault(_identity(os.fstat(descriptor)), _File(descriptor))

    def take(self, file: _File, place: int) -> str | None:
        """A token, or None while another process has the place."""
        assert _fcntl is not None  # noqa: S101
        with self._lock:
            if place not in file.places:
                try:
                    _fcntl.lockf(file.descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB, 1, place)
                except (BlockingIOError, PermissionError):  # POSIX lets a system choose between these two
                    return None
            return self._added(file, place)

    def add(self, file: _File, place: int) -> str:
        """A token without a lock."""
        with self._lock:
            return self._added(file, place)

    def knows(self, token: str) -> bool:
        return token in self._tokens

    def leave(self, token: str) -> None:
        with self._lock:
            file, place = self._tokens.pop(token, (_nowhere, -1))
            left = file.places.pop(place, 1) - 1
            if left:
                file.places[place] = left
            elif _fcntl is not None and file is not _nowhere:
                with suppress(OSError):
                    _fcntl.lockf(file.descriptor, _fcntl.LOCK_UN, 1, place)

    def _added(self, file: _File, place: int) -> str:
        file.places[place] = file.places.get(place, 0) + 1
        token = str(next(self._numbers))
        self._tokens[token] = (file, place)
        return token


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


_held = _Held()
