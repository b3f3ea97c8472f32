"""For tests of apps that call models: a provider on this machine, with batches, and what every LlamaIndex LLM must do.

Importing this loads no framework; `LlamaIndexLLMContract` loads pytest and LlamaIndex when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thrift_plugins.testing.batches import BatchFaults, BatchLimits, Ending, LoopbackBatches, PaidLine, Refusal
from thrift_plugins.testing.billing import BilledCall
from thrift_plugins.testing.offline import offline_openai
from thrift_plugins.testing.provider import LoopbackProvider
from thrift_plugins.testing.script import Answer, Fault, FaultPlan, WireRequest

if TYPE_CHECKING:
    from thrift_plugins.testing.llama_index_suite import LlamaIndexLLMContract

__all__ = [
    "Answer",
    "BatchFaults",
    "BatchLimits",
    "BilledCall",
    "Ending",
    "Fault",
    "FaultPlan",
    "LlamaIndexLLMContract",
    "LoopbackBatches",
    "LoopbackProvider",
    "PaidLine",
    "Refusal",
    "WireRequest",
    "offline_openai",
]


def __getattr__(name: str) -> object:
    if name == "LlamaIndexLLMContract":
        from thrift_plugins.testing.llama_index_suite import LlamaIndexLLMContract  # noqa: PLC0415

        return LlamaIndexLLMContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
