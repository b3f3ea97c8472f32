"""One of several processes whose app calls a model: `python -m tests.calls_worker URL CALLS SEED LIMIT LOG`.

It says "ready", waits for a line, and calls. The model writes to the log what a provider would bill, at the moment at
which it would: the prompt when the request comes, each token of the answer when it is made, whatever becomes of the caller.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any, TextIO

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from thrift_plugins import CacheConfig, Config, LedgerConfig, Runtime, spending
from thrift_plugins.budgeting import Budget
from thrift_plugins.errors import BudgetExceeded
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import RedisAccounts, SQLiteAccounts
from thrift_plugins.stores.accounts import Accounts

MODEL = "gpt-4o-mini"
INPUT, OUTPUT = 150, 600  # nano-dollars for a token
PROMPT, MOST = 12, 60  # tokens; the prompt's true length is within every bound of it
QUESTION = "How is the weather today, and what shall I take with me when I go out in the evening?"
LEAST = 64 * OUTPUT + 60 * INPUT
"""Nano-dollars without which no call is made: an answer worth having, and the bound of the prompt."""
LEASE = 3.0
BURST = 2.0
"""Seconds of the rolling budget: its window goes on all the time, and is crossed by most calls that wait."""


def accounts(url: str) -> Accounts:
    """The budgets' books, with a patience that sixteen processes on two cores need."""
    return RedisAccounts(url, timeout=30) if url.startswith("redis") else SQLiteAccounts(url)


def budgets(limit: int) -> list[Budget]:
    """A hard one that is to be used up, one whose window rolls on, and one for each run of the app's."""
    return [
        Budget("all", limit, "usd", "total"),
        Budget("burst", limit, "usd", "total", rolling=BURST),
        Budget("run", 50_000, "tokens", "run"),
    ]


class Metered(BaseChatModel):
    """A model whose bill is written before its caller has anything."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    model_name: str = MODEL
    max_tokens: int = 100
    bill: Any
    chance: Any

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _get_ls_params(self, **_: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": self.model_name, "ls_model_type": "chat", "ls_max_tokens": self.max_tokens}

    def _billed(self, nano: int) -> None:
        log: TextIO = self.bill
        log.write(f"{nano}\n")

    def _tokens(self, limit: int | None) -> int:
        return min(self.chance.randint(1, MOST), limit or MOST, self.max_tokens)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **given: Any
    ) -> ChatResult:
        count = self._tokens(given.get("max_tokens"))
        self._billed(PROMPT * INPUT + count * OUTPUT)
        if self.chance.random() < 0.02:
            raise ConnectionError("the answer was made, paid, and lost on its way")
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage("word " * count, usage_metadata=_usage(count)))]
        )

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **given: Any
    ) -> ChatResult:
        count = self._tokens(given.get("max_tokens"))
        self._billed(PROMPT * INPUT + count * OUTPUT)
        await asyncio.sleep(self.chance.choice((0, 0.02)))
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage("word " * count, usage_metadata=_usage(count)))]
        )

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **given: Any
    ) -> Iterator[ChatGenerationChunk]:
        count = self._tokens(given.get("max_tokens"))
        self._billed(PROMPT * INPUT)
        for _ in range(count):
            self._billed(OUTPUT)
            yield ChatGenerationChunk(message=AIMessageChunk("word "))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=_usage(count), chunk_position="last"))

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **given: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages, stop, run_manager, **given):
            await asyncio.sleep(0)
            yield chunk


def _usage(count: int) -> Any:
    return {"input_tokens": PROMPT, "output_tokens": count, "total_tokens": PROMPT + count}


def call(model: ThriftChatModel, chance: random.Random, text: str) -> None:
    """One call in one of the ways, that ends in one of the ways."""
    way = chance.randrange(5)
    if way == 0:
        model.invoke(text)
    elif way == 1:
        with closing(model.stream(text)) as stream:  # type: ignore[type-var]
            for read, _ in enumerate(stream):
                if read == chance.randint(0, 2 * MOST):
                    break
    elif way == 2:
        asyncio.run(_cancelled(model, text))
    elif way == 3:
        asyncio.run(_left(model, text, chance.randint(0, 2 * MOST)))
    else:
        model.batch([text, text + "!"], return_exceptions=True)


async def _cancelled(model: ThriftChatModel, text: str) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(model.ainvoke(text), 0.01)


async def _left(model: ThriftChatModel, text: str, after: int) -> None:
    async with aclosing(model.astream(text)) as stream:  # type: ignore[type-var]
        read = 0
        async for _ in stream:
            if read == after:
                return
            read += 1


def main() -> None:
    """Call until the calls or the money are at their end."""
    url, calls, seed, limit, log = sys.argv[1:]
    spending.LEASE = LEASE  # of the killed: the test need not wait a quarter of an hour for them
    chance = random.Random(int(seed))
    config = Config(
        store="memory:", cache=CacheConfig(enabled=False), budgets=budgets(int(limit)), ledger=LedgerConfig(holdout=0)
    )
    with Path(log).open("a", buffering=1) as bill, closing(accounts(url)) as books:
        runtime = Runtime(config, accounts=books)
        model = ThriftChatModel(tiers=[Metered(bill=bill, chance=chance)], runtime=runtime)
        runtime.budgets()
        print("ready", flush=True)
        sys.stdin.readline()
        refused = 0
        for number in range(int(calls)):
            try:
                call(model, chance, f"{seed}/{number}: {QUESTION}")
            except BudgetExceeded:
                refused += 1
            except ConnectionError:
                pass
    print(f"refused {refused}", flush=True)


if __name__ == "__main__":
    main()
