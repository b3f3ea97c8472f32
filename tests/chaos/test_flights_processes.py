"""Single flight among processes: eight of them, over one SQLite file and over one Redis server; and a leader that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.redis_server import RedisServer
from thrift_plugins.testing import Fault, LoopbackProvider

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
PROCESSES = 8
EACH = max(2, int(125 * min(1, SCALE)))
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield str(tmp_path / "answers.db")
        else:
            server = stack.enter_context(RedisServer(tmp_path))
            yield f"{server.url}?socket_timeout=20&socket_connect_timeout=20"  # eight processes on a small machine keep even a quick server waiting


class Workers:
    """Processes that wait for each other before they ask."""

    def __init__(self, store: str, provider: LoopbackProvider, *, many: int = PROCESSES, each: int) -> None:
        self._arguments = [sys.executable, "-m", "tests.flights_worker", store, provider.base_url, str(each)]
        self._many = many
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        told = {**os.environ, "THRIFT_SECRET": "of these tests alone, and long enough"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        try:
            for _ in range(self._many):
                self.processes.append(subprocess.Popen(self._arguments, cwd=ROOT, env=told, **pipes))
            for process in self.processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            for process in self.processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def kill(self, number: int) -> None:
        (victim,) = [process for process in self.processes if process.pid == number]
        victim.kill()
        victim.communicate()
        self.processes.remove(victim)

    def results(self) -> list[dict[str, Any]]:
        found = []
        for process in self.processes:
            assert process.stdout is not None
            found.append(json.loads(process.stdout.readline()))
        return found


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
