"""Finds what stands between an opening tag and its closing one, in time that grows with the text and no faster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


def enclosed(
    text: str, opening: re.Pattern[str], closing: Callable[[str], re.Pattern[str]]
) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Each opening tag with the first closing one behind it; what stands between them is not looked at again.

    Args:
        opening: has a group `tag`.
        closing: what closes a tag of this name, in small letters. Where nothing does, no other of the name is looked for: a text
            of opening tags alone would else be read to its end for each of them.
    """
    open_for_good: set[str] = set()
    at = 0
    while (opens := opening.search(text, at)) is not None:
        at = opens.end()
        tag = opens.group("tag").casefold()
        closes = None if tag in open_for_good else closing(tag).search(text, at)
        if closes is None:
            open_for_good.add(tag)
            continue
        yield opens, closes
        at = closes.end()
