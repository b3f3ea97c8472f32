"""Deadlines of lines: what leaves its batch for one, and whose it is where a line is asked more than once."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests import virtual_time
from tests.batch_courier_kit import SETTINGS, TEXTS, Work, paid, texts_of
from tests.batch_memory import MemoryBatches, refused
from thrift_plugins.batching.client import BatchLine, Instant
from thrift_plugins.batching.settings import BatchSettings


def test_deadlines_are_met_through_random_outages_and_promotions_have_a_price(tmp_path: Path):
    runs = int(20 * float(os.environ.get("THRIFT_TEST_SCALE", "1")))
    met = promoted = 0
    for seed in range(runs):
        chance = random.Random(seed)
        path = tmp_path / f"{seed}.db"

        async def main(chance: random.Random = chance, path: Path = path) -> tuple[bool, int]:
            client = MemoryBatches()
            work = Work(client, path)
            client.has_flex = chance.random() < 0.5
            client.seconds = chance.choice([0, 600, 3600, 20_000])
            client.frozen = chance.random() < 0.3
            client.instants = [chance.choice([429, 500, 503, 0]) for _ in range(chance.randrange(6))]
            client.ends = [("expired", chance.randrange(5))] if chance.random() < 0.3 else []
            client.creates = [("before", refused())] * chance.randrange(3)
            within = chance.choice([600, 3600, 86_400])
            deadline = virtual_time.clock() + within

            async def outage() -> None:
                await asyncio.sleep(chance.random() * within)
                client.down = True
                await asyncio.sleep(chance.random() * within)
                client.down = False

            failing = asyncio.ensure_future(outage())
            answers = await work.ask(TEXTS[:5], deadline)
            ended = virtual_time.clock()
            failing.cancel()
            told = [one for one in work.journal.incidents() if one.kind == "promoted"]
            assert texts_of(answers) == TEXTS[:5]
            at_once = sum(answer.processing != "batch" for answer in answers)
            assert sum(one.lines for one in told) <= at_once
            await asyncio.sleep(1)
            told = [one for one in work.journal.incidents() if one.kind == "promoted"]
            assert sum(one.lines for one in told) == at_once
            assert all(one.nano is not None for one in told)
            assert sum(one.nano or 0 for one in told) == sum(answer.processing == "standard" for answer in answers)
            await work.close()
            return ended <= deadline, at_once

        in_time, at_once = virtual_time.run(main())
        met += in_time
        promoted += at_once
    assert met == runs
    assert promoted


def test_a_request_with_a_deadline_does_not_take_others_out_of_their_batch(tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        patient = work.put(TEXTS[:10])
        hurried = await work.ask(["now"], virtual_time.clock() + 3600)
        assert hurried[0].processing == "standard"
        assert not any(waiter.done() for waiter in patient)
        client.frozen = False
        await asyncio.gather(*patient)
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (11, 0)


def promotions(work: Work) -> list[tuple[int, int | None]]:
    """Lines and cost of each time that lines left their batch."""
    return [(one.lines, one.nano) for one in work.journal.incidents() if one.kind == "promoted"]


def test_a_few_lines_that_are_wanted_earlier_leave_alone_and_in_time(tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        patient = work.put(TEXTS)
        await asyncio.sleep(5_000)
        deadline = virtual_time.clock() + 3600
        hurried = await work.ask(TEXTS[:2], deadline)
        assert virtual_time.clock() <= deadline
        assert [answer.processing for answer in hurried] == ["standard"] * 2
        assert promotions(work) == [(2, 2)]
        assert [waiter.done() for waiter in patient] == [True] * 2 + [False] * 18  # nor is their batch cancelled
        client.frozen = False
        assert texts_of(await asyncio.gather(*patient)) == TEXTS
        await work.close()

    virtual_time.run(main())
    assert (len(client.made), client.cancelled) == (1, 0)


def test_where_all_lines_are_wanted_earlier_their_batch_is_left(tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        patient = work.put(TEXTS, virtual_time.clock() + 80_000)
        await asyncio.sleep(5_000)
        deadline = virtual_time.clock() + 3600
        assert texts_of(await work.ask(TEXTS, deadline)) == TEXTS
        assert virtual_time.clock() <= deadline
        await asyncio.gather(*patient)
        await asyncio.sleep(1)
        assert promotions(work) == [(20, 20)]
        await work.close()

    virtual_time.run(main())
    assert client.cancelled == 1
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("second", [None, 80_000.0])
def test_a_later_deadline_does_not_put_off_an_earlier_one(second: float | None, tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        deadline = virtual_time.clock() + 3600
        first = work.put(TEXTS, deadline)
        await asyncio.sleep(10)
        others = work.put(TEXTS, second and virtual_time.clock() + second)
        assert texts_of(await asyncio.gather(*first)) == TEXTS
        assert virtual_time.clock() <= deadline
        await asyncio.gather(*others)
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("before", ["sent", "queued"])
@pytest.mark.parametrize("again", [None, 20_000.0])
def test_after_a_kill_the_deadline_of_the_run_that_asks_now_counts(again: float | None, before: str, tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        client.down = before == "queued"
        for waiter in work.put(TEXTS, virtual_time.clock() + 3600):
            waiter.cancel()
        await asyncio.sleep(100)
        await work.close()
        client.down = False
        await asyncio.sleep(5_000)  # nobody is there: the deadline passes
        work = Work(client, tmp_path / "j.db")
        await asyncio.sleep(2)
        waiters = work.put(TEXTS, again and virtual_time.clock() + again)
        await asyncio.sleep(600)
        client.frozen = False
        assert texts_of(answers := await asyncio.gather(*waiters)) == TEXTS
        assert {answer.processing for answer in answers} == {"standard" if again is None else "batch"}
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (20, 0)
    assert len(client.made) == (0 if (again, before) == (None, "queued") else 1)


def test_a_deadline_that_a_killed_run_has_left_counts_once_nobody_has_asked_for_long(tmp_path: Path):
    client = MemoryBatches()
    client.frozen = True

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        for waiter in work.put(TEXTS, virtual_time.clock() + 3600):
            waiter.cancel()
        await asyncio.sleep(5_000 - 3_000)
        await work.close()
        await asyncio.sleep(5_000)
        work = Work(client, tmp_path / "j.db")
        await asyncio.sleep(SETTINGS.max_age - 10)
        assert work.journal.counts()["answered"] == 0
        await asyncio.sleep(60)
        assert work.journal.counts()["answered"] == 20
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (20, 0)


def test_a_batch_that_ended_before_it_could_be_cancelled_is_read(tmp_path: Path):
    client = MemoryBatches()
    client.seconds, client.refuses_to_cancel = 896.0, True  # 15 minutes after its start is a quarter before its end

    async def main() -> None:
        work = Work(client, tmp_path / "j.db", BatchSettings(poll=30, grace=60))
        answers = await work.ask(TEXTS, virtual_time.clock() + 1200)
        assert {answer.processing for answer in answers} == {"batch"}
        await work.close()

    virtual_time.run(main())
    assert client.asked == []
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("flex_takes", [120.0, 1200.0])
def test_more_lines_than_flex_has_time_for_are_answered_in_real_time(flex_takes: float, tmp_path: Path):
    class Slow(MemoryBatches):
        async def ask(self, line: BatchLine, *, flex: bool = False) -> Instant:
            await asyncio.sleep(flex_takes if flex else 2)
            return await super().ask(line, flex=flex)

    client = Slow()
    client.has_flex = client.frozen = True

    async def main() -> float:
        work = Work(client, tmp_path / "j.db")
        deadline = virtual_time.clock() + 3600
        answers = await work.ask([f"text {i}" for i in range(200)], deadline)
        assert ("flex" in {answer.processing for answer in answers}) == (flex_takes < 600)
        assert "standard" in {answer.processing for answer in answers}
        left = deadline - virtual_time.clock()
        await work.close()
        return left

    assert virtual_time.run(main()) > 0
    assert paid(client) == (200, 0)
