"""The loopback provider against the real SDKs: OpenAI's wire, its bill, its scripts."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai import OpenAI as LlamaOpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from tests.provider_client import MODEL, ask, bill, client, provider, says
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest
from thrift_plugins.testing.billing import input_tokens, tokens_of
from thrift_plugins.types import ToolCall

__all__ = ["client", "provider"]  # fixtures

ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "The first."},
                "b": {"type": "integer"},
                "unit": {"type": "string", "enum": ["m", "km"], "description": "The unit."},
            },
            "required": ["a", "b", "unit"],
        },
    },
}


class TestWire:
    def test_whole_answer(self, client: openai.OpenAI) -> None:
        answer = ask(client)
        assert answer.object == "chat.completion"
        assert answer.choices[0].message.content.startswith("You said: Hello.")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    def test_the_same_request_gets_the_same_answer(self, client: openai.OpenAI) -> None:
        first, second, other = ask(client), ask(client, seed=7, temperature=1.5), ask(client, "Hallo")
        assert first.choices[0].message.content == second.choices[0].message.content
        assert first.choices[0].message.content != other.choices[0].message.content

    def test_answer_length(self) -> None:
        with LoopbackProvider(answer_tokens=200) as long, openai.OpenAI(base_url=long.base_url, api_key="k") as client:
            assert 195 <= ask(client).usage.completion_tokens <= 205

    @pytest.mark.parametrize("with_usage", [True, False])
    def test_stream_has_openais_order(self, client: openai.OpenAI, with_usage: bool) -> None:
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if with_usage else {}
        chunks = [chunk.model_dump() for chunk in ask(client, "Hello 你好 👩‍👩‍👧", stream=True, **options)]
        if with_usage:
            assert all(chunk["usage"] is None for chunk in chunks[:-1])
            usage = chunks.pop()
            assert usage["choices"] == []
            assert usage["usage"]["completion_tokens"] > 0
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[0]["role"] == "assistant"
        assert deltas[0]["content"] == ""
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
        whole = ask(client, "Hello 你好 👩‍👩‍👧").choices[0].message.content
        assert "".join(delta["content"] or "" for delta in deltas) == whole
        assert "你好 👩‍👩‍👧" in whole

    def test_raw_stream(self, provider: LoopbackProvider) -> None:
        body = {"model": MODEL, "messages": says("Hello"), "stream": True}
        headers = {"authorization": "Bearer k"}
        got = httpx.post(f"{provider.base_url}/chat/completions", json=body, headers=headers)
        events = got.text.split("\n\n")
        assert got.headers["content-type"].startswith("text/event-stream")
        assert events[-2:] == ["data: [DONE]", ""]
        assert all("usage" not in json.loads(event.removeprefix("data: ")) for event in events[:-2])

    def test_stop_and_token_limits(self, client: openai.OpenAI) -> None:
        stopped = ask(client, "one two three", stop=["two", "three"]).choices[0]
        assert stopped.message.content == "You said: one "
        assert stopped.finish_reason == "stop"
        for name in ("max_tokens", "max_completion_tokens"):
            cut = ask(client, "Hello", **{name: 4})
            assert cut.choices[0].finish_reason == "length"
            assert cut.usage.completion_tokens == 4

    def test_legacy_completions(self, client: openai.OpenAI) -> None:
        whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello", max_tokens=100)
        chunks = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hello", max_tokens=100, stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
        assert whole.usage is not None
        assert whole.usage.prompt_tokens == tokens_of("Hello")

    def test_models_and_unknown_paths(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["gpt-4o-mini", "gpt-4o"]
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="text-embedding-3-small", input="Hello")

    def test_content_parts(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        ]
        messages: list[Any] = [{"role": "user", "content": parts}]
        answer = client.chat.completions.create(model=MODEL, messages=messages)
        assert "What is this?" in str(answer.choices[0].message.content)
        assert bill(provider).input_tokens == 3 + tokens_of("user") + tokens_of("What is this?") + 3 * 85 + 3


class TestTools:
    def test_called_when_named(self, client: openai.OpenAI) -> None:
        answer = ask(client, "Please add 3 and -4 in 'km'.", tools=[ADD]).choices[0]
        assert answer.finish_reason == "tool_calls"
        assert answer.message.content is None
        assert json.loads(answer.message.tool_calls[0].function.arguments) == {"a": 3, "b": -4, "unit": "m"}

    def test_not_called_unasked(self, client: openai.OpenAI) -> None:
        assert ask(client, "Hello", tools=[ADD]).choices[0].message.tool_calls is None
        assert ask(client, "add 1 and 2", tools=[ADD], tool_choice="none").choices[0].message.tool_calls is None

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
    def test_forced(self, client: openai.OpenAI, choice: Any) -> None:
        assert ask(client, "Hello", tools=[ADD], tool_choice=choice).choices[0].message.tool_calls

    def test_parallel_and_streamed(self, client: openai.OpenAI) -> None:
        other = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
        asked, tools = "add 1 and 2, then the weather", [ADD, other]
        whole = ask(client, asked, tools=tools).choices[0].message.tool_calls
        assert [call.function.name for call in whole] == ["add", "weather"]
        assert len(ask(client, asked, tools=tools, parallel_tool_calls=False).choices[0].message.tool_calls) == 1
        names: dict[int, str] = {}
        arguments = {0: "", 1: ""}
        for chunk in ask(client, asked, tools=tools, stream=True):
            for call in chunk.choices[0].delta.tool_calls or ():
                names.setdefault(call.index, call.function.name)
                arguments[call.index] += call.function.arguments
        assert names == {0: "add", 1: "weather"}
        assert arguments == {index: call.function.arguments for index, call in enumerate(whole)}

    def test_result_is_answered_with_text(self, client: openai.OpenAI) -> None:
        called = ask(client, "add 1 and 2", tools=[ADD]).choices[0].message
        result = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "3"}
        messages: list[Any] = [*says("add 1 and 2"), called.model_dump(exclude_none=True), result]
        answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[ADD])  # type: ignore[list-item]
        assert answer.choices[0].message.content

    @pytest.mark.parametrize("broken", ["orphan result", "unanswered call", "unknown choice"])
    def test_openais_refusals(self, client: openai.OpenAI, provider: LoopbackProvider, broken: str) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        calling = {"role": "assistant", "content": None, "tool_calls": [call]}
        messages, extra = {
            "orphan result": ([*says("Hello"), {"role": "tool", "tool_call_id": "c1", "content": "3"}], {}),
            "unanswered call": ([*says("Hello"), calling, *says("and?")], {}),
            "unknown choice": (says("Hello"), {"tool_choice": {"type": "function", "function": {"name": "no"}}}),
        }[broken]
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model=MODEL, messages=messages, tools=[ADD], **extra)  # type: ignore[call-overload]
        assert bill(provider).input_tokens == 0


class Leaf(BaseModel):
    name: str
    next: Leaf | None = None


class Everything(BaseModel):
    leaf: Leaf
    numbers: list[float]
    pair: tuple[int, str]
    choice: int | str
    maybe: bool | None
    table: dict[str, int]


class TestStructured:
    def test_schema(self, client: openai.OpenAI) -> None:
        schema = Everything.model_json_schema()
        wanted = {"type": "json_schema", "json_schema": {"name": "everything", "schema": schema}}
        text = ask(client, "Fill 2.5 and 7 in.", response_format=wanted).choices[0].message.content
        filled = Everything.model_validate_json(text)
        assert filled.numbers == [2.5]

    def test_bounds(self, client: openai.OpenAI) -> None:
        schema = {
            "type": "object",
            "properties": {
                "low": {"type": "integer", "minimum": 10},
                "high": {"type": "number", "exclusiveMaximum": 3},
                "short": {"type": "string", "maxLength": 2},
                "many": {"type": "array", "minItems": 3, "items": {"enum": ["x", "y"]}},
                "day": {"type": "string", "format": "date"},
                "fixed": {"const": 5},
            },
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "bounds", "schema": schema}}
        found = json.loads(ask(client, "7 and 9", response_format=wanted).choices[0].message.content)
        assert found["low"] == 10
        assert found["high"] < 3
        assert len(found["short"]) == 2
        assert found["many"] == ["x", "x", "x"]
        assert found["day"] == "2024-01-01"
        assert found["fixed"] == 5

    def test_json_object(self, client: openai.OpenAI) -> None:
        text = ask(client, "As JSON with 'a' and 'b'.", response_format={"type": "json_object"})
        assert set(json.loads(text.choices[0].message.content)) == {"a", "b"}
        with pytest.raises(openai.BadRequestError):
            ask(client, "Hello", response_format={"type": "json_object"})


class TestBill:
    def test_messages_formula(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        messages: list[Any] = [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "name": "ann", "content": "Hello <|endoftext|>"},
            {"role": "assistant", "content": "Hi!"},
            *says("And now?"),
        ]
        answer = client.chat.completions.create(model=MODEL, messages=messages)
        words = [message["role"] + "\0" + message["content"] for message in messages]
        pieces = [piece for word in words for piece in word.split("\0")]
        expected = 4 * 3 + 3 + sum(map(tokens_of, pieces)) + tokens_of("ann") + 1
        row = bill(provider)
        assert answer.usage is not None
        assert row.input_tokens == answer.usage.prompt_tokens == expected
        assert row.output_tokens == answer.usage.completion_tokens
        assert row.output_tokens == tokens_of(str(answer.choices[0].message.content))
        assert (row.model, row.endpoint, row.stream, row.status) == (MODEL, "chat/completions", False, 200)
        assert row.completion_id == answer.id

    def test_tools_formula(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        bare = ask(client, "add 1 and 2").usage.prompt_tokens
        called = ask(client, "add 1 and 2", tools=[ADD])
        lines = ("add:Add two numbers", "a:integer:The first", "b:integer:", "unit:string:The unit", "m", "km")
        constants = 12 + 7 + 3 + 3 * 3 - 3 + 2 * 3
        assert called.usage.prompt_tokens == bare + constants + sum(map(tokens_of, lines))
        function = called.choices[0].message.tool_calls[0].function
        assert bill(provider).output_tokens == 3 + tokens_of(function.name) + tokens_of(function.arguments)

    def test_stream_bills_what_a_whole_answer_bills(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        ask(client)
        list(ask(client, stream=True))
        whole, streamed = provider.billed
        assert (whole.input_tokens, whole.output_tokens) == (streamed.input_tokens, streamed.output_tokens)
        total = provider.totals[MODEL]
        assert total.input_tokens == 2 * whole.input_tokens
        assert total.output_tokens == 2 * whole.output_tokens

    def test_reasoning(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.script(lambda _request: Answer("Yes.", reasoning_tokens=50, cached_tokens=2))
        usage = ask(client).usage
        assert usage.completion_tokens == 50 + tokens_of("Yes.")
        assert usage.completion_tokens_details.reasoning_tokens == 50
        assert usage.prompt_tokens_details.cached_tokens == 2
        spent = ask(client, max_tokens=20)
        assert (spent.choices[0].message.content, spent.choices[0].finish_reason) == ("", "length")
        assert (bill(provider).output_tokens, bill(provider).reasoning_tokens) == (20, 20)

    def test_prompt_cache(self) -> None:
        with (
            LoopbackProvider(prompt_cache=True) as provider,
            openai.OpenAI(base_url=provider.base_url, api_key="k") as client,
        ):
            head = "word " * 1500
            cached = [
                ask(client, text).usage.prompt_tokens_details.cached_tokens for text in (head, head + "more", "x")
            ]
            assert cached[0] == cached[2] == 0
            assert cached[1] >= 1024
            assert cached[1] % 128 == 0
            assert provider.totals[MODEL].cache_read == cached[1]

    def test_client_that_leaves(self) -> None:
        with (
            LoopbackProvider(answer_tokens=2000, pace=0.001) as provider,
            openai.OpenAI(base_url=provider.base_url, api_key="k") as client,
        ):
            stream = ask(client, stream=True)
            for _, chunk in zip(range(10), stream, strict=False):
                assert chunk.choices
            stream.close()
            row = bill(provider)
            assert row.aborted
            assert row.input_tokens > 0
            assert 9 <= row.output_tokens < 2000

    def test_prompt_tokens_of_a_parsed_request(self) -> None:
        request = WireRequest(1, "chat/completions", {}, {"model": MODEL, "messages": says("Hello")})
        assert input_tokens(request) == 3 + tokens_of("user") + tokens_of("Hello") + 3


class TestScript:
    def test_answers(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.script(lambda request: Answer("Scripted.") if "script" in request.last_user else None)
        assert ask(client, "script").choices[0].message.content == "Scripted."
        assert ask(client, "Hello").choices[0].message.content.startswith("You said")

    def test_tool_calls_that_do_not_parse(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.script(lambda _request: Answer(tool_calls=(ToolCall("call_x", "add", '{"a": '),)))
        (call,) = ask(client).choices[0].message.tool_calls
        assert (call.id, call.function.arguments) == ("call_x", '{"a": ')

    def test_a_script_that_raises(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        def broken(_request: WireRequest) -> Answer:
            raise KeyError("oops")

        provider.script(broken)
        with pytest.raises(openai.InternalServerError, match="oops"):
            ask(client)

    def test_requests_are_kept(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        ask(client, "Hello", extra_headers={"X-Tenant": "acme"})
        (request,) = provider.requests
        assert request.body["messages"] == says("Hello")
        assert request.headers["x-tenant"] == "acme"
        provider.reset()
        assert (provider.requests, provider.billed) == ((), ())


class TestLlamaIndex:
    @pytest.mark.parametrize("kind", [LlamaOpenAI, OpenAILike])
    async def test_chat(self, provider: LoopbackProvider, kind: type[LlamaOpenAI]) -> None:
        with httpx.Client(verify=False) as sync:
            async with httpx.AsyncClient(verify=False) as clients:
                extra: dict[str, Any] = {"is_chat_model": True} if kind is OpenAILike else {}
                llm = kind(
                    model=MODEL,
                    api_base=provider.base_url,
                    api_key="k",
                    http_client=sync,
                    async_http_client=clients,
                    **extra,
                )
                messages = [ChatMessage("Hello")]
                whole = llm.chat(messages).message.content
                assert (await llm.achat(messages)).message.content == whole
                assert "".join(chunk.delta or "" for chunk in llm.stream_chat(messages)) == whole
                stream = await llm.astream_chat(messages)
                assert "".join([chunk.delta or "" async for chunk in stream]) == whole
