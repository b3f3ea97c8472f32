"""Flows run by the drivers, with a caller by hand: what is asked, what is passed on, what is booked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from thrift_plugins import Config, Runtime, drive
from thrift_plugins.effects import Call, Flow, Replay
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import MemoryStore
from thrift_plugins.types import Message, Reply, Scope, Tier, Usage

USED = Usage(10, 3, source="provider")
ANSWER = Reply("one two three", USED, finish_reason="stop")
TIERS = (Tier("small", "gpt-4o-mini"), Tier("big", "gpt-4o"))


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime(Config(store="memory:"))
    yield made
    made.close()


def flow(runtime: Runtime, text: str = "Hello", *, streamed: bool = False, tiers: tuple[Tier, ...] = TIERS[1:]) -> Flow:
    request = runtime.request(
        dialect="test", model="gpt-4o", identities=["i"], messages=[Message("user", text)], params={}, scope=Scope()
    )
    return runtime.engine.call(request, tiers, len(tiers) - 1, dialect="test", streamed=streamed)


class Caller:
    """Answers with words, or fails. `answer` is what an app would get."""

    def __init__(self, *answers: Reply | BaseException, then: BaseException | None = None) -> None:
        self.answers, self.then = list(answers) or [ANSWER], then
        self.asked: list[Call | Replay] = []
        self.closed = 0

    def quiet(self) -> Caller:
        return self

    def call(self, effect: Call | Replay) -> Reply:
        self.asked.append(effect)
        if isinstance(effect, Replay):
            return effect.reply
        given = self.answers.pop(0)
        if isinstance(given, BaseException):
            raise given
        return given

    def aside(self) -> Any:
        return self

    async def acall(self, effect: Call | Replay) -> Reply:
        await asyncio.sleep(0)
        return self.call(effect)

    def pieces(self, effect: Call | Replay) -> Generator[str, None, Reply]:
        reply = self.call(effect)
        said: list[str] = []
        try:
            for word in str(reply.content).split():
                said.append(word)
                if isinstance(effect, Call):
                    effect.delivered = True
                yield word
            self.end()
        except BaseException:
            if isinstance(effect, Call):
                effect.partial = Reply(" ".join(said), Usage(), complete=False)
            raise
        finally:
            self.closed += 1
        return reply

    def end(self) -> None:
        """After the last word."""
        if self.then is not None:
            raise self.then

    async def apieces(self, effect: Call | Replay) -> AsyncGenerator[str, None]:
        pieces = self.pieces(effect)
        try:
            while True:
                await asyncio.sleep(0)
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    self._reply = end.value
                    return
                yield piece
        finally:
            pieces.close()

    def reply(self) -> Reply:
        return self._reply


def outcomes(runtime: Runtime) -> list[tuple[str, int]]:
    assert runtime.ledger is not None
    return [(entry["outcome"], entry["usage"].get("output_tokens", 0)) for entry in runtime.ledger.records()]


def read(runtime: Runtime, caller: Caller) -> list[str]:
    return list(drive.stream(flow(runtime, streamed=True), runtime, caller))


async def aread(runtime: Runtime, caller: Caller) -> list[str]:
    return [piece async for piece in drive.astream(flow(runtime, streamed=True), runtime, caller)]


async def test_every_driver_misses_once_and_then_hits(runtime: Runtime):
    caller = Caller()
    drive.run(flow(runtime), runtime, caller)
    await drive.arun(flow(runtime), runtime, caller)
    assert read(runtime, caller) == ["one", "two", "three"]
    assert await aread(runtime, caller) == ["one", "two", "three"]
    started = flow(runtime)
    assert isinstance(drive.start(started, runtime, caller), Replay)
    drive.finish(started, runtime, ANSWER, None)
    started = flow(runtime)
    assert isinstance(await drive.astart(started, runtime, caller), Replay)
    await drive.afinish(started, runtime, ANSWER, None)

    assert [type(effect) for effect in caller.asked] == [Call, Replay, Replay, Replay]
    assert outcomes(runtime) == [("answered", 3)] + [("hit", 0)] * 5


async def test_a_streamed_answer_is_kept_for_every_way_of_asking(runtime: Runtime):
    caller = Caller()
    await aread(runtime, caller)
    drive.run(flow(runtime), runtime, caller)
    assert outcomes(runtime) == [("answered", 3), ("hit", 0)]


async def test_errors_reach_the_app_and_the_ledger(runtime: Runtime):
    with pytest.raises(ValueError, match="boom"):
        drive.run(flow(runtime, "a"), runtime, Caller(ValueError("boom")))
    with pytest.raises(ValueError, match="boom"):
        await drive.arun(flow(runtime, "b"), runtime, Caller(ValueError("boom")))
    with pytest.raises(ValueError, match="boom"):
        read(runtime, Caller(ValueError("boom")))
    with pytest.raises(ValueError, match="boom"):
        await aread(runtime, Caller(ValueError("boom")))
    started = flow(runtime)
    drive.start(started, runtime, Caller())
    drive.finish(started, runtime, None, ValueError("shown already"))
    started = flow(runtime)
    await drive.astart(started, runtime, Caller())
    await drive.afinish(started, runtime, None, ValueError("shown already"))
    assert outcomes(runtime) == [("error", 0)] * 6


def test_closing_a_stream_closes_the_model_and_books_what_was_seen(runtime: Runtime):
    caller = Caller()
    stream = drive.stream(flow(runtime, streamed=True), runtime, caller)
    assert [next(stream), next(stream)] == ["one", "two"]
    stream.close()
    assert caller.closed == 1
    assert outcomes(runtime) == [("aborted", 2)]
    assert read(runtime, Caller()) == ["one", "two", "three"], "what was left was not kept"


def test_a_stream_that_is_dropped_is_booked_without_a_warning(runtime: Runtime):
    stream = drive.stream(flow(runtime, streamed=True), runtime, Caller())
    next(stream)
    del stream
    assert outcomes(runtime) == [("aborted", 1)]


def test_a_stream_that_nobody_reads_asks_nothing(runtime: Runtime):
    caller = Caller()
    drive.stream(flow(runtime, streamed=True), runtime, caller).close()
    assert (caller.asked, outcomes(runtime)) == ([], [])


async def test_leaving_an_asynchronous_stream(runtime: Runtime):
    caller = Caller()
    async with aclosing(drive.astream(flow(runtime, streamed=True), runtime, caller)) as stream:
        async for _ in stream:
            break
    assert caller.closed == 1
    assert outcomes(runtime) == [("aborted", 1)]


async def test_cancelling_a_task_books_and_passes(runtime: Runtime):
    class Slow(Caller):
        async def acall(self, effect: Call | Replay) -> Reply:
            await asyncio.sleep(60)
            raise AssertionError

    task = asyncio.ensure_future(drive.arun(flow(runtime), runtime, Slow()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert outcomes(runtime) == [("cancelled", 0)]


async def test_cancelling_between_two_pieces(runtime: Runtime):
    async def consume(stream: AsyncIterator[str]) -> None:
        async for _ in stream:
            await asyncio.sleep(60)

    async with aclosing(drive.astream(flow(runtime, streamed=True), runtime, Caller())) as stream:
        task = asyncio.ensure_future(consume(stream))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert outcomes(runtime) == [("aborted", 1)]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, asyncio.CancelledError])
def test_interrupts_pass(runtime: Runtime, interrupt: type[BaseException]):
    with pytest.raises(interrupt):
        drive.run(flow(runtime), runtime, Caller(interrupt()))
    assert outcomes(runtime) == [("cancelled", 0)]


def test_a_stream_that_breaks_after_a_piece_goes_to_no_other_tier(runtime: Runtime):
    caller = Caller(ANSWER, ANSWER, then=ConnectionError("reset"))
    stream = drive.stream(flow(runtime, streamed=True, tiers=TIERS), runtime, caller)
    with pytest.raises(ConnectionError):
        list(stream)
    assert [effect.decision.name for effect in caller.asked] == ["small"]
    assert outcomes(runtime) == [("error", 3)]


def test_a_stream_that_breaks_before_a_piece_does(runtime: Runtime):
    caller = Caller(ConnectionError("reset"), ANSWER)
    assert list(drive.stream(flow(runtime, streamed=True, tiers=TIERS), runtime, caller)) == ["one", "two", "three"]
    assert outcomes(runtime) == [("answered", 3)]


class Dying(MemoryStore):
    """A store that is interrupted while it works."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def get(self, key: str) -> bytes | None:
        raise self.error


@pytest.mark.parametrize("begin", ["run", "arun", "stream", "astream", "start", "astart"])
async def test_an_interrupt_in_the_store_is_booked_once_and_passes(begin: str):
    runtime = Runtime(Config(store="memory:"), store=Dying(asyncio.CancelledError()))
    made: Any = getattr(drive, begin)
    arguments = (flow(runtime), runtime, Caller())

    async def end() -> None:
        if begin == "stream":
            list(made(*arguments))
        elif begin == "astream":
            [_ async for _ in made(*arguments)]
        elif begin.startswith("a"):
            await made(*arguments)
        else:
            made(*arguments)

    with pytest.raises(asyncio.CancelledError):
        await end()
    assert outcomes(runtime) == [("cancelled", 0)]


async def test_a_store_that_is_down_is_noted(runtime: Runtime):
    runtime.store = Dying(StoreUnavailable("down"))
    drive.run(flow(runtime), runtime, Caller())
    await drive.arun(flow(runtime), runtime, Caller())
    assert runtime.ledger is not None
    for entry in runtime.ledger.records():
        assert entry["fallbacks"] == ["cache: store down, call made"]
