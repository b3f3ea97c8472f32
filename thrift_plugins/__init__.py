"""Cuts what a LangChain or LlamaIndex app pays for LLM calls, and proves what was saved.

Importing this package loads neither framework: take what you need from `thrift_plugins.langchain` or
`thrift_plugins.llama_index`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not lazily: whoever imports the module `scope` first would leave it here under the name of the function.
from thrift_plugins.scope import current_scope, fresh, route, run, scope

if TYPE_CHECKING:
    from thrift_plugins.budgeting import Budget, Target
    from thrift_plugins.compression import Limit
    from thrift_plugins.config import (
        BatchConfig,
        BatchFeature,
        CacheConfig,
        CompressionConfig,
        Config,
        DistillationConfig,
        FeatureConfig,
        LedgerConfig,
        OutputConfig,
        QualityConfig,
        RoutingConfig,
        SemanticConfig,
    )
    from thrift_plugins.errors import (
        BudgetExceeded,
        ConfigError,
        NotDistillable,
        StoreCorrupt,
        StoreError,
        StoreUnavailable,
        ThriftError,
        TraceError,
        UnknownModelPrice,
        UnsupportedByTier,
    )
    from thrift_plugins.runtime import Runtime, feedback

__version__ = "0.1.0"

_HOMES = {
    "BatchConfig": "config",
    "BatchFeature": "config",
    "Budget": "budgeting",
    "BudgetExceeded": "errors",
    "CacheConfig": "config",
    "CompressionConfig": "config",
    "Config": "config",
    "ConfigError": "errors",
    "DistillationConfig": "config",
    "FeatureConfig": "config",
    "LedgerConfig": "config",
    "Limit": "compression.limit",
    "NotDistillable": "errors",
    "OutputConfig": "config",
    "QualityConfig": "config",
    "RoutingConfig": "config",
    "Runtime": "runtime",
    "SemanticConfig": "config",
    "StoreCorrupt": "errors",
    "StoreError": "errors",
    "StoreUnavailable": "errors",
    "Target": "budgeting",
    "ThriftError": "errors",
    "TraceError": "errors",
    "UnknownModelPrice": "errors",
    "UnsupportedByTier": "errors",
    "feedback": "runtime",
}

__all__ = [
    "BatchConfig",
    "BatchFeature",
    "Budget",
    "BudgetExceeded",
    "CacheConfig",
    "CompressionConfig",
    "Config",
    "ConfigError",
    "DistillationConfig",
    "FeatureConfig",
    "LedgerConfig",
    "Limit",
    "NotDistillable",
    "OutputConfig",
    "QualityConfig",
    "RoutingConfig",
    "Runtime",
    "SemanticConfig",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "Target",
    "ThriftError",
    "TraceError",
    "UnknownModelPrice",
    "UnsupportedByTier",
    "current_scope",
    "feedback",
    "fresh",
    "route",
    "run",
    "scope",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
