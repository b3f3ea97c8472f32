"""The help centre as a LlamaIndex query engine: retriever, prompt, model."""

from __future__ import annotations

from collections.abc import Iterator

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.llms import LLM
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.llms.openai import OpenAI

from thrift_plugins.demo.app import CHEAP, MAX_OUTPUT_TOKENS, STRONG
from thrift_plugins.demo.knowledge import SYSTEM, Search, articles
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.runtime import Runtime


class ArticleRetriever(BaseRetriever):
    """Finds articles by their words."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._search.find(query_bundle.query_str)
        return [NodeWithScore(node=TextNode(text=article.page)) for article in found]


def _openai(model: str) -> OpenAI:
    usage_in_streams = {"stream_options": {"include_usage": True}}
    return OpenAI(model=model, temperature=0, max_tokens=MAX_OUTPUT_TOKENS, additional_kwargs=usage_in_streams)


def _model(runtime: Runtime | None) -> LLM:
    if runtime is None:
        return _openai(STRONG)
    return ThriftLLM(tiers=[_openai(CHEAP), _openai(STRONG)], runtime=runtime)


class LlamaIndexHelpCenter:
    """The help centre on LlamaIndex.

    Args:
        runtime: what wraps the models; None for the app as it would be without us.
    """

    def __init__(self, runtime: Runtime | None) -> None:
        model, retriever = _model(runtime), ArticleRetriever(Search(articles()))
        prompt = ChatPromptTemplate(
            [
                ChatMessage(role=MessageRole.SYSTEM, content=SYSTEM.format(context="{context_str}")),
                ChatMessage(role=MessageRole.USER, content="{query_str}"),
            ]
        )
        self._whole, self._streaming = (
            RetrieverQueryEngine.from_args(retriever, llm=model, text_qa_template=prompt, streaming=streaming)
            for streaming in (False, True)
        )

    def ask(self, question: str) -> str:
        """The whole answer."""
        return str(self._whole.query(question))

    def stream(self, question: str) -> Iterator[str]:
        """The answer in pieces, as they come."""
        response = self._streaming.query(question)
        if not isinstance(response, StreamingResponse):
            raise TypeError(f"a streaming query engine gave {type(response).__name__}")
        yield from response.response_gen
