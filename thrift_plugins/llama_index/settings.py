"""Two lines for an app that is built on `Settings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core import Settings
from llama_index.core.llms import LLM

from thrift_plugins.errors import ConfigError
from thrift_plugins.llama_index.llm import ThriftLLM


def install(settings: Any = Settings, *, cheaper: Sequence[LLM] = (), **options: Any) -> ThriftLLM:
    """Put a `ThriftLLM` in the place of `Settings.llm`, which becomes its baseline.

    Args:
        settings: LlamaIndex's settings object.
        cheaper: further models that may answer, cheapest first.
        options: as for `ThriftLLM`.

    Returns:
        The model that is now `settings.llm`. Without arguments of its own, a second call changes nothing.

    Raises:
        ConfigError: `settings.llm` is a `ThriftLLM` already, and another one is asked for.
    """
    own = settings.llm
    if isinstance(own, ThriftLLM):
        if cheaper or options:
            raise ConfigError(
                "settings.llm is a ThriftLLM already: set settings.llm to your own model, then install again"
            )
        return own
    wrapped = ThriftLLM(tiers=[*cheaper, own], **options)
    settings.llm = wrapped
    return wrapped
