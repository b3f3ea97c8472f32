"""What an app feels of a Redis in trouble: `python -m tests.benchmarks.faults`.

Calls go through `ThriftChatModel` with exact cache, single flight and semantic tier, over a model that answers at once.
`added_once_ms` is the worst of the first calls after a fault began, `breaker_open_p99_ms` what the calls after it take more
than those of a second app with a store in memory, which are made in turns with them, `recovery_s` the longest time from the end of a fault to the next answer out of the cache.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tests.benchmarks.harness import arguments, report
from tests.redis_faults import TROUBLES, Proxy, Trouble
from tests.redis_server import RedisServer
from thrift_plugins import CacheConfig, Config, Runtime, SemanticConfig
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.stores import MemoryStore, RedisStore
from thrift_plugins.stores.base import Store

TARGETS = {"errors_to_app": 0.0, "added_once_ms": 50.0, "breaker_open_p99_ms": 5.0, "recovery_s": 2.0}
SECRET = "of the benchmark, and of nothing else"
CALLS = 300
PATIENCE_S = 30.0


class AtOnce(BaseChatModel):
    """Answers at once."""

    @property
    def _llm_type(self) -> str:
        return "at-once"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        told = AIMessage(f"Read: {messages[-1].content}", response_metadata={"finish_reason": "stop"})
        return ChatResult(generations=[ChatGeneration(message=told)])


class App:
    """A wrapped model, called the one way or the other, by an app that counts what goes wrong."""

    def __init__(self, store: Store, *, asynchronous: bool) -> None:
        semantic = SemanticConfig(enabled=True)
        self.runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False, semantic=semantic)), store=store)
        self._model = ThriftChatModel(tiers=[AtOnce()], runtime=self.runtime)
        self._runner = asyncio.Runner() if asynchronous else None
        self.errors = 0
        self._numbers = count()

    def ask(self, question: str) -> Any:
        """The answer, None for an error."""
        try:
            if self._runner is None:
                return self._model.invoke(question)
            return self._runner.run(self._model.ainvoke(question))
        except Exception:
            self.errors += 1
            return None

    def seconds(self) -> float:
        """How long a new question takes."""
        started = time.perf_counter()
        self.ask(f"What is article {next(self._numbers)} about?")
        return time.perf_counter() - started

    def until_hit(self) -> float:
        """Seconds until an answer comes out of the cache."""
        started = time.perf_counter()
        for number in count():
            question = f"Where is shelf {next(self._numbers)}?"
            self.ask(question)
            again = self.ask(question)
            if again is not None and again.response_metadata["thrift"]["hit"]:
                return time.perf_counter() - started
            if time.perf_counter() - started > PATIENCE_S:
                raise TimeoutError(f"no hit after {number} calls")
            time.sleep(0.01)
        raise AssertionError

    def close(self) -> None:
        """Let go of everything."""
        if self._runner is not None:
            self._runner.run(self.runtime.store.aclose())
            self._runner.close()
        self.runtime.close()


def main() -> None:
    """Every fault, both ways to call."""
    given = arguments(__doc__ or "")
    worst = dict.fromkeys(TARGETS, 0.0)
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        for asynchronous in (False, True):
            calm = App(MemoryStore(), asynchronous=asynchronous)
            for kind, trouble in TROUBLES.items():
                found = _one(server, trouble, calm, asynchronous=asynchronous)
                print(
                    f"{kind:24} {'async' if asynchronous else 'sync':6}",
                    {name: round(value, 2) for name, value in found.items()},
                )
                for name, value in found.items():
                    worst[name] = worst[name] + value if name == "errors_to_app" else max(worst[name], value)
            calm.close()
    report("faults", {"faults": len(TROUBLES), "calls_each": CALLS, **worst}, TARGETS, given.json)


def _one(server: RedisServer, trouble: Trouble, calm: App, *, asynchronous: bool) -> dict[str, float]:
    server.ask("FLUSHALL")
    proxy = Proxy(server.port)
    app = App(RedisStore(f"redis://127.0.0.1:{proxy.port}", secret=SECRET), asynchronous=asynchronous)
    app.until_hit()
    usual = median(app.seconds() for _ in range(50))
    trouble.start(server, proxy)
    try:
        first = app.seconds()
        after, beside = zip(*((app.seconds(), calm.seconds()) for _ in range(CALLS)), strict=True)
    finally:
        trouble.end(server, proxy)
    recovery = app.until_hit()
    app.close()
    proxy.close()
    return {
        "errors_to_app": float(app.errors),
        "added_once_ms": max(0.0, first - usual) * 1e3,
        "breaker_open_p99_ms": max(0.0, _p99(after) - _p99(beside)) * 1e3 if trouble.silent else 0.0,
        "recovery_s": recovery,
    }


def _p99(times: Iterable[float]) -> float:
    return quantiles(times, n=100)[98]


if __name__ == "__main__":
    main()
