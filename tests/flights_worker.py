"""One of several processes that ask the same: `python -m tests.flights_worker STORE PROVIDER THREADS`.

It says "ready", waits for a line, asks with every thread at once, and prints what it got as JSON: answers, and what its ledger says.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from tests.flight_kit import App, Asking, Model
from thrift_plugins import CacheConfig, Config, LedgerConfig, Runtime, drive
from thrift_plugins.effects import Call, Replay
from thrift_plugins.types import Reply, Usage

QUESTION = "What is the capital of France?"


class Paying(Asking):
    """Asks the provider over HTTP, under the name of this process."""

    provider = ""

    def call(self, effect: Call | Replay) -> Reply:
        if isinstance(effect, Replay):
            return self._done(effect)
        place = urlsplit(self.provider)
        body = {"model": "gpt-4o", "user": str(os.getpid()), "messages": [{"role": "user", "content": self.text}]}
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            connection.request("POST", f"{place.path}/chat/completions", json.dumps(body), {"authorization": "Bearer k"})
            told = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        self.said = told["choices"][0]["message"]["content"]
        return Reply(self.said, Usage(10, 3, source="provider"), finish_reason="stop")

    async def acall(self, effect: Call | Replay) -> Reply:
        return await asyncio.to_thread(self.call, effect)


def main() -> None:
    """Ask with half of the calls from threads, and half from tasks."""
    store, Paying.provider, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = Config(store=store, cache=CacheConfig(flight_wait=30), ledger=LedgerConfig(url="memory:"))
    runtime = Runtime(settings)
    app = App(runtime, Model())
    runtime.store.get("{-}:warm")
    print("ready", flush=True)
    sys.stdin.readline()

    def ask(_number: int) -> str:
        asking = Paying(app.model, QUESTION)
        drive.run(app.flow(QUESTION), runtime, asking)
        return asking.said

    async def aask() -> str:
        asking = Paying(app.model, QUESTION)
        await drive.arun(app.flow(QUESTION), runtime, asking)
        return asking.said

    async def tasks() -> list[str]:
        try:
            return await asyncio.gather(*(aask() for _ in range(many - many // 2)))
        finally:
            await runtime.store.aclose()

    said: list[str] = []
    beside = threading.Thread(target=lambda: said.extend(asyncio.run(tasks())))
    beside.start()
    with ThreadPoolExecutor(many // 2) as pool:
        answers = list(pool.map(ask, range(many // 2)))
    beside.join()
    records = app.records()
    print(
        json.dumps(
            {
                "answers": sorted({*answers, *said}),
                "calls": len(answers) + len(said),
                "answered": sum(record["outcome"] == "answered" for record in records),
                "fallbacks": sorted({line for record in records for line in record["fallbacks"]}),
            }
        ),
        flush=True,
    )
    runtime.close()


if __name__ == "__main__":
    main()
