"""The semantic tier through both frameworks, against real SDKs and a provider that counts what it bills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.embeddings.fake import DeterministicFakeEmbedding
from llama_index.core.base.embeddings.base import BaseEmbedding

from tests import langchain_kit, llama_index_kit
from thrift_plugins import CacheConfig, Config, Runtime, SemanticConfig, scope
from thrift_plugins.langchain import LangChainEmbedder
from thrift_plugins.llama_index import LlamaIndexEmbedder
from thrift_plugins.testing import Answer, LoopbackProvider
from thrift_plugins.text.embed import StaticEmbedder

QUESTION = "How do I change my delivery address?"
SAME = "hi, how do i change my delivery address? thanks"
OTHER = "How do I change my billing address?"
TRIAL = 20


@pytest.fixture
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        running.script(lambda _: Answer("Open your account, choose Addresses, and save the new one."))
        yield running


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime(Config(store="memory:", cache=CacheConfig(semantic=SemanticConfig(enabled=True, shadow=0.0))))
    yield made
    made.close()


def trial(ask: Any) -> None:
    """A new scope's hits are compared, and not given, for a while."""
    ask(QUESTION)
    for number in range(TRIAL):
        ask(f"What is article {number} about?")
        ask(f"hi, what is article {number} about? thanks")


def reasons(runtime: Runtime) -> list[str]:
    assert runtime.ledger is not None
    return [*list(runtime.ledger.records())[-1]["reasons"]]


async def test_langchain(provider: LoopbackProvider, runtime: Runtime):
    model = langchain_kit.thrift(provider, runtime, tiers=1)
    trial(model.invoke)
    paid = len(provider.billed)
    assert paid == 2 * TRIAL + 1
    answers = [
        model.invoke("hello, how do i change my delivery address?"),
        await model.ainvoke("hello there, how do i change my delivery address?"),
        next(iter(model.stream("hey, how do i change my delivery address?"))),
    ]
    assert len(provider.billed) == paid
    for answer in answers:
        assert answer.response_metadata["thrift"]["hit"]
        assert answer.response_metadata["thrift"]["reasons"][0].startswith("semantic hit, probability")
    model.invoke(OTHER)
    assert len(provider.billed) == paid + 1
    with scope(tenant="another"):
        model.invoke("hello, how do i change my delivery address?")
    assert len(provider.billed) == paid + 2


async def test_llama_index(provider: LoopbackProvider, runtime: Runtime):
    llm = llama_index_kit.thrift(provider, runtime)
    ask = lambda text: llm.chat(llama_index_kit.user(text))  # noqa: E731
    trial(ask)
    paid = len(provider.billed)
    assert paid == 2 * TRIAL + 1
    answers = [
        ask("hello, how do i change my delivery address?"),
        *llm.stream_chat(llama_index_kit.user("hey, how do i change my delivery address?")),
    ]
    answers.append(await llm.achat(llama_index_kit.user("hello there, how do i change my delivery address?")))
    assert len(provider.billed) == paid
    assert all(answer.additional_kwargs["thrift"]["hit"] for answer in answers)
    ask(OTHER)
    assert len(provider.billed) == paid + 1


def test_a_trial_is_in_the_ledger(provider: LoopbackProvider, runtime: Runtime):
    model = langchain_kit.thrift(provider, runtime, tiers=1)
    model.invoke(QUESTION)
    model.invoke(SAME)
    (told,) = [reason for reason in reasons(runtime) if "semantic" in reason]
    assert told.endswith("compared and not given")
    assert runtime.ledger is not None
    assert runtime.semantic is not None
    (standing,) = runtime.semantic.tier.standings()
    assert (standing.mode, standing.lookups, standing.checked, standing.wrong) == ("trial", 2, 1, 0)


class Failing(DeterministicFakeEmbedding):
    def embed_query(self, text: str) -> list[float]:
        raise ConnectionError("no network")


def test_an_embedder_that_fails_costs_no_call(provider: LoopbackProvider):
    config = Config(store="memory:", cache=CacheConfig(semantic=SemanticConfig(enabled=True)))
    runtime = Runtime(config, embedder=LangChainEmbedder(Failing(size=8)))
    model = langchain_kit.thrift(provider, runtime, tiers=1)
    assert model.invoke(QUESTION).text
    assert runtime.ledger is not None
    (event,) = runtime.ledger.records()
    assert "cache: semantic search failed (ConnectionError)" in event["fallbacks"]
    runtime.close()


class ByWords(Embeddings):
    """As an app's own would, in LangChain's form."""

    model = "words-1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        row: list[float] = (StaticEmbedder(learnt=False).embed([text])[0] * 3).tolist()
        return row


class LlamaWords(BaseEmbedding):
    """The same in LlamaIndex's."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return ByWords().embed_query(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return ByWords().embed_query(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return ByWords().embed_query(text)


@pytest.mark.parametrize(
    "embedder",
    [LangChainEmbedder(ByWords()), LlamaIndexEmbedder(LlamaWords(model_name="w"))],
    ids=["langchain", "llama_index"],
)
async def test_embedders_of_the_app(provider: LoopbackProvider, embedder: Any):
    config = Config(store="memory:", cache=CacheConfig(semantic=SemanticConfig(enabled=True, shadow=0.0)))
    runtime = Runtime(config, embedder=embedder)
    model = langchain_kit.thrift(provider, runtime, tiers=1)
    trial(model.invoke)
    paid = len(provider.billed)
    model.invoke("hello, how do i change my delivery address?")
    await model.ainvoke("hello there, how do i change my delivery address?")
    assert len(provider.billed) == paid
    assert embedder.embed(["a", "b"]).shape == (2, 256)
    runtime.close()


def test_an_embedder_is_known_by_its_model():
    assert LangChainEmbedder(ByWords()).name.endswith("ByWords:words-1")
    assert LlamaIndexEmbedder(LlamaWords(model_name="w")).name.endswith("LlamaWords:w")
    assert LangChainEmbedder(ByWords(), name="own").name == "own"


@pytest.mark.parametrize("rows", [[[1.0], [1.0, 2.0]], [[float("nan")]], []], ids=["ragged", "nan", "nothing"])
def test_vectors_that_are_none_are_refused(rows: list[list[float]]):
    from thrift_plugins.text.unit import unit_rows

    with pytest.raises(ValueError, match=r"vector|shape"):
        unit_rows(rows)
