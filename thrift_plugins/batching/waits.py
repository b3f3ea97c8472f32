"""Whether a set of tasks can go on by itself, or waits for the collector alone: the wait-for graph of an event loop.

A wave is full when nothing of the run can ask anything more before it is answered. Each task is looked at where it is
suspended: on a request to the collector it is parked; on another task, a gather, a lock, a semaphore, a queue or an event
it waits for something else in the run; on anything else (a timer, a socket, a thread) it will go on by itself.

This only decides when a wave goes. A wrong answer costs a further wave or some waiting, never an answer.
"""

from __future__ import annotations

import asyncio
import gc
from asyncio import locks, queues, taskgroups
from collections.abc import Callable, Iterable
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, NamedTuple, TypeAlias

Widen: TypeAlias = Callable[[FrameType], bool]
"""Given the frame that holds a task back, lets it and its like go on, if that is a limit that batches have no use for."""

_INNER_FILES: Final = frozenset({locks.__file__, queues.__file__, taskgroups.__file__})
"""Where code waits for other tasks of its loop. Barriers are in `locks`."""

_TASKS_FILE: Final = asyncio.tasks.__file__
_DEEP: Final = 200
_NEAR: Final = 4
"""Frames among which the code is that uses a lock."""
_SUSPENDED: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)


class Standing(NamedTuple):
    """How the tasks of a loop stand.

    Attributes:
        runnable: whether one of them goes on at once.
        external: how many wait for something from outside.
        held: frames that wait for a place in something of limited width.
    """

    runnable: bool
    external: int
    held: list[FrameType]


_RUNNABLE: Final = Standing(runnable=True, external=0, held=[])


def standing(tasks: Iterable[asyncio.Task[Any]], parked: Callable[[asyncio.Future[Any]], bool]) -> Standing:
    """How tasks stand.

    Args:
        tasks: those of the run, in this thread's loop.
        parked: whether a future is the collector's.
    """
    mine = {task for task in tasks if not task.done()}
    external = 0
    held: list[FrameType] = []
    for task in mine:
        waiter: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
        if waiter is None or waiter.done():
            return _RUNNABLE
        if parked(waiter):
            continue
        state = _inside(waiter, mine, parked)
        if state is None:
            state = _suspended(task.get_coro(), mine, parked, held)
        if state == _GOES_ON:
            return _RUNNABLE
        external += state == _OUTSIDE
    return Standing(runnable=False, external=external, held=held)


_DEPENDS, _OUTSIDE, _GOES_ON = range(3)


def _inside(future: Any, mine: set[asyncio.Task[Any]], parked: Callable[[asyncio.Future[Any]], bool]) -> int | None:
    """What waiting for a future comes to, None where the future does not tell."""
    if isinstance(future, asyncio.Task):
        return _DEPENDS if future in mine or future.done() else _OUTSIDE
    children = getattr(future, "_children", None)
    if children is not None:  # a gather
        return _all(children, mine, parked)
    inner = _shielded(future)
    if inner is None:
        return None
    return _DEPENDS if parked(inner) else _inside(inner, mine, parked)


def _all(futures: Iterable[Any], mine: set[asyncio.Task[Any]], parked: Callable[[asyncio.Future[Any]], bool]) -> int:
    """What waiting for several futures comes to. All done, whoever waits is about to be told."""
    states = [_DEPENDS if parked(one) else _inside(one, mine, parked) for one in futures if not one.done()]
    if not states:
        return _GOES_ON
    if _GOES_ON in states:
        return _GOES_ON
    return _OUTSIDE if all(state in (None, _OUTSIDE) for state in states) else _DEPENDS


def _shielded(future: Any) -> Any:
    """The future inside of `asyncio.shield`."""
    for callback, *_ in getattr(future, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "").startswith("shield."):
            for cell in getattr(callback, "__closure__", None) or ():
                if isinstance(cell.cell_contents, asyncio.Future) and cell.cell_contents is not future:
                    return cell.cell_contents
    return None


def _suspended(
    coroutine: Any, mine: set[asyncio.Task[Any]], parked: Callable[[asyncio.Future[Any]], bool], held: list[FrameType]
) -> int:
    """What a task waits for, by the code that it is suspended in."""
    frames = _frames(coroutine)
    if not frames:
        return _OUTSIDE
    inner = frames[-1]
    code: CodeType = inner.f_code
    if code.co_filename in _INNER_FILES:
        held.extend(frame for frame in frames[-_NEAR:] if frame.f_code.co_filename not in _INNER_FILES)
        return _DEPENDS
    if code.co_filename == _TASKS_FILE:
        waited = inner.f_locals.get("fs") or [one for one in (inner.f_locals.get("fut"),) if one is not None]
        if waited:
            return _all(waited, mine, parked)
    return _OUTSIDE


def _frames(suspended: Any) -> list[FrameType]:
    """The frames of a suspended coroutine, outermost first."""
    frames: list[FrameType] = []
    for _ in range(_DEEP):
        frame = (
            getattr(suspended, "cr_frame", None)
            or getattr(suspended, "gi_frame", None)
            or getattr(suspended, "ag_frame", None)
        )
        if frame is None:
            suspended = _behind(suspended)
            if suspended is None:
                break
            continue
        frames.append(frame)
        suspended = (
            getattr(suspended, "cr_await", None)
            or getattr(suspended, "gi_yieldfrom", None)
            or getattr(suspended, "ag_await", None)
        )
        if suspended is None:
            break
    return frames


def _behind(wrapper: Any) -> Any:
    """The coroutine or generator behind one of the interpreter's wrappers, such as the next step of an async generator."""
    if isinstance(wrapper, asyncio.Future) or wrapper is None:
        return None
    return next((one for one in gc.get_referents(wrapper) if isinstance(one, _SUSPENDED)), None)
