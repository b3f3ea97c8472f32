"""What a router's quality would be at what cost, drawn in characters and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, Protocol

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT: Final = 64
_BOTTOM: Final = 48
_TOP: Final = 24
_ROWS: Final = 12
_COLUMNS: Final = 56


class Point(Protocol):
    """Cost and quality, both over those of the strong model alone."""

    @property
    def cost(self) -> float: ...
    @property
    def quality(self) -> float: ...


class _Frame:
    """From values to shares of the width and the height."""

    def __init__(self, points: Sequence[Point], target: float) -> None:
        self.cost = max(1.0, *(point.cost for point in points))
        qualities = [1.0, target, *(point.quality for point in points)]
        self.low, self.high = min(qualities) - 0.005, max(qualities) + 0.005

    def x(self, point: Point) -> float:
        return point.cost / self.cost

    def y(self, quality: float) -> float:
        return (quality - self.low) / (self.high - self.low)


def in_characters(points: Sequence[Point], chosen: Point, target: float) -> str:
    """The curve for a terminal: cost to the right, quality upwards; `o` is the router, `-` its promise."""
    frame = _Frame([*points, chosen], target)
    grid = [[" "] * (_COLUMNS + 1) for _ in range(_ROWS + 1)]
    promised = _ROWS - round(frame.y(target) * _ROWS)
    grid[promised] = ["-"] * (_COLUMNS + 1)
    for point, mark in [*((point, "*") for point in points), (chosen, "o")]:
        grid[_ROWS - round(frame.y(point.quality) * _ROWS)][round(frame.x(point) * _COLUMNS)] = mark
    lines = []
    for row, cells in enumerate(grid):
        quality = frame.high - (frame.high - frame.low) * row / _ROWS
        lines.append(f"{quality:7.1%} |{''.join(cells).rstrip()}")
    lines.append(" " * 8 + "+" + "-" * (_COLUMNS + 1))
    lines.append(" " * 9 + "0%" + f"{frame.cost:.0%} of the cost".rjust(_COLUMNS - 1))
    return "\n".join(lines)


def picture(points: Sequence[Point], chosen: Point, target: float) -> str:
    """The curve as SVG."""
    frame = _Frame([*points, chosen], target)

    def place(cost: float, quality: float) -> tuple[float, float]:
        x = _LEFT + cost / frame.cost * (_WIDTH - _LEFT - 24)
        return round(x, 1), round(_HEIGHT - _BOTTOM - frame.y(quality) * (_HEIGHT - _BOTTOM - _TOP), 1)

    line = " ".join(f"{x},{y}" for x, y in sorted(place(point.cost, point.quality) for point in points))
    right, promised = place(frame.cost, target)
    left, bottom = place(0, frame.low)
    x, y = place(chosen.cost, chosen.quality)
    side, anchor = (1, "start") if x < _WIDTH / 2 else (-1, "end")
    told = f"{chosen.quality:.1%} at {chosen.cost:.0%}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{chosen.quality:.2%} of the quality at {chosen.cost:.1%} of the cost</title>",
        f'<path class="axis" d="M{left} {_TOP}V{bottom}H{right}"/>',
        f'<path class="promise" d="M{left} {promised}H{right}"/>',
        f'<text x="{right}" y="{promised - 6}" text-anchor="end">promised: {target:.0%}</text>',
        *_ticks(frame, place),
        f'<polyline class="curve" points="{line}"/>',
        f'<circle class="chosen" cx="{x}" cy="{y}" r="6"/>',
        f'<text class="chosen-label" x="{x + side * 10}" y="{y + 20}" text-anchor="{anchor}">{told}</text>',
        f'<text x="{(left + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">cost, over the strong model alone</text>',
        "</svg>",
    ]
    return "\n".join(parts)


def _ticks(frame: _Frame, place: _Place) -> list[str]:
    told = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, bottom = place(share * frame.cost, frame.low)
        told.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{share * frame.cost:.0%}</text>')
        quality = frame.low + share * (frame.high - frame.low)
        x, y = place(0, quality)
        told.append(f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{quality:.1%}</text>')
    return told


class _Place(Protocol):
    def __call__(self, cost: float, quality: float) -> tuple[float, float]: ...


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: light-dark(#1c1c1c, #eee); --pale: light-dark(#777, #aaa); --line: light-dark(#1261a0, #7fbdf0);
  --good: light-dark(#0a7a3d, #6fd39b); }}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: light-dark(#fff, #161616); max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }}
svg {{ width: 100%; height: auto; }}
svg text {{ font-size: 13px; fill: var(--pale); }}
.axis {{ fill: none; stroke: var(--pale); }}
.promise {{ stroke: var(--good); stroke-dasharray: 5 4; }}
.curve {{ fill: none; stroke: var(--line); stroke-width: 2.5; }}
.chosen {{ fill: var(--line); }}
svg text.chosen-label {{ fill: var(--ink); font-weight: 600; }}
</style>
</head>
<body>
<h1>{title}</h1>
{sentences}
{picture}
</body>
</html>
"""


def page(title: str, sentences: Sequence[str], drawn: str) -> str:
    """A page with the picture that needs nothing else."""
    told = "\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return _PAGE.format(title=escape(title), sentences=told, picture=drawn)
