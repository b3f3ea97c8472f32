"""When a wave is full: shapes of apps, and how many waves each takes over its critical path."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.batch_memory import MemoryBatches
from thrift_plugins.batching import BatchSettings, Executor
from thrift_plugins.batching.pending import Answer
from thrift_plugins.batching.session import Session

Ask = Callable[[str], Awaitable[str]]
ITEMS = 30
QUICK = BatchSettings(poll=0.01, grace=0.05, linger=0.02, external_cap=5, samples="share")


async def ask(text: str) -> str:
    """As a model of any framework does, at the collector."""
    from thrift_plugins.batching.session import current

    session = current()
    assert isinstance(session, Session)
    body = {"model": "m", "text": text}
    address = session.client.address("/ask", body)
    assert address is not None
    import orjson

    answer: Answer = await session.ask(address, orjson.dumps(body), body)
    return answer.body.decode()


async def two_steps(i: int) -> str:
    return await ask("then " + await ask(f"{i}"))


async def nested_gathers(i: int) -> str:
    async def three(j: int) -> str:
        return "".join(await asyncio.gather(*(ask(f"{i} {j} {k}") for k in range(3))))

    return await ask("".join(await asyncio.gather(*(three(j) for j in range(3)))))


async def waited_for(i: int) -> str:
    return await asyncio.wait_for(asyncio.wait_for(ask(f"{i}"), 60), 60)


async def waited_gather(i: int) -> str:
    return "".join(await asyncio.wait_for(asyncio.gather(ask(f"a {i}"), ask(f"b {i}")), 60))


async def first_completed(i: int) -> str:
    tasks = [asyncio.ensure_future(ask(f"{name} {i}")) for name in "ab"]
    done, _ = await asyncio.wait(tasks)
    return "".join(sorted(task.result() for task in done))


async def as_completed(i: int) -> str:
    return "".join(sorted([await one for one in asyncio.as_completed([ask(f"{name} {i}") for name in "ab"])]))


async def task_group(i: int) -> str:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(two_steps(100 * i + j)) for j in range(2)]
    return "".join(task.result() for task in tasks)


async def shielded(i: int) -> str:
    return await asyncio.shield(ask(f"{i}"))


async def sleeps(i: int) -> str:
    first = await ask(f"{i}")
    await asyncio.sleep(0.05 * (i % 5))
    return await ask(f"after {first}")


async def a_tool_in_a_thread(i: int) -> str:
    import time

    first = await ask(f"{i}")
    await asyncio.to_thread(time.sleep, 0.05 * (i % 3))
    return await ask(f"after {first}")


async def an_async_generator(i: int) -> str:
    async def steps() -> Any:
        yield await ask(f"one {i}")
        yield await ask(f"two {i}")

    return "".join([text async for text in steps()])


async def a_queue(i: int) -> str:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def producer() -> None:
        await queue.put(await ask(f"{i}"))

    task = asyncio.ensure_future(producer())
    text = await ask("then " + await queue.get())
    await task
    return text


async def an_event(i: int) -> str:
    done = asyncio.Event()

    async def first() -> None:
        await ask(f"{i}")
        done.set()

    task = asyncio.ensure_future(first())
    await done.wait()
    await task
    return await ask(f"then {i}")


async def a_loop_of_tools(i: int) -> str:
    text = f"{i}"
    for _ in range(1 + i % 4):
        text = await ask("again " + text)
    return text


async def one_side_is_longer(i: int) -> str:
    return "".join(await asyncio.gather(ask(f"short {i}"), two_steps(i)))


SHAPES: dict[str, tuple[Callable[[int], Awaitable[str]], int]] = {
    "two steps": (two_steps, 2),
    "nested gathers": (nested_gathers, 2),
    "wait_for": (waited_for, 1),
    "wait_for of a gather": (waited_gather, 1),
    "asyncio.wait": (first_completed, 1),
    "as_completed": (as_completed, 1),
    "task group": (task_group, 2),
    "shield": (shielded, 1),
    "sleeps between": (sleeps, 2),
    "a tool in a thread": (a_tool_in_a_thread, 2),
    "an async generator": (an_async_generator, 2),
    "a queue": (a_queue, 2),
    "an event": (an_event, 2),
    "a loop of tools": (a_loop_of_tools, 4),
    "one side is longer": (one_side_is_longer, 2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wave_takes_all_that_can_be_asked(shape: str, tmp_path: Path):
    work, ideal = SHAPES[shape]
    client = MemoryBatches()
    with Executor(client, tmp_path / "j.db", settings=QUICK) as executor:
        results = list(executor.run(work, range(ITEMS)))
    assert [result.error for result in results] == [None] * ITEMS
    assert len(client.made) == ideal, [len(batch.lines) for batch in client.made]


def test_a_semaphore_of_the_app_makes_as_many_waves_as_it_must(tmp_path: Path):
    client = MemoryBatches()
    room: list[asyncio.Semaphore] = []

    async def work(i: int) -> str:
        if not room:
            room.append(asyncio.Semaphore(10))
        async with room[0]:
            return await ask(f"{i}")

    with Executor(client, tmp_path / "j.db", settings=QUICK) as executor:
        list(executor.run(work, range(ITEMS)))
    assert [len(batch.lines) for batch in client.made] == [10, 10, 10]


def test_something_that_never_ends_does_not_keep_a_wave_for_ever(tmp_path: Path):
    settings = BatchSettings(poll=0.01, linger=0.02, external_cap=0.2)
    client = MemoryBatches()

    async def work(i: int) -> str:
        ticking = asyncio.ensure_future(asyncio.sleep(3600))
        try:
            return await ask(f"{i}")
        finally:
            ticking.cancel()

    with Executor(client, tmp_path / "j.db", settings=settings) as executor:
        assert len(list(executor.run(work, range(3)))) == 3
    assert len(client.made) == 1
