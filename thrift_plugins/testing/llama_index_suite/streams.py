"""Streamed answers: chunks, deltas, and what is at their end."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, MessageRole
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import PromptTemplate

from thrift_plugins.testing.llama_index_suite.base import ContractBase, user


class StreamTests(ContractBase):
    """`stream_chat`, `stream_complete`, `stream`, and their async twins."""

    def test_stream_chat(self, llm: LLM) -> None:
        _check_chat(list(llm.stream_chat(user("Hello"))))

    async def test_astream_chat(self, llm: LLM) -> None:
        _check_chat([chunk async for chunk in await llm.astream_chat(user("Hello"))])

    def test_stream_complete(self, llm: LLM) -> None:
        _check_completion(list(llm.stream_complete("Hello")))

    async def test_astream_complete(self, llm: LLM) -> None:
        _check_completion([chunk async for chunk in await llm.astream_complete("Hello")])

    def test_stream_says_what_chat_says(self, llm: LLM) -> None:
        whole = str(llm.chat(user("Repeat exactly: one two three")).message.content)
        *_, last = llm.stream_chat(user("Repeat exactly: one two three"))
        assert "one two three" in whole
        assert "one two three" in str(last.message.content)

    def test_stream_chunks_have_raw(self, llm: LLM) -> None:
        assert all(chunk.raw is not None for chunk in llm.stream_chat(user("Hello")))

    async def test_astream_chunks_have_raw(self, llm: LLM) -> None:
        assert all([chunk.raw is not None async for chunk in await llm.astream_chat(user("Hello"))])

    def test_stream_usage(self, llm: LLM) -> None:
        self._needs_usage()
        used = [chunk.additional_kwargs.get("total_tokens") for chunk in llm.stream_chat(user("Hello"))]
        assert sum(total is not None for total in used) == 1

    async def test_astream_usage(self, llm: LLM) -> None:
        self._needs_usage()
        stream = await llm.astream_chat(user("Hello"))
        used = [chunk.additional_kwargs.get("total_tokens") async for chunk in stream]
        assert sum(total is not None for total in used) == 1

    def _needs_usage(self) -> None:
        if not self.streams_usage:
            pytest.skip("its streams have no usage")

    def test_stream_unicode(self, llm: LLM) -> None:
        deltas = [chunk.delta or "" for chunk in llm.stream_chat(user("Repeat exactly: 你好 žluť 🎈"))]
        assert "你好 žluť 🎈" in "".join(deltas)

    def test_stream_stop(self, llm: LLM) -> None:
        if not self.honours_stop:
            pytest.skip("it takes no stop strings")
        *_, last = llm.stream_chat(user("Repeat exactly: alpha beta gamma"), stop=["beta"])
        assert "beta" not in str(last.message.content)

    def test_stream_max_tokens(self, llm: LLM) -> None:
        if not self.honours_max_tokens:
            pytest.skip("it takes no max_tokens")
        *_, last = llm.stream_complete("Write a long story.", max_tokens=5)
        assert len(last.text.split()) <= 5

    def test_predict_stream(self, llm: LLM) -> None:
        tokens = list(llm.stream(PromptTemplate("Repeat this word: {word}"), word="orchard"))
        assert all(isinstance(token, str) for token in tokens)
        assert "orchard" in "".join(tokens)

    async def test_predict_astream(self, llm: LLM) -> None:
        stream = await llm.astream(PromptTemplate("Repeat this word: {word}"), word="orchard")
        assert "orchard" in "".join([token async for token in stream])


def _check_chat(chunks: Sequence[ChatResponse]) -> None:
    assert len(chunks) > 1
    assert all(isinstance(chunk, ChatResponse) for chunk in chunks)
    last = chunks[-1].message
    assert last.role == MessageRole.ASSISTANT
    assert last.content
    assert "".join(chunk.delta or "" for chunk in chunks) == last.content
    so_far = [chunk.message.content or "" for chunk in chunks]
    assert all(after.startswith(before) for before, after in pairwise(so_far))


def _check_completion(chunks: Sequence[CompletionResponse]) -> None:
    assert len(chunks) > 1
    assert all(isinstance(chunk, CompletionResponse) for chunk in chunks)
    assert chunks[-1].text
    assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].text
