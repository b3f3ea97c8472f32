"""What threads share, changed by another one between two steps of the first: each test lets the other in at the worst moment."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from thrift_plugins.background import Background
from thrift_plugins.batching.host import Host
from thrift_plugins.budgeting.lengths import Kind, Lengths
from thrift_plugins.finalizing import living
from thrift_plugins.langchain import ResponseCache
from thrift_plugins.langchain.around import Around
from thrift_plugins.langchain.tally import Count
from thrift_plugins.langchain.used import UsedInside
from thrift_plugins.learnt import Learnt
from thrift_plugins.llama_index import budget_handler
from thrift_plugins.quality import ExactJudge, Gate, Terms
from thrift_plugins.stores import LocalSlices, MemoryStore
from thrift_plugins.stores.accounts import Standing
from thrift_plugins.stores.accounts_steps import AccountSteps
from thrift_plugins.stores.redis_asking import Asking
from thrift_plugins.stores.sqlite_file import SQLiteFile
from thrift_plugins.types import Reply, Request


class Others:
    """Threads that are let in once each, for as long as they need: one that has to wait is waited for at the end."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def let_in(self, does: Callable[[], Any]) -> None:
        if not self.threads:
            thread = threading.Thread(target=does)
            self.threads.append(thread)
            thread.start()
            thread.join(0.3)

    def end(self) -> None:
        for thread in self.threads:
            thread.join()


@pytest.fixture
def others() -> Iterator[Others]:
    made = Others()
    yield made
    made.end()


async def test_a_task_is_begun_while_other_loops_begin_theirs() -> None:
    made, loop = Background(), asyncio.get_running_loop()

    class Elsewhere:
        def get_loop(self) -> asyncio.AbstractEventLoop:
            made._tasks.add(cast("Any", Elsewhere()))
            return loop

    async def job() -> None:
        pass

    made._tasks.update(cast("Any", Elsewhere()) for _ in range(64))
    made.spawn("a", job)


def test_what_lives_is_listed_while_others_are_made() -> None:
    class Member:
        pass

    class Busy(WeakSet[Member]):
        def __iter__(self) -> Iterator[Member]:
            for member in super().__iter__():
                if len(made) < 4:
                    made.append(Member())
                    self.add(made[-1])
                yield member

    made = [Member(), Member()]
    assert len(living(Busy(made))) == 4


async def test_a_loop_begins_while_others_end() -> None:
    asking = Asking("redis://127.0.0.1:1/0", 1.0, None, None)

    class Loop:
        def is_closed(self) -> bool:
            for other in loops:
                asking._lanes.pop(cast("Any", other), None)
            return True

    loops = [Loop(), Loop(), Loop()]
    for loop in loops:
        asking._lanes[cast("Any", loop)] = cast("Any", None)
    await asking._lane()
    assert list(asking._lanes) == [asyncio.get_running_loop()]
    await asking.aclose()


def test_lookups_of_many_threads_are_all_counted(others: Others) -> None:
    cache = ResponseCache(MemoryStore())

    def counting() -> Count:
        others.let_in(lambda: cache.lookup("What is a refund?", "model"))
        return Count()

    cache.tally.by_scope.default_factory = counting
    cache.lookup("Where is the shop?", "model")
    others.end()
    assert cache.misses == 2
    cache.update("Where is the shop?", "model", [ChatGeneration(message=AIMessage("Here."))])


def test_what_others_have_shown_is_booked_whoever_looks_next() -> None:
    class Blind(ExactJudge):
        def reads(self, _request: Request, _reply: Reply) -> bool:
            return False

    gates = [Gate(Terms(share=1.0), Blind()) for _ in range(3)]
    for number in range(1, 10):
        for told in (gates[0], gates[2]):
            told.compared("routing", "", "worse", float(number))
            gates[1].merge(told.drain())
    request = Request("r", 99.0, "m", ())
    assert gates[1].draw(request, frozenset({"cache"}), cast("Any", None)) is None
    [rolled] = gates[1].answered(replace(request, at=100.0), (), held=False)[1]
    assert rolled.tactic == "routing"


def test_what_is_learnt_while_the_last_is_told_is_told_too(others: Others) -> None:
    kind, lengths, known = Kind("faq", "big", "gpt-4o", "", "asked", "text"), Lengths(), Lengths()

    class Slow(MemoryStore):
        def publish(self, channel: str, data: bytes, ttl: float | None = None) -> None:
            super().publish(channel, data, ttl)
            if not others.threads:
                lengths.learn(kind, 100)
            others.let_in(lambda: own.exchange(last=True))

    store = Slow()
    own = Learnt(store, {"lengths": lengths})
    lengths.learn(kind, 100)
    own.exchange()
    others.end()
    Learnt(store, {"lengths": known}).exchange()
    assert known.ceiling(kind).seen == 2


def test_handlers_listen_once(others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Root:
        @property
        def event_handlers(self) -> list[Any]:
            found = [*heard]
            others.let_in(lambda: budget_handler._listen(cast("Any", Handler())))
            return found

        def add_event_handler(self, handler: Any) -> None:
            heard.append(handler)

    class Handler:
        pass

    monkeypatch.setattr(budget_handler, "get_dispatcher", lambda: root)
    root = Root()
    budget_handler._listen(cast("Any", Handler()))
    others.end()
    assert len(heard) == 1


def test_accounts_are_remembered_while_the_oldest_are_forgotten() -> None:
    class Forgetting(OrderedDict[str, Standing]):
        def __setitem__(self, account: str, standing: Standing) -> None:
            super().__setitem__(account, standing)
            del self[account]

    slices = LocalSlices()
    slices._seen = Forgetting()
    slices.remember([Standing("a", 1, 0, 0, 0.0)])


async def test_what_is_owed_is_paid_by_one_of_two() -> None:
    class Raced(list[Any]):
        """Another thread takes the last one as soon as somebody has looked."""

        def __len__(self) -> int:
            return 1

    steps = AccountSteps(cast("Any", None), "a server")
    steps._too_large = Raced()
    assert list(steps.paying()) == []


def test_a_connection_that_comes_back_while_its_file_is_closed_is_closed(tmp_path: Path) -> None:
    class Closing(deque[Any]):
        def append(self, connection: Any) -> None:
            file.close()
            super().append(connection)

    file = SQLiteFile(tmp_path / "file.db", (), busy_timeout=1.0)
    idle = Closing()
    file._idle = idle
    used = file.run(lambda connection: connection)
    assert not idle
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used.execute("SELECT 1")
    file.close()


def test_what_a_tier_has_used_is_read_while_its_threads_go_on() -> None:
    class Growing(dict[str, Any]):
        def values(self) -> Any:
            for number, value in enumerate(super().values()):
                self[f"model {number}"] = value
                yield value

    used = UsedInside(Around(cast("Any", None), None, unheard=False))
    used.usage_metadata = Growing(m={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})
    assert used.usage().input_tokens == 3


def test_an_executor_is_closed_while_other_threads_ask() -> None:
    class Courier:
        broken = None

        class waiting:  # noqa: N801  as a courier's
            @staticmethod
            def fail(_error: BaseException) -> None:
                pass

        class client:  # noqa: N801
            @staticmethod
            async def aclose() -> None:
                pass

        def start(self) -> None:
            pass

        async def stop(self) -> None:
            pass

    class Asked:
        def __init__(self) -> None:
            self.ended = False

        def end(self, _error: BaseException) -> None:
            self.ended = True

    class Busy(WeakSet[Any]):
        def __iter__(self) -> Iterator[Any]:
            for session in super().__iter__():
                if len(made) < 3:
                    made.append(Asked())
                    self.add(made[-1])
                yield session

    host, made = Host(cast("Any", Courier)), [Asked(), Asked()]
    host._sessions = Busy(made)
    host.close()
    assert all(session.ended for session in made)
