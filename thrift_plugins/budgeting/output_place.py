"""Where in a prompt a note may stand, so that a provider's prompt cache keeps what it has.

Such a cache keeps the beginning of a prompt, up to the first difference. A note at the end of the last user turn changes
nothing before it. It stays where it is while tools are called, for the turn stays the last of the user. When the user
speaks again, the note on a turn that was followed by tool calls is left there, since all that the tools gave stands
behind it; on any other it is taken away, since nothing does but the answer. So of a conversation that grows, each prompt
begins as the one before did, down to the last note at least. A note never goes into what a tool gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from thrift_plugins.types import Json, Message

_GIVEN_BY_TOOLS = frozenset({"tool_result", "function_call_output", "tool_call_output", "mcp_call_output"})


def places(messages: Sequence[Message]) -> tuple[int, ...]:
    """Indices of the messages that a note is appended to: user turns, or the instructions before there is one.

    Of all but the last of them it is true however the conversation goes on.
    """
    opening = takewhile(lambda at: messages[at].role == "system", range(len(messages)))
    turns = [*[*opening][-1:], *(at for at, message in enumerate(messages) if _is_turn(message))]
    return (*(at for at in turns[:-1] if messages[at + 1].tool_calls), *turns[-1:])


def noted(content: str | Sequence[Any], note: str) -> str | list[Any]:
    """A message's content with a note at its end: blocks stay as they are, marks for a prompt cache among them."""
    if isinstance(content, str):
        return f"{content}\n\n{note}" if content else note
    return [*content, {"type": "text", "text": note}]


def _is_turn(message: Message) -> bool:
    """Whether it is the user who speaks: a role that only one provider knows may be anybody's."""
    if message.role != "user" or (message.extra and "role" in message.extra):
        return False
    return isinstance(message.content, str) or not any(map(_given_by_tool, message.content))


def _given_by_tool(block: Json) -> bool:
    return isinstance(block, Mapping) and block.get("type") in _GIVEN_BY_TOOLS
