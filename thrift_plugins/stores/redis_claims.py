"""Claims that live as long as their holder: one thread of a store extends them, and they end soon after it does."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, Thread
from time import monotonic

from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.forks import renew_after_fork
from thrift_plugins.stores.base import Claim

LEASE_MS = 3000
"""How long a claim outlives the process that held it."""

_BEAT_S = 1.0
_LONGEST_S = 900.0
"""No call takes so long: its claim was forgotten, and others have waited enough."""


class Heart:
    """Extends the claims that are held. Its thread lives while there are any.

    Args:
        extend: keeps a claim alive; False where it is lost.
    """

    def __init__(self, extend: Callable[[Claim], bool]) -> None:
        self._extend = extend
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Nothing held: a forked child's claims are its parent's."""
        self._lock = Lock()
        self._held: dict[Claim, float] = {}
        self._stop: Event | None = None

    def hold(self, claim: Claim) -> None:
        """Keep it alive from now on."""
        with self._lock:
            self._held[claim] = monotonic()
            if self._stop is not None:
                return
            stop = Event()
            beating = Thread(target=self._beat, args=(stop,), name="thrift-plugins claims", daemon=True)
            try:
                beating.start()
            except RuntimeError:
                return  # no thread can be had, as at the interpreter's end: the claim lasts for one lease
            self._stop = stop

    def drop(self, claim: Claim) -> None:
        """It has been released, or need not live."""
        with self._lock:
            self._held.pop(claim, None)

    def stop(self) -> None:
        """Keep nothing alive any more."""
        with self._lock:
            self._held.clear()
            if self._stop is not None:
                self._stop.set()
                self._stop = None

    def _beat(self, stop: Event) -> None:
        while not stop.wait(_BEAT_S):
            with self._lock:
                if not self._held:
                    if self._stop is stop:
                        self._stop = None
                    return
                held = list(self._held.items())
            for claim, since in held:
                if monotonic() - since > _LONGEST_S or not self._lives(claim):
                    self.drop(claim)

    def _lives(self, claim: Claim) -> bool:
        try:
            return self._extend(claim)
        except StoreUnavailable:
            return True  # the next beat may find it still there
