"""Lines go to the provider and answers come back, whatever the provider, the network and this process do between."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests import virtual_time
from tests.batch_courier_kit import TEXTS, Work, incidents, paid, served, texts_of
from tests.batch_memory import MemoryBatches, refused
from thrift_plugins.batching.client import BatchUnknown, Limits
from thrift_plugins.batching.pending import Answer


def test_an_answer_for_each(tmp_path: Path):
    client = MemoryBatches()
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("recovery", ["metadata", "token", "contents"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_create_that_nobody_heard_of(when: str, recovery: Any, tmp_path: Path):
    client = MemoryBatches(recovery=recovery)
    client.creates = [(when, BatchUnknown("reset"))] * 2
    client.seconds = 100
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
    assert len(client.made) == 1


def test_a_listing_that_lags_within_the_grace(tmp_path: Path):
    client = MemoryBatches()
    client.creates, client.lag = [("after", BatchUnknown("reset"))], 50.0
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
    assert incidents(tmp_path / "j.db") == {}


@pytest.mark.parametrize("how", ["expired", "cancelled", "failed"])
def test_what_was_answered_before_a_batch_ended_is_delivered_and_only_the_rest_sent_again(how: Any, tmp_path: Path):
    client = MemoryBatches()
    client.ends = [(how, 13), (how, 5)]
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
    assert [len(batch.lines) for batch in client.made] == [20, 7, 2]


def test_refusals_are_waited_out(tmp_path: Path):
    client = MemoryBatches()
    client.creates = [("before", refused())] * 5
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("when", ["upload", "create"])
def test_while_the_provider_is_down_there_is_nothing_that_could_be_sent(when: str, tmp_path: Path):
    client = MemoryBatches()

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        client.down = when == "upload"
        client.creates, client.lag = [("after", BatchUnknown("reset"))], 20.0
        waiters = work.put(TEXTS)
        await asyncio.sleep(0.5)
        client.down = True
        assert not work.courier.idle
        await asyncio.sleep(30)
        assert work.courier.idle
        await work.close()
        work = Work(client, tmp_path / "j.db")
        await asyncio.sleep(60)
        assert work.courier.idle
        client.down = False
        assert texts_of(await work.ask(TEXTS)) == TEXTS
        await work.close()
        for waiter in waiters:
            waiter.cancel()

    virtual_time.run(main())
    assert paid(client) == (20, 0)


@pytest.mark.parametrize("late", [False, True])
def test_a_queue_that_others_keep_full_for_hours_is_waited_for(late: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    client = MemoryBatches()
    client.ends = [("expired", 0)] * 20  # what is no attempt leaves a line all that it has
    if late:  # the batch is made, and fails before it begins
        client.ends, client.errors = [("failed", 0)] * 300 + client.ends, ("token_limit_exceeded",)
    else:
        client.creates = [("before", refused(full=True))] * 300
    served(client, tmp_path / "j.db", TEXTS[:1])
    assert paid(client) == (1, 0)
    assert late or "the provider does not take 1 lines now" in caplog.text


def test_a_refusal_for_good_is_the_lines_error(tmp_path: Path):
    client = MemoryBatches()
    client.creates = [("before", refused(again=False))]

    async def main() -> list[Answer]:
        work = Work(client, tmp_path / "j.db")
        first = await work.ask(TEXTS)
        assert texts_of(await work.ask(TEXTS)) == TEXTS  # asked again, they are sent again
        await work.close()
        return first

    answers = virtual_time.run(main())
    assert {(answer.status, answer.code) for answer in answers} == {(400, "no")}


def test_lines_that_fail_in_passing_are_sent_again_and_others_are_not(tmp_path: Path):
    client = MemoryBatches()
    client.statuses = {
        orjson.dumps({"model": "m", "text": "text 3"}): [429, 500],
        orjson.dumps({"model": "m", "text": "text 4"}): [400],
        orjson.dumps({"model": "m", "text": "text 5"}): [503] * 9,
    }

    async def main() -> list[Answer]:
        work = Work(client, tmp_path / "j.db")
        answers = await work.ask(TEXTS)
        await work.close()
        return answers

    answers = virtual_time.run(main())
    assert [answer.status for answer in answers[3:6]] == [200, 400, 503]
    assert paid(client) == (18, 0)
    assert [len(batch.lines) for batch in client.made] == [20, 2, 2, 1]


def test_limits_of_count_bytes_and_queued_tokens(tmp_path: Path):
    client = MemoryBatches(limits=Limits(lines=7))
    served(client, tmp_path / "a.db")
    assert [len(batch.lines) for batch in client.made] == [7, 7, 6]
    client = MemoryBatches(limits=Limits(bytes=1000))
    served(client, tmp_path / "b.db")
    assert {len(batch.lines) for batch in client.made} == {5}
    client = MemoryBatches(limits=Limits(queued_tokens=40))
    client.seconds = 100.0
    served(client, tmp_path / "c.db")
    assert max(len(batch.lines) for batch in client.made) == 5
    began = [batch.at for batch in client.made]
    assert all(later - earlier >= 100 for earlier, later in itertools.pairwise(began))


def test_a_queue_that_is_full_takes_less(tmp_path: Path):
    client = MemoryBatches()
    client.ends, client.errors = [("failed", 0)] * 3, ("token_limit_exceeded",)
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
    assert min(len(batch.lines) for batch in client.made) < 20


def test_a_batch_that_fails_twice_is_the_lines_error(tmp_path: Path):
    client = MemoryBatches()
    client.ends, client.errors = [("failed", 0)] * 2, ("invalid_model",)

    async def main() -> list[Answer]:
        work = Work(client, tmp_path / "j.db")
        answers = await work.ask(TEXTS)
        await work.close()
        return answers

    assert {answer.code for answer in virtual_time.run(main())} == {"invalid_model"}


def test_a_batch_that_fails_once_is_not_the_second_failure_of_a_line_that_failed_in_passing(tmp_path: Path):
    client = MemoryBatches()
    client.statuses = {orjson.dumps({"model": "m", "text": "text 3"}): [503]}
    client.ends, client.errors = [("completed", 20), ("failed", 0)], ("server_error",)
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)


def test_a_line_that_is_too_large_is_an_error_of_its_own(tmp_path: Path):
    client = MemoryBatches(limits=Limits(bytes=5_000))

    async def main() -> list[Answer]:
        work = Work(client, tmp_path / "j.db")
        answers = await work.ask(["small", "x" * 6_000])
        await work.close()
        return answers

    assert [answer.status for answer in virtual_time.run(main())] == [200, 413]


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_courier_that_stops_at_any_step_goes_on(after: int, tmp_path: Path):
    client = MemoryBatches()
    client.seconds = 25.0

    async def stopped() -> None:
        work = Work(client, tmp_path / "j.db")
        for waiter in work.put(TEXTS):
            waiter.cancel()
        for _ in range(after):
            await asyncio.sleep(0)
        if after % 2:
            await asyncio.sleep(after)
        await work.close()

    virtual_time.run(stopped())
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)
