"""A circuit breaker: after a few failures in a row, stop asking for a while, then let one call try."""

from __future__ import annotations

import time
from collections.abc import Callable

from thrift_plugins.forks import new_lock


class Breaker:
    """Says whether a call is worth trying. Thread-safe; costs one comparison while all is well.

    Open, it lets one call through every `cooldown` seconds. That call needs no slot to hand back: one that is
    cancelled and never reports is simply followed by the next.

    Args:
        failures: how many in a row open it.
        cooldown: seconds between tries while open; the longest that a recovered backend stays unused.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, failures: int = 3, cooldown: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._cooldown = cooldown
        self._clock = clock
        self._in_a_row = 0
        self._next_try = 0.0
        self._lock = new_lock()

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused, apart from a try now and then."""
        return self._in_a_row >= self._limit

    def allow(self) -> bool:
        """Whether to make this call. True obliges nobody to report back."""
        if self._in_a_row < self._limit:
            return True
        with self._lock:
            now = self._clock()
            if self._in_a_row >= self._limit and now < self._next_try:
                return False
            self._next_try = now + self._cooldown
            return True

    def success(self) -> None:
        """The backend answered: close."""
        if self._in_a_row:
            with self._lock:
                self._in_a_row = 0

    def failure(self) -> None:
        """The backend did not answer."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row >= self._limit:
                self._next_try = self._clock() + self._cooldown
