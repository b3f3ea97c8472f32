"""Runs a two-step chain through the batch executor, and dies where it is told to.

Started as a program it waits for specifications on its standard input, one JSON object a line, and forks a child for each, so
that hundreds of deaths cost no start of Python. It prints the child's pid, and then how the child ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from thrift_plugins import Budget, CacheConfig, Config, Runtime
from thrift_plugins.batching.anthropic import AnthropicBatchClient
from thrift_plugins.batching.azure import AzureBatchClient
from thrift_plugins.batching.client import BatchClient, Limits
from thrift_plugins.batching.executor import Executor
from thrift_plugins.batching.mistral import MistralBatchClient
from thrift_plugins.batching.openai import OpenAIBatchClient
from thrift_plugins.batching.records_redis import RedisRecords
from thrift_plugins.batching.settings import BatchSettings
from thrift_plugins.prices import Prices
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.stores.sqlite_file import SQLiteFile

PATHS = {
    "openai": "/v1/chat/completions",
    "azure": "/openai/deployments/live/chat/completions?api-version=2024-10-21",
    "anthropic": "/v1/messages",
    "mistral": "/v1/chat/completions",
}


def question(step: int, said: object) -> str:
    """What the chain asks in a step."""
    return f"Step {step} about {said}"


def open_client(provider: str, root: str, lines: int) -> BatchClient:
    """A client whose batches have no more lines than that."""
    http = httpx.AsyncClient(verify=CONTEXT, limits=httpx.Limits(max_keepalive_connections=0))
    client: Any = {
        "openai": lambda: OpenAIBatchClient("key-1", base_url=f"{root}/v1", http=http),
        "azure": lambda: AzureBatchClient(root, "key-1", http=http),
        "anthropic": lambda: AnthropicBatchClient("key-1", base_url=root, http=http),
        "mistral": lambda: MistralBatchClient("key-1", base_url=root, http=http),
    }[provider]()
    client.limits = lambda _model: Limits(lines=lines)
    return client


async def ask(http: httpx.AsyncClient, provider: str, words: str) -> str:
    """One call as an SDK makes it."""
    body = {"model": "m-1", "max_tokens": 200, "messages": [{"role": "user", "content": words}]}
    response = await http.post(PATHS[provider], json=body, headers={"authorization": "Bearer key-1"})
    answer = response.json()
    if response.status_code != 200:
        raise RuntimeError(f"{response.status_code}: {answer}")
    return str(answer["content"][0]["text"] if provider == "anthropic" else answer["choices"][0]["message"]["content"])


def app(store: str) -> Runtime:
    """What counts the tokens of a wrapped model, in a file."""
    config = Config(store=store, cache=CacheConfig(enabled=False), budgets=[Budget.tokens("all", 10**9)])
    return Runtime(config, event_log=MemoryEventLog())


def wrapped(spec: dict[str, Any], http: httpx.AsyncClient) -> Any:
    """LangChain's model in ours, which those runs alone load that have a budget."""
    from langchain_openai import ChatOpenAI

    from thrift_plugins.langchain import ThriftChatModel

    clients = {"http_async_client": http, "http_client": httpx.Client(verify=CONTEXT)}
    bare = ChatOpenAI(
        model="m-1", api_key="key-1", base_url=f"{spec['root']}/v1", max_tokens=200, max_retries=0, **clients
    )
    return ThriftChatModel(tiers=[bare], runtime=app(spec["store"]))


def asking(spec: dict[str, Any], http: httpx.AsyncClient) -> Callable[[str], Awaitable[str]]:
    """How the chain asks: as an SDK does, or, where something counts what is spent, through a wrapped model."""
    if not spec.get("store"):
        return partial(ask, http, spec["provider"])
    model = wrapped(spec, http)

    async def answered(words: str) -> str:
        return str((await model.ainvoke(words)).text)

    return answered


async def work(spec: dict[str, Any]) -> None:
    """Run the chain over the inputs and write what came of each."""
    settings = BatchSettings(**spec["settings"])
    client = open_client(spec["provider"], spec["root"], spec["lines"])
    executor = Executor(client, spec["journal"], settings=settings, prices=PRICES)
    http = httpx.AsyncClient(base_url=spec["root"], timeout=60, verify=CONTEXT)

    said = asking(spec, http)

    async def chain(number: int) -> str:
        return await said(question(2, await said(question(1, number))))

    with Path(spec["results"]).open("w") as results:  # noqa: ASYNC230  (a short line, in a process that does nothing else)
        async for result in executor.arun(chain, spec["inputs"], in_order=False):
            told = {"index": result.index, "output": result.output, "error": result.error and repr(result.error)}
            results.write(json.dumps(told) + "\n")
            results.flush()
    while executor.journal.counts()["sent"] or executor.journal.counts()["queued"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if spec.get("stay"):
        await asyncio.sleep(spec["stay"])
    told = [incident._asdict() for incident in executor.journal.incidents()]
    Path(spec["results"]).with_suffix(".incidents").write_text(json.dumps(told))
    executor.close()
    await http.aclose()


def arm(kill: dict[str, Any] | None) -> None:
    """Die at a commit to the journal, before or after it, or after some seconds."""
    if not kill:
        return
    if kill["at"] == "time":
        threading.Timer(kill["seconds"], die).start()
        return
    left = [kill["number"]]

    def counted(original: Any) -> Any:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and kill["at"] == "before":
                die()
            done = original(self, *arguments, **options)
            if left[0] == 0:
                die()
            return done

        return method

    for kind, name in ((SQLiteFile, "transact"), (SQLiteFile, "run"), (RedisRecords, "_patiently")):
        setattr(kind, name, counted(getattr(kind, name)))


def die() -> None:
    """As a machine does: nothing is closed, nothing is said."""
    os.kill(os.getpid(), signal.SIGKILL)


def child(spec: dict[str, Any]) -> None:
    """One life."""
    logging.disable(logging.CRITICAL)
    status = 1
    try:
        with Path(spec["log"]).open("a") as log:
            os.dup2(log.fileno(), 2)
            os.dup2(log.fileno(), 1)
            arm(spec.get("kill"))
            asyncio.run(work(spec))
            status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def main() -> None:
    """Live once in this process, which loads what is loaded late; then fork a child for each line."""
    asyncio.run(work(json.loads(sys.stdin.readline())))
    print("ready", flush=True)
    loaded = False
    for line in sys.stdin:
        spec = json.loads(line)
        if spec.get("store") and not loaded:
            wrapped({**spec, "store": "memory:"}, httpx.AsyncClient(verify=CONTEXT))  # so that no child has to load it
            loaded = True
        pid = os.fork()
        if not pid:
            child(spec)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


PRICE = {"input": 2, "output": 8, "batch_input": 1, "batch_output": 4}
PRICES = Prices({"m-1": PRICE, "live": PRICE})  # Azure's model is a deployment
CONTEXT = ssl.create_default_context()  # reading the certificates takes longer than most lives

if __name__ == "__main__":
    PRICES.load()
    main()
