"""What the collector ends is done in another thread, and nobody overtakes it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

from thrift_plugins import finalizing


class Dropped:
    """In a circle, so that only the collector ends it."""

    def __init__(self, then: Callable[[], None]) -> None:
        self.then, self.circle = then, self

    def __del__(self) -> None:
        finalizing.apart(self.then)


def test_what_is_dropped_by_the_app_is_done_at_once():
    done: list[threading.Thread] = []
    finalizing.apart(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]


def test_what_the_collector_ends_may_want_what_this_thread_holds():
    done: list[threading.Thread] = []
    lock = threading.Lock()

    def want() -> None:
        with lock:
            done.append(threading.current_thread())

    for _ in range(3):
        Dropped(want)
    with lock:
        gc.collect()
        assert done == []
    finalizing.catch_up()
    assert len(done) == 3


def test_one_that_fails_holds_up_no_other():
    done: list[int] = []

    def fail() -> None:
        raise KeyboardInterrupt

    Dropped(fail)
    Dropped(lambda: done.append(1))
    gc.collect()
    finalizing.catch_up()
    assert done == [1]


def test_what_is_done_may_want_to_catch_up_itself():
    done: list[int] = []

    def again() -> None:
        finalizing.catch_up()
        done.append(1)

    Dropped(again)
    Dropped(again)
    gc.collect()
    finalizing.catch_up()
    assert done == [1, 1]
