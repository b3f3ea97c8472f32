"""What a tier must be able to do, whatever a score says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from thrift_plugins import tokens
from thrift_plugins.errors import ConfigError, UnsupportedByTier
from thrift_plugins.types import Decision, Json, Request, Tier

EXPECTED_OUTPUT = 1_024
"""Tokens kept free for the answer where the caller sets no limit."""

_OUTPUT_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_WORDS_ONLY = frozenset({
    "text", "text-plain", "input_text", "output_text", "refusal", "citation", "citable", "search_result", "cache",
    "reasoning", "reasoning_content", "thinking", "redacted_thinking",
    "tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "tool_result", "function_call", "function_call_output",
    "server_tool_use", "server_tool_call", "server_tool_call_chunk", "server_tool_result",
    "web_search_call", "web_search_result", "web_search_tool_result",
})  # fmt: skip
"""Kinds of content parts that every model reads; images, audio, video, files, and whatever comes next are not."""

_MESSAGE_OVERHEAD = 16  # tokens of role, name and separators; more than any chat format adds


def forced(request: Request, tiers: Sequence[Tier]) -> Decision | None:
    """The tier the caller insists on, by name or else by model; None where it leaves the choice to us.

    It is obeyed, whatever the tier can do, and has no alternatives.

    Raises:
        ConfigError: there is no such tier.
    """
    if request.forced is None:
        return None
    for names in ([tier.name for tier in tiers], [tier.model for tier in tiers]):
        if request.forced in names:
            index = names.index(request.forced)
            return Decision(index, tiers[index].name, "forced", ("forced by the caller",))
    raise ConfigError(f"no tier is called {request.forced!r}; tiers: {', '.join(tier.name for tier in tiers)}")


def eligible(request: Request, tiers: Sequence[Tier]) -> tuple[int, ...]:
    """Indices of the tiers that can serve the request, cheapest first. A lone tier always can: it is the app's own.

    Raises:
        UnsupportedByTier: none of several can.
    """
    if len(tiers) == 1:
        return (0,)
    needs = _Needs(request)
    lacking = [needs.lacking(tier) for tier in tiers]
    able = tuple(index for index, lack in enumerate(lacking) if lack is None)
    if not able:
        raise UnsupportedByTier({tier.name: lack for tier, lack in zip(tiers, lacking, strict=True) if lack})
    return able


def output_limit(request: Request) -> int | None:
    """Output tokens that the caller allows, None where it sets no limit."""
    for name in _OUTPUT_LIMITS:
        limit = request.params.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            return limit
    return None


class _Needs:
    """What one request asks of a tier; sizes are computed once, and only where a window is known."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.limit = output_limit(request)
        self.tools = bool(request.tools) and request.params.get("tool_choice") != "none"
        self._vision: bool | None = None
        self._bound: int | None = None

    def lacking(self, tier: Tier) -> str | None:
        """What the tier lacks, None where it can serve."""
        if self.tools and not tier.tools:
            return "tools"
        if not tier.vision and self._sees():
            return "vision"
        if self.request.schema is not None and not tier.structured:
            return "structured output"
        if self.limit is not None and tier.max_output is not None and self.limit > tier.max_output:
            return f"{self.limit} output tokens (at most {tier.max_output})"
        if tier.window is not None and not self._fits(tier, tier.window):
            return f"context window ({tier.window} tokens)"
        return None

    def _sees(self) -> bool:
        """Whether a message is more than words; looked up only where a tier cannot see."""
        if self._vision is None:
            self._vision = any(_beyond_words(message.content) for message in self.request.messages)
        return self._vision

    def _fits(self, tier: Tier, window: int) -> bool:
        expected = self.limit or min(EXPECTED_OUTPUT, tier.max_output or EXPECTED_OUTPUT)
        if self._upper_bound() + expected <= window:
            return True
        request = self.request
        return tokens.count_messages(request.messages, tier.model, request.tools, request.schema) + expected <= window

    def _upper_bound(self) -> int:
        """More tokens than the request can have; only the near cases pay for a count."""
        if self._bound is None:
            texts = (*_texts(self.request), *(tokens.compact(tool) for tool in self.request.tools))
            overhead = _MESSAGE_OVERHEAD * (len(self.request.messages) + len(self.request.tools) + 1)
            self._bound = overhead + sum(tokens.bound(text) for text in texts)
        return self._bound


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        yield message.text
        for call in message.tool_calls:
            yield call.name
            yield tokens.compact(call.arguments)


def _beyond_words(content: Json) -> bool:
    """Whether a content has a part that is not text, also inside the content of a tool's result."""
    if isinstance(content, str) or not isinstance(content, Iterable):
        return False
    if isinstance(content, Mapping):
        kind = content.get("type") or content.get("block_type")
        return (isinstance(kind, str) and kind not in _WORDS_ONLY) or _beyond_words(content.get("content"))
    return any(_beyond_words(part) for part in content)
