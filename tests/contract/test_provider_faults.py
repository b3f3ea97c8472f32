"""The loopback provider's faults, and how it bears crowds and a stop in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading

import httpx
import openai
import pytest

from tests.provider_client import MODEL, ask, bill, client, port_of, provider, raw_request, says
from thrift_plugins.testing import Fault, LoopbackProvider

__all__ = ["client", "provider"]  # fixtures

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))


class TestFaults:
    def test_refuse(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.append(Fault.refuse(429, "rate_limit_exceeded", retry_after=1.5))
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == "1.5"
        row = bill(provider)
        assert (row.status, row.input_tokens, row.output_tokens) == (429, 0, 0)
        assert ask(client).choices

    def test_sdk_retries(self, provider: LoopbackProvider, client: openai.OpenAI) -> None:
        provider.faults.extend([Fault.refuse(529), Fault.refuse(500, retry_after=0.01)])
        assert ask(client.with_options(max_retries=2)).choices
        assert [row.status for row in provider.billed] == [529, 500, 200]

    def test_no_key_and_no_json(self, provider: LoopbackProvider) -> None:
        url = f"{provider.base_url}/chat/completions"
        assert httpx.post(url, json={"model": MODEL, "messages": says("x")}).status_code == 401
        assert httpx.post(url, content=b"{", headers={"authorization": "Bearer k"}).status_code == 400
        assert all(row.input_tokens == 0 for row in provider.billed)

    @pytest.mark.parametrize("stream", [True, False])
    def test_delay(self, client: openai.OpenAI, provider: LoopbackProvider, stream: bool) -> None:
        provider.faults.append(Fault.delay(30))
        with pytest.raises(openai.APITimeoutError):
            ask(client, stream=stream, timeout=0.3)
        row = bill(provider)
        assert (row.aborted, row.input_tokens > 0, row.output_tokens) == (True, True, 0)

    @pytest.mark.parametrize("stream", [True, False])
    def test_break_before_any_byte(self, client: openai.OpenAI, provider: LoopbackProvider, stream: bool) -> None:
        provider.faults.append(Fault.break_after(0))
        with pytest.raises(openai.APIConnectionError):
            ask(client, stream=stream)
        row = bill(provider)
        assert (row.aborted, row.input_tokens > 0, row.output_tokens) == (True, True, 0)

    def test_break_in_mid_stream(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.append(Fault.break_after(5))
        seen: list[str] = []
        with pytest.raises(httpx.RemoteProtocolError):
            seen.extend(chunk.choices[0].delta.content for chunk in ask(client, stream=True))
        row = bill(provider)
        assert (row.aborted, row.output_tokens) == (True, 5)

    def test_break_in_mid_body(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.append(Fault.break_after(5))
        with pytest.raises(openai.APIConnectionError):
            ask(client)
        assert (bill(provider).aborted, bill(provider).output_tokens) == (True, 5)

    @pytest.mark.parametrize("stream", [True, False])
    def test_stall(self, client: openai.OpenAI, provider: LoopbackProvider, stream: bool) -> None:
        provider.faults.append(Fault.stall_after(3))
        with pytest.raises((openai.APITimeoutError, httpx.ReadTimeout)):
            list(ask(client, stream=stream, timeout=0.3))
        row = bill(provider)
        assert (row.aborted, row.output_tokens) == (True, 3)

    def test_truncate_and_content_filter(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.extend([Fault.truncate(6), Fault.content_filter(), None])
        cut, filtered, fine = ask(client), ask(client), ask(client)
        assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 6)
        assert (filtered.choices[0].finish_reason, filtered.choices[0].message.content) == ("content_filter", "")
        assert fine.choices[0].finish_reason == "stop"

    def test_garbage(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.extend([Fault.garbage(), Fault.garbage()])
        with pytest.raises(json.JSONDecodeError):
            ask(client)
        with pytest.raises(json.JSONDecodeError):
            list(ask(client, stream=True))

    def test_rules(self, client: openai.OpenAI, provider: LoopbackProvider) -> None:
        provider.faults.on("poison", Fault.refuse(500))
        provider.faults.rule(lambda request: Fault.truncate(1) if request.headers.get("x-fault") == "cut" else None)
        assert ask(client).choices[0].finish_reason == "stop"
        assert ask(client, extra_headers={"X-Fault": "cut"}).choices[0].finish_reason == "length"
        with pytest.raises(openai.InternalServerError):
            ask(client, "some poison here")
        provider.faults.clear()
        assert ask(client, "some poison here").choices


class TestServer:
    async def test_many_at_once(self, provider: LoopbackProvider) -> None:
        many = int(500 * SCALE)

        async def one(index: int) -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(provider))
            writer.write(raw_request(f"number-{index:05d}"))
            await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"}}}")
            writer.close()
            await writer.wait_closed()
            return f"number-{index:05d}" in body.decode()

        assert all(await asyncio.gather(*(one(index) for index in range(many))))
        assert sorted(row.number for row in provider.billed) == list(range(1, many + 1))

    def test_keep_alive(self, provider: LoopbackProvider) -> None:
        with socket.create_connection(("127.0.0.1", port_of(provider))) as connection:
            connection.sendall(2 * raw_request("Hello"))  # pipelined
            received = b""
            while received.count(b"HTTP/1.1 200 OK") < 2 or not received.endswith(b"}}}"):
                received += connection.recv(65536)
        assert provider.wait_idle()
        assert len(provider.billed) == 2

    def test_stops_cleanly_with_a_stalled_client(self) -> None:
        before = threading.active_count()
        provider = LoopbackProvider()
        provider.start()
        provider.faults.append(Fault.stall_after(1))
        with openai.OpenAI(base_url=provider.base_url, api_key="k", max_retries=0) as client:
            stream = iter(ask(client, stream=True))
            next(stream)
            provider.stop()
            with pytest.raises(httpx.HTTPError):
                list(stream)
        assert threading.active_count() == before
        assert provider.billed[0].aborted
        with pytest.raises(RuntimeError, match="not running"):
            _ = provider.base_url

    def test_can_be_started_again(self) -> None:
        provider = LoopbackProvider()
        for _ in range(2):
            with provider, openai.OpenAI(base_url=provider.base_url, api_key="k") as client:
                assert ask(client).choices
                with pytest.raises(RuntimeError, match="running already"):
                    provider.start()
        assert len(provider.billed) == 2
        provider.stop()
