"""From a name to an account's batch API, with the key in the environment."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Final

from thrift_plugins.batching.client import BatchClient
from thrift_plugins.errors import ConfigError

_CLIENTS: Final = {
    "openai": ("openai", "OpenAIBatchClient"),
    "anthropic": ("anthropic", "AnthropicBatchClient"),
    "mistral": ("mistral", "MistralBatchClient"),
    "gemini": ("gemini", "GeminiBatchClient"),
}
"""Those that need nothing but a key. Azure, Bedrock and vLLM are made with what else they need."""


def open_client(account: BatchClient | str) -> BatchClient:
    """A provider's batch API, given its name or itself.

    Raises:
        ConfigError: a name that nobody knows, or no key in the environment.
    """
    if not isinstance(account, str):
        return account
    if account not in _CLIENTS:
        raise ConfigError(
            f"no batch API is known by the name {account!r}; known are {', '.join(_CLIENTS)}; for Azure, Bedrock and vLLM "
            "give a client: AzureBatchClient(...), BedrockBatchClient(...), RunBatchFiles(...)"
        )
    module, name = _CLIENTS[account]
    client: BatchClient = getattr(import_module(f"thrift_plugins.batching.{module}"), name)()
    return client


def default_journal(folder: Path, account: str) -> Path:
    """Where an account's journal is, unless the app says otherwise."""
    named = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in account)
    return folder / f"batch-{named}.db"
