"""Leaves out the oldest turns of a conversation, tool calls with their results, and seldom: the start of a prompt stays put.

A prompt cache is lost when the beginning changes. So the cut moves in steps of a quarter of the limit, and stays where it is
for the turns between: of a growing conversation most prompts begin as the one before did.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, takewhile
from math import ceil
from typing import Final

from thrift_plugins.compression.result import Compressed, Stage, dropped
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message

_STEP: Final = 0.25


def trimmed(messages: Sequence[Message], model: str, max_tokens: int) -> Compressed:
    """The messages with the oldest turns left out until what is left has at most `max_tokens`, as far as can be.

    What stays in any case: the instructions at the beginning, and the last turn of the user with all that follows it. A turn
    goes whole: the user's words, the answer, tool calls and their results.
    """
    messages = tuple(messages)
    before = count_messages(messages, model)
    opening = len(list(takewhile(lambda message: message.role == "system", messages)))
    turns = _turns(messages, opening)
    if before <= max_tokens or len(turns) < 2:
        return Compressed(messages, (), before, before)
    sizes = [count_messages(messages[start:end], model) for start, end in turns]
    cut = _cut(sizes, before - max_tokens, max(1, int(max_tokens * _STEP)))
    start = turns[cut][0]
    kept = (*range(opening), *range(start, len(messages)))
    made = tuple(messages[at] for at in kept)
    after = count_messages(made, model)
    goes = tuple(dropped(at, "", messages[at].text, "history") for at in range(opening, start))
    return Compressed(
        made, (), before, after, (Stage("history", opening, before, after, f"{cut} turns"),), goes, kept=kept
    )


def _turns(messages: Sequence[Message], opening: int) -> list[tuple[int, int]]:
    """Where each turn begins and ends. What a model said before the user spoke is a turn too."""
    starts = [at for at in range(opening, len(messages)) if at == opening or messages[at].role == "user"]
    return list(zip(starts, [*starts[1:], len(messages)], strict=True))


def _cut(sizes: Sequence[int], excess: int, step: int) -> int:
    """How many turns go: as many as take away the excess, rounded up to a whole step; never the last."""
    goal = ceil(excess / step) * step
    sums = list(accumulate(sizes))
    return min(next((at + 1 for at, total in enumerate(sums) if total >= goal), len(sizes)), len(sizes) - 1)
