"""Runs a flow: synchronously or asynchronously, whole, streamed, or in two halves. Short loops, no decision in them.

The runtime does the effects on stores and ledger; a caller, which an adapter brings for each call, does the effects
on models. The answer itself never passes through the flow: the caller shows it to the app in the app's own types,
and tells the flow only what it must know, a `Reply`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import AsyncGeneratorType
from typing import Any, Final, Protocol, TypeVar

from thrift_plugins.effects import Call, Effect, Flow, Renew, Replay, Try
from thrift_plugins.errors import StreamClosed
from thrift_plugins.finalizing import apart
from thrift_plugins.perform import Parts, aperform, perform
from thrift_plugins.runtime import Runtime
from thrift_plugins.tries import Lost
from thrift_plugins.types import Reply

Chunk = TypeVar("Chunk")
Piece = TypeVar("Piece", covariant=True)  # noqa: PLC0105  what a protocol gives, beside what a function passes on


class Renewing(Protocol):
    """Can ask the same once more, unheard: without the app's callbacks, and without traces."""

    def quiet(self) -> Quiet:
        """The same as it is now, whatever the app does with what it has passed in."""
        ...

    def aside(self) -> Quiet:
        """The same, once for a call: it keeps what it gets, for a `Replay` of it."""
        ...


class Quiet(Renewing, Protocol):
    """Asks a model, for an answer that nobody waits for."""

    def call(self, effect: Call | Replay) -> Reply: ...

    async def acall(self, effect: Call | Replay) -> Reply: ...


class Caller(Renewing, Protocol):
    """Asks a model, or shows a stored answer as one, and keeps the answer for the app."""

    def call(self, effect: Call | Replay) -> Reply: ...


class AsyncCaller(Renewing, Protocol):
    """The same, without blocking the event loop."""

    async def acall(self, effect: Call | Replay) -> Reply: ...


class Streamer(Renewing, Protocol[Piece]):
    """Delivers the answer in pieces; returns the whole as a `Reply` after the last."""

    def pieces(self, effect: Call | Replay) -> Generator[Piece, None, Reply]: ...


class AsyncStreamer(Renewing, Protocol[Piece]):
    """The same, without blocking the event loop; `reply` is asked after the last piece."""

    def apieces(self, effect: Call | Replay) -> AsyncGenerator[Piece, None]: ...

    def reply(self) -> Reply: ...


_ANSWERS = (Call, Replay)

_HELD: Final[set[object]] = set()
"""What streams that are under way will end. An app may drop a stream in a circle of references, and the garbage collector then
ends all that is in it in any order: a flow that has still to settle, or a model's stream at the same time as we do."""


class _Steps:
    """A flow from effect to effect: told what each came to, a result or an error, before the next is taken."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._step: Callable[[Any], Effect] = flow.send
        self._told: Any = None

    def take(self) -> Effect | None:
        """The next effect, None at the end. Raises what the flow lets through."""
        try:
            return self._step(self._told)
        except StopIteration:
            return None

    def result(self, value: Any) -> None:
        """What the last effect came to."""
        self._step, self._told = self._flow.send, value

    def error(self, error: BaseException) -> None:
        """The last effect failed, or was interrupted: the flow decides what passes, cancellation included.

        A flow cannot be thrown `GeneratorExit`, which closes a generator instead of telling it.
        """
        self._step = self._flow.throw
        self._told = StreamClosed() if isinstance(error, GeneratorExit) else error


@contextmanager
def _held(part: object) -> Iterator[None]:
    """Keep it from the garbage collector in this block."""
    _HELD.add(part)
    try:
        yield
    finally:
        _HELD.discard(part)


async def aclosed(stream: object) -> None:
    """Close a stream, where it is one that can be, and where nobody is closing it: a loop that ends closes all at the same time."""
    if isinstance(stream, AsyncGeneratorType) and not stream.ag_running:
        await stream.aclose()


def _aside(effect: Try, caller: Renewing) -> Quiet:
    return caller.aside() if effect.kept else caller.aside().quiet()


def _perform(effect: Effect, runtime: Runtime, caller: Renewing) -> Any:
    if isinstance(effect, Renew):
        quiet = caller.quiet()  # here: the app goes on while others work for it
        return runtime.background.submit(effect.key, lambda: run(effect.flow, runtime, quiet))
    if isinstance(effect, Try):
        return _aside(effect, caller).call(effect.call)
    return perform(runtime, effect)


async def _aperform(effect: Effect, runtime: Runtime, caller: Renewing) -> Any:
    if isinstance(effect, Renew):
        quiet = caller.quiet()
        return runtime.background.spawn(effect.key, lambda: arun(effect.flow, runtime, quiet))
    if isinstance(effect, Try):
        return await _aside(effect, caller).acall(effect.call)
    return await aperform(runtime, effect)


def run(flow: Flow, runtime: Runtime, caller: Caller) -> None:
    """Run a flow to its end. Raises what the flow lets through."""
    steps = _Steps(flow)
    while (effect := steps.take()) is not None:
        try:
            if isinstance(effect, _ANSWERS):
                steps.result(caller.call(effect))
            else:
                steps.result(_perform(effect, runtime, caller))
        except BaseException as error:  # noqa: BLE001  see `_Steps.error`; so below
            steps.error(error)


async def arun(flow: Flow, runtime: Runtime, caller: AsyncCaller) -> None:
    """`run` without blocking the event loop."""
    steps = _Steps(flow)
    while (effect := steps.take()) is not None:
        try:
            if isinstance(effect, _ANSWERS):
                steps.result(await caller.acall(effect))
            else:
                steps.result(await _aperform(effect, runtime, caller))
        except BaseException as error:  # noqa: BLE001
            steps.error(error)


def stream(flow: Flow, runtime: Runtime, streamer: Streamer[Chunk]) -> Generator[Chunk, None, None]:
    """Run a flow and yield the answer's pieces. Closing the generator closes the model's stream and books the abort."""
    steps = _Steps(flow)
    with _held(steps), suppress(StreamClosed):
        while (effect := steps.take()) is not None:
            try:
                if isinstance(effect, _ANSWERS):
                    pieces = streamer.pieces(effect)
                    try:
                        with _held(pieces):
                            steps.result((yield from _passed(pieces)))
                    except GeneratorExit as error:
                        apart(partial(_close, pieces, steps, error, runtime))
                        return
                else:
                    steps.result(_perform(effect, runtime, streamer))
            except BaseException as error:  # noqa: BLE001
                steps.error(error)


def _passed(pieces: Generator[Chunk, None, Reply]) -> Generator[Chunk, None, Reply]:
    """The pieces, then the whole. Closed, it leaves them open, as `yield from` would not."""
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            reply: Reply = end.value
            return reply
        yield piece


def _close(pieces: Generator[Any, None, Reply], steps: _Steps, error: GeneratorExit, parts: Parts) -> None:
    """Close a model's stream, and take what is left of the flow."""
    try:
        pieces.close()
        steps.error(error)
    except BaseException as failed:  # noqa: BLE001
        steps.error(failed)
    with suppress(StreamClosed):
        _end(steps, parts)


async def astream(flow: Flow, runtime: Runtime, streamer: AsyncStreamer[Chunk]) -> AsyncGenerator[Chunk, None]:
    """`stream` without blocking the event loop."""
    steps = _Steps(flow)
    with _held(steps), suppress(StreamClosed):
        while (effect := steps.take()) is not None:
            try:
                if isinstance(effect, _ANSWERS):
                    pieces = streamer.apieces(effect)
                    with _held(pieces):
                        try:
                            async for piece in pieces:
                                yield piece
                        finally:
                            await aclosed(pieces)
                    steps.result(streamer.reply())
                else:
                    steps.result(await _aperform(effect, runtime, streamer))
            except BaseException as error:  # noqa: BLE001
                steps.error(error)


def start(flow: Flow, runtime: Runtime, caller: Renewing) -> Call | Replay:
    """Run a flow up to its call on a model, which the app's code makes by its own means and ends with `finish`."""
    return _started(_Steps(flow), lambda effect: _perform(effect, runtime, caller))


def begin(flow: Flow, parts: Parts) -> Call | Replay:
    """`start` for a flow without a cache, which has nothing to renew."""
    return _started(_Steps(flow), lambda effect: perform(parts, effect))


def again(flow: Flow, parts: Parts, lost: Lost) -> Call | Replay:
    """Run a flow that `begin` left at its call up to the same call again, once its lost answer has been accounted for."""
    return _started(_ended(flow, None, lost), lambda effect: perform(parts, effect))


def _started(steps: _Steps, do: Callable[[Effect], Any]) -> Call | Replay:
    while (effect := steps.take()) is not None:
        if isinstance(effect, _ANSWERS):
            return effect
        try:
            steps.result(do(effect))
        except BaseException as error:  # noqa: BLE001
            steps.error(error)
    raise RuntimeError("the flow ended without asking a model")


async def astart(flow: Flow, runtime: Runtime, caller: Renewing) -> Call | Replay:
    """`start` without blocking the event loop."""
    return await _astarted(_Steps(flow), lambda effect: _aperform(effect, runtime, caller))


async def abegin(flow: Flow, parts: Parts) -> Call | Replay:
    """`begin` without blocking the event loop."""
    return await _astarted(_Steps(flow), lambda effect: aperform(parts, effect))


async def aagain(flow: Flow, parts: Parts, lost: Lost) -> Call | Replay:
    """`again` without blocking the event loop."""
    return await _astarted(_ended(flow, None, lost), lambda effect: aperform(parts, effect))


async def _astarted(steps: _Steps, do: Callable[[Effect], Awaitable[Any]]) -> Call | Replay:
    while (effect := steps.take()) is not None:
        if isinstance(effect, _ANSWERS):
            return effect
        try:
            steps.result(await do(effect))
        except BaseException as error:  # noqa: BLE001
            steps.error(error)
    raise RuntimeError("the flow ended without asking a model")


def finish(flow: Flow, parts: Parts, reply: Reply | None, error: BaseException | None) -> None:
    """Run a flow that `start` left at its call to its end; the error has been shown to the app already.

    Nothing is asked anew after it: the end of a stream may be told by the garbage collector, which must wait for nobody.
    """
    apart(partial(_finish, _ended(flow, reply, error), parts, error))


def _finish(steps: _Steps, parts: Parts, error: BaseException | None) -> None:
    with _shown_already(error):
        _end(steps, parts)


def _end(steps: _Steps, parts: Parts) -> None:
    """Take what is left of a flow whose answer has come, or will not. Nobody asks for anything anew there."""
    while (effect := steps.take()) is not None:
        try:
            steps.result(None if isinstance(effect, Renew) else perform(parts, effect))
        except BaseException as failed:  # noqa: BLE001
            steps.error(failed)


async def afinish(flow: Flow, parts: Parts, reply: Reply | None, error: BaseException | None) -> None:
    """`finish` without blocking the event loop."""
    steps = _ended(flow, reply, error)
    with _shown_already(error):
        while (effect := steps.take()) is not None:
            try:
                steps.result(None if isinstance(effect, Renew) else await aperform(parts, effect))
            except BaseException as failed:  # noqa: BLE001
                steps.error(failed)


def _ended(flow: Flow, reply: Reply | None, error: BaseException | None) -> _Steps:
    steps = _Steps(flow)
    if error is None:
        steps.result(reply)
    else:
        steps.error(error)
    return steps


@contextmanager
def _shown_already(error: BaseException | None) -> Iterator[None]:
    """The app has seen this error; the flow's letting it through is no news. Another one is."""
    try:
        yield
    except StreamClosed:
        return
    except BaseException as raised:
        if raised is not error:
            raise
