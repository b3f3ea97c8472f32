"""What an answered line has used, read from its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from thrift_plugins.types import NO_USAGE, Usage


def usage_in(body: bytes) -> Usage:
    """The usage that a provider tells in an answer, none where it tells none in a known form."""
    if b"sage" not in body:
        return NO_USAGE
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return NO_USAGE
    told = answer.get("usage") or answer.get("usageMetadata") if isinstance(answer, Mapping) else None
    return _usage(told) if isinstance(told, Mapping) else NO_USAGE


def _usage(told: Mapping[str, Any]) -> Usage:
    if "promptTokenCount" in told:  # Gemini
        thought = told.get("thoughtsTokenCount") or 0
        output = (told.get("candidatesTokenCount") or 0) + thought
        return Usage.told(
            told["promptTokenCount"], output, cache_read=told.get("cachedContentTokenCount"), reasoning=thought
        )
    if "prompt_tokens" in told:  # chat completions and embeddings
        read = _part(told, "prompt_tokens_details", "cached_tokens")
        thought = _part(told, "completion_tokens_details", "reasoning_tokens")
        return Usage.told(told["prompt_tokens"], told.get("completion_tokens"), cache_read=read, reasoning=thought)
    if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:  # Anthropic counts them beside
        read, written = told.get("cache_read_input_tokens") or 0, told.get("cache_creation_input_tokens") or 0
        whole = (told.get("input_tokens") or 0) + read + written
        return Usage.told(whole, told.get("output_tokens"), cache_read=read, cache_write=written)
    read = _part(told, "input_tokens_details", "cached_tokens")
    thought = _part(told, "output_tokens_details", "reasoning_tokens")
    return Usage.told(told.get("input_tokens"), told.get("output_tokens"), cache_read=read, reasoning=thought)


def _part(told: Mapping[str, Any], whole: str, name: str) -> object:
    details = told.get(whole)
    return details.get(name) if isinstance(details, Mapping) else None
