"""thrift-plugins for LlamaIndex."""

from thrift_plugins.llama_index.budget_handler import TokenBudgetHandler
from thrift_plugins.llama_index.compressor import ContextCompressor
from thrift_plugins.llama_index.embedder import LlamaIndexEmbedder
from thrift_plugins.llama_index.judge_model import JudgeModel
from thrift_plugins.llama_index.llm import ThriftLLM
from thrift_plugins.llama_index.settings import install

__all__ = ["ContextCompressor", "JudgeModel", "LlamaIndexEmbedder", "ThriftLLM", "TokenBudgetHandler", "install"]
