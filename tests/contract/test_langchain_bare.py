"""LangChain's own suite on its own OpenAI class: what it passes is what our wrapper must pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from thrift_plugins.testing import LoopbackProvider


@pytest.fixture(scope="module", autouse=True)
def shared() -> Iterator[LoopbackProvider]:
    """One provider for the suite below, whose parameters are a property and so cannot take a fixture."""
    with TestChatOpenAI.provider:
        yield TestChatOpenAI.provider


# ChatOpenAI never closes its HTTP clients, and pydantic warns of the SDK's own parsed answers.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:Received a Pydantic BaseModel V1 schema")
class TestChatOpenAI(ChatModelIntegrationTests):
    """LangChain's own suite passes on the provider, so what fails on a wrapper is the wrapper's fault."""

    provider = LoopbackProvider()

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "base_url": self.provider.base_url, "api_key": "k", "stream_usage": True}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4o"
