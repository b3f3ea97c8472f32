"""thrift-plugins for LlamaIndex."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thrift_plugins.llama_index.budget_handler import TokenBudgetHandler
from thrift_plugins.llama_index.compressor import ContextCompressor
from thrift_plugins.llama_index.embedder import LlamaIndexEmbedder
from thrift_plugins.llama_index.judge_model import JudgeModel
from thrift_plugins.llama_index.llm import ThriftLLM
from thrift_plugins.llama_index.settings import install

if TYPE_CHECKING:
    from thrift_plugins.llama_index.batch_executor import BatchExecutor
    from thrift_plugins.llama_index.student_llm import StudentLLM
    from thrift_plugins.llama_index.traffic_recorder import TrafficRecorder

__all__ = [
    "BatchExecutor",
    "ContextCompressor",
    "JudgeModel",
    "LlamaIndexEmbedder",
    "StudentLLM",
    "ThriftLLM",
    "TokenBudgetHandler",
    "TrafficRecorder",
    "install",
]

_LATER = {"BatchExecutor": "batch_executor", "StudentLLM": "student_llm", "TrafficRecorder": "traffic_recorder"}
"""What is for those who use it; an HTTP client, or numpy, is behind it."""


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
