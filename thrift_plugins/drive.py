"""Runs a flow: synchronously or asynchronously, whole, streamed, or in two halves. Short loops, no decision in them.

The runtime does the effects on stores and ledger; a caller, which an adapter brings for each call, does the effects
on models. The answer itself never passes through the flow: the caller shows it to the app in the app's own types,
and tells the flow only what it must know, a `Reply`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, suppress
from typing import Any, Protocol, TypeVar

from thrift_plugins.engine import Call, Flow, Replay
from thrift_plugins.errors import StreamClosed
from thrift_plugins.runtime import Runtime
from thrift_plugins.types import Reply

Chunk = TypeVar("Chunk")
Piece = TypeVar("Piece", covariant=True)  # noqa: PLC0105  what a protocol gives, beside what a function passes on


class Caller(Protocol):
    """Asks a model, or shows a stored answer as one, and keeps the answer for the app."""

    def call(self, effect: Call | Replay) -> Reply: ...


class AsyncCaller(Protocol):
    """The same, without blocking the event loop."""

    async def acall(self, effect: Call | Replay) -> Reply: ...


class Streamer(Protocol[Piece]):
    """Delivers the answer in pieces; returns the whole as a `Reply` after the last."""

    def pieces(self, effect: Call | Replay) -> Generator[Piece, None, Reply]: ...


class AsyncStreamer(Protocol[Piece]):
    """The same, without blocking the event loop; `reply` is asked after the last piece."""

    def apieces(self, effect: Call | Replay) -> AsyncGenerator[Piece, None]: ...

    def reply(self) -> Reply: ...


def run(flow: Flow, runtime: Runtime, caller: Caller) -> None:
    """Run a flow to its end. Raises what the flow lets through."""
    step: Any = flow.send
    result: Any = None
    try:
        while True:
            effect = step(result)
            try:
                result = caller.call(effect) if isinstance(effect, Call | Replay) else runtime.perform(effect)
                step = flow.send
            except BaseException as error:  # noqa: BLE001  the flow decides what passes, cancellation included
                step, result = flow.throw, error
    except StopIteration:
        return


async def arun(flow: Flow, runtime: Runtime, caller: AsyncCaller) -> None:
    """`run` without blocking the event loop."""
    step: Any = flow.send
    result: Any = None
    try:
        while True:
            effect = step(result)
            try:
                if isinstance(effect, Call | Replay):
                    result = await caller.acall(effect)
                else:
                    result = await runtime.aperform(effect)
                step = flow.send
            except BaseException as error:  # noqa: BLE001  as in `run`
                step, result = flow.throw, error
    except StopIteration:
        return


def _told(error: BaseException) -> BaseException:
    return StreamClosed() if isinstance(error, GeneratorExit) else error


def stream(flow: Flow, runtime: Runtime, streamer: Streamer[Chunk]) -> Generator[Chunk, None, None]:
    """Run a flow and yield the answer's pieces. Closing the generator closes the model's stream and books the abort."""
    step: Any = flow.send
    result: Any = None
    try:
        while True:
            effect = step(result)
            try:
                if isinstance(effect, Call | Replay):
                    result = yield from streamer.pieces(effect)
                else:
                    result = runtime.perform(effect)
                step = flow.send
            except BaseException as error:  # noqa: BLE001  as in `run`
                step, result = flow.throw, _told(error)
    except (StopIteration, StreamClosed):
        return


async def astream(flow: Flow, runtime: Runtime, streamer: AsyncStreamer[Chunk]) -> AsyncGenerator[Chunk, None]:
    """`stream` without blocking the event loop."""
    step: Any = flow.send
    result: Any = None
    try:
        while True:
            effect = step(result)
            try:
                if isinstance(effect, Call | Replay):
                    async with aclosing(streamer.apieces(effect)) as pieces:
                        async for piece in pieces:
                            yield piece
                    result = streamer.reply()
                else:
                    result = await runtime.aperform(effect)
                step = flow.send
            except BaseException as error:  # noqa: BLE001  as in `run`
                step, result = flow.throw, _told(error)
    except (StopIteration, StreamClosed):
        return


def start(flow: Flow, runtime: Runtime) -> Call | Replay:
    """Run a flow up to its call on a model, which the caller makes by its own means and ends with `finish`."""
    effect = next(flow)
    while not isinstance(effect, Call | Replay):
        try:
            result = runtime.perform(effect)
        except BaseException as error:  # noqa: BLE001  as in `run`
            effect = flow.throw(error)
        else:
            effect = flow.send(result)
    return effect


async def astart(flow: Flow, runtime: Runtime) -> Call | Replay:
    """`start` without blocking the event loop."""
    effect = next(flow)
    while not isinstance(effect, Call | Replay):
        try:
            result = await runtime.aperform(effect)
        except BaseException as error:  # noqa: BLE001  as in `run`
            effect = flow.throw(error)
        else:
            effect = flow.send(result)
    return effect


def finish(flow: Flow, runtime: Runtime, reply: Reply | None, error: BaseException | None) -> None:
    """Run a flow that `start` left at its call to its end; the error has been shown to the app already."""
    step: Any = flow.send if error is None else flow.throw
    result: Any = reply if error is None else _told(error)
    with suppress(StopIteration, StreamClosed, type(error) if error is not None else StopIteration):
        while True:
            effect = step(result)
            try:
                step, result = flow.send, runtime.perform(effect)
            except BaseException as failed:  # noqa: BLE001  as in `run`
                step, result = flow.throw, failed


async def afinish(flow: Flow, runtime: Runtime, reply: Reply | None, error: BaseException | None) -> None:
    """`finish` without blocking the event loop."""
    step: Any = flow.send if error is None else flow.throw
    result: Any = reply if error is None else _told(error)
    with suppress(StopIteration, StreamClosed, type(error) if error is not None else StopIteration):
        while True:
            effect = step(result)
            try:
                step, result = flow.send, await runtime.aperform(effect)
            except BaseException as failed:  # noqa: BLE001  as in `run`
                step, result = flow.throw, failed
