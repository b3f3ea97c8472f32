"""Work that nobody waits for: done once in a while, unheard, within bounds, and left behind at the end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from thrift_plugins import background
from thrift_plugins.background import Background

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture
def made() -> Iterator[Background]:
    running = Background()
    yield running
    running.close()


def wait_until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def test_a_job_is_done_on_a_daemon_thread_in_an_empty_context(made: Background):
    seen: list[Any] = []
    done = threading.Event()

    def job() -> None:
        seen.extend([CALLER.get(), threading.current_thread().daemon, threading.current_thread().name])
        done.set()

    token = CALLER.set("the app")
    made.submit("a", job)
    CALLER.reset(token)
    assert done.wait(10)
    assert seen == ["nobody", True, "thrift-background"]


async def test_a_task_is_done_in_an_empty_context(made: Background):
    seen: list[str] = []
    done = asyncio.Event()

    async def job() -> None:
        seen.append(CALLER.get())
        done.set()

    CALLER.set("the app")
    made.spawn("a", job)
    await asyncio.wait_for(done.wait(), 10)
    assert seen == ["nobody"]


async def test_the_same_is_not_tried_again_at_once_whatever_came_of_it(
    made: Background, monkeypatch: pytest.MonkeyPatch
):
    now = 100.0
    monkeypatch.setattr(background.time, "monotonic", lambda: now)
    tried: list[str] = []

    async def fails() -> None:
        tried.append("a")
        raise ValueError("down")

    async def ask() -> None:
        made.spawn("a", fails)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await ask()
    await ask()
    now += background._AGAIN - 1
    await ask()
    assert tried == ["a"]
    now += 1
    await ask()
    assert tried == ["a", "a"]


@pytest.mark.parametrize("error", [ValueError("down"), SystemExit(1), KeyboardInterrupt()])
def test_what_a_job_raises_ends_no_thread(made: Background, monkeypatch: pytest.MonkeyPatch, error: BaseException):
    monkeypatch.setattr(background, "_THREADS", 1)
    done = threading.Event()

    def fails() -> None:
        raise error

    made.submit("a", fails)
    made.submit("b", done.set)
    assert done.wait(10)


def test_what_finds_no_room_is_not_done_and_may_be_tried_again(made: Background, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_THREADS", 1)
    monkeypatch.setattr(background, "_WAITING", 2)
    begun, go, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait(10)

    made.submit("first", first)
    assert begun.wait(10)
    for name in "abc":
        made.submit(name, lambda name=name: done.append(name))  # type: ignore[misc]
    go.set()
    wait_until(lambda: len(done) == 2)
    made.submit("c", lambda: done.append("c"))
    wait_until(lambda: len(done) == 3)
    assert done == ["a", "b", "c"]


async def test_tasks_that_find_no_room_are_not_done(made: Background, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_WAITING", 2)
    go, begun = asyncio.Event(), 0

    async def job() -> None:
        nonlocal begun
        begun += 1
        await go.wait()

    for name in "abc":
        made.spawn(name, job)
    await asyncio.sleep(0.01)
    assert begun == 2
    go.set()
    await asyncio.sleep(0.01)
    made.spawn("c", job)
    await asyncio.sleep(0.01)
    assert begun == 3
    assert not made._tasks


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_loop_that_was_closed_over_its_tasks_takes_no_room(made: Background, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_WAITING", 1)
    done: list[str] = []

    async def job(name: str) -> None:
        if name == "a":
            await asyncio.Event().wait()
        done.append(name)

    async def ask(name: str) -> None:
        made.spawn(name, lambda: job(name))
        await asyncio.sleep(0.01)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(ask("a"))
    (lost,) = made._tasks
    loop.close()
    asyncio.run(ask("b"))
    assert done == ["b"]
    lost._log_destroy_pending = False  # type: ignore[attr-defined]


def test_no_more_threads_than_allowed_and_none_that_has_nothing_to_do(
    made: Background, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(background, "_IDLE", 0.05)
    go = threading.Event()

    def waits() -> None:
        go.wait(10)

    for number in range(20):
        made.submit(str(number), waits)
    assert made._threads == background._THREADS
    go.set()
    wait_until(lambda: made._threads == 0)
    made.submit("later", go.clear)
    wait_until(lambda: not go.is_set())


def test_a_thread_that_cannot_be_had_costs_the_job_its_haste_and_nothing_more(
    made: Background, monkeypatch: pytest.MonkeyPatch
):
    done: list[str] = []

    class Refused(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", Refused)
        made.submit("a", lambda: done.append("a"))
    assert made._threads == 0
    made.submit("b", lambda: done.append("b"))
    wait_until(lambda: len(done) == 2)


async def test_once_closed_it_begins_nothing(made: Background, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_THREADS", 1)
    begun, go, done = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait(10)
        done.append("first")

    made.submit("first", first)
    assert begun.wait(10)
    made.submit("waits", lambda: done.append("waits"))
    made.close()
    made.close()
    made.submit("late", lambda: done.append("late"))

    async def job() -> None:
        done.append("task")

    made.spawn("task", job)
    go.set()
    wait_until(lambda: done == ["first"] and made._jobs.empty())
    await asyncio.sleep(0.01)
    assert done == ["first"]


def test_names_are_forgotten_in_the_end(made: Background, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_REMEMBERED", 3)
    for name in "abcde":
        made.submit(name, lambda: None)
        wait_until(made._jobs.empty)
    assert list(made._tried) == ["c", "d", "e"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(made: Background):
    made.submit("parent", lambda: None)
    child = os.fork()
    if child == 0:
        done = threading.Event()
        made.submit("child", done.set)
        os._exit(0 if done.wait(10) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closed_it_leaves_no_thread(made: Background):
    done = threading.Event()
    made.submit("a", done.set)
    assert done.wait(10)
    made.close()
    mine = [thread for thread in threading.enumerate() if getattr(thread, "_target", None) == made._work]
    for thread in mine:
        thread.join(background._IDLE / 2)
    assert not any(thread.is_alive() for thread in mine)
