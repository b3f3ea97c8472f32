"""Faults that were found once in the LangChain adapter; one test each."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, SystemMessageChunk
from langchain_core.outputs import ChatGeneration, ChatResult
from openai import LengthFinishReasonError
from pydantic import BaseModel, PrivateAttr

from tests.langchain_kit import CHEAP, STRONG, chat, records, thrift
from thrift_plugins import CacheConfig, Config, Runtime, scope
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.langchain.convert import message_in
from thrift_plugins.testing import Fault, LoopbackProvider


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture
def app_cache() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


class Voice(BaseModel):
    says: str = "one"


class Speaker(BaseChatModel):
    voice: Voice = Voice()
    makes: Any = None
    _manner: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "speaker"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "speaker"}

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        said = self.makes() if self.makes else self._manner.get("says", self.voice.says)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])


def runtime(**settings: Any) -> Runtime:
    return Runtime(Config(store="memory:", **settings))


def hits(model: Any, *asked: Any, **kwargs: Any) -> list[bool]:
    return [model.invoke(given, **kwargs).response_metadata["thrift"]["hit"] for given in asked]


def test_a_stream_belongs_to_whom_it_was_called_for(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    with scope(tenant="acme"):
        stream = model.stream("q")
    with scope(tenant="other"):
        list(stream)
    assert [record["tenant"] for record in records(model)] == ["acme"]


@pytest.mark.usefixtures("app_cache")
def test_a_hit_stays_out_of_the_apps_own_cache(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1, cache=False)
    for tenant in ("a", "b", "a", "b"):
        with scope(tenant=tenant):
            model.invoke("q")
    assert [record["outcome"] for record in records(model)] == ["answered", "answered", "hit", "hit"]
    assert len(provider.billed) == 2


@pytest.mark.usefixtures("app_cache")
def test_a_hit_of_the_apps_own_cache_is_booked_as_nothing(provider: LoopbackProvider) -> None:
    model = thrift(provider, runtime(cache=CacheConfig(enabled=False)), tiers=1)
    model.invoke("q")
    model.invoke("q")
    assert records(model)[1]["usage"] == {"source": "provider"}


def test_private_attributes_decide() -> None:
    tier = Speaker()
    model = ThriftChatModel(tiers=[tier], runtime=runtime())
    model.invoke("q")
    tier._manner["says"] = "two"
    assert model.invoke("q").content == "two"


def test_a_setting_without_a_json_form_makes_no_key() -> None:
    shared = runtime()
    told = [ThriftChatModel(tiers=[Speaker(makes=lambda n=n: n)], runtime=shared).invoke("q").content for n in "ab"]
    assert told == ["a", "b"]


def test_a_settings_object_changed_in_place_is_seen() -> None:
    tier = Speaker(voice=Voice())
    model = ThriftChatModel(tiers=[tier], runtime=runtime())
    model.invoke("q")
    tier.voice.says = "two"
    assert model.invoke("q").content == "two"


def test_a_wrapped_tier_is_known_by_its_own_tiers() -> None:
    shared, inner = runtime(), Speaker(voice=Voice())
    nested = ThriftChatModel(tiers=[inner], runtime=runtime(cache=CacheConfig(enabled=False)))
    model = ThriftChatModel(tiers=[nested], runtime=shared)
    assert hits(model, "q", "q") == [False, True]
    inner.voice.says = "two"
    assert model.invoke("q").content == "two"


def test_settings_of_a_providers_own_tool_decide() -> None:
    model = ThriftChatModel(tiers=[Speaker()], runtime=runtime())
    search = {"type": "web_search_20250305", "name": "web_search"}
    told = [hits(model, "q", tools=[{**search, "allowed_domains": [domain]}]) for domain in ("a.com", "b.com", "a.com")]
    assert told == [[False], [False], [True]]


def test_a_function_call_decides(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    asked = [
        [
            HumanMessage("q"),
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": arguments}}),
            FunctionMessage(name="f", content="r"),
        ]
        for arguments in ("1", "2")
    ]
    assert hits(model, *asked) == [False, False]


def test_a_chunk_has_the_role_of_its_message() -> None:
    assert message_in(SystemMessageChunk(content="x")).role == "system"


def test_a_temperature_that_is_unset_is_not_the_models_own(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    assert [*hits(model, "q", temperature=None), *hits(model, "q")] == [False, False]


def test_every_temperature_counts(provider: LoopbackProvider) -> None:
    assert hits(thrift(provider, tiers=1), "q", "q", extra_body={"temperature": 1.9}) == [False, False]
    assert hits(thrift(provider, tiers=1, extra_body={"temperature": 1.9}), "r", "r", temperature=0) == [False, False]
    tiers = [chat(provider, CHEAP, temperature=1.5), chat(provider, STRONG)]
    assert hits(ThriftChatModel(tiers=tiers, runtime=runtime()), "s", "s") == [False, False]


def test_an_answer_that_the_sdk_refused_is_paid(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    provider.faults.append(Fault.truncate(3))
    with pytest.raises(LengthFinishReasonError):
        model.with_structured_output(Voice, method="json_schema").invoke("q")
    used, billed = records(model)[0]["usage"], provider.billed[0]
    assert (used["input_tokens"], used["output_tokens"]) == (billed.input_tokens, billed.output_tokens)


@pytest.mark.filterwarnings("ignore:The method `BaseChatModel")
def test_an_event_stream_that_nobody_read_costs_nothing(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    stream: Any = model.stream_events("q", version="v3")
    del stream
    gc.collect()
    assert [(record["outcome"], record["usage"]) for record in records(model)] == [("aborted", {"source": "provider"})]
    assert not provider.billed


def test_a_hit_has_the_form_of_a_miss(provider: LoopbackProvider) -> None:
    model = thrift(provider, tiers=1)
    miss, hit = model.invoke("q"), model.invoke("q")
    assert hit.response_metadata.keys() == miss.response_metadata.keys()
    assert hit.additional_kwargs == miss.additional_kwargs
    assert hit.response_metadata["token_usage"]["total_tokens"] == 0


def test_a_second_attempt_is_a_run_of_its_own(provider: LoopbackProvider) -> None:
    model, run = thrift(provider), uuid4()
    provider.faults.append(Fault.refuse(500))
    answer = model.invoke("Hi", {"run_id": run})
    assert answer.response_metadata["thrift"]["policy"] == "fallback"
    assert str(run) in (answer.id or ""), "nobody has heard of the first one"


def test_the_lineup_cannot_be_changed(provider: LoopbackProvider) -> None:
    model = thrift(provider)
    with pytest.raises(ConfigError, match="tiers"):
        model.tiers = []
    with pytest.raises(ConfigError, match="baseline"):
        model.model_copy(update={"baseline": 0})


def test_walls_of_another_form_are_named(provider: LoopbackProvider) -> None:
    with pytest.raises(ConfigError, match="thrift_keys"):
        thrift(provider).invoke("q", {"metadata": {"thrift_keys": "x"}})
