"""What one process has learnt of prompts and answers is known to the others that share its store, and to the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from tests.redis_server import RedisServer
from thrift_plugins import Budget, Config, OutputConfig, Runtime, Target, scope
from thrift_plugins.budgeting.lengths import Kind, Lengths
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.learnt import CHANNEL, Learnt
from thrift_plugins.stores import MemoryStore, open_store
from thrift_plugins.stores.base import Store
from thrift_plugins.testing import LoopbackProvider

KIND = Kind("faq", "big", "gpt-4o", "", "asked", "text")


@pytest.fixture(params=["sqlite", "redis"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Store]]:
    """Opens the same store anew, as another process does."""
    with ExitStack() as stack:
        url = str(tmp_path / "answers.db")
        if request.param == "redis":
            monkeypatch.setenv("THRIFT_SECRET", "s" * 32)
            url = stack.enter_context(RedisServer(tmp_path)).patient_url

        def open_it() -> Store:
            store = open_store(url)
            stack.callback(store.close)
            return store

        yield open_it


def _knowing(answers: int) -> Lengths:
    lengths = Lengths()
    for _ in range(answers):
        lengths.learn(KIND, 100)
    return lengths


def test_the_next_process_knows_it(opened: Callable[[], Store]) -> None:
    first, second = _knowing(60), Lengths()
    Learnt(opened(), {"lengths": first}).exchange()
    Learnt(opened(), {"lengths": second}).exchange()
    assert second.ceiling(KIND) == first.ceiling(KIND)


def test_several_learn_from_each_other_once(opened: Callable[[], Store]) -> None:
    known = [_knowing(10), _knowing(20), _knowing(40)]
    processes = [Learnt(opened(), {"lengths": one}) for one in known]
    for _ in range(3):
        for process in processes:
            process.exchange()
    assert [one.ceiling(KIND).seen for one in known] == [70, 70, 70]


def test_what_nobody_wrote_is_passed_over(opened: Callable[[], Store]) -> None:
    store, lengths = opened(), Lengths()
    for record in (
        b"",
        b"{",
        b"[]",
        b'{"by": "x"}',
        b'{"by": "x", "news": [{"lengths": "{}"}]}',
        b'{"by": 1, "news": [[]]}',
    ):
        store.publish(CHANNEL, record, 60.0)
    Learnt(opened(), {"lengths": _knowing(5)}).exchange()
    Learnt(store, {"lengths": lengths}).exchange()
    assert lengths.ceiling(KIND).seen == 5


class Away(MemoryStore):
    """A store that is down now and then."""

    down = True

    def publish(self, *told: Any) -> None:
        if self.down:
            raise StoreUnavailable("away")
        super().publish(*told)


def test_what_could_not_be_told_is_told_later() -> None:
    store, lengths, other = Away(), _knowing(5), Lengths()
    learnt = Learnt(store, {"lengths": lengths})
    learnt.exchange()
    lengths.learn(KIND, 100)
    learnt.exchange()
    store.down = False
    learnt.exchange()
    learnt.exchange()
    Learnt(store, {"lengths": other}).exchange()
    assert other.ceiling(KIND).seen == 6


def _runtime(path: Path) -> Runtime:
    output = OutputConfig(features={"faq": Target(words=60, mode="hard")})
    return Runtime(Config(store=str(path), output=output, budgets=[Budget.tokens("day", 1_000_000, window="day")]))


def _openai(provider: LoopbackProvider) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o", base_url=provider.base_url, api_key="k", max_retries=0)


def test_an_app_that_is_started_again(tmp_path: Path) -> None:
    with LoopbackProvider(answer_tokens=40) as provider:
        for number in range(60):
            if number % 20 == 0:
                runtime = _runtime(tmp_path / "answers.db")
                assert runtime.learnt is not None
                runtime.learnt.exchange()  # as the first call does, on a thread
                model = ThriftChatModel(tiers=[_openai(provider)], runtime=runtime)
            with scope(feature="faq"):
                model.invoke(f"How is the weather on day {number}?")
            if number % 20 == 19:
                runtime.close()
        runtime = _runtime(tmp_path / "answers.db")
        assert runtime.learnt is not None
        runtime.learnt.exchange()
        with scope(feature="faq"):
            ThriftChatModel(tiers=[_openai(provider)], runtime=runtime).invoke("And today?")
        assert provider.requests[-1].max_tokens is not None
        runtime.close()


def test_nothing_to_learn_or_nowhere_to_keep_it(tmp_path: Path) -> None:
    for config in (
        Config(store=str(tmp_path / "a.db")),
        Config(store="memory:", output=OutputConfig(mode="hard", words=60)),
    ):
        runtime = Runtime(config)
        assert runtime.learnt is None
        runtime.close()


def test_it_is_time_at_first_and_then_now_and_then() -> None:
    learnt = Learnt(MemoryStore(), {})
    assert [learnt.due() for _ in range(3)] == [True, False, False]
