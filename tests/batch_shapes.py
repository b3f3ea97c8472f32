"""Shapes of apps that ask models, in plain asyncio, LCEL, LangGraph and LlamaIndex, and the fewest waves that each can take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from thrift_plugins.batching.session import current


async def ask(text: str) -> str:
    """As a model of any framework does, at the collector."""
    session = current()
    assert session is not None
    body = {"model": "m", "text": text}
    address = session.client.address("/ask", body)
    assert address is not None
    answer = await session.ask(address, orjson.dumps(body), body)
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


PLAIN: dict[str, tuple[Callable[[int], Awaitable[str]], int]] = {
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
