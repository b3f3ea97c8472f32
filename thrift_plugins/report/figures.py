"""A bill as figures for machines: one tree, or one flat row for each of its parts. Money is in integer nano-dollars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from thrift_plugins.ledger import Line
from thrift_plugins.ledger.flaws import KINDS, Arm
from thrift_plugins.ledger.rollup import Rollup
from thrift_plugins.report.files import Column, Row
from thrift_plugins.report.soundness import Soundness
from thrift_plugins.report.story import Story
from thrift_plugins.report.truth import comparison_figures, leak_figures

SCHEMA = 1

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


def figures(story: Story) -> dict[str, Any]:
    """The whole bill and its parts, each as `line_figures`, and what stands beside it."""
    rollup, days = story.rollup, story.days
    return {
        "schema": SCHEMA,
        "days": None if days is None else [*days],
        "total": line_figures(rollup.total),
        "waterfall": [
            {"kind": step.kind, "tactic": step.tactic, "amount_nano": step.amount, "end_nano": step.end} for step in story.steps
        ],
        "check": {
            "claimed_nano": story.check.claimed,
            "measured_nano": story.check.measured,
            "low_nano": story.check.low,
            "high_nano": story.check.high,
            "checked_share": story.check.share,
            "agrees": story.check.agrees,
        },
        "quality": sound_figures(story.sound),
        "quality_by_feature": {one.feature: sound_figures(one) for one in story.sound_by_feature},
        "verdicts": [asdict(verdict) for verdict in story.verdicts],
        "next": [
            {"amount_nano": one.amount, "basis": one.basis, "what": one.what, "why": one.why} for one in story.actions
        ],
        **{
            f"by_{name}": {value: line_figures(line) for value, line in lines.items()}
            for name, lines in rollup.by.items()
        },
        "holdout": [comparison_figures(row) for row in (rollup.holdout.total(), *rollup.holdout.rows())],
        "leaks": leak_figures(rollup.leaks),
    }


def sound_figures(one: Soundness) -> dict[str, Any]:
    """Whole answers; `change` is that with the tactics less that without, as [value, low, high] or null."""
    return {
        "sound": one.sound,
        "treated": _arm_figures(one.treated),
        "left_alone": _arm_figures(one.held),
        "change": None if one.change is None else [*one.change],
    }


def _arm_figures(arm: Arm) -> dict[str, Any]:
    return {
        "answers": arm.answers,
        "sound": arm.sound,
        **{kind: arm.flaws[kind] for kind in KINDS},
        "escalated": arm.escalated,
        "paid_nano": dict(arm.paid),
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
