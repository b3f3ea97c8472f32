"""What is worked out of a word, remembered for the next text that has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Told = TypeVar("Told")


class Memo(dict[str, Told]):
    """A table that works out what it lacks: `memo[word]` costs a look-up, as `map(memo.__getitem__, words)` less than a call each.

    Threads may share it. It starts anew when it is full, which costs nobody more than the working out.

    Args:
        of: what is to be remembered of a word; the same whenever it is asked.
        most: words that are remembered at once.
        letters: of a word that is remembered; longer ones are hardly ever seen again, and would fill the memory.
    """

    def __init__(self, of: Callable[[str], Told], most: int, letters: int = 32) -> None:
        super().__init__()
        self._of, self._most, self._letters = of, most, letters

    def __missing__(self, word: str) -> Told:
        told = self._of(word)
        if len(word) <= self._letters:
            if len(self) >= self._most:
                self.clear()
            self[word] = told
        return told
