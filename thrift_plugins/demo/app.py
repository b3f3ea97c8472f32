"""What the two builds of the help centre have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

CHEAP, STRONG = "gpt-4o-mini", "gpt-4o"
"""The models that may answer. The app was built for the strong one."""

MAX_OUTPUT_TOKENS = 400
"""Bound on each answer."""


class App(Protocol):
    """A help centre: it finds articles for a question and has a model answer from them."""

    def ask(self, question: str) -> str:
        """The whole answer."""
        ...

    def stream(self, question: str) -> Iterator[str]:
        """The answer in pieces, as they come."""
        ...
