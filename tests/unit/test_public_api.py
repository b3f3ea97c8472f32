"""The public names, whatever was imported before them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import thrift_plugins

PLACES = {
    "thrift_plugins": {
        "BatchConfig", "BatchFeature", "Budget", "BudgetExceeded", "CacheConfig", "CompressionConfig", "Config", "ConfigError", "DistillationConfig", "FeatureConfig", "LedgerConfig", "Limit", "NotDistillable", "OutputConfig", "QualityConfig", "RoutingConfig", "Runtime", "SemanticConfig",
        "StoreCorrupt", "StoreError", "StoreUnavailable", "Target", "ThriftError", "TraceError", "UnknownModelPrice", "UnsupportedByTier", "current_scope", "feedback", "fresh", "route",
        "run", "scope",
    },
    "thrift_plugins.langchain": {"BatchExecutor", "ContextCompressor", "ExampleSelector", "JudgeModel", "LangChainEmbedder", "PromptCompressor", "ResponseCache", "StudentModel", "ThriftChatModel", "ThriftMiddleware", "TokenBudgetHandler", "TrafficRecorder"},
    "thrift_plugins.llama_index": {"BatchExecutor", "ContextCompressor", "JudgeModel", "LlamaIndexEmbedder", "StudentLLM", "ThriftLLM", "TokenBudgetHandler", "TrafficRecorder", "install"},
    "thrift_plugins.testing": {"Answer", "BatchFaults", "BatchLimits", "BilledCall", "Ending", "Fault", "FaultPlan", "LlamaIndexLLMContract",
                               "LoopbackBatches", "LoopbackProvider", "PaidLine", "Refusal", "WireRequest", "offline_openai"},
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_names(place: str):
    module = import_module(place)
    assert set(module.__all__) == PLACES[place]
    for name in module.__all__:
        assert callable(getattr(module, name)), name


def test_what_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'thrift_plugins' has no attribute 'Squirrel'"):
        _ = thrift_plugins.Squirrel
    assert set(dir(thrift_plugins)) == {*thrift_plugins.__all__, "__version__"}


@pytest.mark.parametrize("first", ["thrift_plugins.scope", "thrift_plugins.runtime", "thrift_plugins.langchain"])
def test_no_module_stands_in_the_place_of_a_name(first: str):
    code = f"import {first}\nimport thrift_plugins\nfor n in thrift_plugins.__all__: assert callable(getattr(thrift_plugins, n)), n"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_every_error_is_one_of_ours_with_its_numbers():
    for name in thrift_plugins.__all__:
        value = getattr(thrift_plugins, name)
        if isinstance(value, type) and issubclass(value, BaseException):
            assert issubclass(value, thrift_plugins.ThriftError)
    assert thrift_plugins.UnknownModelPrice("m", "list").model == "m"
    assert "prices={'m': {'input': USD, 'output': USD}}" in str(thrift_plugins.UnknownModelPrice("m", "list"))
    assert thrift_plugins.UnsupportedByTier({"a": "no tools"}).lacking == {"a": "no tools"}
    assert str(thrift_plugins.TraceError("t.jsonl", 3, "no model")) == "t.jsonl, line 3: no model"
