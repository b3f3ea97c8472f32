"""How many tokens is an image: the rules that providers publish, and the size of an image from its first bytes."""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, TypeAlias

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

# ---- size ----

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8"
_PLAIN_BASE64: Final = str.maketrans("-_", "+/")  # Google sends the alphabet of addresses
_HEAD = 65_536  # a JPEG's camera data and thumbnail may come before its size
_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})  # among JPEG's frame markers: tables, and one that is reserved


def size_in(encoded: str) -> Size | None:
    """Width and height of a PNG, JPEG, GIF or WebP in base64, with or without `data:...;base64,` before it.

    None where it is none of these, damaged, or says nothing of its size in its first bytes.
    """
    start = encoded.find(",", 0, 256) + 1 if encoded.startswith("data:") else 0
    head = encoded[start : start + _HEAD].translate(_PLAIN_BASE64)
    try:
        return size_of(a2b_base64(head[: len(head) // 4 * 4]))
    except (NotBase64, ValueError):
        return None


def size_of(head: bytes) -> Size | None:
    """Width and height, from an image's first bytes."""
    if head.startswith(_PNG) and len(head) >= 24:
        found: Size | None = _pair(head, 16, 4, "big")
    elif head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        found = _pair(head, 6, 2, "little")
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= 30:
        found = _webp(head)
    elif head.startswith(_JPEG):
        found = _jpeg(head)
    else:
        return None
    return found if found and min(found) > 0 else None


def _pair(head: bytes, at: int, width: int, order: str) -> Size:
    first, second = head[at : at + width], head[at + width : at + 2 * width]
    if order == "big":
        return int.from_bytes(first, "big"), int.from_bytes(second, "big")
    return int.from_bytes(first, "little"), int.from_bytes(second, "little")


def _webp(head: bytes) -> Size | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = _pair(head, 24, 3, "little")
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _pair(head, 26, 2, "little")
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(head: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = _pair(head, at + 5, 2, "big")
            return width, height
        at += 2 if marker == 0xFF else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


# ---- rules ----


@dataclass(frozen=True, slots=True)
class Tiles:
    """OpenAI's older rule: fit into 2,048 square, shorten the shorter side to 768, count squares of 512."""

    base: int
    tile: int

    def tokens(self, size: Size | None, detail: str) -> int:
        """Tokens of an image; of the largest, where its size is not known."""
        if detail == "low":
            return self.base
        if size is None:
            return self.base + 8 * self.tile  # 768 by 2,048
        width, height = size
        shrink = min(1.0, 2048 / max(size), 768 / min(size))
        return self.base + self.tile * ceil(width * shrink / 512 - _DUST) * ceil(height * shrink / 512 - _DUST)


@dataclass(frozen=True, slots=True)
class Patches:
    """OpenAI's newer rule: squares of 32, as many as the budget has, times a factor in per cent."""

    percent: int
    most: int = 1_536

    def tokens(self, size: Size | None, detail: str) -> int:
        """Tokens of an image; of the largest, where its size is not known. Detail makes no difference that is sure."""
        most = max(self.most, _ORIGINAL) if detail == "original" else self.most
        patches = most if size is None else min(most, ceil(size[0] / 32) * ceil(size[1] / 32))
        return -(-patches * self.percent // 100)


@dataclass(frozen=True, slots=True)
class Area:
    """Anthropic's rule: a token for 750 pixels, after shrinking to what the model sees."""

    longest: int
    most: int

    def tokens(self, size: Size | None, detail: str) -> int:  # noqa: ARG002  images have no detail here
        """Tokens of an image; of the largest, where its size is not known."""
        if size is None:
            return self.most
        shrink = min(1.0, self.longest / max(size))
        return min(self.most, ceil(size[0] * size[1] * shrink * shrink / 750) + _AREA_ROUNDING)


@dataclass(frozen=True, slots=True)
class Crops:
    """Google's rule before Gemini 3: 258, and where a side has more than 384 pixels, 258 for each crop besides.

    The rule as published leaves out the whole image, which is billed as well.
    """

    def tokens(self, size: Size | None, detail: str) -> int:  # noqa: ARG002
        """Tokens of an image; of a large one, where its size is not known."""
        if size is None:
            return 258 * 20
        if max(size) <= 384:
            return 258
        unit = min(768, max(256, int(min(size) / 1.5)))
        return 258 * (1 + ceil(size[0] / unit) * ceil(size[1] / unit))


@dataclass(frozen=True, slots=True)
class Flat:
    """One price for every image."""

    each: int

    def tokens(self, size: Size | None, detail: str) -> int:  # noqa: ARG002
        """Tokens of any image."""
        return self.each


Rule: TypeAlias = Tiles | Patches | Area | Crops | Flat

_DUST = 1e-9  # of a division that comes out even
_ORIGINAL = 10_000
_AREA_ROUNDING = 8
UNKNOWN: Final = Flat(10_000)
"""For a model of which nothing is known: more than any of those below but gpt-4o-mini charges."""

# The first pattern that the model's name has decides. Where measured and published factors differ, the higher one.
_RULES: Final[Mapping[str, Rule]] = {
    r"gpt-4o-mini": Tiles(2_833, 5_667),
    r"gpt-(4\.1|5(\.\d)?)-nano": Patches(246),
    r"gpt-(4\.1|5(\.\d)?)-mini": Patches(162),
    r"o4-mini|codex-mini": Patches(172),
    r"gpt-5\.[2-9]": Patches(162, 2_500),
    r"gpt-5": Tiles(70, 140),
    r"\bo[13]\b": Tiles(75, 150),
    r"computer-use": Tiles(65, 129),
    r"gpt-4|chatgpt": Tiles(85, 170),
    r"claude-(opus-(4-[7-9]|[5-9])|sonnet-[5-9]|haiku-[5-9])": Area(2_576, 4_784),
    r"claude": Area(1_568, 1_640),
    r"gemini-[12]\b": Crops(),
    r"gemini": Flat(1_150),
}
_COMPILED: Final = [(re.compile(pattern), rule) for pattern, rule in _RULES.items()]


def rule_for(model: str) -> Rule:
    """The rule of a model, by its name in any spelling."""
    name = model.lower()
    return next((rule for pattern, rule in _COMPILED if pattern.search(name)), UNKNOWN)
