"""LangChain's own suites over the loopback provider: the bare model and the wrapped one must pass the same tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import SecretStr

from tests.langchain_kit import CHEAP, NO_POOL, STRONG
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import LoopbackProvider

PROVIDER = LoopbackProvider()

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # the bare model's own, on a parsed answer
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema"),  # a test of the suite asks for that
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),  # the v3 stream
]


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

    @property
    def openai_api_key(self) -> SecretStr:
        """The suite looks for what it put into the environment; the tiers have read it."""
        keys = {tier.openai_api_key.get_secret_value() for tier in self.tiers if isinstance(tier, ChatOpenAI)}
        return SecretStr(keys.pop() if len(keys) == 1 else "")


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


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One provider and one store, so that a suite that runs twice meets its own answers."""
    ThriftOverOpenAI.shared = Runtime(
        Config(store=str(tmp_path_factory.mktemp("thrift") / "thrift.db"), cache=CacheConfig(kinds=False))
    )
    with PROVIDER:
        yield
    ThriftOverOpenAI.shared.close()


class OverLoopback:
    """What both models are told, and what the suites may ask of them."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": CHEAP, "base_url": PROVIDER.base_url, "api_key": "k", "stream_usage": True, **NO_POOL}

    @property
    def supports_json_mode(self) -> bool:
        return True

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
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ThriftOverOpenAI


class OfflineParams:
    """The unit suite makes models and calls none, so nothing has to listen."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": CHEAP, "base_url": "http://127.0.0.1:9/v1", "api_key": "k", **NO_POOL}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OPENAI_API_KEY": "from-env"}, {"model": CHEAP, **NO_POOL}, {"openai_api_key": "from-env"}


class TestUnitBare(OfflineParams, Bare, ChatModelUnitTests):
    pass


class TestUnitWrapped(OfflineParams, Wrapped, ChatModelUnitTests):
    pass


class TestIntegrationBare(Bare, ChatModelIntegrationTests):
    pass


class TestIntegrationWrapped(Wrapped, ChatModelIntegrationTests):
    pass


class TestIntegrationWarm(Wrapped, ChatModelIntegrationTests):
    """Once more, from the answers that the run before has left in the cache."""


@pytest.mark.parametrize("wrapped", ["UnitWrapped", "IntegrationWrapped", "IntegrationWarm"])
def test_the_pass_sets_are_equal(wrapped: str, outcomes: Outcomes) -> None:
    bare = outcomes.of.get("TestUnitBare" if wrapped.startswith("Unit") else "TestIntegrationBare", {})
    ours = outcomes.of.get(f"Test{wrapped}", {})
    if not bare or bare.keys() != ours.keys():
        pytest.skip("both suites must have run in full before this")
    assert ours == bare


def test_the_warm_run_was_served_from_the_cache(outcomes: Outcomes) -> None:
    if "TestIntegrationWarm" not in outcomes.of:
        pytest.skip("the suite must have run twice before this")
    assert ThriftOverOpenAI.shared.ledger is not None
    served = [record["outcome"] for record in ThriftOverOpenAI.shared.ledger.records()]
    assert served.count("hit") > served.count("answered")
