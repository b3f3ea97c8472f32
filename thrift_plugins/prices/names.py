"""What a model is called, by frameworks, gateways and providers, and what the price list may call it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_SAME = (
    "anthropic aws azure cerebras cohere deepseek fireworks google groq mistral moonshotai openai openrouter "
    "perplexity together x-ai"
)
_ALIASES = {
    "aws": "amazon bedrock bedrock_converse",
    "azure": "azure-openai azure_ai azure_openai",
    "fireworks": "fireworks_ai",
    "google": "gemini google-gla google-vertex google_genai google_vertexai models vertex_ai vertexai",
    "mistral": "mistralai",
    "moonshotai": "moonshot",
    "together": "together_ai togetherai",
    "x-ai": "xai",
}
_PROVIDERS: Final[Mapping[str, str]] = {name: name for name in _SAME.split()} | {
    alias: provider for provider, aliases in _ALIASES.items() for alias in aliases.split()
}
_PREFIX = re.compile(r"([a-z_-]+)[/:](.+)", re.DOTALL)
_BEDROCK = re.compile(r"(?:[a-z-]+\.)+[a-z]")  # us.anthropic.claude-..., amazon.nova-...
_DATE = re.compile(r"-20\d\d-?[01]\d-?[0-3]\d$")
_OPEN_WEIGHTS = "gpt-oss"  # sold by many, each at a price of their own, and not by their maker


def split_model(model: str) -> tuple[str | None, str]:
    """The provider that a model's name starts with, None where it names none, and the rest in lower case.

    `openai/gpt-4o` and `openai:gpt-4o` give ("openai", "gpt-4o"). An unknown prefix stays in the name: what
    somebody else's server charges for a model of the same name is not known.
    """
    name = tidy(model)
    match = _PREFIX.fullmatch(name)
    provider = _PROVIDERS.get(match[1]) if match else None
    return (provider, match[2]) if match and provider else (None, name)


def tidy(model: str) -> str:
    """A name as it is compared: without spaces around it, in lower case."""
    return model.strip().lower()


def own_names(model: str) -> Iterator[str]:
    """Names under which a user may have priced the model, the nearest first."""
    yield tidy(model)
    name = split_model(model)[1]
    yield name
    if name.startswith("ft:"):
        yield ":".join(name.split(":")[:2])  # every fine-tune of that base
    else:
        yield _DATE.sub("", name)


def listed_names(model: str) -> Iterator[tuple[str | None, str]]:
    """Pairs of (provider, None to tell it by the name; name) under which a price list may have it, surest first."""
    provider, name = split_model(model)
    if provider in (None, "openai") and name.startswith(_OPEN_WEIGHTS):
        return
    if provider is None and name.startswith("ft:"):
        provider = "openai"
    elif provider is None and _BEDROCK.match(name):
        yield "aws", name
    yield provider, name
    # A dated version newer than the price list costs, as a rule, what the undated name does.
    yield provider, _DATE.sub("", name)
