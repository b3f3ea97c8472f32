"""`ResponseCache` as LangChain's cache backend: LangChain's own suites on every store, and what it must never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.caches import BaseCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.prompts import ChatPromptTemplate
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite
from pydantic import BaseModel, create_model

from tests.langchain_kit import chat
from tests.redis_server import RedisServer
from thrift_plugins import SemanticConfig, fresh, scope
from thrift_plugins.caching import CachePolicy, Rule
from thrift_plugins.errors import ConfigError, StoreUnavailable
from thrift_plugins.langchain import ResponseCache
from thrift_plugins.stores import MemoryStore, RedisStore, SQLiteStore
from thrift_plugins.testing import Fault, LoopbackProvider


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running
        set_llm_cache(None)


class OnMemory:
    @pytest.fixture
    def cache(self) -> BaseCache:
        return ResponseCache(MemoryStore())


class OnSQLite:
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Iterator[BaseCache]:
        store = SQLiteStore(tmp_path / "cache.db")
        yield ResponseCache(store)
        store.close()


class OnRedis:
    @pytest.fixture
    def cache(self, server: RedisServer) -> Iterator[BaseCache]:
        server.ask("FLUSHALL")
        store = RedisStore(server.patient_url, secret="of the test suite, long enough")
        yield ResponseCache(store)
        store.close()


class TestSyncOnMemory(OnMemory, SyncCacheTestSuite):
    pass


class TestAsyncOnMemory(OnMemory, AsyncCacheTestSuite):
    pass


class TestSyncOnSQLite(OnSQLite, SyncCacheTestSuite):
    pass


class TestAsyncOnSQLite(OnSQLite, AsyncCacheTestSuite):
    pass


class TestSyncOnRedis(OnRedis, SyncCacheTestSuite):
    pass


class TestAsyncOnRedis(OnRedis, AsyncCacheTestSuite):
    pass


def memory() -> ResponseCache:
    return ResponseCache(MemoryStore())


async def test_a_second_question_is_not_asked(provider: LoopbackProvider) -> None:
    cache = memory()
    set_llm_cache(cache)
    first = chat(provider).invoke("Where is the shop?")
    second = await chat(provider).ainvoke("Where is the shop?")
    assert second.content == first.content
    assert len(provider.billed) == 1
    assert (cache.hits, cache.misses) == (1, 1)


def test_the_second_turn_after_a_hit_hits(provider: LoopbackProvider) -> None:
    """A hit has another usage than the answer it repeats; neither usage nor ids may be in the key of the next turn."""
    set_llm_cache(memory())
    model = chat(provider)
    for _ in range(3):
        history: list[Any] = [HumanMessage("Where is the shop?")]
        history += [model.invoke(history), HumanMessage("And when is it open?")]
        model.invoke(history)
    assert len(provider.billed) == 2


def test_settings_of_the_transport_do_not_matter_and_those_of_the_answer_do(provider: LoopbackProvider) -> None:
    cache = memory()
    chat(provider, cache=cache).invoke("Hi")
    for settings in ({"max_retries": 3}, {"timeout": 7}, {"default_headers": {"x-trace": "1"}}):
        chat(provider, cache=cache, **settings).invoke("Hi")
    assert len(provider.billed) == 1
    for settings in ({"max_tokens": 9}, {"temperature": 0.1}, {"seed": 3}, {"model": "gpt-4o"}, {"stop": ["x"]}):
        chat(provider, cache=cache, **settings).invoke("Hi")
    assert len(provider.billed) == 6


def test_a_high_temperature_wants_variety(provider: LoopbackProvider) -> None:
    model = chat(provider, cache=memory(), temperature=1.0)
    model.invoke("Hi")
    model.invoke("Hi")
    assert len(provider.billed) == 2


def test_tenants_share_nothing(provider: LoopbackProvider) -> None:
    model = chat(provider, cache=memory())
    for tenant in ("acme", "globex", "acme"):
        with scope(tenant=tenant):
            model.invoke("Hi")
    assert len(provider.billed) == 2


def test_two_schemas_of_one_name_never_meet(provider: LoopbackProvider) -> None:
    """LangChain tells a cache the name of a schema class and nothing else, so such a call is not cached."""
    cache = memory()
    old: type[BaseModel] = create_model("Answer", city=(str, ...))
    new: type[BaseModel] = create_model("Answer", town=(str, ...))
    assert chat(provider, cache=cache).with_structured_output(old).invoke("Paris").model_dump().keys() == {"city"}
    assert chat(provider, cache=cache).with_structured_output(new).invoke("Paris").model_dump().keys() == {"town"}


@pytest.mark.parametrize("fault", [Fault.truncate(3), Fault.content_filter()])
def test_an_answer_that_is_not_whole_is_not_kept(provider: LoopbackProvider, fault: Fault) -> None:
    provider.faults.append(fault)
    model = chat(provider, cache=memory())
    broken = model.invoke("What is a refund?")
    assert model.invoke("What is a refund?").content != broken.content
    model.invoke("What is a refund?")
    assert len(provider.billed) == 2


def test_redis_down_costs_an_answer_and_no_error(tmp_path: Path, provider: LoopbackProvider) -> None:
    server = RedisServer(tmp_path)
    with server:
        cache = ResponseCache(RedisStore(server.patient_url, secret="of the test suite, long enough"))
        model = chat(provider, cache=cache)
        model.invoke("Hi")
    model.invoke("Hi")
    assert len(provider.billed) == 2
    assert cache.outages >= 1
    with pytest.raises(StoreUnavailable):
        cache.clear()
    cache.store.close()


def test_bytes_that_are_not_an_entry_are_a_miss() -> None:
    cache = memory()
    cache.update("p", "m", [Generation(text="x")])
    [key] = cache.store._entries  # type: ignore[attr-defined]
    for junk in (b"", b"null", b"[]", b"[1,[{}]]", b'[1,[{"g":null,"m":{},"k":"human"}]]', b"[2,[]]", b"\xff"):
        cache.store.put(key, junk)
        assert cache.lookup("p", "m") is None


FULL = AIMessage(
    content=[{"type": "text", "text": "One."}, {"type": "image_url", "image_url": {"url": "data:,x"}}, "Two."],
    id="run-1",
    name="helper",
    additional_kwargs={"refusal": None, "parsed": {"a": 1}},
    response_metadata={"finish_reason": "stop", "token_usage": {"total": 3}},
    tool_calls=[{"name": "add", "args": {"a": 1, "b": [2, {"c": None}]}, "id": "call_1", "type": "tool_call"}],
    invalid_tool_calls=[{"name": "sub", "args": "{", "id": "call_2", "error": "no JSON", "type": "invalid_tool_call"}],
    usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_token_details": {"cache_read": 1}},
)


@pytest.mark.parametrize(
    "generation",
    [
        ChatGeneration(message=FULL, generation_info={"logprobs": [0.5]}),
        ChatGeneration(message=AIMessage("Plain.")),
        ChatGeneration(message=AIMessage([{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "So."}])),
        ChatGeneration(message=AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {}}, "a", "b"])),
        ChatGeneration(message=AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None, "type": "tool_call"}])),
        Generation(text="legacy", generation_info={"finish_reason": "stop"}),
    ],
)
def test_what_comes_back_equals_what_was_stored(generation: Generation) -> None:
    cache = ResponseCache(MemoryStore(), policy=CachePolicy(rules=lambda _request: Rule(tool_calls="all")))
    cache.update("prompt", "model", [generation])
    found = cache.lookup("prompt", "model")
    assert found == [generation]
    assert found[0].text == generation.text
    assert found[0].model_dump() == generation.model_dump()
    assert repr(found[0]) == repr(generation)


class Verbose(AIMessage):
    mood: Literal["good"] = "good"


@pytest.mark.parametrize("message", [Verbose("x"), AIMessage("x", mood="good"), HumanMessage("x")])
def test_what_would_not_come_back_equal_is_not_stored(message: Any) -> None:
    cache = memory()
    cache.update("prompt", "model", [ChatGeneration(message=message)])
    assert cache.lookup("prompt", "model") is None


def test_a_caller_that_changes_a_hit_does_not_change_the_next() -> None:
    cache = memory()
    cache.update("prompt", "model", [ChatGeneration(message=AIMessage("x", additional_kwargs={"a": {}}))])
    first = cache.lookup("prompt", "model")
    assert first is not None
    first[0].message.additional_kwargs["a"]["b"] = 1  # type: ignore[attr-defined]
    first[0].message.tool_calls.append({})  # type: ignore[attr-defined]
    assert cache.lookup("prompt", "model") == [ChatGeneration(message=AIMessage("x", additional_kwargs={"a": {}}))]


# Policy, scope and forgetting -----------------------------------------------------------------------------------------


def turns(*texts: str) -> str:
    """The prompt string of a conversation that a user begins."""
    kinds = (HumanMessage, AIMessage)
    return dumps([kinds[place % 2](text) for place, text in enumerate(texts)])


MODEL = '{"id": ["m"], "kwargs": {"model": "gpt-4o-mini"}}---[]'
ANSWER = [ChatGeneration(message=AIMessage("A stored answer."))]


def test_spellings_that_cannot_differ_in_meaning_share_an_answer() -> None:
    cache = memory()
    cache.update(turns("What is a refund?"), MODEL, ANSWER)
    assert cache.lookup(turns("  what is a refund "), MODEL) == ANSWER
    assert cache.lookup(turns("What is a Refund policy?"), MODEL) is None


def test_the_prompt_of_a_model_that_completes_text_counts_by_its_bytes() -> None:
    cache = memory()
    cache.update("What is a refund?", MODEL, [Generation(text="x")])
    assert cache.lookup("What is a refund?", MODEL) is not None
    assert cache.lookup("what is a refund?", MODEL) is None


@pytest.mark.parametrize("text", ["I'm sorry, but I can't help with that.", "", "  "])
def test_refusals_and_empty_answers_are_not_kept(text: str) -> None:
    cache = memory()
    cache.update(turns("Hi"), MODEL, [ChatGeneration(message=AIMessage(text))])
    assert cache.lookup(turns("Hi"), MODEL) is None
    assert sum(cache.tally.reasons.values()) == 1


def test_fresh_asks_anew_and_keeps_the_new_answer(provider: LoopbackProvider) -> None:
    cache = memory()
    model = chat(provider, cache=cache)
    model.invoke("Hi")
    with fresh():
        model.invoke("Hi")
    model.invoke("Hi")
    assert len(provider.billed) == 2
    assert cache.tally.total.passed == 1


async def test_metadata_of_a_chain_names_the_tenant(provider: LoopbackProvider) -> None:
    model = ChatPromptTemplate([("user", "{text}")]) | chat(provider, cache=memory())
    for tenant in ("acme", "globex", "acme"):
        told: Any = {"metadata": {"thrift_tenant": tenant, "thrift_tags": ["doc:1"]}}
        model.invoke({"text": "Hi"}, told)
        await model.ainvoke({"text": "Hi"}, told)
    assert len(provider.billed) == 2


def test_forget_by_tag_feature_and_tenant(provider: LoopbackProvider) -> None:
    cache = memory()
    model = chat(provider, cache=cache)

    def ask() -> int:
        before = len(provider.billed)
        for tenant, feature, tags in (
            ("acme", "faq", ()),
            ("acme", "docs", ("doc:7",)),
            ("globex", "docs", ("doc:7",)),
        ):
            with scope(tenant=tenant, feature=feature, tags=tags):
                model.invoke(f"Hi from {feature}")
        return len(provider.billed) - before

    assert (ask(), ask()) == (3, 0)
    assert (cache.forget(tag="doc:7"), ask()) == (2, 2)
    assert (cache.forget(feature="docs", tenant="acme"), ask()) == (1, 1)
    assert (cache.forget(tenant="acme"), ask()) == (None, 2)
    with pytest.raises(ConfigError):
        cache.forget()


async def test_an_answer_that_is_forgotten_while_it_is_on_its_way_is_not_kept() -> None:
    cache = memory()
    with scope(tags="doc:7"):
        assert cache.lookup(turns("Hi"), MODEL) is None
        assert cache.forget(tag="doc:7") == 0
        cache.update(turns("Hi"), MODEL, ANSWER)
        assert cache.lookup(turns("Hi"), MODEL) is None
        await cache.aupdate(turns("Hi"), MODEL, ANSWER)
        assert await cache.alookup(turns("Hi"), MODEL) == ANSWER
        assert await cache.aforget(tag="doc:7") == 1


def test_counts_are_by_tenant_and_feature(provider: LoopbackProvider) -> None:
    cache = memory()
    model = chat(provider, cache=cache)
    for _ in range(3):
        with scope(tenant="acme", feature="faq"):
            model.invoke("Hi")
    count = cache.tally.by_scope["acme", "faq"]
    assert (count.hits, count.misses, count.hit_rate) == (2, 1, 2 / 3)
    [billed] = provider.billed
    assert (count.saved_input, count.saved_output) == (2 * billed.input_tokens, 2 * billed.output_tokens)


def test_the_app_s_own_store_may_raise_what_it_likes(provider: LoopbackProvider) -> None:
    class Broken(MemoryStore):
        def get(self, key: str) -> bytes | None:
            raise RuntimeError(key)

        put = get  # type: ignore[assignment]

    cache = ResponseCache(Broken())
    assert chat(provider, cache=cache).invoke("Hi").text
    assert cache.outages == 2


# The semantic tier ------------------------------------------------------------------------------------------------------


async def test_the_semantic_tier_reads_the_user_s_words() -> None:
    cache = ResponseCache(MemoryStore(), semantic=SemanticConfig(enabled=True, shadow=0.0))
    asked = [turns(f"What is article {number} about?") for number in range(25)]
    again = [turns(f"hi, what is article {number} about? thanks") for number in range(25)]
    for number, (question, other) in enumerate(zip(asked, again, strict=True)):
        for prompt in (question, other):
            found = cache.lookup(prompt, MODEL) if number % 2 else await cache.alookup(prompt, MODEL)
            if found is not None:
                assert (prompt, found) == (other, ANSWER)
                assert number >= 20, "a new scope is on trial"
            elif number % 2:
                cache.update(prompt, MODEL, ANSWER)
            else:
                await cache.aupdate(prompt, MODEL, ANSWER)
    assert cache.hits == 5
    with scope(tenant="another"):
        assert cache.lookup(turns("hello, what is article 1 about?"), MODEL) is None
    assert cache.semantic is not None
    assert {(each.checked, each.wrong) for each in cache.semantic.tier.standings()} == {(20, 0), (0, 0)}


async def test_a_scope_of_the_semantic_tier_that_is_off_is_counted() -> None:
    cache = ResponseCache(MemoryStore(), semantic=SemanticConfig(enabled=True))
    other = [ChatGeneration(message=AIMessage("Nobody knows that.", response_metadata={"finish_reason": "stop"}))]
    for number in range(20):
        prompts = (turns(f"What is article {number} about?"), turns(f"hi, what is article {number} about? thanks"))
        for prompt, said in zip(prompts, (ANSWER, other), strict=True):
            if cache.lookup(prompt, MODEL) is None:
                cache.update(prompt, MODEL, said)
    assert any(reason.startswith("semantic tier off") for reason in cache.tally.reasons)
    assert cache.hits == 0
