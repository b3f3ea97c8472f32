"""The help centre as a LangChain chain: retriever, prompt, model, parser."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_openai import ChatOpenAI

from thrift_plugins.demo.app import CHEAP, MAX_OUTPUT_TOKENS, STRONG
from thrift_plugins.demo.knowledge import SYSTEM, Search, articles
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.runtime import Runtime


class ArticleRetriever(BaseRetriever):
    """Finds articles by their words."""

    search: Search

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - part of LangChain's signature
    ) -> list[Document]:
        return [Document(article.page, metadata={"title": article.title}) for article in self.search.find(query)]


def _joined(documents: list[Document]) -> str:
    return "\n\n".join(document.page_content for document in documents)


def _openai(model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, temperature=0, max_completion_tokens=MAX_OUTPUT_TOKENS, stream_usage=True)


def _model(runtime: Runtime | None) -> BaseChatModel:
    if runtime is None:
        return _openai(STRONG)
    return ThriftChatModel(tiers=[_openai(CHEAP), _openai(STRONG)], runtime=runtime)


class LangChainHelpCenter:
    """The help centre on LangChain.

    Args:
        runtime: what wraps the models; None for the app as it would be without us.
    """

    def __init__(self, runtime: Runtime | None) -> None:
        retriever = ArticleRetriever(search=Search(articles()))
        prompt = ChatPromptTemplate([("system", SYSTEM), ("human", "{question}")])
        sources = {"context": retriever | _joined, "question": RunnablePassthrough()}
        self._chain: Runnable[str, str] = sources | prompt | _model(runtime) | StrOutputParser()

    def ask(self, question: str) -> str:
        """The whole answer."""
        return self._chain.invoke(question)

    def stream(self, question: str) -> Iterator[str]:
        """The answer in pieces, as they come."""
        return self._chain.stream(question)
