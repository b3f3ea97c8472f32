"""What stands beside a bill: the holdout's measure of what was saved, and what somebody should look into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rich.table import Table
from rich.text import Text

from thrift_plugins.ledger.holdout import Comparison, Holdout
from thrift_plugins.ledger.leaks import Leaks
from thrift_plugins.report.terminal import money, shown

_NAMED = 5
"""Features, models or errors that a line names."""


def compared(holdout: Holdout, most: int) -> Table | str:
    """The ledger's claim beside the holdout's, for each feature and model and for all that are known, as a table.

    Args:
        most: lines at most, the dearest first.

    Returns:
        A sentence where the holdout has no call.
    """
    rows = holdout.rows()
    if not any(row.held for row in rows):
        return "No call was in the holdout, so nothing but the ledger says what was saved (`ledger.holdout`)."
    table = Table(title="Saved, as booked and as measured by the holdout (95 %)", title_justify="left")
    for head in ("feature", "model", "calls", "held out", "booked", "corrected", "measured", "from", "to"):
        table.add_column(head, justify="left" if head in ("feature", "model") else "right")
    for row in rows[:most]:
        table.add_row(Text(shown(row.feature)), Text(shown(row.model)), *_cells(row))
    table.add_section()
    table.add_row("all that are known", "", *_cells(holdout.total()), style="bold")
    return table


def _cells(row: Comparison) -> tuple[str, ...]:
    counts = (f"{row.treated:,}", f"{row.held:,}", money(row.booked))
    if row.measured is None:
        return (*counts, "", row.unknown, "", "")
    return (*counts, *map(money, (row.corrected, *map(round, row.measured))))


def to_look_into(leaks: Leaks) -> Iterator[str]:
    """A sentence for each leak that there is."""
    yield from _told(leaks.truncated, "answers were cut at a limit on their length, and paid")
    yield from _told(leaks.refused, "answers were refused or filtered, and paid")
    yield from _told(leaks.over_budget, "calls were refused by a budget")
    yield from _told(leaks.failed, "calls ended without a whole answer")
    if leaks.repeated:
        yield f"{leaks.repeated:,} requests were repeated by SDKs; before {leaks.unanswered:,} of them an answer was lost, and may have been paid."  # fmt: skip
    if leaks.orphans:
        yield f"{leaks.orphans:,} calls died with their process, and were charged as their budgets say."


def _told(counts: Counter[str], what: str) -> Iterable[str]:
    if counts:
        named = ", ".join(f"{shown(name)} {count:,}" for name, count in islice(counts.most_common(), _NAMED))
        more = f", {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        yield f"{counts.total():,} {what} ({named}{more})."


def comparison_figures(row: Comparison) -> dict[str, Any]:
    """A comparison for machines; money in nano-dollars, `measured` as [value, low, high] or null."""
    return {
        "feature": row.feature,
        "model": row.model,
        "calls": row.treated,
        "held_out": row.held,
        "booked_nano": row.booked,
        "corrected_nano": row.corrected,
        "measured_nano": None if row.measured is None else [*map(round, row.measured)],
        "unknown": row.unknown,
        "agrees": row.agrees,
    }


def leak_figures(leaks: Leaks) -> dict[str, Any]:
    """Leaks for machines: counts, by feature, model or error."""
    return {
        "truncated": dict(leaks.truncated),
        "refused": dict(leaks.refused),
        "over_budget": dict(leaks.over_budget),
        "failed": dict(leaks.failed),
        "orphans": leaks.orphans,
        "repeated": leaks.repeated,
        "unanswered": leaks.unanswered,
    }
