"""What stands beside a bill: how it was counted, and what somebody should look into, in sentences and as figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from thrift_plugins.ledger.holdout import Comparison
from thrift_plugins.ledger.leaks import Leaks
from thrift_plugins.ledger.summary import Line
from thrift_plugins.report.wording import counted, money, shown

_NAMED = 5
"""Features, models or errors that a line names."""

NO_HOLDOUT = "No call was in the holdout, so nothing but the ledger says what was saved (`ledger.holdout`)."


def notes(line: Line) -> Iterator[str]:
    """What a reader of a bill should know about it."""
    hits = line.outcomes["hit"]
    yield f"{counted(line.requests, 'call')}, {hits:,} of them answered from the cache, {line.estimated:,} counted by our tokenizer."
    if line.lost:
        yield f"{counted(line.lost, 'event')} got lost on the way into the ledger: in no sum."
    if line.unpriced:
        yield f"Not priced, and not in the sums: {', '.join(f'{model} ({count:,})' for model, count in line.unpriced.items())}."
    if line.apart:
        yield f"Beside the sums: {money(line.apart)} for priced models in calls that also had one without a price."
    kinds: Counter[str] = Counter()
    for what, count in line.fallbacks.items():
        kinds[what.partition(" (")[0]] += count
    for kind, count in kinds.most_common():
        yield f"{count:,} x {kind}."


def to_look_into(leaks: Leaks) -> Iterator[str]:
    """A sentence for each leak that there is."""
    yield from _told(leaks.truncated, "answer", "cut at a limit on the length, and paid")
    yield from _told(leaks.refused, "answer", "refused or filtered, and paid")
    yield from _told(leaks.over_budget, "call", "refused by a budget")
    yield from _told(leaks.failed, "call", "that ended without a whole answer")
    if leaks.repeated:
        yield f"SDKs repeated {counted(leaks.repeated, 'request')}; before {leaks.unanswered:,} of them an answer was lost, and may have been paid."  # fmt: skip
    if leaks.orphans:
        yield f"{counted(leaks.orphans, 'call')} died with a process, and the budgets were charged as they say."


def _told(counts: Counter[str], what: str, how: str) -> Iterable[str]:
    if counts:
        named = ", ".join(f"{shown(name)} {count:,}" for name, count in islice(counts.most_common(), _NAMED))
        more = f", {len(counts) - _NAMED:,} more" if len(counts) > _NAMED else ""
        yield f"{counted(counts.total(), what)} {how} ({named}{more})."


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
