"""thrift-plugins for LangChain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thrift_plugins.langchain.budget_handler import TokenBudgetHandler
from thrift_plugins.langchain.cache import ResponseCache
from thrift_plugins.langchain.chat_model import ThriftChatModel
from thrift_plugins.langchain.judge_model import JudgeModel

if TYPE_CHECKING:
    from thrift_plugins.langchain.batch_executor import BatchExecutor
    from thrift_plugins.langchain.compressor import ContextCompressor, PromptCompressor
    from thrift_plugins.langchain.embedder import LangChainEmbedder
    from thrift_plugins.langchain.example_selector import ExampleSelector
    from thrift_plugins.langchain.middleware import ThriftMiddleware
    from thrift_plugins.langchain.student_model import StudentModel
    from thrift_plugins.langchain.traffic_recorder import TrafficRecorder

__all__ = [
    "BatchExecutor",
    "ContextCompressor",
    "ExampleSelector",
    "JudgeModel",
    "LangChainEmbedder",
    "PromptCompressor",
    "ResponseCache",
    "StudentModel",
    "ThriftChatModel",
    "ThriftMiddleware",
    "TokenBudgetHandler",
    "TrafficRecorder",
]

_LATER = {
    "BatchExecutor": "batch_executor",
    "ContextCompressor": "compressor",
    "ExampleSelector": "example_selector",
    "LangChainEmbedder": "embedder",
    "PromptCompressor": "compressor",
    "ThriftMiddleware": "middleware",
    "StudentModel": "student_model",
    "TrafficRecorder": "traffic_recorder",
}
"""What needs more than LangChain's core: an HTTP client, numpy, and the package with the agents."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        try:
            return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("langchain", "langgraph"):
                raise ImportError(f"{name} needs langchain's agents: pip install 'thrift-plugins[agents]'") from error
            raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
