"""What a person has stopped is not sent any more, and what is asked afterwards is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests import virtual_time
from tests.batch_courier_kit import TEXTS, Work, paid, texts_of
from tests.batch_memory import MemoryBatches
from thrift_plugins.batching.client import Limits


def test_what_waits_for_room_when_a_person_cancels_is_not_sent(tmp_path: Path):
    client = MemoryBatches(limits=Limits(queued_tokens=40))
    client.seconds = 100.0

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        waiters = work.put(TEXTS)
        await asyncio.sleep(50)
        work.journal.stop()
        answers = await asyncio.gather(*waiters)
        assert {answer.code for answer in answers} == {"cancelled"}
        await work.close()

    virtual_time.run(main())
    assert client.cancelled == 1  # also what the person's own command could not reach, such as a batch that was just being made
    assert paid(client) == (0, 0)


def test_a_run_that_was_stopped_asks_nothing_more_and_the_next_one_does(tmp_path: Path):
    client = MemoryBatches()

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        assert texts_of(await work.ask(["first step"])) == ["first step"]
        work.journal.stop()
        assert [answer.code for answer in await asyncio.gather(*work.put(["second step"], stops=0))] == ["cancelled"]
        assert work.journal.counts()["queued"] == 0
        assert texts_of(await asyncio.gather(*work.put(["second step"], stops=1))) == ["second step"]
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (2, 0)


@pytest.mark.parametrize("sent", [False, True])
def test_what_was_stopped_before_a_kill_is_not_sent_by_the_next_run_unless_it_asks(sent: bool, tmp_path: Path):
    client = MemoryBatches()

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        client.frozen, client.down = True, not sent
        for waiter in work.put(["one", "two"]):
            waiter.cancel()
        await asyncio.sleep(5)
        work.journal.stop()
        await work.close()
        client.frozen = client.down = False
        client.ends = [("cancelled", 0)]
        for made in client.made:
            made.state, made.answered = "cancelled", 0
        work = Work(client, tmp_path / "j.db")
        assert texts_of(await work.ask(["two"])) == ["two"]
        await asyncio.sleep(100)
        assert work.journal.counts() == {"queued": 0, "sent": 0, "answered": 1, "errored": 1}
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (1, 0)
