"""Lines go to the provider and answers come back, whatever the provider, the network and this process do between."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests import virtual_time
from tests.batch_memory import MemoryBatches, refused
from thrift_plugins.batching.client import Address, BatchLine, BatchUnknown, Instant, Limits
from thrift_plugins.batching.courier import Courier
from thrift_plugins.batching.journal_sqlite import SQLiteJournal
from thrift_plugins.batching.pending import Answer, Pending, content_key
from thrift_plugins.batching.promotion import Promoter
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.errors import ConfigError, StoreCorrupt

ADDRESS = Address("m", "/ask")
SETTINGS = BatchSettings(poll=10, grace=60, settling=30)


def cost(model: str, usage: Any, processing: str) -> int | None:
    return {"batch": 1, "flex": 1, "standard": 2}[processing]


class Work:
    """A journal and a courier in virtual time, and what is asked of them."""

    def __init__(self, client: MemoryBatches, path: Path, settings: BatchSettings = SETTINGS, **given: Any) -> None:
        self.client, self.settings = client, settings
        client._clock = virtual_time.clock
        self.journal = SQLiteJournal(path, client.account, retention=settings.retention, now=virtual_time.clock(), **given)
        promoter = Promoter(client, self.journal, settings, cost=cost, clock=virtual_time.clock)
        self.courier = Courier(client, self.journal, settings, clock=virtual_time.clock, promoter=promoter)
        self.courier.start()

    def put(
        self, texts: Sequence[str], deadline: float | None = None, stops: int | None = None
    ) -> list[asyncio.Future[Answer]]:
        pendings = []
        for text in texts:
            body = {"model": "m", "text": text}
            key = content_key(self.client.account, ADDRESS, body, 0)
            waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            pendings.append(Pending(key, ADDRESS, orjson.dumps(body), deadline, waiter))
        self.courier.take(pendings, stops)
        return [pending.waiter for pending in pendings]  # type: ignore[misc]

    async def ask(self, texts: Sequence[str], deadline: float | None = None) -> list[Answer]:
        return list(await asyncio.gather(*self.put(texts, deadline)))

    async def close(self) -> None:
        await self.courier.stop()
        self.journal.close()


def texts_of(answers: Sequence[Answer]) -> list[str]:
    return [orjson.loads(answer.body) for answer in answers]


TEXTS = [f"text {i}" for i in range(20)]


def served(client: MemoryBatches, path: Path, texts: Sequence[str] = TEXTS, settings: BatchSettings = SETTINGS) -> Work:
    """The texts are asked, and every answer is its own."""

    async def main() -> Work:
        work = Work(client, path, settings)
        assert texts_of(await work.ask(texts)) == list(texts)
        await work.close()
        return work

    made: Work = virtual_time.run(main())
    return made


def paid(client: MemoryBatches) -> tuple[int, int]:
    """Lines paid, and lines paid beyond the first time."""
    return sum(client.paid.values()), sum(count - 1 for count in client.paid.values())


def incidents(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT kind, sum(lines) FROM incidents GROUP BY kind").fetchall()
    return dict(rows)


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


def test_a_listing_that_lags_longer_is_found_out(tmp_path: Path):
    client = MemoryBatches()
    client.creates, client.lag, client.seconds = [("after", BatchUnknown("reset"))], 100.0, 200.0

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        assert texts_of(await work.ask(TEXTS)) == TEXTS
        await asyncio.sleep(200)
        await work.close()

    virtual_time.run(main())
    assert client.cancelled == 1
    assert paid(client) == (20, 0)  # it was cancelled in time
    assert incidents(tmp_path / "j.db").keys() == {"duplicate"}


def test_a_duplicate_that_was_paid_is_told(tmp_path: Path):
    client = MemoryBatches()
    client.creates, client.lag = [("after", BatchUnknown("reset"))], 100.0

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        assert texts_of(await work.ask(TEXTS)) == TEXTS
        await asyncio.sleep(200)
        await work.close()

    virtual_time.run(main())
    assert paid(client) == (40, 20)
    assert incidents(tmp_path / "j.db") == {"duplicate": 20}


def remotes(path: Path) -> dict[str, str]:
    """The provider's id of each batch, by its intent, as the journal has it."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT intent, remote FROM batches WHERE remote <> ''").fetchall())


@pytest.mark.parametrize("late", [False, True])
def test_batches_that_only_their_results_tell_apart_are_told_apart(late: bool, tmp_path: Path):
    """Of the same number of lines, and made in the same moment, at a provider whose listing tells no more than that."""
    client = MemoryBatches(recovery="contents", limits=Limits(lines=10))
    client.creates = [("after", BatchUnknown("reset"))] * 2
    client.lag = 100.0 if late else 0.0

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")
        assert texts_of(await work.ask(TEXTS)) == TEXTS
        await asyncio.sleep(200)
        await work.close()

    virtual_time.run(main())
    found = remotes(tmp_path / "j.db")
    assert len(client.made) == len(found) == (4 if late else 2)
    assert found == {made.intent.id: made.id for made in client.made}
    assert incidents(tmp_path / "j.db") == ({"duplicate": 20} if late else {})


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


# Deadlines ----------------------------------------------------------------------------------------------------------


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


# The journal --------------------------------------------------------------------------------------------------------


def opened(path: Path, account: str = "a", **given: Any) -> SQLiteJournal:
    return SQLiteJournal(path, account, retention=1e9, now=0.0, **given)


def test_a_journal_is_one_account_s(tmp_path: Path):
    opened(tmp_path / "j.db").close()
    with pytest.raises(ConfigError, match="of the account 'a', not of 'b'"):
        opened(tmp_path / "j.db", "b")


def test_a_journal_is_for_one_process_and_one_executor(tmp_path: Path):
    journal = opened(tmp_path / "j.db")
    with pytest.raises(ConfigError, match="in use by another process or executor"):
        opened(tmp_path / "j.db")
    code = (
        "import sys; from thrift_plugins.batching.journal_sqlite import SQLiteJournal; from thrift_plugins.errors import ConfigError\n"
        "try: SQLiteJournal(sys.argv[1], 'a', retention=1, now=0)\nexcept ConfigError as e: print('refused', e)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "j.db")], check=True, capture_output=True, text=True, timeout=60
    )
    assert told.stdout.startswith("refused")
    (tmp_path / "link.db").symlink_to(tmp_path / "j.db")
    with pytest.raises(ConfigError, match="in use by another process or executor"):
        opened(tmp_path / "link.db")
    journal.close()
    opened(tmp_path / "j.db").close()


def test_a_journal_is_its_owners_alone_and_may_be_encrypted(tmp_path: Path):
    client = MemoryBatches()
    path = tmp_path / "j.db"

    async def main() -> None:
        work = Work(client, path, key="0123456789abcdef-secret")
        client.frozen = True
        work.put(["a word that nobody may see"])
        await asyncio.sleep(1)
        await work.close()

    virtual_time.run(main())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"nobody may see" not in files
    with pytest.raises(ConfigError, match="needs its key"):
        opened(path, client.account)
    with pytest.raises(ConfigError, match="another key"):
        opened(path, client.account, key="0123456789abcdef-other")


def test_answers_are_kept_for_the_retention(tmp_path: Path):
    client = MemoryBatches()
    served(client, tmp_path / "j.db")
    journal = SQLiteJournal(tmp_path / "j.db", client.account, retention=10.0, now=virtual_epoch() + 1e6)
    assert journal.counts()["answered"] == 0
    journal.close()


def virtual_epoch() -> float:
    return 1_800_000_000.0


def test_prompts_that_a_kill_has_left_go_when_the_journal_is_opened(tmp_path: Path):
    client = MemoryBatches()
    served(client, tmp_path / "j.db")
    with closing(sqlite3.connect(tmp_path / "j.db")) as connection, connection:
        connection.execute("INSERT INTO prompts VALUES (1, 20, x'00')")
    opened(tmp_path / "j.db", client.account).close()
    with closing(sqlite3.connect(tmp_path / "j.db")) as connection:
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (0,)


def test_a_file_of_others_is_left_alone(tmp_path: Path):
    (tmp_path / "j.db").write_text("not a database")
    with pytest.raises(StoreCorrupt):
        opened(tmp_path / "j.db")
    assert (tmp_path / "j.db").read_text() == "not a database"


def test_a_disk_that_is_full_tells_everybody_and_loses_nothing(tmp_path: Path):
    client = MemoryBatches()

    async def main() -> None:
        work = Work(client, tmp_path / "j.db")

        def full(*_: Any) -> Any:
            raise OSError(28, "No space left on device")

        work.journal.take = full  # type: ignore[method-assign]
        with pytest.raises(OSError, match="No space left"):
            await work.ask(TEXTS)
        await work.close()

    virtual_time.run(main())
    served(client, tmp_path / "j.db")
    assert paid(client) == (20, 0)


def test_prompts_with_the_time_in_them_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    client = MemoryBatches()
    now = datetime.fromtimestamp(virtual_epoch(), UTC)
    served(client, tmp_path / "a.db", [f"it is {now:%Y-%m-%d %H:%M:%S}, what about {i}?" for i in range(3)])
    assert caplog.text.count("the prompts say what time it is") == 1
    caplog.clear()
    served(client, tmp_path / "b.db", [f"on 2024-01-02 10:00, what was {i}? And 1234567890?" for i in range(3)])
    assert "what time it is" not in caplog.text
