"""A clock that is wrong, or is set in the middle of a run: nothing is paid twice for it, and nothing waits for a day."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.batch_crash_kit import SETTINGS, script
from tests.batch_crash_worker import PRICES, ask, open_client
from thrift_plugins.batching import BatchSettings
from thrift_plugins.batching.executor import Executor
from thrift_plugins.testing.batches import LoopbackBatches
from thrift_plugins.testing.batches.server import BatchMoment

SETTINGS_HERE = BatchSettings(**{**SETTINGS, "grace": 1.0})
DAY = 86_400.0


class Clock:
    """The machine's clock, and how far it is off."""

    def __init__(self, off: float) -> None:
        self.off = off

    def __call__(self) -> float:
        return time.time() + self.off


@pytest.mark.parametrize("jump", [0.0, DAY, -DAY], ids=["stays", "ahead", "back"])
@pytest.mark.parametrize("off", [0.0, 1800.0, -1800.0], ids=["right", "fast", "slow"])
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_a_batch_of_which_nobody_heard_is_found(name: str, off: float, jump: float, tmp_path: Path) -> None:
    clock = Clock(off)

    def watch(moment: BatchMoment) -> None:
        if (moment.step, moment.when) == ("create", "after"):
            clock.off = off + jump

    with LoopbackBatches(seconds=0.05, watch=watch) as provider:
        provider.script(script)
        provider.batch_faults.resets_after_create = 1
        provider.batch_faults.list_lag = 0.4
        client = open_client(name, provider.root_url, 10)
        http = httpx.AsyncClient(base_url=provider.root_url, timeout=60)

        async def work(number: int) -> str:
            return await ask(http, name, f"say {number}")

        with Executor(client, tmp_path / "j.db", settings=SETTINGS_HERE, prices=PRICES, clock=clock) as executor:
            results: list[Any] = list(executor.run(work, range(4)))
        assert [result.error for result in results] == [None] * 4
        assert (len(provider.paid.lines), provider.paid.twice) == (4, 0)
