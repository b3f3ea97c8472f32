"""Calls that end early, fail, or run side by side."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from llama_index.core.callbacks import CBEventType
from llama_index.core.llms.llm import LLM

from thrift_plugins.testing.llama_index_suite.base import ContractBase, listen, user

_SIDE_BY_SIDE = 20


def _asked(index: int) -> str:
    return f"Repeat exactly: marker{index:02d}"


def _check_own(answers: list[str]) -> None:
    """Each answer has its own marker and nobody else's."""
    for index, answer in enumerate(answers):
        seen = {other for other in range(len(answers)) if f"marker{other:02d}" in answer}
        assert seen == {index}


class ResilienceTests(ContractBase):
    """What one call goes through must not show in another."""

    def test_closed_stream_leaves_it_usable(self, llm: LLM) -> None:
        stream = cast("Generator[Any, None, None]", llm.stream_chat(user("Write a long story.")))
        next(stream)
        stream.close()
        del stream
        gc.collect()  # LlamaIndex's OpenAI leaves the response open; collected inside its pool's lock, it waits for ever
        assert llm.chat(user("Hello")).message.content

    async def test_closed_async_stream_leaves_it_usable(self, llm: LLM) -> None:
        stream = cast("AsyncGenerator[Any, None]", await llm.astream_chat(user("Write a long story.")))
        await anext(stream)
        await stream.aclose()
        assert (await llm.achat(user("Hello"))).message.content

    def test_stream_that_nobody_reads(self, llm: LLM) -> None:
        llm.stream_chat(user("Hello"))
        assert llm.chat(user("Hello")).message.content

    async def test_cancelled_call_leaves_it_usable(self, llm: LLM) -> None:
        task = asyncio.ensure_future(llm.achat(user("Write a story that is cut short.")))  # an LLM may know "Hello"
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await llm.achat(user("Hello"))).message.content

    async def test_cancelled_stream_leaves_it_usable(self, llm: LLM) -> None:
        started = asyncio.Event()

        async def read() -> None:
            async for _ in await llm.astream_chat(user("Write a long story.")):
                started.set()
                await asyncio.sleep(0)
                await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await llm.achat(user("Hello"))).message.content

    async def test_concurrent_calls_do_not_mix(self, llm: LLM) -> None:
        responses = await asyncio.gather(*(llm.achat(user(_asked(index))) for index in range(_SIDE_BY_SIDE)))
        _check_own([str(response.message.content) for response in responses])

    async def test_concurrent_streams_do_not_mix(self, llm: LLM) -> None:
        async def read(index: int) -> str:
            stream = await llm.astream_chat(user(_asked(index)))
            return "".join([chunk.delta or "" async for chunk in stream])

        _check_own(list(await asyncio.gather(*(read(index) for index in range(_SIDE_BY_SIDE)))))

    async def test_concurrent_calls_have_events_each(self, llm: LLM) -> None:
        handler = listen(llm)
        await asyncio.gather(*(llm.achat(user(_asked(index))) for index in range(_SIDE_BY_SIDE)))
        assert len(handler.get_event_pairs(CBEventType.LLM)) == _SIDE_BY_SIDE

    def test_threads_do_not_mix(self, llm: LLM) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda index: llm.complete(_asked(index)).text, range(_SIDE_BY_SIDE))
            _check_own(list(answers))

    def test_streams_in_threads_do_not_mix(self, llm: LLM) -> None:
        def read(index: int) -> str:
            return "".join(chunk.delta or "" for chunk in llm.stream_chat(user(_asked(index))))

        with ThreadPoolExecutor(8) as pool:
            _check_own(list(pool.map(read, range(_SIDE_BY_SIDE))))

    def test_interleaved_streams(self, llm: LLM) -> None:
        first, second = llm.stream_chat(user(_asked(0))), llm.stream_chat(user(_asked(1)))
        pairs = list(zip(first, second, strict=False))
        assert pairs[-1][0].message.content != pairs[-1][1].message.content

    # --- errors

    def test_error_of_chat(self, failing_llm: LLM) -> None:
        with pytest.raises(self.error_type) as caught:
            failing_llm.chat(user("Hello"))
        assert caught.type is self.error_type

    async def test_error_of_achat(self, failing_llm: LLM) -> None:
        with pytest.raises(self.error_type) as caught:
            await failing_llm.achat(user("Hello"))
        assert caught.type is self.error_type

    def test_error_of_complete(self, failing_llm: LLM) -> None:
        with pytest.raises(self.error_type):
            failing_llm.complete("Hello")

    def test_error_of_stream_chat(self, failing_llm: LLM) -> None:
        with pytest.raises(self.error_type) as caught:
            list(failing_llm.stream_chat(user("Hello")))
        assert caught.type is self.error_type

    async def test_error_of_astream_chat(self, failing_llm: LLM) -> None:
        with pytest.raises(self.error_type):
            [chunk async for chunk in await failing_llm.astream_chat(user("Hello"))]

    def test_error_ends_its_event(self, failing_llm: LLM) -> None:
        handler = listen(failing_llm)
        with pytest.raises(self.error_type):
            failing_llm.chat(user("Hello"))
        (pair,) = handler.get_event_pairs(CBEventType.LLM)
        assert len(pair) == 2
