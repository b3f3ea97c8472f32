"""One batch library at work on N questions, as its documentation shows: `python batch_peer.py NAME BASE_URL N FOLDER`.

A program of its own, so that it can run in an interpreter that has the library and nothing of ours. Prints how many answers it
delivered.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

MODEL = "gpt-4o-mini"
POLL_S = 0.1
TIMEOUT_S = float(os.environ.get("THRIFT_PEERS_SECONDS", "60"))


def questions(count: int) -> list[str]:
    return [f"What is said of topic number {number}?" for number in range(count)]


async def ours(url: str, count: int, folder: Path) -> int:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    from thrift_plugins.batching import BatchSettings, OpenAIBatchClient
    from thrift_plugins.langchain import BatchExecutor

    chain = (
        ChatPromptTemplate.from_template("{question}")
        | ChatOpenAI(model=MODEL, base_url=url, api_key="k")
        | StrOutputParser()
    )
    settings = BatchSettings(poll=POLL_S, grace=1.0)
    executor = BatchExecutor(OpenAIBatchClient("k", base_url=url), folder / "journal.db", settings=settings)
    inputs = [{"question": question} for question in questions(count)]
    try:
        return sum([result.error is None async for result in executor.arun(chain, inputs)])
    finally:
        executor.close()


async def langasync(url: str, count: int, folder: Path) -> int:
    os.environ.update(
        OPENAI_BASE_URL=url, OPENAI_API_KEY="k", LANGASYNC_BATCH_POLL_INTERVAL=str(POLL_S), LANGASYNC_BASE_STORAGE_PATH=str(folder / "jobs")
    )  # fmt: skip
    from langasync import BatchJobService, BatchPoller, LangasyncSettings, batch_chain
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    settings = LangasyncSettings()
    chain = ChatPromptTemplate.from_template("{question}") | ChatOpenAI(model=MODEL, base_url=url) | StrOutputParser()
    if not await BatchJobService(settings).list(pending=True):
        await batch_chain(chain, settings).submit([{"question": question} for question in questions(count)])
    done = 0
    async for job in BatchPoller(settings).wait_all():
        done += sum(bool(getattr(item, "success", True)) for item in job.results or ())
    return done


async def autobatcher(url: str, count: int, _: Path) -> int:
    from autobatcher import BatchOpenAI

    client = BatchOpenAI(
        api_key="k", base_url=url, completion_window="24h", batch_window_seconds=0.3, poll_interval_seconds=POLL_S
    )

    async def one(question: str) -> Any:
        return await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}])

    answers = await asyncio.gather(*(one(question) for question in questions(count)), return_exceptions=True)
    await client.close()
    return sum(not isinstance(answer, BaseException) for answer in answers)


async def steadybatch(url: str, count: int, folder: Path) -> int:
    from openai import OpenAI
    from steadybatch import Request, Runner
    from steadybatch.providers.openai_batch import OpenAIBatch

    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    asked = [Request(key=str(n), messages=[{"role": "user", "content": q}]) for n, q in enumerate(questions(count))]

    def work() -> int:  # in one thread, as its SQLite file wants it
        provider = OpenAIBatch(OpenAI(api_key="k", base_url=url))
        runner = Runner(provider, MODEL, response_schema=schema, checkpoint=folder / "job.sqlite", poll_every=POLL_S)
        return int(runner.run(asked).ok)

    return await asyncio.to_thread(work)


PEERS = {"ours": ours, "langasync": langasync, "autobatcher": autobatcher, "steadybatch": steadybatch}


async def main() -> None:
    name, url, count, folder = sys.argv[1:]
    async with asyncio.timeout(TIMEOUT_S):
        print("delivered", await PEERS[name](url, int(count), Path(folder)))


if __name__ == "__main__":
    asyncio.run(main())
