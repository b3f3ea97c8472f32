"""A ledger in the terminal: the bill, its parts by tenant, feature, model and day, and what stands beside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from thrift_plugins.report.story import Story
from thrift_plugins.report.tables import tables
from thrift_plugins.report.terminal import drawn
from thrift_plugins.report.truth import NO_HOLDOUT, notes, to_look_into
from thrift_plugins.report.wording import less, money, percent, points, shown

NO_CALLS = "The ledger has no calls of that time."


def print_overview(story: Story, *, most: int, console: Console) -> None:
    """Print a bill and its parts.

    Args:
        most: lines of each table: those that cost most, and the last days.
    """
    if story.days is None:
        console.print(NO_CALLS)
        return
    console.print(period(story) + "\n", highlight=False)
    for line in headline(story):
        console.print(line, highlight=False)
    console.print()
    for table in tables(story, most):
        console.print(drawn(table))
    for note in remarks(story):
        console.print(shown(note), highlight=False, markup=False)


def period(story: Story) -> str:
    """The days of a report."""
    first, last = story.days or ("-", "-")
    return f"{first} to {last}, days of UTC"


def headline(story: Story) -> Iterator[str]:
    """Money and quality, a sentence each."""
    total, check, digits = story.total, story.check, story.digits
    yield (f"{money(total.baseline - total.actual, digits)} saved: {money(total.actual, digits)} paid instead of "
           f"{money(total.baseline, digits)}, {less(total.saved_fraction)}.")  # fmt: skip
    if check.measured is not None and check.low is not None and check.high is not None:
        yield (f"The holdout measured {money(check.measured, digits)} ({money(check.low, digits)} to "
               f"{money(check.high, digits)}), on {percent(check.share)} of the bill.")  # fmt: skip
    treated, held, change = story.sound.treated, story.sound.held, story.sound.change
    if treated.sound is None:
        return
    told = f"{percent(treated.sound, 2)} of the answers were whole"
    if held.sound is not None:
        told += f", {percent(held.sound, 2)} of those left alone"
    if change is not None:
        told += f": {points(change.value, 2)} points ({points(change.low, 2)} to {points(change.high, 2)})"
    yield f"{told}."


def remarks(story: Story) -> Iterator[str]:
    """What a reader should know, and look into."""
    if not any(row.held for row in story.rollup.holdout.rows()):
        yield NO_HOLDOUT
    yield from notes(story.total)
    yield from to_look_into(story.rollup.leaks)
