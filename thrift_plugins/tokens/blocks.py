"""Content blocks that are no text: what kind of thing, and where in them it is, in any provider's or framework's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thrift_plugins.types import Json

_FILE: Final = re.compile(r"file|document|pdf|upload|media|sound")
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
_MIMES: Final = frozenset({"mime_type", "mimeType", "media_type", "image_mimetype", "mimetype"})


def kind_of(block: Mapping[str, Json]) -> str:
    """Of media, which: image, audio, video, plain (text in a file), file; "" where it is none."""
    words = str(block.get("type", "")).lower() or " ".join(block).lower()  # Google names a part by its key
    if words in _THOUGHTS:
        return ""
    words += "".join(f" {text.lower()}" for key, text in strings_in(block) if key in _MIMES)
    if "image" in words:
        return "image"
    if "text/" in words:
        return "plain"
    for kind in ("audio", "video"):
        if kind in words:
            return kind
    return "file" if _FILE.search(words) else ""


def payload_of(block: Mapping[str, Json]) -> str:
    """What a block of media brings, or the address of it: its longest string."""
    return max((text for _, text in strings_in(block)), key=len, default="")


def detail_of(block: Mapping[str, Json]) -> str:
    """How closely the model is to look at an image: "low", "high", "original", or "auto"."""
    return next((text for key, text in strings_in(block) if key == "detail"), "auto")


def strings_in(value: Json) -> Iterator[tuple[str, str]]:
    """All strings in a JSON value, each with the key that it is under. What holds itself is not entered again."""
    stack: list[tuple[str, Json, frozenset[int]]] = [("", value, frozenset())]
    while stack:
        name, inner, above = stack.pop()
        if isinstance(inner, str):
            yield name, inner
        elif isinstance(inner, Mapping | Sequence) and id(inner) not in above:
            entered = above | {id(inner)}
            if isinstance(inner, Mapping):
                stack += ((str(key), item, entered) for key, item in inner.items())
            else:
                stack += ((name, item, entered) for item in inner)
