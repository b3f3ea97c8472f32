"""Single flight among processes: eight of them, over one SQLite file and over one Redis server; and a leader that is killed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Forks
from tests.redis_server import RedisServer
from thrift_plugins.testing import Fault, LoopbackProvider

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
PROCESSES = 8
EACH = max(2, int(125 * min(1, SCALE)))


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield str(tmp_path / "answers.db")
        else:
            yield stack.enter_context(RedisServer(tmp_path)).patient_url


class Workers(Forks):
    """Processes that wait for each other before they ask."""

    def __init__(self, store: str, provider: LoopbackProvider, *, many: int = PROCESSES, each: int) -> None:
        told = {"THRIFT_SECRET": "of these tests alone, and long enough"}
        super().__init__("tests.flights_worker", [[store, provider.base_url, str(each)]] * many, environment=told)

    def kill(self, number: int) -> None:
        (victim,) = [process for process in self.processes if process.pid == number]
        victim.kill()
        victim.communicate()
        self.processes.remove(victim)

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(process.stdout.readline()) for process in self.processes]


def test_a_thousand_calls_of_eight_processes_pay_once(store: str):
    with LoopbackProvider() as provider:
        provider.faults.rule(lambda _request: Fault.delay(0.5))
        with Workers(store, provider, each=EACH) as workers:
            results = workers.results()
    assert {line for result in results for line in result["fallbacks"]} == set()
    assert len(provider.billed) == 1
    assert sum(result["calls"] for result in results) == PROCESSES * EACH
    assert sum(result["answered"] for result in results) == 1
    assert len({answer for result in results for answer in result["answers"]}) == 1


def test_a_leader_that_is_killed_costs_one_more_call(store: str):
    with LoopbackProvider() as provider:
        provider.faults.append(Fault.delay(30))
        with Workers(store, provider, many=4, each=4) as workers:
            give_up = time.monotonic() + 30
            while not provider.requests and time.monotonic() < give_up:
                time.sleep(0.01)
            workers.kill(int(provider.requests[0].body["user"]))
            results = workers.results()
        assert len(provider.requests) == 2
    assert len(results) == 3
    assert sum(result["answered"] for result in results) == 1
    assert len({answer for result in results for answer in result["answers"]}) == 1
