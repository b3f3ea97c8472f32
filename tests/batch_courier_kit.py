"""A courier and its journal in virtual time, over a provider in memory, and what came of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from tests import virtual_time
from tests.batch_memory import MemoryBatches
from thrift_plugins.batching.client import Address
from thrift_plugins.batching.courier import Courier
from thrift_plugins.batching.desk import Desk
from thrift_plugins.batching.doubles import Cost, Most
from thrift_plugins.batching.journal_sqlite import SQLiteJournal
from thrift_plugins.batching.pending import Answer, Pending, content_key
from thrift_plugins.batching.settings import BatchSettings

ADDRESS = Address("m", "/ask")
SETTINGS = BatchSettings(poll=10, grace=60, settling=30)


def cost(model: str, usage: Any, processing: str) -> int | None:
    return {"batch": 1, "flex": 1, "standard": 2}[processing]


class Work:
    """A journal and a courier in virtual time, and what is asked of them."""

    def __init__(
        self,
        client: MemoryBatches,
        path: Path,
        settings: BatchSettings = SETTINGS,
        prices: Cost = cost,
        most: Most = lambda _: None,
        **given: Any,
    ) -> None:
        self.client, self.settings = client, settings
        client._clock = virtual_time.clock
        self.journal = SQLiteJournal(path, client.account, retention=settings.retention, now=virtual_time.clock(), **given)
        self.courier = Courier(Desk(client, self.journal, settings, virtual_time.clock, prices, most))
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
