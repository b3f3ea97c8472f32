"""An outage: from a server's first silence until a probe in the background gets an answer. Meanwhile nobody asks it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, Thread
from weakref import ref

from thrift_plugins.forks import renew_after_fork

_FIRST_PROBE_S = 0.05
_LAST_PROBE_S = 1.0
"""The longest that a server which is back stays unused."""


class Outage:
    """Begins with the first failure, so that a call which asks several times waits only once. Thread-safe.

    No call is used to find out whether the server is back: a thread does that, which lives as long as the outage.

    Args:
        answers: asks the server; False or an exception where it is still silent.
    """

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._stop: Event | None = None
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """A lock of this process's own; a forked child has no probing thread, and so tries for itself."""
        self._lock = Lock()
        self._stop = None

    @property
    def lasts(self) -> bool:
        """Whether to leave the server alone."""
        return self._stop is not None

    def begin(self) -> None:
        """The server was silent."""
        with self._lock:
            if self._stop is not None:
                return
            stop = Event()
            prober = Thread(target=_probe, args=(ref(self), stop), name="thrift-plugins store probe", daemon=True)
            try:
                prober.start()
            except RuntimeError:
                return  # no thread can be had, as at the interpreter's end: the next call tries for itself
            self._stop = stop

    def end(self) -> None:
        """The server answered, or nobody wants to know any more."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()
                self._stop = None

    def over(self) -> bool:
        """Ask the server; whether that was the end of it."""
        try:
            back = self._answers()
        except Exception:  # noqa: BLE001  whatever the driver says, the server is not back
            return False
        if back:
            self.end()
        return back


def _probe(outage: ref[Outage], stop: Event) -> None:
    """Until it is over, or its store is gone. Holds no reference while it waits."""
    delay = _FIRST_PROBE_S
    while not stop.wait(delay):
        asked = outage()
        if asked is None or asked.over():
            return
        del asked
        delay = min(2 * delay, _LAST_PROBE_S)
