"""A bill as figures for machines: one tree, or one flat row for each of its parts. Money is in integer nano-dollars."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thrift_plugins.ledger import Line
from thrift_plugins.ledger.rollup import Rollup
from thrift_plugins.report.files import Column, Row
from thrift_plugins.report.truth import comparison_figures, leak_figures

COLUMNS = (
    Column("by", "text"),
    Column("value", "text"),
    Column("calls", "integer"),
    Column("hits", "integer"),
    Column("baseline_nano", "integer"),
    Column("actual_nano", "integer"),
    Column("saved_nano", "integer"),
    Column("overhead_nano", "integer"),
    Column("estimated", "integer"),
    Column("unpriced", "integer"),
    Column("apart_nano", "integer"),
    Column("lost", "integer"),
)
"""Of `rows`. In every row but those of tactics: baseline = saved + overhead + actual."""


def figures(rollup: Rollup) -> dict[str, Any]:
    """The whole bill and its parts, each as `line_figures`, and what stands beside it."""
    return {
        "total": line_figures(rollup.total),
        **{
            f"by_{name}": {value: line_figures(line) for value, line in lines.items()}
            for name, lines in rollup.by.items()
        },
        "holdout": [comparison_figures(row) for row in (rollup.holdout.total(), *rollup.holdout.rows())],
        "leaks": leak_figures(rollup.leaks),
    }


def line_figures(line: Line) -> dict[str, Any]:
    """Every sum of a line: baseline = sum of by_tactic + sum of overheads + actual."""
    return {
        "calls": line.requests,
        "outcomes": dict(line.outcomes),
        "baseline_nano": line.baseline,
        "actual_nano": line.actual,
        "saved_fraction": line.saved_fraction,
        "by_tactic_nano": dict(line.by_tactic),
        "overheads_nano": dict(line.overheads),
        "estimated": line.estimated,
        "lost": line.lost,
        "unpriced": dict(line.unpriced),
        "apart_nano": line.apart,
        "fallbacks": dict(line.fallbacks),
    }


def rows(rollup: Rollup) -> Iterator[Row]:
    """The total, then each value of each column, then each tactic, under `COLUMNS`."""
    yield ("total", "", *_sums(rollup.total))
    for name, lines in rollup.by.items():
        for value in sorted(lines):
            yield (name, value, *_sums(lines[value]))
    total = rollup.total
    for tactic in sorted({*total.by_tactic, *total.overheads}):
        saved, beside = total.by_tactic[tactic], total.overheads[tactic]
        yield ("tactic", tactic, None, None, None, None, saved, beside, None, None, None, None)


def _sums(line: Line) -> tuple[int, ...]:
    return (
        line.requests,
        line.outcomes["hit"],
        line.baseline,
        line.actual,
        sum(line.by_tactic.values()),
        sum(line.overheads.values()),
        line.estimated,
        sum(line.unpriced.values()),
        line.apart,
        line.lost,
    )
