"""Batches that turn up after they were given up: which one it is, and what was paid twice."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests import virtual_time
from tests.batch_courier_kit import TEXTS, Work, incidents, paid, texts_of
from tests.batch_memory import MemoryBatches
from thrift_plugins.batching.client import BatchUnknown, Limits
from thrift_plugins.batching.records import Incident
from thrift_plugins.types import Usage


def answered_and_left_alone(client: MemoryBatches, folder: Path) -> None:
    """All is asked and answered, and what turns up after that has the time to."""

    async def main() -> None:
        work = Work(client, folder / "j.db")
        assert texts_of(await work.ask(TEXTS)) == TEXTS
        await asyncio.sleep(200)
        await work.close()

    virtual_time.run(main())


def test_a_listing_that_lags_longer_is_found_out(tmp_path: Path):
    client = MemoryBatches()
    client.creates, client.lag, client.seconds = [("after", BatchUnknown("reset"))], 100.0, 200.0

    answered_and_left_alone(client, tmp_path)
    assert client.cancelled == 1
    assert paid(client) == (20, 0)  # it was cancelled in time
    assert incidents(tmp_path / "j.db").keys() == {"duplicate"}


def test_a_duplicate_that_was_paid_is_told(tmp_path: Path):
    client = MemoryBatches()
    client.creates, client.lag = [("after", BatchUnknown("reset"))], 100.0

    answered_and_left_alone(client, tmp_path)
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

    answered_and_left_alone(client, tmp_path)
    found = remotes(tmp_path / "j.db")
    assert len(client.made) == len(found) == (4 if late else 2)
    assert found == {made.intent.id: made.id for made in client.made}
    assert incidents(tmp_path / "j.db") == ({"duplicate": 20} if late else {})


def body(text: str) -> bytes:
    return orjson.dumps({"model": "m", "text": text})


USAGE = {"prompt_tokens": 100, "completion_tokens": 20}


def prices(model: str, usage: Usage, processing: str) -> int:
    tokens = usage.input_tokens + 4 * usage.output_tokens
    return tokens if processing == "batch" else 2 * tokens


EACH = 100 + 4 * 20


@pytest.mark.parametrize(
    ("told", "most", "nano", "words"),
    [
        (20, 5_000, 20 * EACH, "20 of its answers are paid twice: they cost $0.000004 at batch price"),
        (15, 5_000, 15 * EACH + 5 * 5_000, "of 5 it is not told what they used: these cost at most $0.000025"),
        (0, 5_000, 20 * 5_000, "of 20 it is not told what they used: these cost at most $0.000100"),
        (15, None, None, "nobody knows what they cost"),
    ],
)
def test_what_a_late_duplicate_cost_is_told_in_dollars(
    told: int, most: int | None, nano: int | None, words: str, tmp_path: Path
):
    client = MemoryBatches()
    client.creates, client.lag = [("after", BatchUnknown("reset"))], 100.0
    client.usages = {body(text): USAGE for text in TEXTS[:told]}

    async def main() -> Incident:
        work = Work(client, tmp_path / "j.db", prices=prices, most=lambda _: most)
        await work.ask(TEXTS)
        await asyncio.sleep(200)
        (incident,) = work.journal.incidents()
        await work.close()
        return incident

    incident = virtual_time.run(main())
    assert (incident.kind, incident.lines, incident.nano) == ("duplicate", 20, nano)
    assert words in incident.told


def test_what_was_answered_at_once_and_by_its_batch_too_is_told_in_dollars(tmp_path: Path):
    client = MemoryBatches()
    client.frozen, client.usages = True, {body(text): USAGE for text in TEXTS}

    async def main() -> list[Incident]:
        work = Work(client, tmp_path / "j.db", prices=prices)
        patient = work.put(TEXTS)
        await work.ask(TEXTS[:2], virtual_time.clock() + 3600)
        client.frozen = False
        await asyncio.gather(*patient)
        await asyncio.sleep(1)
        await work.close()
        work = Work(client, tmp_path / "j.db", prices=prices)
        told = work.journal.incidents()
        await work.close()
        return list(told)

    told = virtual_time.run(main())
    assert [(one.kind, one.lines, one.nano) for one in told] == [("promoted", 2, 2 * EACH), ("duplicate", 2, 2 * EACH)]
    assert paid(client) == (22, 2)
