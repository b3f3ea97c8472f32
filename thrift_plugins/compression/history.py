"""Leaves out the oldest turns of a conversation, tool calls with their results, and seldom: the start of a prompt stays put.

A prompt cache is lost when the beginning changes. So the cut moves in steps of a quarter of the limit, and stays where it is
for the turns between: of a growing conversation most prompts begin as the one before did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from math import ceil
from typing import Final

from thrift_plugins.compression.breaks import is_marked
from thrift_plugins.compression.result import Compressed, Stage, dropped
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message

_STEP: Final = 0.25

_GIVEN_BY_TOOLS: Final = frozenset({"tool_result", "function_call_output", "toolResult"})


def trimmed(messages: Sequence[Message], model: str, max_tokens: int) -> Compressed:
    """The messages with the oldest turns left out until what is left has at most `max_tokens`, as far as can be.

    What stays in any case: the instructions at the beginning, and the last turn of the user with all that follows it. A turn
    goes whole: the user's words, the answer, tool calls and their results. Nothing goes where the app has marked more than
    the instructions for the provider's prompt cache.
    """
    talk = Talk.of(messages, model)
    return talk.without(talk.cut(max_tokens))


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation as turns: the user's words and all that follows them.

    Attributes:
        opening: messages at the beginning that stay: the instructions.
        turns: where each begins and ends. What a model said before the user spoke is a turn too.
        sizes: tokens of each turn.
        tokens: of all messages.
        frozen: whether the app has marked more than the instructions for the provider's prompt cache.
    """

    messages: tuple[Message, ...]
    model: str
    opening: int
    turns: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    tokens: int
    frozen: bool

    @classmethod
    def of(cls, messages: Sequence[Message], model: str) -> Talk:
        """Read a conversation."""
        messages = tuple(messages)
        opening = len(list(takewhile(lambda message: message.role == "system", messages)))
        priming = count_messages((), model)
        starts = _starts(messages, opening)
        turns = tuple(zip(starts, [*starts[1:], len(messages)], strict=False))  # no turn at all where all is instructions
        sizes = tuple(count_messages(messages[start:end], model) - priming for start, end in turns)
        tokens = count_messages(messages[:opening], model) + sum(sizes)
        return cls(messages, model, opening, turns, sizes, tokens, is_marked(messages[opening:]))

    def cut(self, max_tokens: int) -> int:
        """How many turns go, so that what is left has at most so many tokens: what is too much, rounded up to a whole step."""
        excess = self.tokens - max_tokens
        if self.frozen or excess <= 0 or len(self.turns) < 2:
            return 0
        step = max(1, int(max_tokens * _STEP))
        goal = ceil(excess / step) * step
        sums = accumulate(self.sizes)
        return min(next((at for at, total in enumerate(sums, 1) if total >= goal), len(self.turns)), len(self.turns) - 1)

    def without(self, cut: int) -> Compressed:
        """The messages without the first `cut` turns, with what is left out."""
        if not cut:
            return Compressed(self.messages, (), self.tokens, self.tokens)
        start, after = self.turns[cut][0], self.tokens - sum(self.sizes[:cut])
        kept = (*range(self.opening), *range(start, len(self.messages)))
        goes = tuple(
            dropped(at, "", text, "history") for at in range(self.opening, start) if (text := self.messages[at].text)
        )
        stage = Stage("history", self.opening, self.tokens, after, f"{cut} turns")
        made = tuple(self.messages[at] for at in kept)
        return Compressed(made, (), self.tokens, after, (stage,), goes, kept=kept)


def _starts(messages: Sequence[Message], opening: int) -> list[int]:
    """Where turns begin: where the user speaks, and no tool call before waits for its result behind."""
    told = {message.tool_call_id for message in messages if message.tool_call_id}
    waiting: set[str] = set()
    starts: list[int] = []
    for at, message in enumerate(messages[opening:], opening):
        if at == opening or (_speaks(message) and not waiting):
            starts.append(at)
        waiting |= {call.id for call in message.tool_calls if call.id in told}
        waiting.discard(message.tool_call_id or "")
    return starts


def _speaks(message: Message) -> bool:
    """Whether it is the user's own: some providers have the results of tools in the user's messages."""
    if message.role != "user":
        return False
    return isinstance(message.content, str) or not any(
        isinstance(block, Mapping) and block.get("type") in _GIVEN_BY_TOOLS for block in message.content
    )
