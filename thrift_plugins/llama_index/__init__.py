"""thrift-plugins for LlamaIndex."""

from typing import TYPE_CHECKING, Any

from thrift_plugins.llama_index.budget_handler import TokenBudgetHandler
from thrift_plugins.llama_index.compressor import ContextCompressor
from thrift_plugins.llama_index.embedder import LlamaIndexEmbedder
from thrift_plugins.llama_index.judge_model import JudgeModel
from thrift_plugins.llama_index.llm import ThriftLLM
from thrift_plugins.llama_index.settings import install

if TYPE_CHECKING:
    from thrift_plugins.llama_index.batch_executor import BatchExecutor

__all__ = ["BatchExecutor", "ContextCompressor", "JudgeModel", "LlamaIndexEmbedder", "ThriftLLM", "TokenBudgetHandler", "install"]


def __getattr__(name: str) -> Any:
    if name == "BatchExecutor":  # needs an HTTP client, which most apps of this package do not
        from thrift_plugins.llama_index.batch_executor import BatchExecutor  # noqa: PLC0415

        return BatchExecutor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
