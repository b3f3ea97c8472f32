"""Methods of other people's classes that go another way while a run is open."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_lock = threading.Lock()
_open: Final[Counter[tuple[type, str]]] = Counter()
_originals: Final[dict[tuple[type, str], Any]] = {}


@contextmanager
def detour(kind: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """A class's method is what `make` makes of it in this block, for everything in the process.

    Blocks may overlap in any order: the first puts the new method there, the last the old one back. What it makes must go the
    old way for whoever is in no run.
    """
    place = (kind, name)
    with _lock:
        if not _open[place]:
            _originals[place] = getattr(kind, name)
            setattr(kind, name, make(_originals[place]))
        _open[place] += 1
    try:
        yield
    finally:
        with _lock:
            _open[place] -= 1
            if not _open[place]:
                setattr(kind, name, _originals.pop(place))
