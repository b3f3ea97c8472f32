"""What a batch run costs, and how many batches it makes: `python -m tests.benchmarks.batch [--json FILE] [--only NAME ...]`.

Waves are counted on shapes of apps of LCEL, LangGraph, LlamaIndex and plain asyncio, beyond the fewest that each can take. CPU is
that of the process, over writing the same lines to a file, and over the bare SDK of OpenAI with its transport in memory.
`--million` runs 1,000,000 requests, which takes minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from tests.batch_instant import InstantBatches, chat_answer
from thrift_plugins.batching.executor import Executor
from thrift_plugins.batching.session import current
from thrift_plugins.batching.settings import BatchSettings

TARGETS = {
    "waves_excess": 0.0,
    "li_pipeline_batches": 5.0,
    "collector_x_json": 12.0,
    "langchain_x_sdk": 1.3,
    "million_peak_mb": 1000.0,
    "million_growth": 1.2,
}
QUICK = BatchSettings(poll=0.01, linger=0.03, external_cap=20.0, window=10_000)
PATH = "/v1/chat/completions"
WORDS = (
    "The parcel came on a rainy day, and the lamp in it was broken at the foot; the shop was friendly about it. " * 5
)


def payload(number: int) -> dict[str, Any]:
    """A request of about 540 characters."""
    return {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": f"{number}: {WORDS}"}]}


async def ask(number: int) -> int:
    """One call of a model, at the collector."""
    session = current()
    if session is None:
        raise RuntimeError("outside of a run")
    body = payload(number)
    encoded = orjson.dumps(body)
    address = session.client.address(PATH, body)
    if address is None:
        raise RuntimeError("no address")
    return (await session.ask(address, encoded, orjson.loads(encoded))).status


# Waves --------------------------------------------------------------------------------------------------------------


def waves(count: int) -> dict[str, float]:
    """Batches beyond the fewest, on every shape."""
    from tests.batch_apps import langchain_apps, llama_index_apps
    from tests.batch_shapes import PLAIN
    from thrift_plugins.langchain import BatchExecutor
    from thrift_plugins.llama_index import BatchExecutor as LlamaIndexExecutor

    excess = shapes = 0

    groups: list[tuple[Any, dict[str, tuple[Any, Iterable[Any], int]]]] = [
        (Executor, {name: (work, range(count), ideal) for name, (work, ideal) in PLAIN.items()}),
        (BatchExecutor, {name: tuple(app) for name, app in langchain_apps(count).items()}),
        (LlamaIndexExecutor, {name: tuple(app) for name, app in llama_index_apps(count).items()}),
    ]
    for executor, apps in groups:
        for name, (work, inputs, ideal) in apps.items():
            made = _waves(executor, work, inputs, name)
            print(f"{name:45} {made} waves of {ideal}")
            excess, shapes = excess + made - ideal, shapes + 1
    return {"shapes": shapes, "waves_excess": float(excess)}


def _waves(kind: Any, work: Any, inputs: Iterable[Any], name: str) -> int:
    client = InstantBatches()
    with tempfile.TemporaryDirectory() as folder, kind(client, Path(folder, "j.db"), settings=QUICK) as executor:
        for result in executor.run(work, inputs):
            if result.error is not None:
                raise RuntimeError(f"{name}: {result.error!r}")
    return len(client.sizes)


def pipeline() -> dict[str, float]:
    """The stock pipeline of four extractors over 200 documents."""
    from tests.batch_apps import llama_index_apps
    from thrift_plugins.llama_index import BatchExecutor

    work, inputs, _ = llama_index_apps(200)["LlamaIndex: pipeline of four extractors"]
    return {"li_pipeline_batches": float(_waves(BatchExecutor, work, inputs, "pipeline"))}


# CPU ----------------------------------------------------------------------------------------------------------------


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this process's CPU."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> float:
    """The median of our CPU over theirs, in turns."""
    return median(cpu(ours) / cpu(theirs) for _ in range(rounds))


def collector(count: int, rounds: int) -> dict[str, float]:
    """Collector and journal over what a script does by hand: write the same lines to a file, and read as many answers from one."""
    answer = chat_answer("A short answer to what was asked, in a sentence or two.")

    def write() -> None:
        with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as answers:
            for number in range(count):
                answers.write(b'{"custom_id":"line-%d","response":{"status_code":200,"body":%b}}\n' % (number, answer))
            answers.seek(0)
            read = {(row := orjson.loads(line))["custom_id"]: row["response"]["body"] for line in answers}
            if len(read) != count:
                raise RuntimeError("an answer is missing")
            for number in range(count):
                row = {"custom_id": f"line-{number}", "method": "POST", "url": PATH, "body": payload(number)}
                file.write(orjson.dumps(row) + b"\n")

    return {"collector_x_json": ratio(lambda: collect(count), write, rounds)}


def collect(count: int, folder: str | None = None) -> None:
    """Run so many requests."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        client = InstantBatches(canned=True)
        with Executor(client, Path(place, "j.db"), settings=QUICK) as executor:
            answered = sum(result.output == 200 for result in executor.run(ask, range(count), in_order=False))
    if answered != count:
        raise RuntimeError(f"{count - answered} requests were not answered")


def langchain(count: int, rounds: int) -> dict[str, float]:
    """A chain in a batch run over the SDK of OpenAI alone, with a transport in memory."""
    import httpx
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from openai import AsyncOpenAI

    from tests.batch_apps import BASE, model
    from thrift_plugins.langchain import BatchExecutor

    answer = chat_answer("A short answer to what was asked, in a sentence or two.")

    def served(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=answer, headers={"content-type": "application/json"})

    async def sdk() -> None:
        async with AsyncOpenAI(
            api_key="k", base_url=BASE, http_client=httpx.AsyncClient(transport=httpx.MockTransport(served))
        ) as client:
            calls: list[Awaitable[Any]] = [client.chat.completions.create(**payload(number)) for number in range(count)]
            await asyncio.gather(*calls)

    chain = ChatPromptTemplate.from_template("{x}: " + WORDS) | model(temperature=0) | StrOutputParser()

    def ours() -> None:
        client = InstantBatches(canned=True)
        with (
            tempfile.TemporaryDirectory() as place,
            BatchExecutor(client, Path(place, "j.db"), settings=QUICK) as executor,
        ):
            for result in executor.run(chain, ({"x": number} for number in range(count))):
                result.value()

    ours()
    return {"langchain_x_sdk": ratio(ours, lambda: asyncio.run(sdk()), rounds)}


# Scale --------------------------------------------------------------------------------------------------------------


def million(most: int) -> dict[str, float]:
    """Peak memory, and the growth of CPU a request from 10,000 on, each in a process of its own."""
    small, large = _alone(10_000), _alone(most)
    return {
        "requests": most,
        "million_peak_mb": large["peak_mb"],
        "million_growth": (large["cpu"] / most) / (small["cpu"] / 10_000),
        "cpu_us_a_request": large["cpu"] / most * 1e6,
    }


def _alone(count: int) -> dict[str, float]:
    told = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.batch", "--collect", str(count)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(told.stdout)
    return figures


def main() -> None:
    """Measure, and print."""
    from tests.benchmarks.harness import report

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="not used: every request is made here")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", nargs="*", default=["waves", "pipeline", "collector", "langchain"])
    parser.add_argument("--count", type=int, default=4_000, help="requests of a CPU figure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--million", type=int, nargs="?", const=1_000_000, help="run so many requests, too")
    parser.add_argument("--collect", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.collect:
        used = cpu(lambda: collect(given.collect))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps({"cpu": used, "peak_mb": peak}))
        return
    figures: dict[str, float | int | str | None] = {}
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "waves": lambda: waves(20),
        "pipeline": pipeline,
        "collector": lambda: collector(given.count, given.rounds),
        "langchain": lambda: langchain(given.count // 2, given.rounds),
    }
    for name in given.only:
        figures.update(parts[name]())
    if given.million:
        figures.update(million(given.million))
    report("Batches", figures, TARGETS, given.json)


if __name__ == "__main__":
    main()
