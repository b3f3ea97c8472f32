"""What a call used, as each provider and each log counts it. All input counts cached tokens, as everywhere here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thrift_plugins.replay.logs.logged import mapping
from thrift_plugins.types import NO_USAGE, Usage


def usage_of(told: Any) -> Usage:
    """A usage object of OpenAI's chat or responses API, of Anthropic, or LangChain's `usage_metadata`; none where it is none of these."""
    used = _counts(told)
    if "prompt_tokens" in used or "completion_tokens" in used:
        prompt, completion = mapping(used.get("prompt_tokens_details")), mapping(used.get("completion_tokens_details"))
        return Usage.told(
            used.get("prompt_tokens") or 0,
            used.get("completion_tokens") or 0,
            cache_read=prompt.get("cached_tokens"),
            cache_write=prompt.get("cache_creation_tokens"),
            reasoning=completion.get("reasoning_tokens"),
        )
    if "input_tokens" not in used and "output_tokens" not in used:
        return NO_USAGE
    if "cache_read_input_tokens" in used or "cache_creation_input_tokens" in used:
        return _anthropic(used)
    of_input = mapping(used.get("input_tokens_details")) or mapping(used.get("input_token_details"))
    of_output = mapping(used.get("output_tokens_details")) or mapping(used.get("output_token_details"))
    return Usage.told(
        used.get("input_tokens") or 0,
        used.get("output_tokens") or 0,
        cache_read=of_input.get("cached_tokens", of_input.get("cache_read")),
        cache_write=of_input.get("cache_creation"),
        reasoning=of_output.get("reasoning_tokens", of_output.get("reasoning")),
    )


def _counts(told: Any) -> dict[str, Any]:
    """With numbers that came as texts, as CSV has them."""
    found = mapping(told)
    return {name: int(count) if isinstance(count, str) and count.isdecimal() else count for name, count in found.items()}


def _anthropic(used: Mapping[str, Any]) -> Usage:
    """Whose input does not count what is cached."""
    read, write = used.get("cache_read_input_tokens") or 0, used.get("cache_creation_input_tokens") or 0
    hour = mapping(used.get("cache_creation")).get("ephemeral_1h_input_tokens") or 0
    whole = (used.get("input_tokens") or 0) + read + write
    return Usage.told(
        whole, used.get("output_tokens") or 0, cache_read=read, cache_write=write - hour, cache_write_1h=hour
    )


def langfuse_usage(told: Any) -> Usage:
    """Langfuse's details, whose parts are apart: it takes cached and hidden tokens off `input` and `output`.

    Where the parts are more than the total, they were not taken off.
    """
    used = {name: count for name, count in _counts(told).items() if isinstance(count, int | float)}
    if "input" not in used and "output" not in used:
        return usage_of(told)
    read = sum(count for name, count in used.items() if "cache" in name and ("read" in name or "cached" in name))
    write = sum(count for name, count in used.items() if "cache" in name and "creation" in name)
    hidden = sum(count for name, count in used.items() if "reasoning" in name)
    sums = (used.get("input", 0), used.get("output", 0))
    apart = used.get("total") != sums[0] + sums[1]
    whole_input, whole_output = (sums[0] + read + write, sums[1] + hidden) if apart else sums
    return Usage.told(whole_input, whole_output, cache_read=read, cache_write=write, reasoning=hidden)
