"""The semantic tier over real stores: what it finds, what it never does, and what it tells other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.redis_server import RedisServer
from thrift_plugins.caching import Admission, CachePolicy, address, pack
from thrift_plugins.caching.semantic.asked import asked
from thrift_plugins.caching.semantic.guard import Limits
from thrift_plugins.caching.semantic.records import Check, Question
from thrift_plugins.caching.semantic.tier import Tier
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.config import SemanticConfig
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.semantic import Found, SemanticCache, fresh_reply, open_semantic, standings
from thrift_plugins.stores import MemoryStore, SQLiteStore, open_store
from thrift_plugins.stores.base import Store
from thrift_plugins.text.embed import StaticEmbedder
from thrift_plugins.types import Message, Reply, Request, Scope, Usage

POLICY = CachePolicy(kinds=False)
QUESTION = "How do I change my delivery address?"
SAME = "hi, how do i change my delivery address? thanks"
OTHER = "How do I change my billing address?"
where = partial(address, folded=True)
GIVE = Limits(shadow=0.0, first=0)
"""No trial, and no checks."""


def request(text: str = QUESTION, **changes: Any) -> Request:
    return replace(Request("id", 1000.0, "gpt-4o", (Message("user", text),), identity="m"), **changes)


def tier(limits: Limits = GIVE, **settings: Any) -> Tier:
    return Tier(StaticEmbedder(), Verifier.load(), limits, **settings)


def cache(
    store: Store, limits: Limits = GIVE, *, clock: Callable[[], float] = lambda: 1000.0, **settings: Any
) -> SemanticCache:
    return SemanticCache(store, tier(limits, **settings), StaticEmbedder(), where, opened=fresh_reply, clock=clock)


def admitted(of: Request) -> Admission:
    return POLICY.admit(of)


def reply(text: str = "In your account, under Addresses.") -> Reply:
    return Reply(text, Usage(10, 10, source="provider"), finish_reason="stop")


def learn(
    semantic: SemanticCache, store: Store, of: Request, answer: str = "In your account, under Addresses."
) -> None:
    found = admitted(of)
    assert found.key is not None
    store.put(found.key, pack(reply(answer), of.at, of.at + found.ttl), found.ttl)
    semantic.learn(of, found)


def search(semantic: SemanticCache, of: Request) -> Any:
    return semantic.search(of, admitted(of))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/t.db", "redis": ""}[request.param]
    if not url:
        server: RedisServer = request.getfixturevalue("server")
        server.ask("FLUSHALL")
        url = server.patient_url
    secret = "a secret of the tests" if request.param == "redis" else None
    opened = open_store(url, clock=lambda: 1000.0, secret=secret)
    yield opened
    opened.close()


def test_the_same_question_in_other_words_is_found(store: Store):
    semantic = cache(store)
    assert search(semantic, request(SAME)) is None
    learn(semantic, store, request())
    found = search(semantic, request(SAME))
    assert isinstance(found, Found)
    assert found.key == admitted(request()).key
    assert not found.shadow
    assert found.probability >= Verifier.load().threshold


@pytest.mark.parametrize(
    "near",
    [
        OTHER,
        "How do I change my delivery address twice?",
        "How do I not change my delivery address?",
        "怎么修改收货地址？",
    ],
)
def test_another_question_is_not(store: Store, near: str):
    semantic = cache(store)
    learn(semantic, store, request())
    assert search(semantic, request(near)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": Scope(tenant="b")},
        {"scope": Scope(tenant="a", keys=(("region", "eu"),))},
        {"model": "gpt-4o-mini"},
        {"identity": "other"},
        {"params": {"temperature": 0.1}},
        {"forced": "strong"},
        {"schema": {"type": "object"}},
        {"tools": ({"name": "get_weather"},)},
        {"messages": (Message("system", "Be brief."), Message("user", SAME))},
        {"messages": (Message("user", "Before"), Message("assistant", "That"), Message("user", SAME))},
    ],
    ids=["tenant", "wall", "model", "settings", "params", "forced", "schema", "tools", "system", "history"],
)
def test_nothing_is_found_in_other_surroundings(store: Store, changes: dict[str, Any]):
    semantic, here = cache(store), Scope(tenant="a")
    learn(semantic, store, request(scope=here))
    assert search(semantic, request(SAME, scope=here)) is not None
    assert search(semantic, request(SAME, **{"scope": here, **changes})) is None


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (Message("system", "Be brief."),),
        (Message("user", ""),),
        (Message("user", "x" * 601),),
        (Message("user", "look", extra={"a": 1}),),
        (Message("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),),
        (Message("user", [{"type": "image_url", "image_url": {"url": "http://x"}}]),),
        (Message("user", "Hi"), Message("tool", "result", tool_call_id="1")),
    ],
    ids=["nothing", "no user", "empty", "long", "extra", "two texts", "image", "tool result"],
)
def test_what_is_no_short_question_is_never_looked_for(messages: tuple[Message, ...]):
    assert asked(request(messages=messages), "r") is None


def test_a_question_in_a_block_is_the_question():
    blocks = Message("user", [{"type": "text", "text": QUESTION}])
    what = asked(request(messages=(blocks,)), "r")
    assert what is not None
    assert what.question == QUESTION
    assert what.put_otherwise(OTHER).messages[-1].text == OTHER


@pytest.mark.parametrize("how", ["delete", "forget", "clear", "expired"])
def test_what_was_forgotten_is_not_given(store: Store, how: str):
    semantic = cache(store)
    learn(semantic, store, request())
    key = admitted(request()).key
    assert key is not None
    if how == "delete":
        store.delete(key)
    elif how == "clear":
        store.clear("{-}:")
    elif how == "forget":
        store.put(key, pack(reply(), 0, 9e9), 100, tags=("doc",))
        store.forget("doc")
    else:
        store.put(key, pack(reply(), 900.0, 999.0), 100)
    assert search(semantic, request(SAME)) is None
    assert len(semantic.tier) == 0, "it is not looked for again"


def test_other_processes_hear_of_it(tmp_path: Path):
    store = SQLiteStore(tmp_path / "t.db")
    semantic = cache(store)
    learn(semantic, store, request())
    there = f"""
import tests.unit.test_semantic_tier as t
from thrift_plugins.stores import SQLiteStore
store = SQLiteStore({str(tmp_path / "t.db")!r})
print(t.search(t.cache(store), t.request(t.SAME)) is not None)
t.learn(t.cache(store), store, t.request("Where is the museum?"))
"""
    done = subprocess.run(
        [sys.executable, "-c", there], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "True"
    later = cache(store, clock=lambda: 1001.0)
    assert search(later, request("hello, where is the museum?")) is not None
    store.close()


async def test_asynchronously_the_same(store: Store):
    semantic = cache(store)
    learn(semantic, store, request())
    assert isinstance(await semantic.asearch(request(SAME), admitted(request(SAME))), Found)
    await semantic.alearn(request("Where is the museum?"), admitted(request("Where is the museum?")))
    assert len(semantic.tier) == 2


def test_a_new_scope_is_on_trial_and_then_on(store: Store):
    semantic = cache(store, Limits(first=3, shadow=0.0))
    learn(semantic, store, request())
    for _ in range(3):
        found = search(semantic, request(SAME))
        assert found.shadow
        semantic.judge(found, reply())
    assert not search(semantic, request(SAME)).shadow
    (standing,) = semantic.tier.standings()
    assert (standing.mode, standing.checked, standing.wrong) == ("on", 3, 0)


def test_a_scope_whose_answers_are_wrong_switches_off_and_says_so(store: Store):
    semantic = cache(store, Limits(first=100, shadow=0.0))
    learn(semantic, store, request())
    for _ in range(20):
        found = search(semantic, request(SAME))
        if isinstance(found, str):
            break
        semantic.judge(found, reply("No, that cannot be done at all any more."))
    assert isinstance(found, str)
    assert "semantic tier off" in found
    elsewhere = request(SAME, scope=Scope(feature="other"))
    learn(semantic, store, replace(request(), scope=Scope(feature="other")))
    assert not isinstance(search(semantic, elsewhere), str), "others go on"
    semantic.close()
    new = cache(store, Limits(first=100, shadow=0.0), clock=lambda: 1001.0)
    assert isinstance(search(new, request(SAME)), str), "a new process knows"
    told = standings(store, SemanticConfig(enabled=True))
    assert {each.name: each.mode for each in told}["calls without a feature on gpt-4o"] == "off"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_knows_what_is_off(tmp_path: Path):
    store = SQLiteStore(tmp_path / "t.db")
    semantic = cache(store, Limits(first=100, shadow=0.0))
    learn(semantic, store, request())
    for _ in range(20):
        found = search(semantic, request(SAME))
        if isinstance(found, str):
            break
        semantic.judge(found, reply("No, that cannot be done at all any more."))
    semantic.close()
    assert semantic.tier.standings()[0].mode == "off"
    with semantic.tier._lock:  # as if another thread were at it
        child = os.fork()
        if child == 0:
            told = search(semantic, request(SAME))
            os._exit(0 if isinstance(told, str) and "off" in told else 1)
    assert os.waitpid(child, 0)[1] == 0
    store.close()


def test_threads_may_search_and_learn_at_once(store: Store):
    semantic = cache(store, most=20)

    def work(number: int) -> bool:
        learn(semantic, store, request(f"What is article {number % 30} about?"))
        found = search(semantic, request(f"hi, what is article {number % 30} about?"))
        return found is None or isinstance(found, Found)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(120)))
    assert len(semantic.tier) <= 20


def test_fewer_errors_than_it_was_trained_for_are_refused():
    with pytest.raises(ConfigError, match="max_errors"):
        tier(Limits(max_errors=0.0001))
    with pytest.raises(ConfigError, match="max_errors"):
        open_semantic(MemoryStore(), POLICY, SemanticConfig(enabled=True, max_errors=0.0001), None, clock=lambda: 0.0)


def test_what_is_no_record_is_passed_over(store: Store):
    semantic = cache(store)
    rng = np.random.default_rng(1)
    good = Question(b"s" * 16, "Where?", np.ones(512, np.float32) / 512**0.5, 2000.0).pack()
    for _ in range(300):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 3):
            data[place] ^= int(rng.integers(1, 256))
        store.publish("semantic-questions", bytes(data), 100)
        store.publish("semantic-checks", bytes(data[: int(rng.integers(0, 60))]), 100)
    learn(semantic, store, request())
    assert isinstance(search(semantic, request(SAME)), Found)
    assert Question.unpack(b"") is None
    assert Check.unpack(b"\1" * 49) is None


def test_memory_is_bounded(store: Store):
    semantic = cache(store, most=10)
    for number in range(30):
        learn(semantic, store, request(f"What is article {number} about?"))
    assert len(semantic.tier) == 10
    assert search(semantic, request("hi, what is article 29 about?")) is not None


class Odd:
    """An app's own embedder, which misbehaves."""

    name = "odd"

    def __init__(self, *results: Any) -> None:
        self._results = list(results)

    def embed(self, texts: Sequence[str]) -> Any:
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        if isinstance(result, Exception):
            raise result
        return np.tile(result, (len(texts), 1))


@pytest.mark.parametrize(
    "results", [[np.ones(8, np.float32) / 8**0.5, np.ones(4, np.float32) / 2]], ids=["other dimensions"]
)
def test_an_embedder_that_changes_its_mind_finds_nothing(store: Store, results: list[Any]):
    embedder = Odd(*results)
    odd = Tier(embedder, Verifier.load(), GIVE)
    semantic = SemanticCache(store, odd, embedder, where, opened=fresh_reply, clock=lambda: 1000.0)
    learn(semantic, store, request())
    assert search(semantic, request(SAME)) is None


def test_errors_are_the_callers_to_catch_and_leave_nothing_locked(store: Store):
    embedder = Odd(ValueError("no network"), np.ones(8, np.float32) / 8**0.5)
    semantic = SemanticCache(
        store, Tier(embedder, Verifier.load(), GIVE), embedder, address, opened=fresh_reply, clock=lambda: 1000.0
    )
    with pytest.raises(ValueError, match="no network"):
        search(semantic, request())
    assert search(semantic, request()) is None


class Down(MemoryStore):
    """A store whose feed is down."""

    def since(self, channel: str, cursor: str, limit: int) -> Any:
        raise StoreUnavailable("down")


def test_a_feed_that_is_down_is_asked_again():
    semantic = cache(Down())
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            search(semantic, request())
        semantic._looked = None


def test_vectors_of_one_embedder_are_no_others():
    one, other = asked(request(), "a"), asked(request(), "b")
    assert one is not None
    assert other is not None
    assert one.space != other.space
