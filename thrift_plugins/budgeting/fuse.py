"""Ends a stream that gives more than was reserved for it. The second line: providers are told, and most keep to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from thrift_plugins.tokens import count, exact

_ROUGH: Final = 1.25
"""How far an estimate may be above the truth, where a model's own count is not to be had."""


class Fuse:
    """Counts an answer as it comes.

    Args:
        most: output tokens that it may have, None for no end.
        model: whose tokens.
    """

    def __init__(self, most: int | None, model: str, *, measure: Callable[[str, str], int] = count) -> None:
        self._most = most
        self._model = model
        self._measure = measure
        self._tokens = 0
        self._pieces: list[str] = []

    def burns(self, piece: str) -> bool:
        """Whether the answer is too long with this piece of it."""
        if self._most is None or not piece:
            return False
        self._pieces.append(piece)
        self._tokens += self._measure(piece, self._model)
        if self._tokens <= self._most:
            return False
        # Pieces that break inside a token count for more than the text does.
        self._tokens = self._measure("".join(self._pieces), self._model)
        return self._tokens > self._most * (1 if exact(self._model) else _ROUGH)
