"""Single flight in one process: a thousand at once, leaders that fail, leave or stand still, and storms of cancelled calls."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flight_kit import MANNERS, App, Asking, Model, in_thread
from thrift_plugins import CacheConfig, Config, Runtime, cached, drive, fresh
from thrift_plugins.caching import flights
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.stores import MemoryStore

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
MANY = int(1000 * min(1, SCALE))
QUESTION = "What is the capital of France?"
SAID = f"answer to {QUESTION}"


@pytest.fixture(params=["memory", "sqlite"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runtime]:
    store = "memory:" if request.param == "memory" else str(tmp_path / "answers.db")
    made = Runtime(Config(store=store, cache=CacheConfig(flight_wait=30)))
    yield made
    made.close()


@pytest.fixture
def memory() -> Iterator[Runtime]:
    made = Runtime(Config(store="memory:", cache=CacheConfig(flight_wait=30)))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    gc.collect()
    assert flights._under_way == {}


def outcomes(app: App) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in app.records():
        hit = record.get("extra", {}).get("cache", {}).get("hit", "")
        name = f"{record['outcome']} {hit}".strip()
        counts[name] = counts.get(name, 0) + 1
    return counts


def reasons(app: App) -> set[str]:
    return {reason for record in app.records() for reason in record["reasons"]}


@pytest.mark.parametrize("manners", [[name] for name in MANNERS if name != "worker"] + [list(MANNERS)], ids="+".join)
async def test_a_thousand_at_once_pay_once(runtime: Runtime, manners: list[str]):
    app = App(runtime, Model(0.2))
    many = MANY if manners == ["task"] else MANY // 5
    ways = itertools.islice(itertools.cycle(manners), many)
    said = await asyncio.gather(*(MANNERS[name](app, QUESTION) for name in ways))
    assert set(said) == {SAID}
    assert app.model.paid == 1
    counts = outcomes(app)
    assert counts.pop("answered") == 1
    assert sum(counts.values()) == many - 1
    assert counts.get("hit shared", 0) > 0


async def test_two_runtimes_over_one_file_share_a_flight(tmp_path: Path):
    config, model = Config(store=str(tmp_path / "answers.db")), Model(0.2)
    apps = [App(Runtime(config), model) for _ in range(2)]
    await asyncio.gather(*(app.arun(QUESTION) for app in apps for _ in range(5)))
    assert model.paid == 1
    for app in apps:
        app.runtime.close()


async def test_tenants_never_share_a_flight(memory: Runtime):
    app = App(memory, Model(0.05))

    async def of(tenant: str) -> str:
        asking = Asking(app.model, QUESTION)
        await drive.arun(app.flow(QUESTION, tenant=tenant), memory, asking)
        return asking.said

    await asyncio.gather(*(of(tenant) for tenant in "abc" for _ in range(5)))
    assert app.model.paid == 3


async def test_fresh_calls_and_single_flight_that_is_off_share_nothing(memory: Runtime):
    app = App(memory, Model(0.02))
    with fresh():
        await asyncio.gather(*(app.arun(QUESTION) for _ in range(3)))
    assert app.model.paid == 3
    off = App(Runtime(Config(store="memory:", cache=CacheConfig(single_flight=False))), Model(0.02))
    await asyncio.gather(*(off.arun(QUESTION) for _ in range(3)))
    assert off.model.paid == 3


async def test_an_answer_that_must_not_be_kept_is_everybody_s_own(memory: Runtime):
    app = App(memory, Model(0.05, finish="length"))
    await asyncio.gather(*(app.arun(QUESTION) for _ in range(20)))
    assert app.model.paid == 20
    assert app.model.most == 19, "those who waited ask at once, and not one after the other"


async def test_a_leader_s_failure_starts_no_queue(memory: Runtime):
    app = App(memory, Model(0.05, fails=[ValueError("bad gateway")]))
    said = await asyncio.gather(*(app.arun(QUESTION) for _ in range(20)), return_exceptions=True)
    assert [type(each) for each in said].count(ValueError) == 1
    assert (app.model.paid, app.model.most) == (20, 19)
    assert "cache: a shared call failed (ValueError), asked too" in reasons(app)


@pytest.mark.parametrize("manner", ["task", "streamed task"])
async def test_exactly_one_takes_over_from_a_cancelled_leader(runtime: Runtime, manner: str):
    app = App(runtime, Model(0.1))
    leader = asyncio.ensure_future(MANNERS[manner](app, QUESTION))
    await asyncio.sleep(0.02)
    followers = [asyncio.ensure_future(MANNERS[name](app, QUESTION)) for name in MANNERS for _ in range(5)]
    await asyncio.sleep(0.02)
    leader.cancel()
    assert set(await asyncio.gather(*followers)) == {SAID}
    assert app.model.paid == 2


async def test_a_cancelled_follower_troubles_nobody(memory: Runtime):
    app = App(memory, Model(0.1))
    calls = [asyncio.ensure_future(app.arun(QUESTION)) for _ in range(10)]
    await asyncio.sleep(0.02)
    for follower in calls[1:5]:
        follower.cancel()
    said = await asyncio.gather(*calls, return_exceptions=True)
    assert [each for each in said if isinstance(each, str)] == [SAID] * 6
    assert app.model.paid == 1


class Down(MemoryStore):
    """A store that is down."""

    def get(self, key: str) -> bytes | None:
        raise StoreUnavailable("down")

    def put(self, *_given: Any, **_told: Any) -> bool:
        raise StoreUnavailable("down")

    def claim(self, key: str) -> Any:
        raise AssertionError("nobody asks a store that is down for a claim")


async def test_a_store_that_is_down_still_shares_in_the_process():
    app = App(Runtime(Config(store="memory:"), store=Down()), Model(0.1))
    assert set(await asyncio.gather(*(app.arun(QUESTION) for _ in range(50)))) == {SAID}
    assert app.model.paid == 1


# No deadlock ------------------------------------------------------------------------------------------------------


def test_a_half_read_stream_and_a_call_on_one_thread(memory: Runtime):
    app = App(memory, Model(0.0))
    stream = app.open(QUESTION)
    next(stream)
    assert contextvars.Context().run(app.run, QUESTION) == SAID
    assert app.run(QUESTION) == SAID, "kept meanwhile, so a hit"
    assert list(stream) == SAID.split()[1:]
    assert app.model.paid == 2
    assert reasons(app) >= {"cache: the same call is under way on this thread, asked too", "exact hit"}


async def test_a_half_read_stream_and_a_call_in_one_task(memory: Runtime):
    app = App(memory, Model(0.0))
    stream = app.aopen(QUESTION)
    await anext(stream)
    assert await app.arun(QUESTION) == SAID
    assert [word async for word in stream] == SAID.split()[1:]
    assert reasons(app) == {"cache: asked from inside of another call, asked too"}


async def test_a_blocking_call_on_the_event_loop_that_the_leader_needs(memory: Runtime):
    app = App(memory, Model(0.05))
    leader = asyncio.create_task(app.arun(QUESTION), context=contextvars.Context())
    await asyncio.sleep(0.01)
    assert app.run(QUESTION) == SAID
    assert await leader == SAID
    assert app.model.paid == 2


async def test_the_same_call_inside_of_itself(memory: Runtime):
    app = App(memory, Model(0.0))

    class Nested(Asking):
        async def acall(self, effect: Any) -> Any:
            inner = asyncio.create_task(app.arun(QUESTION))
            assert await inner == SAID
            assert await asyncio.to_thread(app.run, QUESTION) == SAID
            return await super().acall(effect)

    await drive.arun(app.flow(QUESTION), memory, Nested(app.model, QUESTION))
    assert app.model.paid == 2, "the outer and the first inner one; the second inner one is a hit"


async def test_two_calls_each_inside_of_the_other(memory: Runtime):
    app = App(memory, Model(0.0))
    both = asyncio.Barrier(2)
    one, other = "What is a refund?", "What is an invoice?"

    class Crossed(Asking):
        async def acall(self, effect: Any) -> Any:
            await both.wait()
            await app.arun(other if self.text == one else one)
            return await super().acall(effect)

    async def outer(text: str) -> None:
        await drive.arun(app.flow(text), memory, Crossed(app.model, text))

    await asyncio.gather(outer(one), outer(other))
    assert app.model.paid == 4


async def test_a_leader_that_waits_for_a_thread_of_a_pool_full_of_followers(
    memory: Runtime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cached, "_SLICE", 0.02)
    app = App(memory, Model(0.0))

    class Queued(Asking):
        async def acall(self, effect: Any) -> Any:
            await asyncio.sleep(0.1)
            return await asyncio.to_thread(self.call, effect)

    leader = asyncio.create_task(drive.arun(app.flow(QUESTION), memory, Queued(app.model, QUESTION)))
    await asyncio.sleep(0.01)
    said = await asyncio.gather(*(asyncio.to_thread(app.run, QUESTION) for _ in range(100)))
    await leader
    assert set(said) == {SAID}


@pytest.mark.parametrize("way", ["task", "thread"])
async def test_a_stream_that_its_app_no_longer_reads_holds_nobody(
    memory: Runtime, monkeypatch: pytest.MonkeyPatch, way: str
):
    monkeypatch.setattr(cached, "_SLICE", 0.02)
    app = App(memory, Model(0.01))
    kept: list[Any] = []

    async def half() -> None:
        stream = app.aopen(QUESTION)
        kept.extend([stream, await anext(stream)])

    await asyncio.create_task(half())
    said = await asyncio.gather(*(MANNERS[way](app, QUESTION) for _ in range(10)))
    assert set(said) == {SAID}
    assert app.model.paid == 2, "one of those who waited leads the others"
    rest = [word async for word in kept[0]]
    assert rest == SAID.split()[1:]


async def test_a_stream_that_is_thrown_away_lets_another_lead(memory: Runtime):
    app = App(memory, Model(0.01))
    stream = app.open(QUESTION)
    next(stream)
    follower = asyncio.ensure_future(in_thread(app.run, QUESTION))
    await asyncio.sleep(0.05)
    del stream
    gc.collect()
    assert await follower == SAID
    assert app.model.paid == 2


def test_a_flow_that_is_dropped_at_its_call_leaves_no_flight(memory: Runtime):
    app = App(memory, Model(0.0))
    flow = app.flow(QUESTION)
    drive.start(flow, memory, Asking(app.model, QUESTION))
    assert len(flights._under_way) == 1
    drive.finish(flow, memory, None, GeneratorExit())
    assert flights._under_way == {}


# Storms -----------------------------------------------------------------------------------------------------------


async def test_a_storm_of_cancelled_calls_leaves_nothing_and_confuses_nobody(runtime: Runtime):
    """1,000 calls by default; THRIFT_TEST_SCALE=100 makes it 100,000."""
    app, dice = App(runtime, Model(0.002)), random.Random(7)
    left = int(1000 * SCALE)
    wrong: list[tuple[str, str]] = []

    async def one(number: int) -> None:
        text = f"question {dice.randrange(left // 4 + 1)}"
        call = asyncio.ensure_future(app.astream(text) if number % 3 else app.arun(text))
        if dice.random() < 0.5:
            for _ in range(dice.randrange(6)):
                await asyncio.sleep(dice.choice([0, 0, 0.001]))
            call.cancel()
        try:
            said = await call
        except asyncio.CancelledError:
            return
        if said != f"answer to {text}":
            wrong.append((text, said))

    for start in range(0, left, 200):
        await asyncio.gather(*(one(number) for number in range(start, min(left, start + 200))))
    assert wrong == []
    assert app.model.open == 0
    assert len(app.records()) <= left, "a call that is cancelled before it began has no event"
