"""Whatever tenants ask, in whatever order, through either framework and any store: nobody sees another one's answer."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM

from tests.redis_server import RedisServer
from thrift_plugins import CacheConfig, Config, Runtime, SemanticConfig, current_scope, scope
from thrift_plugins.caching import address
from thrift_plugins.caching.semantic.guard import Limits
from thrift_plugins.caching.semantic.tier import Tier
from thrift_plugins.caching.semantic.verify import Verifier
from thrift_plugins.errors import StoreUnavailable
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.semantic import SemanticCache, fresh_reply
from thrift_plugins.stores import open_store
from thrift_plugins.text.embed import StaticEmbedder

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
RUNS = max(3, int(12 * SCALE))
STEPS = 50
SECRET = "of these tests alone, and long enough"

QUESTIONS = {
    "How do I change my delivery address?": "delivery",
    "hi, how do i change my delivery address? thanks": "delivery",
    "How do I change my billing address?": "billing",
    "Where is the museum?": "museum",
    "hello, where is the museum?": "museum",
}
TENANTS = st.sampled_from(["a"] * 6 + ["b"] * 3 + ["", "A", "a:b", "{a}", "日本"])
REGIONS = st.sampled_from([None] * 5 + ["", "eu", "us"])


@dataclass
class Asking:
    """One call."""

    which: int
    tenant: str
    region: str | None
    user: str
    feature: str
    question: str
    langchain: bool
    tags: tuple[str, ...]


CALLS = st.builds(
    Asking,
    which=st.integers(0, 1),
    tenant=TENANTS,
    region=REGIONS,
    user=st.sampled_from(["", "u"]),
    feature=st.sampled_from(["", "f"]),
    question=st.sampled_from(sorted(QUESTIONS)),
    langchain=st.booleans(),
    tags=st.sampled_from([(), ("doc",)]),
)


def truth(question: str) -> str:
    """What a model says here, and to nobody else."""
    here = current_scope()
    return f"{here.tenant}|{dict(here.keys)}|{QUESTIONS[question]}"


class Chat(BaseChatModel):
    """Answers with whose question it is."""

    @property
    def _llm_type(self) -> str:
        return "told"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        told = AIMessage(truth(str(messages[-1].content)), response_metadata={"finish_reason": "stop"})
        return ChatResult(generations=[ChatGeneration(message=told)])


class Complete(CustomLLM):
    """The same for LlamaIndex."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="told")

    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return CompletionResponse(text=truth(prompt), raw={"choices": [{"finish_reason": "stop"}]})

    def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponseGen:
        raise NotImplementedError


class App:
    """One process with both frameworks; answers are given from the semantic tier at once."""

    def __init__(self, url: str) -> None:
        self.now = 1_000_000.0
        config = Config(
            store="memory:", cache=CacheConfig(kinds=False, semantic=SemanticConfig(enabled=True, shadow=0.0))
        )
        store = (
            open_store(url, clock=lambda: self.now, secret=SECRET)
            if url != "memory:"
            else open_store(url, clock=lambda: self.now)
        )
        self.runtime = Runtime(config, store=store, clock=lambda: self.now)
        tier = Tier(StaticEmbedder(), Verifier.load(), Limits(shadow=0.0, first=0))
        self.runtime.semantic = SemanticCache(
            store, tier, StaticEmbedder(), partial(address, folded=True), opened=fresh_reply, clock=lambda: self.now
        )
        self.chat = ThriftChatModel(tiers=[Chat()], runtime=self.runtime)
        self.complete = ThriftLLM(tiers=[Complete()], runtime=self.runtime)


class Tenants(RuleBasedStateMachine):
    """Two processes' worth of apps on one store."""

    server: RedisServer
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(kind=st.sampled_from(["memory", "sqlite", "redis"]))
    def open(self, kind: str) -> None:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        url = {"memory": "memory:", "sqlite": f"sqlite:///{folder}/t.db", "redis": self.server.patient_url}[kind]
        if kind == "redis":
            self.server.ask("FLUSHALL")
        self.apps = [App(url) for _ in range(2)]
        for app in self.apps:
            self.stack.callback(app.runtime.close)
        # Every kind of answer is seen, whatever is drawn.
        self.ask_all([Asking(0, "a", None, "", "", question, True, ()) for question in (*QUESTIONS, *QUESTIONS)])

    @rule(calls=st.lists(CALLS, min_size=4, max_size=8))
    def ask(self, calls: list[Asking]) -> None:
        self.ask_all(calls)

    def ask_all(self, calls: list[Asking]) -> None:
        for call in calls:
            app, walls = self.apps[call.which], {} if call.region is None else {"region": call.region}
            with scope(tenant=call.tenant, user=call.user, feature=call.feature, tags=call.tags, **walls):
                said, mark = self._said(app, call)
                assert said == truth(call.question)
                self.seen[mark["reasons"][0].split()[0] if mark["hit"] else "miss"] += 1

    @staticmethod
    def _said(app: App, call: Asking) -> tuple[str, Any]:
        if call.langchain:
            answer = app.chat.invoke(call.question)
            return answer.text, answer.response_metadata["thrift"]
        response = app.complete.complete(call.question)
        return response.text, response.additional_kwargs["thrift"]

    @rule(which=st.integers(0, 1), tenant=TENANTS, how=st.sampled_from(["tenant", "tag", "feature"]))
    def forget(self, which: int, tenant: str, how: str) -> None:
        told: dict[str, Any] = {
            "tenant": {"tenant": tenant},
            "tag": {"tag": "doc"},
            "feature": {"feature": "f", "tenant": tenant},
        }[how]
        with suppress(StoreUnavailable):  # a busy machine may be slower than a store may be
            self.apps[which].runtime.forget(**told)

    @rule(seconds=st.sampled_from([0.3, 4000.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        for app in self.apps:
            app.now += seconds

    @invariant()
    def nothing_was_out_of_order(self) -> None:
        for app in getattr(self, "apps", ()):
            assert app.runtime.ledger is not None
            assert app.runtime.ledger.dropped == 0

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


def test_nothing_crosses_a_tenant(server: RedisServer):
    Tenants.server = server
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Tenants,
        settings=settings(max_examples=RUNS, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks),
    )
    assert all(Tenants.seen[kind] for kind in ("miss", "exact", "semantic")), Tenants.seen
