"""What `ThriftLLM` once got wrong: keys that said too little, errors in the app's call, answers of another shape."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    LLMMetadata,
    LogProb,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from tests.llama_index_kit import openai, user
from thrift_plugins import CacheConfig, Config, Runtime
from thrift_plugins.errors import ConfigError
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import LoopbackProvider


class Voice(BaseModel):
    """Settings in an object."""

    says: str = "hi"


class Own(CustomLLM):
    """A model of an app's own, with settings where a framework does not look for them."""

    voice: Voice = Field(default_factory=Voice)
    pieces: int = 1
    graded: bool = False
    temperature: float = 0.0
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    _hidden: Any = PrivateAttr(None)
    _counter: Iterator[int] | None = PrivateAttr(None)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="own", is_chat_model=True)

    def _response(self) -> ChatResponse:
        logprobs = [[LogProb(token="hi", logprob=-0.1)]] if self.graded else None
        message = ChatMessage(role=MessageRole.ASSISTANT, content=self.voice.says)
        return ChatResponse(message=message, delta="", logprobs=logprobs)

    @llm_chat_callback()
    def chat(self, messages: Any, **_kwargs: Any) -> ChatResponse:
        return self._response()

    @llm_chat_callback()
    def stream_chat(self, messages: Any, **_kwargs: Any) -> ChatResponseGen:
        def told(counter: Iterator[int] | None) -> ChatResponseGen:
            for _ in range(self.pieces):
                if counter is not None:
                    next(counter)
                yield self._response()

        return told(self._counter)

    def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> Any:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(kinds=False)))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[LoopbackProvider]:
    with LoopbackProvider() as running:
        yield running


def wrapped(runtime: Runtime, *models: Any) -> ThriftLLM:
    return ThriftLLM(tiers=list(models), names=[f"tier {place}" for place, _ in enumerate(models)], runtime=runtime)


def hit(response: ChatResponse) -> bool:
    told: bool = response.additional_kwargs["thrift"]["hit"]
    return told


def said(content: str = "", role: MessageRole = MessageRole.USER, **extra: Any) -> ChatMessage:
    return ChatMessage(role=role, content=content, additional_kwargs=extra)


def called(arguments: Any) -> ChatMessage:
    block = ToolCallBlock.model_construct(tool_call_id="1", tool_name="f", tool_kwargs=arguments)
    message = ChatMessage(role=MessageRole.ASSISTANT)
    message.blocks = [block]
    return message


# --- keys


@pytest.mark.parametrize("kind", [ImageBlock, DocumentBlock])
def test_a_local_file_is_never_answered_from_the_cache(kind: Any, runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "it.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n")
    llm = wrapped(runtime, Own())
    blocks: list[ContentBlock] = [TextBlock(text="What is it?"), kind(path=file)]
    assert not any(hit(llm.chat([ChatMessage(role=MessageRole.USER, blocks=blocks)])) for _ in range(2))


def test_private_state_tells_models_apart(runtime: Runtime) -> None:
    """Also that of an object, also after a change in place; what has no form is never answered from the cache."""
    model, other = Own(), Own()
    model._hidden, other._hidden = {"voice": Voice(says="a")}, {"voice": Voice(says="b")}
    llm = wrapped(runtime, model)
    assert [hit(llm.chat(user("q"))) for _ in range(2)] == [False, True]
    assert not hit(wrapped(runtime, other).chat(user("q")))
    model._hidden["voice"].says = "c"
    assert not hit(llm.chat(user("q")))
    model._hidden = object()
    assert not any(hit(llm.chat(user("q"))) for _ in range(2))


def test_a_settings_object_may_change_in_place(runtime: Runtime) -> None:
    model = Own()
    llm = wrapped(runtime, model)
    llm.chat(user("q"))
    model.voice.says = "other"
    assert llm.chat(user("q")).message.content == "other"


def test_a_real_model_stays_cacheable_with_its_clients(runtime: Runtime, provider: LoopbackProvider) -> None:
    llm = wrapped(runtime, openai(provider))
    assert [hit(llm.chat(user("clients"))) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (said("x", MessageRole.SYSTEM), said("x", MessageRole.DEVELOPER)),
        (said(function_call={"name": "f", "arguments": "1"}), said(function_call={"name": "f", "arguments": "2"})),
        (said(tool_calls=[{"type": "custom", "input": "1"}]), said(tool_calls=[{"type": "custom", "input": "2"}])),
    ],
    ids=["role", "function call", "custom call"],
)
def test_messages_that_differ(one: ChatMessage, other: ChatMessage, runtime: Runtime) -> None:
    llm = wrapped(runtime, Own())
    assert [hit(llm.chat([turn])) for turn in (one, other, one, other)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"temperature": None}),
        ({"tools": [{"type": "web_search", "sites": ["a"]}]}, {"tools": [{"type": "web_search", "sites": ["b"]}]}),
        ({"tools": [{"function": {"name": "f"}}]}, {"tools": [{"function": {"name": "f"}, "defer": True}]}),
    ],
    ids=["unset", "built-in tool", "beside the function"],
)
def test_arguments_that_differ(one: dict[str, Any], other: dict[str, Any], runtime: Runtime) -> None:
    model = Own()
    llm = wrapped(runtime, model)
    assert [hit(llm.chat(user("q"), **given)) for given in (one, other, one, other)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        ({"additional_kwargs": {"temperature": 1.7}}, {}),
        ({"additional_kwargs": {"extra_body": {"temperature": 1.7}}}, {"temperature": 0.0}),
        ({}, {"extra_body": {"temperature": 1.7}}),
        ({"temperature": 1.7}, {}),
    ],
    ids=["extra", "extra body", "call", "field"],
)
def test_the_hottest_tier_decides(settings: dict[str, Any], given: dict[str, Any], runtime: Runtime) -> None:
    llm = wrapped(runtime, Own(**settings), Own())
    assert not any(hit(llm.chat(user("q"), **given)) for _ in range(2))


# --- no error of ours in the app's call


class Opaque(BaseModel):
    """Has no JSON form."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Any = Field(default_factory=object)


@pytest.mark.parametrize(
    "message",
    [
        called({"x": object()}),
        called({"x": 10**30}),
        called({"x": float("nan")}),
        said(parts=object()),
        said(parts=[Opaque()]),
        ChatMessage(role=MessageRole.USER, blocks=[ImageBlock(image=BytesIO(b"\x89PNG"), image_mimetype="image/png")]),
    ],
    ids=["object", "huge", "nan", "extra", "model", "open file"],
)
def test_a_message_without_a_form_is_sent_and_not_stored(message: ChatMessage, runtime: Runtime) -> None:
    llm = wrapped(runtime, Own(), Own())
    assert not any(hit(llm.chat([message])) for _ in range(2))


@pytest.mark.parametrize("calls", ["odd", [{"id": 1, "function": {}}], [{"function": {"name": "f"}}], [None]])
def test_tool_calls_of_any_shape_are_sent(calls: Any, runtime: Runtime) -> None:
    assert wrapped(runtime, Own(), Own()).chat([said(tool_calls=calls)]).message.content == "hi"


@pytest.mark.parametrize("tools", [[Voice()], [Opaque()], Voice, "search"])
def test_tools_of_any_kind_are_passed_on(tools: Any, runtime: Runtime) -> None:
    assert wrapped(runtime, Own()).chat(user("q"), tools=tools).message.content == "hi"


def test_an_answer_without_a_form_reaches_the_app(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ChatResponse(message=called({"x": object()}))
    monkeypatch.setattr(Own, "_response", lambda _self: answer)
    llm = wrapped(runtime, Own())
    assert [llm.chat(user("q")) is answer for _ in range(2)] == [True, True]


def test_a_stream_without_pieces_is_empty(runtime: Runtime) -> None:
    assert list(wrapped(runtime, Own(pieces=0)).stream_chat(user("q"))) == []


# --- hits look like misses


def test_raw_is_read_as_on_a_miss(runtime: Runtime, provider: LoopbackProvider) -> None:
    llm = wrapped(runtime, openai(provider))
    miss, again = (llm.chat(user("raw")).raw for _ in range(2))
    assert again.choices[0].message.content == miss.choices[0].message.content
    assert (again.model, again.choices[0].finish_reason) == (miss.model, miss.choices[0].finish_reason)
    assert again.usage.total_tokens == again["usage"]["total_tokens"] == 0
    assert pickle.loads(pickle.dumps(again)) == copy.deepcopy(again) == again
    with pytest.raises(AttributeError, match="nothing"):
        _ = again.nothing


def test_an_answer_with_log_probabilities_is_not_stored(runtime: Runtime) -> None:
    llm = wrapped(runtime, Own(graded=True))
    assert all(llm.chat(user("q")).logprobs for _ in range(2))


# --- the rest


def test_closing_a_stream_leaves_the_apps_own_generators_open(runtime: Runtime) -> None:
    model = Own(pieces=3)
    counter = model._counter = (number for number in range(10))
    stream = wrapped(runtime, model).stream_chat(user("q"))
    next(iter(stream))
    stream.close()
    assert next(counter) == 1


def test_runtimes_of_equal_settings_are_told_apart() -> None:
    runtimes = [Runtime(Config(store="memory:", cache=CacheConfig(kinds=False))) for _ in range(2)]
    pickled = [pickle.dumps(wrapped(runtime, Own())) for runtime in runtimes]
    assert [pickle.loads(data).runtime for data in pickled] == runtimes
    for runtime in runtimes:
        runtime.close()


def test_tiers_are_fixed(runtime: Runtime) -> None:
    llm = wrapped(runtime, Own())
    with pytest.raises(ConfigError, match="tiers"):
        llm.tiers = [Own()]
    with pytest.raises(ConfigError, match="baseline"):
        llm.model_copy(update={"baseline": 0})
    assert llm.model_copy(update={"system_prompt": "Be brief."}).system_prompt == "Be brief."
