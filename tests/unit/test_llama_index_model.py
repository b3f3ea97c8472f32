"""`ThriftLLM` as an object, and over models of every kind."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms import LLM, CustomLLM, MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from pydantic import Field, PrivateAttr

from tests.llama_index_kit import user
from thrift_plugins import Config, Runtime
from thrift_plugins.errors import ConfigError, UnsupportedByTier
from thrift_plugins.llama_index import ThriftLLM

KEY = "sk-very-secret"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(Config(store="memory:"))
    yield runtime
    runtime.close()


def openai(model: str = "gpt-4o", **settings: Any) -> OpenAI:
    return OpenAI(model=model, api_key=KEY, api_base="http://127.0.0.1:9/v1", **settings)


def outcomes(runtime: Runtime) -> list[str]:
    assert runtime.ledger is not None
    return [record["outcome"] for record in runtime.ledger.records()]


class Parrot(CustomLLM):
    """A completion model of an app's own: no chat, no tools, no usage."""

    name: str = "parrot"
    window: int = 4_000
    asked: list[str] = Field(default_factory=list, exclude=True)
    _suffix: str = PrivateAttr("!")
    _render: Callable[[str], str] | None = PrivateAttr(None)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.name, context_window=self.window)

    def _says(self, prompt: str) -> str:
        self.asked.append(prompt)
        return prompt.upper() + self._suffix

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._says(prompt))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponseGen:
        text = self._says(prompt)

        def pieces() -> CompletionResponseGen:
            for end in range(1, len(text) + 1):
                yield CompletionResponse(text=text[:end], delta=text[end - 1])

        return pieces()


# --- models of every kind


async def test_custom_llm(runtime: Runtime) -> None:
    parrot = Parrot()
    llm = ThriftLLM(tiers=[parrot], runtime=runtime)
    assert not llm.metadata.is_chat_model
    assert [llm.complete("hi").text for _ in range(2)] == ["HI!"] * 2
    assert (await llm.acomplete("hi")).text == "HI!"
    assert [piece.delta for piece in llm.stream_complete("yo")] == ["Y", "O", "!"]
    assert "ASSISTANT" in (llm.chat(user("hi")).message.content or "")
    assert parrot.asked[:2] == ["hi", "yo"]
    assert outcomes(runtime)[:2] == ["answered", "hit"]


def test_stream_that_does_not_say_why_it_ended_is_not_stored(runtime: Runtime) -> None:
    parrot = Parrot()
    llm = ThriftLLM(tiers=[parrot], runtime=runtime)
    for _ in range(2):
        list(llm.stream_complete("yo"))
    assert len(parrot.asked) == 2


def test_mock_llm(runtime: Runtime) -> None:
    llm = ThriftLLM(tiers=[MockLLM(max_tokens=3)], runtime=runtime)
    assert llm.complete("a b c d e").text == llm.complete("a b c d e").text
    assert list(llm.stream_complete("a b"))[-1].text
    assert llm.chat(user("a b c")).message.content


def test_windows(runtime: Runtime) -> None:
    """What does not fit the small window goes to the large one; a window that is unknown fits."""
    small, large = Parrot(name="small", window=4_000), Parrot(name="large", window=100_000)
    llm = ThriftLLM(tiers=[small, large], runtime=runtime)
    assert llm.metadata.context_window == 100_000
    llm.complete("Say hello.")
    llm.complete("word " * 5_000)
    assert (len(small.asked), len(large.asked)) == (1, 1)


def test_tools_go_where_they_can(runtime: Runtime) -> None:
    parrot = Parrot()
    strong = MockFunctionCallingLLM()
    llm = ThriftLLM(tiers=[parrot, strong], names=["parrot", "strong"], runtime=runtime)
    tool = FunctionTool.from_defaults(lambda: "ok", name="ping", description="ping")
    llm.chat_with_tools([tool], "Use ping")
    assert parrot.asked == []
    with pytest.raises(UnsupportedByTier, match="tool"):
        ThriftLLM(tiers=[parrot], runtime=runtime).chat_with_tools([tool], "Use ping")
    with pytest.raises(UnsupportedByTier, match="tools"):
        ThriftLLM(tiers=[parrot], runtime=runtime).get_tool_calls_from_response(
            ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content="no"))
        )


def test_private_attributes_tell_models_apart(runtime: Runtime) -> None:
    plain, loud = Parrot(), Parrot()
    loud._suffix = "!!!"
    assert ThriftLLM(tiers=[plain], runtime=runtime).complete("hi").text == "HI!"
    assert ThriftLLM(tiers=[loud], runtime=runtime).complete("hi").text == "HI!!!"


def test_unnamed_functions_cannot_be_told_apart(runtime: Runtime) -> None:
    parrot = Parrot()
    parrot._render = lambda text: text
    llm = ThriftLLM(tiers=[parrot], runtime=runtime)
    llm.complete("hi")
    llm.complete("hi")
    assert outcomes(runtime) == ["answered", "answered"]


def test_tiers_that_cannot_be_told_apart(runtime: Runtime) -> None:
    with pytest.raises(ConfigError, match="names="):
        ThriftLLM(tiers=[Parrot(), Parrot()], runtime=runtime)
    with pytest.raises(ConfigError, match="at least one"):
        ThriftLLM(tiers=[], runtime=runtime)
    with pytest.raises(ConfigError, match="baseline"):
        ThriftLLM(tiers=[Parrot()], baseline="nobody", runtime=runtime)


def test_manners_are_the_baselines(runtime: Runtime) -> None:
    own = openai(system_prompt="Be brief.")
    llm = ThriftLLM(tiers=[openai("gpt-4o-mini"), own], runtime=runtime)
    assert llm.system_prompt == "Be brief."
    assert llm.callback_manager is own.callback_manager
    assert llm.metadata == own.metadata
    assert ThriftLLM(tiers=[own], runtime=runtime, system_prompt="Be long.").system_prompt == "Be long."


# --- the object


@pytest.fixture
def llm(runtime: Runtime) -> ThriftLLM:
    return ThriftLLM(tiers=[openai("gpt-4o-mini"), openai()], names=["small", "big"], runtime=runtime)


def test_no_key_leaks(llm: ThriftLLM) -> None:
    llm.tiers[0].metadata  # noqa: B018  used once
    for told in (repr(llm), str(llm), str(llm.to_dict()), llm.to_json(), str(llm.to_payload()), llm.model_dump_json()):
        assert KEY not in told


def test_dict_changes_with_the_tiers(llm: ThriftLLM) -> None:
    """An ingestion cache knows a transform by its dict."""
    before = llm.to_dict()
    assert [tier["name"] for tier in before["tiers"]] == ["small", "big"]
    assert llm.to_dict() == before
    llm.tiers[0].__dict__["temperature"] = 0.05
    assert llm.to_dict() != before


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: m.model_copy(), lambda m: m.model_copy(deep=True)]
)
def test_copies(copied: Callable[[ThriftLLM], ThriftLLM], llm: ThriftLLM, runtime: Runtime) -> None:
    twin = copied(llm)
    assert twin.runtime is runtime
    assert twin.metadata == llm.metadata
    assert twin.to_dict() == llm.to_dict()


def test_deep_copy_has_models_of_its_own(llm: ThriftLLM) -> None:
    twin = copy.deepcopy(llm)
    assert twin.tiers[0] is not llm.tiers[0]
    assert llm.model_copy().tiers[0] is llm.tiers[0]


def test_pickle(llm: ThriftLLM, runtime: Runtime) -> None:
    llm.system_prompt = "Be brief."
    again = pickle.loads(pickle.dumps(llm))
    assert again.runtime is runtime
    assert again.to_dict() == llm.to_dict()
    assert again.system_prompt == "Be brief."


def test_pickle_for_another_process() -> None:
    first = Runtime(Config(store="memory:", prices={"m": {"input": 1.0, "output": 2.0}}))
    data = pickle.dumps(ThriftLLM(tiers=[Parrot()], runtime=first))
    config = first.config
    first.close()
    del first
    again: Any = pickle.loads(data)
    assert again.runtime.config == config
    assert again.complete("hi").text == "HI!"
    again.runtime.close()


def test_methods_look_like_the_frameworks(llm: ThriftLLM) -> None:
    import inspect

    for name in ("chat", "astream_chat", "complete", "chat_with_tools", "structured_predict"):
        ours, theirs = getattr(ThriftLLM, name), getattr(OpenAI, name)
        if name != "chat_with_tools":
            assert inspect.iscoroutinefunction(ours) == name.startswith("a")
        assert ours.__name__ == name
        assert theirs is not None
    signature = inspect.signature(llm.chat_with_tools)
    assert list(signature.parameters)[:3] == ["tools", "user_msg", "chat_history"]


def test_nested(runtime: Runtime) -> None:
    inner = ThriftLLM(tiers=[Parrot()], runtime=runtime)
    outer = ThriftLLM(tiers=[inner], runtime=Runtime(Config(store="memory:")))
    assert [outer.complete("hi").text for _ in range(2)] == ["HI!"] * 2
    assert isinstance(outer, LLM)
    outer.runtime.close()


class _Limiter:
    """Counts how often leave was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, num_tokens: int = 0) -> None:
        self.asked += 1


def test_rate_limiter(runtime: Runtime) -> None:
    """That of the wrapper holds for every tier, a tier's own for it alone, and a hit asks neither."""
    common, own = _Limiter(), _Limiter()
    llm = ThriftLLM(tiers=[Parrot()], runtime=runtime, rate_limiter=common)
    llm.complete("hi")
    llm.complete("hi")
    other = ThriftLLM(tiers=[Parrot(rate_limiter=own)], runtime=runtime)
    other.complete("ho")
    assert (common.asked, own.asked) == (1, 1)
