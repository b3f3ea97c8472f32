"""What was paid twice: how many answers, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from thrift_plugins.batching.pending import Answer
from thrift_plugins.batching.usage import usage_of
from thrift_plugins.types import NO_USAGE, Nano, Processing, Usage

Cost: TypeAlias = Callable[[str, Usage, Processing], Nano | None]
"""What a model's usage costs in a mode, None where there is no price."""

Most: TypeAlias = Callable[[str], Nano | None]
"""What one line of a model costs at most in a batch, None where nobody knows."""


class Doubles:
    """Answers of a batch that were paid although there is, or will be, another answer for each.

    Attributes:
        lines: how many.
        untold: of how many nobody tells what they used.
    """

    def __init__(self) -> None:
        self.lines = self.untold = 0
        self._usage = NO_USAGE

    def add(self, answers: Sequence[Answer]) -> None:
        """Some more. An error costs nothing."""
        for answer in answers:
            if not answer.code:
                used = usage_of([answer.body])
                self.lines += 1
                self.untold += not (used.input_tokens or used.output_tokens)
                self._usage += used

    def unread(self, completed: int) -> None:
        """So many answers were made, whether they could be read or not."""
        missing = max(0, completed - self.lines)
        self.lines, self.untold = self.lines + missing, self.untold + missing

    def cost(self, model: str, cost: Cost, most: Most) -> tuple[Nano | None, str]:
        """What they cost, or cost at most, and that in words; None where nobody knows."""
        known = cost(model, self._usage, "batch") if self.lines > self.untold else 0
        bound = most(model) if self.untold else 0
        if known is None or bound is None:
            return None, "nobody knows what they cost"
        if not self.untold:
            return known, f"they cost ${known / 1e9:.6f} at batch price"
        bound *= self.untold
        of_those = f"of {self.untold} it is not told what they used: these cost at most ${bound / 1e9:.6f}, a full context each"
        rest = f"the others cost ${known / 1e9:.6f} at batch price; " if self.lines > self.untold else ""
        return known + bound, rest + of_those
