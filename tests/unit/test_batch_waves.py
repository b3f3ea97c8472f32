"""When a wave is full: shapes of apps, and how many waves each takes over its critical path."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from pathlib import Path

import orjson
import pytest

from tests.batch_memory import MemoryBatches
from tests.batch_shapes import PLAIN, ask
from thrift_plugins.batching import BatchSettings, Executor
from thrift_plugins.batching.client import Address
from thrift_plugins.batching.session import current
from thrift_plugins.errors import StoreUnavailable

ITEMS = 30
QUICK = BatchSettings(poll=0.01, grace=0.05, linger=0.02, external_cap=5, samples="share")


@pytest.mark.parametrize("shape", PLAIN)
def test_a_wave_takes_all_that_can_be_asked(shape: str, tmp_path: Path):
    work, ideal = PLAIN[shape]
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


def test_synchronous_calls_after_small_jobs_find_threads(tmp_path: Path):
    client = MemoryBatches()

    def asks(i: int) -> int:
        session = current()
        assert session is not None
        body = {"model": "m", "text": f"{i}"}
        return session.ask_blocking(Address("m", "/ask"), orjson.dumps(body), body).status

    async def work(i: int) -> int:
        for _ in range(3):
            await asyncio.to_thread(str, i)
        return await asyncio.to_thread(asks, i)

    with Executor(client, tmp_path / "j.db", settings=QUICK) as executor:
        assert [result.output for result in executor.run(work, range(ITEMS))] == [200] * ITEMS
    assert len(client.made) == 1


@pytest.mark.parametrize("at_most", [None, 1_000], ids=["whole", "in parts"])
def test_a_disk_that_is_full_when_a_wave_is_taken_is_told_to_everybody(
    at_most: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if at_most:
        monkeypatch.setattr("thrift_plugins.batching.host._MOST_BYTES", at_most)
    client = MemoryBatches()
    with Executor(client, tmp_path / "j.db", settings=QUICK) as executor:

        def fill(connection: sqlite3.Connection) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages}")

        executor.journal._file.run(fill)  # type: ignore[attr-defined]
        texts = [secrets.token_hex(20_000) for _ in range(ITEMS)]
        results = list(executor.run(ask, texts))
    assert [type(result.error) for result in results] == [StoreUnavailable] * ITEMS
    assert client.made == []
