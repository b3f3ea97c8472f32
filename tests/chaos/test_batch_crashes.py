"""The batch executor between kill -9 and a provider's faults: nothing is paid twice, nothing is lost, nothing is swapped.

100 runs by default on a file, and 20 on a server that workers share; THRIFT_TEST_SCALE=20 makes it 2,000 and 400. Each is
drawn from its number, so that one can be run again alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.batch_crash_kit import PROVIDERS, Outcome, Scenario, Zygote, run, script
from tests.redis_server import RedisServer
from thrift_plugins.testing.batches import LoopbackBatches

RUNS = max(20, int(100 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))))
SHARED_RUNS = max(20, RUNS // 5)
PAIRS = max(2, RUNS // 50)
FIRST = int(os.environ.get("THRIFT_CRASH_FIRST", "0"))
EACH = 20
"""Runs of one test: a slow machine is to finish them before a test counts as hung."""
AT_ONCE = 8
BATCH_SECONDS = 0.06


class Places:
    """Threads, and a provider and a process that forks workers for each of them: to start one takes longer than many runs."""

    def __init__(self, folder: Path, at_once: int = AT_ONCE) -> None:
        self._folder = folder
        self._stack, self._lock, self._mine = ExitStack(), threading.Lock(), threading.local()
        self.pool = self._stack.enter_context(ThreadPoolExecutor(at_once))

    def mine(self) -> tuple[Zygote, LoopbackBatches]:
        if not hasattr(self._mine, "place"):
            with self._lock:
                provider = self._stack.enter_context(LoopbackBatches(seconds=BATCH_SECONDS))
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                self._mine.place = self._stack.enter_context(Zygote(provider, folder)), provider
        return self._mine.place

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    opened = Places(tmp_path_factory.mktemp("zygotes"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def few_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """For workers that load a framework, which takes longer than many of their lives."""
    opened = Places(tmp_path_factory.mktemp("wrapping"), 2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes") as running:
        yield running


@pytest.mark.parametrize("first", range(FIRST, FIRST + RUNS, EACH))
def test_nothing_is_paid_twice_lost_or_swapped(places: Places, tmp_path: Path, first: int) -> None:
    many(places, tmp_path, first, lambda _: "")


@pytest.mark.parametrize("first", range(FIRST, FIRST + SHARED_RUNS, EACH))
def test_nothing_is_with_a_journal_on_a_server(places: Places, tmp_path: Path, first: int, server: RedisServer) -> None:
    many(places, tmp_path, first, lambda seed: f"{server.url}#run-{seed}")


@pytest.mark.parametrize("first", range(FIRST, FIRST + SHARED_RUNS, EACH))
def test_a_budget_knows_what_is_paid_whoever_dies(few_places: Places, tmp_path: Path, first: int) -> None:
    many(few_places, tmp_path, first, lambda _: "", budgets=True)


def many(
    places: Places, tmp_path: Path, first: int, journal: Callable[[int], str], *, budgets: bool = False
) -> None:
    """Some runs at once."""

    def one(seed: int) -> Outcome:
        drawn, folder = Scenario.drawn(seed), tmp_path / str(seed)
        if budgets:
            drawn.provider = "openai"
        store = str(folder / "thrift.db") if budgets else ""
        outcome = run(drawn, *places.mine(), folder, journal=journal(seed), store=store)
        if not outcome.bad:
            shutil.rmtree(tmp_path / str(seed))
        return outcome

    outcomes = list(places.pool.map(one, range(first, first + EACH)))
    bad = [outcome for outcome in outcomes if outcome.bad]
    print(
        f"\n{len(outcomes)} runs, {sum(o.deaths for o in outcomes)} deaths, {sum(o.paid for o in outcomes)} lines paid: "
        f"{sum(o.twice for o in outcomes)} twice, {sum(o.lost for o in outcomes)} inputs lost, "
        f"{sum(o.swapped for o in outcomes)} swapped; {sum(o.lost_by_provider for o in outcomes)} answers lost by the provider"
    )
    assert not bad, bad[:3]
    assert sum(outcome.deaths for outcome in outcomes) > EACH / 4


@pytest.mark.parametrize("seed", range(FIRST, FIRST + PAIRS))
def test_two_workers_pay_once_for_both_whoever_of_them_dies(
    places: Places, tmp_path: Path, seed: int, server: RedisServer
) -> None:
    zygote, provider = places.mine()
    drawn = Scenario.drawn(seed)
    drawn.kills = drawn.kills or [{"at": "time", "seconds": 0.2}]
    url = f"{server.url}#pair-{seed}"
    with Zygote(provider, tmp_path / "other") as other, ThreadPoolExecutor(2) as pool:
        provider.reset()
        provider.script(script)
        drawn.apply(provider)
        lasting = Scenario(seed, drawn.provider, drawn.inputs, drawn.lines)
        works = [
            pool.submit(run, *work, fresh=False, journal=url)
            for work in ((drawn, zygote, provider, tmp_path / "a"), (lasting, other, provider, tmp_path / "b"))
        ]
        outcomes = [work.result() for work in works]
    assert [(outcome.lost, outcome.swapped, outcome.trouble) for outcome in outcomes] == [(0, 0, "")] * 2
    assert provider.paid.twice == 0, drawn


@pytest.mark.parametrize("stays", [True, False], ids=["at work", "run again"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_batch_listed_later_than_the_grace_is_reported(
    places: Places, tmp_path: Path, name: str, stays: bool
) -> None:
    """To pay twice is then unavoidable; not to say so is not."""
    zygote, provider = places.mine()
    late = {"resets_after_create": 2, "list_lag": 2.0}
    scenario = Scenario(0, name, inputs=9, lines=3, faults=late)
    outcome = run(scenario, zygote, provider, tmp_path, grace=0.2, stay=3.0 if stays else 0.0)
    if not stays:
        time.sleep(2.0)
        again = Scenario(0, name, inputs=9, lines=3)
        outcome = run(again, zygote, provider, tmp_path, grace=0.2, stay=1.5, fresh=False)
    assert (outcome.lost, outcome.swapped, outcome.trouble) == (0, 0, "")
    assert outcome.twice > 0
    reported = [incident for incident in outcome.incidents if incident["kind"] == "duplicate"]
    assert sum(incident["lines"] for incident in reported) == outcome.twice
    assert all(incident["nano"] for incident in reported), reported
