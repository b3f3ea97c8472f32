"""What was locked when a process forked is not locked in its child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from thrift_plugins.compression import Compressor
from thrift_plugins.forks import new_lock, new_rlock
from thrift_plugins.prices import Prices
from thrift_plugins.purse import Warned
from thrift_plugins.routing import Conversations
from thrift_plugins.tokens import Bounds

HOLDERS: dict[str, Callable[[], Any]] = {
    "bounds": lambda: Bounds()._lock,
    "compressor": lambda: Compressor()._lock,
    "conversations": lambda: Conversations(Prices())._lock,
    "warnings": lambda: Warned()._lock,
    "a lock": new_lock,
    "one to come by again": new_rlock,
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_lock_that_another_thread_holds_is_free_in_a_child(name: str) -> None:
    lock = HOLDERS[name]()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(0 if lock.acquire(timeout=5) else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.acquire(timeout=5), "and is what it was in the parent"
    lock.release()
