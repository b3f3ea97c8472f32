"""What is known of providers before any of their usage has been seen: how far their counts may be from ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thrift_plugins.tokens.extent import Extent
from thrift_plugins.tokens.prompts import compact
from thrift_plugins.tokens.vocabulary import count, exact

if TYPE_CHECKING:
    from thrift_plugins.types import Json


@dataclass(frozen=True, slots=True)
class Family:
    """The most, and the least, that a provider makes of what we count. Measured on recorded usage, with room.

    Attributes:
        text: most tokens for one of our text tokens.
        least: fewest for one.
        message: most that a message adds to its text.
        call: most that a tool call and its result add to theirs.
        tools: most that having tools at all adds.
        tool: most for each of our tokens of a tool's or an answer's JSON schema.
        schema: most that asking for an answer in a form adds.
    """

    text: float
    least: float
    message: int
    call: int
    tools: int
    tool: float
    schema: int

    def more(self, extent: Extent) -> float:
        """Most tokens of what an extent holds."""
        text = min(self.text * extent.text, extent.size)
        return text + self.message * extent.messages + self.call * extent.calls + _media(extent)

    def between(self, seen: Extent, asked: Extent) -> tuple[float, float]:
        """The most that the second extent can have above the first, which may be less than nothing, and how sure that is.

        Returns:
            the difference, and the width of what is possible.
        """
        text = asked.text - seen.text
        most = text * (self.text if text > 0 else self.least)
        width = abs(text) * (self.text - self.least)
        for weight, before, after in (
            (self.message, seen.messages, asked.messages),
            (self.call, seen.calls, asked.calls),
            (1, seen.sealed, asked.sealed),
            (1, seen.images, asked.images),
        ):
            if after > before:
                most += weight * (after - before)
            width += weight * abs(after - before)
        # What other files hold says nothing of these, and what was behind an address nothing of what is there now.
        if asked.files != seen.files:
            most += asked.files
            width += asked.files + seen.files
        return most + asked.unseen, width + asked.unseen + seen.unseen


def _media(extent: Extent) -> int:
    return extent.sealed + extent.images + extent.files + extent.unseen


_OPENAI: Final = Family(text=1.05, least=0.95, message=6, call=30, tools=160, tool=2.0, schema=100)
_ANTHROPIC: Final = Family(text=2.0, least=0.6, message=20, call=80, tools=3_500, tool=2.0, schema=400)
_GOOGLE: Final = Family(text=1.4, least=0.6, message=10, call=40, tools=200, tool=2.0, schema=100)
_OTHER: Final = Family(text=2.2, least=0.5, message=20, call=80, tools=3_500, tool=2.5, schema=400)


def family_of(model: str) -> Family:
    """The family that a model belongs to, by its name; the dearest of all where it tells nothing."""
    name = model.lower()
    if "claude" in name:
        return _ANTHROPIC
    if "gemini" in name or "gemma" in name:
        return _GOOGLE
    return _OPENAI if exact(model) else _OTHER


# Most input tokens of tools that run at the provider, which brings their results into the prompt by itself. No number
# is sure: a search that goes on and on was billed 115,886.
_HOSTED: Final[Mapping[str, int]] = {
    "web_search|web_fetch|googlesearch|google_search|browser|url_?context|computer": 30_000,
    "code|bash|container|shell": 20_000,
    "file_?search|retrieval|mcp|maps": 10_000,
    "memory|tool_search|namespace|text_editor": 3_000,
}
_COMPILED: Final = [(re.compile(pattern), most) for pattern, most in _HOSTED.items()]
_ANY_HOSTED = 10_000
_DEFERRED = 1_500  # a tool that is shown once it was searched for

# Most input tokens behind a name that a parameter gives.
_BEHIND: Final[Mapping[str, int]] = {
    "previous_response_id": 8_000,
    "conversation": 8_000,
    "container": 8_000,
    "web_search_options": 30_000,
    "cachedContent": 32_000,
    "cached_content": 32_000,
    "thinking": 100,
    "reasoning": 100,
    "output_config": 100,
    "moderation": 200,
}
BEHIND: Final = frozenset(_BEHIND)
"""Parameters that add to the prompt what the request does not show."""


_STEADY: Final = frozenset({"thinking", "reasoning", "output_config", "moderation", "cachedContent", "cached_content"})
"""Of these the parameters that add the same each time, where their values are the same."""


def declared(family: Family, model: str, tools: Sequence[Mapping[str, Json]], schema: Mapping[str, Json] | None) -> int:
    """Most tokens of what is declared around the messages."""
    most = 0
    if schema is not None:
        most += family.schema + int(family.tool * count(compact(schema), model))
    if tools:
        most += family.tools + sum(int(family.tool * count(compact(tool), model)) + 20 for tool in tools)
    return most


def steady(params: Mapping[str, Json]) -> int:
    """Most tokens that parameters add which add the same each time."""
    return sum(_BEHIND[name] for name in _STEADY & params.keys())


def unsteady(tools: Sequence[Mapping[str, Json]], params: Mapping[str, Json]) -> int:
    """Most tokens that come and go from call to call: a hosted tool's results, a conversation kept by the provider."""
    behind = sum(_BEHIND[name] for name in (BEHIND & params.keys()) - _STEADY)
    return behind + sum(map(_hosted, tools))


def _hosted(tool: Mapping[str, Json]) -> int:
    if tool.get("defer_loading"):
        return _DEFERRED
    if isinstance(tool.get("function"), Mapping) or "parameters" in tool:
        return 0
    told = tool.get("type")
    name = (told if isinstance(told, str) else " ".join(tool)).lower()
    if name in ("function", "custom"):
        return 0
    return next((most for pattern, most in _COMPILED if pattern.search(name)), _ANY_HOSTED)
