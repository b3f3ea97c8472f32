"""LangChain's own suites over the loopback provider: the bare model and the wrapped one must pass the same tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.langchain_kit import CHEAP, NO_POOL, STRONG
from thrift_plugins import Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import LoopbackProvider


class BareOpenAI(ChatOpenAI):
    """`test_serdes` asks LangChain to load the model again, which it does for the classes on its own list only. A class
    of anybody else must say that it is not serialisable, so the bare model says it too.
    """

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False


class ThriftOverOpenAI(ThriftChatModel):
    """Two tiers made from one set of arguments, with router, cache and ledger on."""

    shared: ClassVar[Runtime]

    def __init__(self, *, model: str, **params: Any) -> None:
        tiers = [ChatOpenAI(model=name, **params) for name in (model, STRONG)]
        super().__init__(tiers=tiers, runtime=self.shared)


class Outcomes:
    """A pytest plugin that remembers how the tests of each class ended."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, name, test = [*report.nodeid.split("::"), ""][:3]
        if test and (report.when == "call" or report.outcome != "passed"):
            self.of[name][test] = report.outcome + (" as expected to fail" if hasattr(report, "wasxfail") else "")


@pytest.fixture(scope="module", autouse=True)
def outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    recorder = Outcomes()
    request.config.pluginmanager.register(recorder)
    yield recorder
    request.config.pluginmanager.unregister(recorder)


class OverLoopback:
    """What both models are told, and what the suites may ask of them."""

    provider = LoopbackProvider()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls) -> Iterator[None]:
        with cls.provider:
            yield

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": CHEAP, "base_url": self.provider.base_url, "api_key": "k", "stream_usage": True, **NO_POOL}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return False

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return STRONG


class Bare(OverLoopback):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return BareOpenAI


class Wrapped(OverLoopback):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def runtime(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        ThriftOverOpenAI.shared = Runtime(Config(store=str(tmp_path_factory.mktemp("thrift") / "thrift.db")))
        yield
        ThriftOverOpenAI.shared.close()

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ThriftOverOpenAI


class OfflineParams:
    """The unit suite makes models and calls none, so nothing has to listen."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": CHEAP, "base_url": "http://127.0.0.1:9/v1", "api_key": "k", **NO_POOL}


class TestUnitBare(OfflineParams, Bare, ChatModelUnitTests):
    pass


class TestUnitWrapped(OfflineParams, Wrapped, ChatModelUnitTests):
    pass


class TestIntegrationBare(Bare, ChatModelIntegrationTests):
    pass


class TestIntegrationWrapped(Wrapped, ChatModelIntegrationTests):
    pass


@pytest.mark.parametrize("suite", ["Unit", "Integration"])
def test_the_pass_sets_are_equal(suite: str, outcomes: Outcomes) -> None:
    bare, wrapped = (outcomes.of.get(f"Test{suite}{kind}", {}) for kind in ("Bare", "Wrapped"))
    if not bare or bare.keys() != wrapped.keys():
        pytest.skip("both suites must have run in full before this")
    assert wrapped == bare
