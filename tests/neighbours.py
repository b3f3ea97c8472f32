"""Pairs of questions that look alike, and whether one answer serves both: `python -m tests.neighbours` writes them anew.

The words are in `tests/data/neighbour_frames_*.txt`, written by hand. A frame is one question of one app: ways to ask it
(`=`), questions beside it that want another answer (`! kind`), and slots whose values make it another question.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

DATA = Path(__file__).parent / "data"
PAIRS = DATA / "neighbours.jsonl"


@dataclass
class Frame:
    """One frame, as written."""

    name: str
    lang: str
    slots: dict[str, list[str]] = field(default_factory=dict)
    kind: str = ""
    ways: list[str] = field(default_factory=list)
    beside: list[tuple[str, str]] = field(default_factory=list)

    @property
    def part(self) -> str:
        """Half of the frames are held out; which, only the name decides."""
        return "held" if hashlib.blake2b(self.name.encode(), digest_size=1).digest()[0] % 2 else "train"


def frames(lang: str) -> Iterator[Frame]:
    """The frames of one language."""
    frame = None
    for line in (DATA / f"neighbour_frames_{lang}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            if frame is not None:
                yield frame
            frame = Frame(line[1:-1], lang)
        elif frame is not None and line.startswith("slot "):
            name, kind, values = re.fullmatch(r"slot (\w) (\w+): (.+)", line).groups()
            frame.slots[name], frame.kind = values.split(" | "), kind
        elif frame is not None and line.startswith("= "):
            frame.ways.append(line[2:])
        elif frame is not None and line.startswith("! "):
            kind, text = line[2:].split(" ", 1)
            frame.beside.append((kind, text))
    yield frame


def pairs(frame: Frame) -> Iterator[dict[str, object]]:
    """What a frame says of pairs of questions."""
    values = [dict(zip(frame.slots, row, strict=True)) for row in zip(*frame.slots.values(), strict=True)] or [{}]

    def pair(first: str, second: str, kind: str, *, same: bool) -> dict[str, object]:
        return {
            "a": first,
            "b": second,
            "same": int(same),
            "kind": kind,
            "lang": frame.lang,
            "frame": frame.name,
            "part": frame.part,
        }

    turned = [text for kind, text in frame.beside if kind == "direction"]
    for place, value in enumerate(values):
        ways = [way.format(**value) for way in frame.ways]
        for first, second in pairwise(ways):
            yield pair(first, second, "paraphrase", same=True)
        if place == 0 and len(ways) > 2:
            yield pair(ways[0], ways[-1], "paraphrase", same=True)
        for first, second in pairwise(turned):
            yield pair(first.format(**value), second.format(**value), "paraphrase", same=True)
        for number, (kind, text) in enumerate(frame.beside):
            yield pair(ways[(number + place) % len(ways)], text.format(**value), kind, same=False)
        if len(values) > 1:
            other = [way.format(**values[(place + 1) % len(values)]) for way in frame.ways]
            yield pair(ways[0], other[place % len(other)], frame.kind, same=False)


def main() -> None:
    """Write all pairs, one a line."""
    rows = [row for lang in ("en", "zh") for frame in frames(lang) for row in pairs(frame)]
    PAIRS.write_text(
        "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
