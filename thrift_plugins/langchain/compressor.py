"""Prompt compression as LangChain has it: a document compressor for retrievers, and a Runnable for prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import convert_to_messages
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, PrivateAttr

from thrift_plugins.compression import Compressed, Compressor, Limit
from thrift_plugins.compression.breaks import breakpoints, is_marked, marked
from thrift_plugins.compression.cache_plan import CacheRules
from thrift_plugins.compression.compressor import own_or_new
from thrift_plugins.compression.contexts import CompressedContexts, compress_contexts
from thrift_plugins.compression.history import trimmed
from thrift_plugins.compression.reading import Passage
from thrift_plugins.errors import ConfigError
from thrift_plugins.langchain.convert import message_in, with_change
from thrift_plugins.prices import Prices
from thrift_plugins.text.embed import Embedder
from thrift_plugins.tokens import count_messages

Prompt: TypeAlias = PromptValue | str | Sequence[Any]

_SCORES = ("relevance_score", "score", "similarity")


class ContextCompressor(BaseDocumentCompressor):
    """Keeps of retrieved documents the sentences that a question needs. Order, ids and metadata stay.

    A document of which nothing is needed is left out, but never all of them. Documents within the limit come back as they are.

    Args:
        limit: what may be left out: `Limit(ratio=4.0)`, `Limit(max_tokens=800)` or `Limit(risk=0.02, calibration=...)`.
        model: whose tokens are counted.
        title_key: name in a document's metadata of what it is about; a title helps to find what is needed.
        embedder: compares whole sentences in the place of the static word vectors, such as an `OnnxEmbedder`.
        compressor: one to share, with an extractor of the app's own.

    Example:
        ```python
        compressor = ContextCompressor(limit=Limit(ratio=4.0))
        chain = retriever | (lambda documents: compressor.compress_documents(documents, question))
        ```
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    limit: Limit
    model: str = "gpt-4o"
    title_key: str = "title"

    _compressor: Compressor = PrivateAttr()

    def __init__(
        self,
        limit: Limit | None = None,
        *,
        embedder: Embedder | None = None,
        compressor: Compressor | None = None,
        **kwargs: Any,
    ) -> None:
        own = own_or_new(compressor, limit, embedder)
        super().__init__(**{**kwargs, "limit": limit or own.limit})
        self._compressor = own

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents with what the question needs, in their order; new objects where something is gone."""
        del callbacks  # no model is asked
        return self._made(documents, self.report(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents` without blocking the event loop."""
        return await run_in_executor(None, self.compress_documents, documents, query, callbacks)

    def report(self, documents: Sequence[Document], query: str) -> CompressedContexts:
        """What becomes of each document, with its tokens and everything that is left out."""
        passages = [
            Passage(document.page_content, str(document.metadata.get(self.title_key) or ""), _score(document.metadata))
            for document in documents
        ]
        return compress_contexts(self._compressor, query, passages, self.model, self.limit)

    def fetch(self, id: str) -> str:  # noqa: A002  that is what it is
        """The text that was left out under an id of `report(...).dropped`. Raises KeyError for one that is not remembered."""
        return self._compressor.fetch(id)

    @staticmethod
    def _made(documents: Sequence[Document], report: CompressedContexts) -> list[Document]:
        return [
            document if text == document.page_content else document.model_copy(update={"page_content": text})
            for document, text in zip(documents, report.texts, strict=True)
            if text or not document.page_content
        ]


def _score(metadata: Mapping[str, Any]) -> float | None:
    found = next((metadata[name] for name in _SCORES if isinstance(metadata.get(name), int | float)), None)
    return None if found is None else float(found)


class PromptCompressor(Runnable[Any, Any]):
    """Compresses prompts on their way to a model: `prompt | PromptCompressor(Limit(ratio=2.0)) | model`.

    What comes in as a prompt value, as messages or as a text goes out as that. Instructions, questions, tool calls and images
    are not touched, nor is anything before the last mark for a provider's prompt cache. With `ThriftChatModel`, set
    `compression` in its config instead: then the ledger knows what it saved.

    Args:
        limit: what of the contexts may be left out. None: nothing; only their spelling changes.
        model: whose tokens are counted.
        cache_control: whether to mark, for Anthropic's models, what their prompt cache is to keep: the instructions, and the
            whole prompt, which the next turn begins with; where they are long enough. A text has no place for a mark.
        max_history: tokens of the whole prompt from which the oldest turns are left out, whole, tool calls with results; 1 or
            more.
        embedder: compares whole sentences in the place of the static word vectors, such as an `OnnxEmbedder`.
        compressor: one to share, with an extractor of the app's own.

    Raises:
        ConfigError: a `max_history` below 1, or both a compressor and an embedder.
    """

    def __init__(
        self,
        limit: Limit | None = None,
        *,
        model: str = "gpt-4o",
        max_history: int | None = None,
        cache_control: bool = False,
        embedder: Embedder | None = None,
        compressor: Compressor | None = None,
    ) -> None:
        if max_history is not None and max_history < 1:
            raise ConfigError(f"max_history must be 1 or more, not {max_history}")
        self._compressor = own_or_new(compressor, limit, embedder)
        self._limit = limit or self._compressor.limit
        self._model, self._max_history = model, max_history
        self._rules = CacheRules.of(model, Prices()) if cache_control else None

    def invoke(self, input: Prompt, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002, ARG002
        """The prompt, compressed, in the form in which it came."""
        return self._call_with_config(self._compressed, input, config)

    def compress(self, prompt: Prompt) -> Compressed:
        """What becomes of a prompt, in our words, with what each stage did and everything that is left out."""
        made = self._compressor.compress(
            [message_in(message) for message in _messages(prompt)], self._model, limit=self._limit
        )
        if self._max_history is None:
            return made
        short = trimmed(made.messages, self._model, self._max_history)
        self._compressor.remember(short.dropped)
        return replace(
            made,
            messages=short.messages,
            tokens_after=made.tokens_after - short.saved,
            stages=made.stages + short.stages,
            dropped=made.dropped + short.dropped,
            kept=short.kept,
        )

    def fetch(self, id: str) -> str:  # noqa: A002  that is what it is
        """The text that was left out under an id of `compress(...).dropped`. Raises KeyError for one that is not remembered."""
        return self._compressor.fetch(id)

    def _compressed(self, prompt: Prompt) -> Any:
        given = _messages(prompt)
        result = self.compress(prompt)
        made = given if result.change is None else with_change(given, result.change)
        if not isinstance(prompt, str | StringPromptValue):
            made = self._marked(made)
        if made == given:
            return prompt
        if isinstance(prompt, str):
            return made[0].content
        if isinstance(prompt, StringPromptValue):
            return StringPromptValue(text=str(made[0].content))
        return ChatPromptValue(messages=made) if isinstance(prompt, PromptValue) else made

    def _marked(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """The messages with breakpoints, where the model wants them and the app has set none."""
        told = [message_in(message) for message in messages]
        if self._rules is None or is_marked(told):
            return messages
        made = list(messages)
        for at in breakpoints(told, [count_messages((message,), self._model) for message in told], self._rules):
            made[at] = made[at].model_copy(update={"content": marked(told[at].content)})
        return made


def _messages(prompt: Prompt) -> list[BaseMessage]:
    if isinstance(prompt, PromptValue):
        return prompt.to_messages()
    return convert_to_messages([prompt] if isinstance(prompt, str) else list(prompt))
