"""thrift-plugins for LangChain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thrift_plugins.langchain.budget_handler import TokenBudgetHandler
from thrift_plugins.langchain.cache import ResponseCache
from thrift_plugins.langchain.chat_model import ThriftChatModel

if TYPE_CHECKING:
    from thrift_plugins.langchain.embedder import LangChainEmbedder

__all__ = ["LangChainEmbedder", "ResponseCache", "ThriftChatModel", "TokenBudgetHandler"]

_LATER = {"LangChainEmbedder": "embedder"}
"""What needs more than LangChain's core: numpy."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
