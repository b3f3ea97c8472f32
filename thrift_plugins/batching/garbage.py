"""Python's cycle collector, while thousands of chains are alive at once."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 20)
"""Python's own are 700, 10, 10: it would look at all that waits again and again, which is half of a run's CPU."""

_lock = threading.Lock()
_open = 0
_before: tuple[int, int, int] = gc.get_threshold()


@contextmanager
def unhurried() -> Iterator[None]:
    """Cycles are collected less often in this block. An app that has switched that off, or set it higher, is left alone."""
    global _open, _before  # noqa: PLW0603  the collector is the process's
    with _lock:
        if not _open:
            _before = gc.get_threshold()
            if 0 < _before[0] < _THRESHOLDS[0]:
                gc.set_threshold(*_THRESHOLDS)
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open and gc.get_threshold() == _THRESHOLDS:
                gc.set_threshold(*_before)
