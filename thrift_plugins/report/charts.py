"""The shapes of a page's two charts, in thousandths of their width and height. The templates draw them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from thrift_plugins.ledger.rollup import Rollup
from thrift_plugins.ledger.summary import Line
from thrift_plugins.report.waterfall import Step
from thrift_plugins.types import Nano

_MOST: Final = 92
"""Columns of a trend; a longer time is told in weeks, a still longer one in months."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of the waterfall.

    Attributes:
        x: with `width`, where it lies.
        low: with `high`, the whisker, where there is one.
    """

    step: Step
    x: int
    width: int
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A day, week or month of the trend.

    Attributes:
        name: its first day.
        paid: the height of what was paid, from the ground.
        before: of what would have been paid.
    """

    name: str
    calls: int
    baseline: Nano
    actual: Nano
    x: int
    width: int
    paid: int
    before: int


@dataclass(frozen=True, slots=True)
class Trend:
    """A chart over time.

    Attributes:
        per: "day", "week" or "month".
        top: the amount at the full height, in nano-dollars.
    """

    per: str
    columns: list[Column]
    top: Nano


def bars(steps: Sequence[Step]) -> list[Bar]:
    """The waterfall. What goes below nothing, or beyond the widest step, ends at the edge."""
    ends = [0, *(amount for step in steps for amount in (step.start, step.end, step.low or 0, step.high or 0))]
    least, most = min(ends), max(ends)

    def place(amount: Nano) -> int:
        return round(1000 * (amount - least) / (most - least)) if most > least else 0

    found = []
    for step in steps:
        left, right = sorted((place(step.start), place(step.end)))
        whisker = None if step.low is None or step.high is None else (place(step.low), place(step.high))
        found.append(Bar(step, left, max(right - left, 2), *(whisker or (None, None))))
    return found


def trend(rollup: Rollup) -> Trend:
    """What was paid and what would have been, day by day; days without a call are there, and empty."""
    days = rollup.by["day"]
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    span = (last - first).days + 1
    per = "day" if span <= _MOST else "week" if span <= 7 * _MOST else "month"
    lines: dict[date, Line] = {}
    for number in range(span):
        day = first + timedelta(number)
        line = lines.setdefault(_start(day, per), Line())
        if found := days.get(f"{day}"):
            line.merge(found)
    top = _round(max(max(line.baseline, line.actual) for line in lines.values()))
    return Trend(per, [_column(place, len(lines), day, line, top) for place, (day, line) in enumerate(lines.items())], top)


def _round(most: Nano) -> Nano:
    """A round number that is not below it, and not far above."""
    ten = int("1" + "0" * (len(str(max(most, 1))) - 1))
    return next(amount for step in (10, 12, 14, 16, 20, 24, 30, 40, 50, 60, 80, 100) if (amount := step * ten // 10) >= most)


def _start(day: date, per: str) -> date:
    if per == "week":
        return day - timedelta(day.weekday())
    return day.replace(day=1) if per == "month" else day


def _column(place: int, of: int, day: date, line: Line, top: Nano) -> Column:
    left, right = round(1000 * (place + 0.12) / of), round(1000 * (place + 0.88) / of)
    heights = (max(0, round(1000 * amount / top)) for amount in (line.actual, line.baseline))
    return Column(f"{day}", line.requests, line.baseline, line.actual, left, max(right - left, 1), *heights)
