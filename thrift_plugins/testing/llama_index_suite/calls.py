"""Whole answers: metadata, messages, parameters."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

from base64 import b64decode
from typing import Final

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from thrift_plugins.testing.llama_index_suite.base import ContractBase, user

_PIXEL: Final = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


class CallTests(ContractBase):
    """`chat`, `complete`, `predict`, and their async twins."""

    def test_metadata(self, llm: LLM) -> None:
        metadata = llm.metadata
        assert isinstance(metadata, LLMMetadata)
        assert metadata.context_window > 0
        assert isinstance(metadata.model_name, str)
        assert metadata.is_function_calling_model is self.has_tools

    def test_class_name(self, llm: LLM) -> None:
        assert isinstance(llm.class_name(), str)
        assert llm.class_name()

    def test_chat(self, llm: LLM) -> None:
        response = llm.chat(user("Hello"))
        assert isinstance(response, ChatResponse)
        assert isinstance(response.message, ChatMessage)
        assert response.message.role == MessageRole.ASSISTANT
        assert response.message.content

    async def test_achat(self, llm: LLM) -> None:
        response = await llm.achat(user("Hello"))
        assert isinstance(response, ChatResponse)
        assert response.message.role == MessageRole.ASSISTANT
        assert response.message.content

    def test_complete(self, llm: LLM) -> None:
        response = llm.complete("Hello")
        assert isinstance(response, CompletionResponse)
        assert response.text
        assert str(response) == response.text

    async def test_acomplete(self, llm: LLM) -> None:
        response = await llm.acomplete("Hello")
        assert isinstance(response, CompletionResponse)
        assert response.text

    def test_str_of_chat_response_has_the_text(self, llm: LLM) -> None:
        response = llm.chat(user("Hello"))
        assert str(response.message.content) in str(response)

    def test_raw_is_present(self, llm: LLM) -> None:
        assert llm.chat(user("Hello")).raw is not None
        assert llm.complete("Hello").raw is not None

    async def test_raw_is_present_async(self, llm: LLM) -> None:
        assert (await llm.achat(user("Hello"))).raw is not None
        assert (await llm.acomplete("Hello")).raw is not None

    def test_additional_kwargs_have_usage(self, llm: LLM) -> None:
        if not self.returns_usage:
            pytest.skip("it returns no usage")
        usage = llm.chat(user("Hello")).additional_kwargs
        assert all(isinstance(usage[name], int) for name in _USAGE)
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    async def test_additional_kwargs_have_usage_async(self, llm: LLM) -> None:
        if not self.returns_usage:
            pytest.skip("it returns no usage")
        usage = (await llm.achat(user("Hello"))).additional_kwargs
        assert all(isinstance(usage[name], int) for name in _USAGE)

    def test_system_prompt_message(self, llm: LLM) -> None:
        messages = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief."), *user("Hello")]
        assert llm.chat(messages).message.content

    def test_multi_turn(self, llm: LLM) -> None:
        first = llm.chat(user("Hello"))
        messages = [*user("Hello"), first.message, *user("Say the word lighthouse.")]
        assert "lighthouse" in str(llm.chat(messages).message.content)

    async def test_multi_turn_async(self, llm: LLM) -> None:
        first = await llm.achat(user("Hello"))
        messages = [*user("Hello"), first.message, *user("Say the word lighthouse.")]
        assert "lighthouse" in str((await llm.achat(messages)).message.content)

    def test_repeated_roles(self, llm: LLM) -> None:
        assert llm.chat([*user("Hello"), *user("Hello again")]).message.content

    def test_messages_are_not_changed(self, llm: LLM) -> None:
        messages = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief."), *user("Hello")]
        before = [message.model_dump_json() for message in messages]
        llm.chat(messages)
        assert [message.model_dump_json() for message in messages] == before

    def test_unicode(self, llm: LLM) -> None:
        assert "你好 žluť 🎈" in str(llm.chat(user("Repeat exactly: 你好 žluť 🎈")).message.content)

    def test_empty_content(self, llm: LLM) -> None:
        assert isinstance(llm.chat(user("")), ChatResponse)

    def test_text_blocks(self, llm: LLM) -> None:
        message = ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="Repeat this:"), TextBlock(text="harbour")])
        assert "harbour" in str(llm.chat([message]).message.content)

    def test_image_block(self, llm: LLM) -> None:
        assert llm.chat([self._picture()]).message.content

    async def test_image_block_async(self, llm: LLM) -> None:
        assert (await llm.achat([self._picture()])).message.content

    def _picture(self) -> ChatMessage:
        if not self.accepts_images:
            pytest.skip("it takes no images")
        blocks = [TextBlock(text="What is this?"), ImageBlock(image=_PIXEL, image_mimetype="image/png")]
        return ChatMessage(role=MessageRole.USER, blocks=blocks)

    def test_stop(self, llm: LLM) -> None:
        if not self.honours_stop:
            pytest.skip("it takes no stop strings")
        answer = str(llm.chat(user("Repeat exactly: alpha beta gamma"), stop=["beta"]).message.content)
        assert "alpha" in answer
        assert "beta" not in answer

    async def test_stop_async(self, llm: LLM) -> None:
        if not self.honours_stop:
            pytest.skip("it takes no stop strings")
        assert "beta" not in (await llm.acomplete("Repeat exactly: alpha beta gamma", stop=["beta"])).text

    def test_max_tokens(self, llm: LLM) -> None:
        if not self.honours_max_tokens:
            pytest.skip("it takes no max_tokens")
        answer = str(llm.chat(user("Write a long story."), max_tokens=5).message.content)
        assert len(answer.split()) <= 5

    async def test_max_tokens_async(self, llm: LLM) -> None:
        if not self.honours_max_tokens:
            pytest.skip("it takes no max_tokens")
        assert len((await llm.acomplete("Write a long story.", max_tokens=5)).text.split()) <= 5

    def test_predict(self, llm: LLM) -> None:
        answer = llm.predict(PromptTemplate("Repeat this word: {word}"), word="orchard")
        assert isinstance(answer, str)
        assert "orchard" in answer

    async def test_apredict(self, llm: LLM) -> None:
        assert "orchard" in await llm.apredict(PromptTemplate("Repeat this word: {word}"), word="orchard")

    def test_predict_with_chat_template(self, llm: LLM) -> None:
        template = ChatPromptTemplate(
            [
                ChatMessage(role=MessageRole.SYSTEM, content="Be brief."),
                ChatMessage(role=MessageRole.USER, content="Repeat this word: {word}"),
            ]
        )
        assert "orchard" in llm.predict(template, word="orchard")
