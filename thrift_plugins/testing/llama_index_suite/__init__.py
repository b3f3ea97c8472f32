"""What every LlamaIndex LLM must do, as a pytest class; LlamaIndex itself ships none.

Example:
    class TestMyLLM(LlamaIndexLLMContract):
        @pytest.fixture
        def llm(self) -> LLM:
            return MyLLM(model="small")

The tests are `async def` in part and need pytest-asyncio with `asyncio_mode = "auto"`. They test what an app sees and
never a class or a module name, so a wrapper must pass exactly what the LLM that it wraps passes.
"""

from __future__ import annotations

import pytest

_ROOMS = ("applications", "base", "calls", "events", "resilience", "state", "streams", "structured", "tools")
pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in _ROOMS))

from thrift_plugins.testing.llama_index_suite.applications import ApplicationTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.calls import CallTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.events import EventTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.resilience import ResilienceTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.state import StateTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.streams import StreamTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.structured import StructuredTests  # noqa: E402
from thrift_plugins.testing.llama_index_suite.tools import ToolTests  # noqa: E402

__all__ = ["LlamaIndexLLMContract"]


class LlamaIndexLLMContract(
    CallTests, StreamTests, ToolTests, StructuredTests, EventTests, ResilienceTests, StateTests, ApplicationTests
):
    """Every test of the contract. Override the `llm` fixture, and the properties that say what it cannot do.

    The model behind it should repeat words that it is asked to repeat, and call a tool whose name it is told to use:
    any chat model does, and so does `LoopbackProvider` without a script.
    """
