"""thrift-plugins for LangChain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thrift_plugins.langchain.budget_handler import TokenBudgetHandler
from thrift_plugins.langchain.cache import ResponseCache
from thrift_plugins.langchain.chat_model import ThriftChatModel
from thrift_plugins.langchain.judge_model import JudgeModel

if TYPE_CHECKING:
    from thrift_plugins.langchain.embedder import LangChainEmbedder
    from thrift_plugins.langchain.middleware import ThriftMiddleware
    from thrift_plugins.langchain.routing_runnable import RoutingRunnable

__all__ = [
    "JudgeModel",
    "LangChainEmbedder",
    "ResponseCache",
    "RoutingRunnable",
    "ThriftChatModel",
    "ThriftMiddleware",
    "TokenBudgetHandler",
]

_LATER = {"LangChainEmbedder": "embedder", "RoutingRunnable": "routing_runnable", "ThriftMiddleware": "middleware"}
"""What needs more than LangChain's core, numpy or the package with the agents, and what few apps need."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        try:
            return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("langchain", "langgraph"):
                raise ImportError(f"{name} needs langchain's agents: pip install 'thrift-plugins[agents]'") from error
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
