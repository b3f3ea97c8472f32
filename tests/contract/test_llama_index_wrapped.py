"""The contract of LlamaIndex models on our wrapper: what the bare model passes, it must pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from llama_index.core.llms.llm import LLM

from tests.llama_index_kit import CHEAP, STRONG
from tests.llama_index_kit import openai as bare
from thrift_plugins import Config, Runtime
from thrift_plugins.config import RoutingConfig
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import Fault, LlamaIndexLLMContract, LoopbackProvider


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


@pytest.fixture(scope="module")
def failing_provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        running.faults.rule(lambda _request: Fault.refuse(429, "rate_limit_exceeded"))
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "cache.db"


class WrappedContract(LlamaIndexLLMContract):
    """Unlike the bare model's, its serialised forms hold no API key."""

    names: tuple[str, ...] = (CHEAP, STRONG)

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Iterator[Runtime]:
        runtime = Runtime(Config(store=f"sqlite:///{tmp_path}/cache.db"))
        yield runtime
        runtime.close()

    @pytest.fixture
    def llm(self, provider: LoopbackProvider, runtime: Runtime) -> LLM:
        return ThriftLLM(tiers=[bare(provider, name) for name in self.names], runtime=runtime)

    @pytest.fixture
    def failing_llm(self, failing_provider: LoopbackProvider) -> Iterator[LLM]:
        """Nothing goes to the cheap tier, so that one refusal ends the call, as it does without us."""
        runtime = Runtime(Config(store="memory:", routing=RoutingConfig(caution=1)))
        yield ThriftLLM(tiers=[bare(failing_provider, name) for name in self.names], runtime=runtime)
        runtime.close()

    @property
    def error_type(self) -> type[BaseException]:
        return openai.RateLimitError

    @property
    def streams_usage(self) -> bool:
        return True

    @property
    def secrets(self) -> tuple[str, ...]:
        return (LoopbackProvider.api_key,)


class TestOneTier(WrappedContract):
    """Cached, on the ledger."""

    names = (STRONG,)


class TestTwoTiers(WrappedContract):
    """Routed, cached, on the ledger."""

    @pytest.fixture
    def runtime(self, shared: Path) -> Iterator[Runtime]:
        runtime = Runtime(Config(store=f"sqlite:///{shared}"))
        yield runtime
        runtime.close()


class TestFromTheCache(TestTwoTiers):
    """The same once more, on the cache that has been filled: hits must pass what answers pass."""
