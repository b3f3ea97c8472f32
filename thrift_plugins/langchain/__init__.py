"""thrift-plugins for LangChain."""

from typing import TYPE_CHECKING, Any

from thrift_plugins.langchain.cache import ResponseCache
from thrift_plugins.langchain.chat_model import ThriftChatModel

if TYPE_CHECKING:
    from thrift_plugins.langchain.embedder import LangChainEmbedder

__all__ = ["LangChainEmbedder", "ResponseCache", "ThriftChatModel"]


def __getattr__(name: str) -> Any:
    if name == "LangChainEmbedder":  # numpy is for those who use it
        from thrift_plugins.langchain.embedder import LangChainEmbedder  # noqa: PLC0415

        return LangChainEmbedder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
