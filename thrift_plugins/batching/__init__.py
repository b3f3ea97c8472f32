"""The same calls at batch price: collected, journalled before they are sent, each answer delivered once.

`BatchExecutor` is in `thrift_plugins.langchain` and `thrift_plugins.llama_index`; here is what both are made of, and the
clients of providers. Importing this loads no HTTP client: names are looked up when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thrift_plugins.batching.anthropic import AnthropicBatchClient
    from thrift_plugins.batching.azure import AzureBatchClient
    from thrift_plugins.batching.bedrock import BedrockBatchClient
    from thrift_plugins.batching.client import BatchClient
    from thrift_plugins.batching.executor import Executor
    from thrift_plugins.batching.gemini import GeminiBatchClient
    from thrift_plugins.batching.mistral import MistralBatchClient
    from thrift_plugins.batching.openai import OpenAIBatchClient
    from thrift_plugins.batching.progress import BatchProgress
    from thrift_plugins.batching.results import BatchResult, Submitted
    from thrift_plugins.batching.settings import BatchSettings
    from thrift_plugins.batching.transport import BatchTransport
    from thrift_plugins.batching.vllm import RunBatchFiles

_HOMES = {
    "AnthropicBatchClient": "anthropic",
    "AzureBatchClient": "azure",
    "BatchClient": "client",
    "BatchProgress": "progress",
    "BatchResult": "results",
    "BatchSettings": "settings",
    "BatchTransport": "transport",
    "BedrockBatchClient": "bedrock",
    "Executor": "executor",
    "GeminiBatchClient": "gemini",
    "MistralBatchClient": "mistral",
    "OpenAIBatchClient": "openai",
    "RunBatchFiles": "vllm",
    "Submitted": "results",
}

__all__ = [
    "AnthropicBatchClient",
    "AzureBatchClient",
    "BatchClient",
    "BatchProgress",
    "BatchResult",
    "BatchSettings",
    "BatchTransport",
    "BedrockBatchClient",
    "Executor",
    "GeminiBatchClient",
    "MistralBatchClient",
    "OpenAIBatchClient",
    "RunBatchFiles",
    "Submitted",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
