"""Where in a prompt a provider's prompt cache ends: marks that the app has set, and where marks of ours belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile
from typing import Final

from thrift_plugins.compression.cache_plan import CacheRules
from thrift_plugins.types import Json, Message, Role

_MARKS: Final = ("cache_control", "cachePoint", "cache_point")
_KINDS: Final = frozenset({"cache", *_MARKS})
_ALL: Final[tuple[Role, ...]] = ("system", "user", "tool")


def is_break(block: Json) -> bool:
    """Whether a content block, a tool, or what a message says beside its content, is or has a mark."""
    return isinstance(block, Mapping) and (
        any(block.get(name) for name in _MARKS) or str(block.get("type", "")) in _KINDS
    )


def is_marked(messages: Sequence[Message]) -> bool:
    """Whether any of these messages has a mark."""
    return any(
        is_break(message.extra) or (not isinstance(message.content, str) and any(map(is_break, message.content)))
        for message in messages
    )


def breakpoints(
    messages: Sequence[Message],
    tokens: Sequence[int],
    rules: CacheRules,
    *,
    before: int = 0,
    roles: Sequence[Role] = _ALL,
    shared: bool = True,
    goes_on: bool = True,
) -> list[int]:
    """Indices of the messages behind which a breakpoint belongs, for a provider that wants them marked; else none.

    One behind the instructions, which conversations share, and one behind the last message, which the next turn begins with;
    each only where enough tokens stand before it. Providers allow four; the others are the app's.

    Args:
        tokens: of each message.
        before: tokens of the tools, which stand before all messages.
        roles: whose messages can be marked.
        shared: whether the instructions are sent again.
        goes_on: whether all of it is.
    """
    if not rules.marked or rules.read >= rules.input:
        return []
    opening = len(list(takewhile(lambda message: message.role == "system", messages)))
    able = [at for at, message in enumerate(messages) if message.role in roles and _takes_mark(message.content)]
    places = [opening - 1] if shared and opening - 1 in able else []
    places += [at for at in able[-1:] if goes_on and at not in places]
    sums = [before + total for total in accumulate(tokens)]
    return [place for place in places if sums[place] >= rules.minimum]


def _takes_mark(content: str | Sequence[Json]) -> bool:
    """Whether it ends with something: behind an empty text, a mark is refused."""
    last = content if isinstance(content, str) else content[-1] if content else ""
    text = last.get("text", "-") if isinstance(last, Mapping) else last
    return bool(text.strip()) if isinstance(text, str) else True


def with_breaks(messages: Sequence[Message], places: Sequence[int]) -> tuple[Message, ...]:
    """The messages with marks behind some of them."""
    made = list(messages)
    for at in places:
        made[at] = replace(made[at], content=marked(made[at].content))
    return tuple(made)


def marked(content: str | Sequence[Json]) -> list[Json]:
    """A message's content with a breakpoint behind it, as Anthropic has it. One that has it already keeps it."""
    blocks: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    last = blocks[-1] if blocks else None
    if isinstance(last, str):
        last = {"type": "text", "text": last}
    if isinstance(last, dict) and "cache_control" not in last:
        blocks[-1] = {**last, "cache_control": {"type": "ephemeral"}}
    return blocks
