"""Passages that say the same twice: whole paragraphs, and the overlap of chunks that were cut from one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_PARAGRAPH: Final = 60
"""Characters; shorter lines are repeated for a reason."""

_OVERLAP: Final = 40
_LONGEST_OVERLAP: Final = 4_000


def without_repeats(texts: Sequence[str]) -> list[str]:
    """The texts without paragraphs that an earlier one has, and without a beginning that is the end of the one before.

    Every character that goes is still there, in the same order, in a text before.
    """
    seen: set[str] = set()
    kept: list[str] = []
    before = ""
    for text in texts:
        rest = text[_overlap(before, text) :]
        paragraphs = rest.split("\n\n")
        stays = [one for one in paragraphs if len(one.strip()) < _PARAGRAPH or one.strip() not in seen]
        seen.update(one.strip() for one in paragraphs)
        seen.add(text.strip())
        kept.append(rest if len(stays) == len(paragraphs) else "\n\n".join(stays))
        before = text
    return kept


def _overlap(before: str, after: str) -> int:
    """Characters that the second begins with, and the first ends with; 0 where they are few."""
    tail, start = before.rstrip()[-_LONGEST_OVERLAP:], after[:_OVERLAP]
    if len(after) < 2 * _OVERLAP or len(start.strip()) < _OVERLAP // 2:
        return 0
    at = tail.find(start)
    while at >= 0:
        shared = tail[at:]
        if after.startswith(shared) and len(shared) < len(after):
            return len(shared)
        at = tail.find(start, at + 1)
    return 0
