"""What answered lines have used, read from their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from thrift_plugins.types import Usage

_NUMBERS: Final = [int] * 4


def usage_of(bodies: Iterable[bytes]) -> Usage:
    """What answers have used together, as far as their provider tells it in a known form. Made for many: it adds plain numbers."""
    whole = read_cached = output = thought = 0
    for body in bodies:
        told = _told(body)
        if told is None:
            continue
        counts = _counts(told)
        if [type(count) for count in counts] != _NUMBERS or min(counts) < 0:
            continue
        whole += counts[0]
        read_cached += counts[1]
        output += counts[2]
        thought += counts[3]
    return Usage(whole, output, min(read_cached, whole), reasoning=min(thought, output), source="provider")


def _told(body: bytes) -> Mapping[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    told = (answer.get("usage") or answer.get("usageMetadata")) if isinstance(answer, dict) else None
    return told if isinstance(told, dict) else None


def _counts(told: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """All input, what of it was read from a cache, all output, and what of it was never shown."""
    if "prompt_tokens" in told:  # chat completions and embeddings
        read = _part(told, "prompt_tokens_details", "cached_tokens")
        thought = _part(told, "completion_tokens_details", "reasoning_tokens")
        return told["prompt_tokens"], read, told.get("completion_tokens") or 0, thought
    if "promptTokenCount" in told:  # Gemini
        thought = told.get("thoughtsTokenCount") or 0
        output = (told.get("candidatesTokenCount") or 0) + thought
        return told["promptTokenCount"], told.get("cachedContentTokenCount") or 0, output, thought
    given, output = told.get("input_tokens") or 0, told.get("output_tokens") or 0
    if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:  # Anthropic counts them beside
        read, written = told.get("cache_read_input_tokens") or 0, told.get("cache_creation_input_tokens") or 0
        return given + read + written, read, output, 0
    read = _part(told, "input_tokens_details", "cached_tokens")
    return given, read, output, _part(told, "output_tokens_details", "reasoning_tokens")


def _part(told: Mapping[str, Any], whole: str, name: str) -> Any:
    details = told.get(whole)
    return (details.get(name) or 0) if isinstance(details, dict) else 0
