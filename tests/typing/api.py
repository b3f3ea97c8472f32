"""How the public API looks to a type checker. Read by mypy and pyright in the lint run, never executed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, assert_type

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import LLM
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from thrift_plugins import (
    CacheConfig,
    Config,
    LedgerConfig,
    QualityConfig,
    RoutingConfig,
    Runtime,
    current_scope,
    feedback,
    route,
    scope,
)
from thrift_plugins.errors import StoreError, StoreUnavailable, ThriftError, UnknownModelPrice, UnsupportedByTier
from thrift_plugins.langchain import JudgeModel, ResponseCache, ThriftChatModel
from thrift_plugins.ledger import Ledger, Summary, summarise
from thrift_plugins.llama_index import JudgeModel as LlamaIndexJudgeModel
from thrift_plugins.llama_index import ThriftLLM, install
from thrift_plugins.quality import (
    AutoJudge,
    Calibration,
    Gate,
    Judge,
    LLMJudge,
    Pair,
    Standing,
    Verdict,
    calibrate,
    verdicts,
)
from thrift_plugins.stores.base import EventLog, Store
from thrift_plugins.types import Decision, Request, Scope, Tier


class City(BaseModel):
    name: str


class AlwaysCheap:
    """A router of the app's own needs no base class."""

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        return Decision(0, tiers[0].name, "mine")


def settings() -> Runtime:
    config = Config(
        store="memory:",
        cache=CacheConfig(ttl=60.0),
        routing=RoutingConfig(caution=0.5),
        ledger=LedgerConfig(capacity=10),
        prices={"mine": {"input": 0.1, "output": 0.2}},
    )
    assert_type(Config.none(), Config)
    assert_type(Config.load("thrift.toml"), Config)
    return Runtime(config, router=AlwaysCheap(), prices={"other": {"input": 1.0, "output": 2.0}})


def parts(runtime: Runtime, store: Store, log: EventLog) -> None:
    assert_type(runtime.ledger, Ledger | None)
    assert_type(runtime.store, Store)
    if runtime.ledger is not None:
        assert_type(runtime.ledger.records(), Iterator[dict[str, Any]])
        assert_type(runtime.ledger.digest(), str)
        assert_type(summarise(runtime.ledger.records()), Summary)
        assert_type(summarise(()).total.saved_fraction, float)
    assert_type(store.get("key"), bytes | None)
    Runtime(store=store, event_log=log)


def langchain(model: BaseChatModel, runtime: Runtime) -> None:
    thrifty = ThriftChatModel(tiers=[model, model], names=["a", "b"], baseline="b", runtime=runtime)
    plain: BaseChatModel = thrifty
    assert_type(plain.invoke("Hi"), AIMessage)
    assert_type(thrifty.invoke("Hi", stop=["x"]), AIMessage)
    assert_type(thrifty.stream("Hi"), Iterator[AIMessageChunk])
    assert_type(thrifty.astream("Hi"), AsyncIterator[AIMessageChunk])
    chain = ChatPromptTemplate([("user", "{text}")]) | thrifty | StrOutputParser()
    assert_type(chain.invoke({"text": "Hi"}), str)
    bound: Runnable[Any, AIMessage] = thrifty.bind_tools([City])
    assert_type(bound.invoke("Hi"), AIMessage)
    thrifty.with_structured_output(City)
    ResponseCache("memory:")
    ResponseCache(runtime.store)


async def llama_index(model: LLM, runtime: Runtime) -> None:
    thrifty = ThriftLLM(tiers=[model], runtime=runtime)
    Settings.llm = thrifty
    turns = [ChatMessage(content="Hi")]
    assert_type(thrifty.chat(turns), ChatResponse)
    assert_type(await thrifty.achat(turns), ChatResponse)
    assert_type(thrifty.complete("Hi"), CompletionResponse)
    for piece in thrifty.stream_chat(turns):
        assert_type(piece, ChatResponse)
    city: City = thrifty.structured_predict(City, PromptTemplate("Hi"))
    assert_type(city.name, str)
    assert_type(install(cheaper=[model]), ThriftLLM)


def quality(chat: BaseChatModel, llm: LLM, runtime: Runtime) -> Runtime:
    judge: Judge = AutoJudge(LLMJudge(LlamaIndexJudgeModel(llm)))
    assert_type(calibrate(judge, [Pair("Which?", "this", "that", "same")]), Calibration)
    assert_type(runtime.gate, Gate | None)
    if runtime.gate is not None and runtime.ledger is not None:
        assert_type(runtime.gate.standings(), list[Standing])
        assert_type(verdicts(runtime.ledger.records())[0].verdict, Verdict)
    feedback("call", good=True, runtime=runtime)
    settings = Config(quality=QualityConfig(enabled=True, margin=0.03, usd=2.0))
    return Runtime(settings, judge=LLMJudge(JudgeModel(chat), calibration=Calibration.flips(0.1)))


def blocks() -> None:
    with scope(tenant="acme", region="eu") as named:
        assert_type(named, Scope)
    assert_type(current_scope(), Scope)
    manager: AbstractContextManager[Scope] = scope(user="ann")
    with manager:
        pass
    with route("big"):
        pass


def errors(error: ThriftError) -> None:
    if isinstance(error, UnsupportedByTier):
        assert_type(error.lacking, dict[str, str])
    if isinstance(error, UnknownModelPrice):
        assert_type(error.model, str)
    if isinstance(error, StoreUnavailable):
        down: StoreError = error
        raise down
