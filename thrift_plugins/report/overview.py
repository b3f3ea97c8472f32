"""A ledger in the terminal: the bill, its parts by tenant, feature, model and day, and what stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thrift_plugins.ledger import Line
from thrift_plugins.ledger.rollup import By, Rollup
from thrift_plugins.report.terminal import money, notes, shown, waterfall
from thrift_plugins.report.truth import compared, to_look_into

_HEADS = ("calls", "hits", "before", "after", "saved")


def print_overview(rollup: Rollup, *, most: int, console: Console) -> None:
    """Print a bill and its parts.

    Args:
        most: lines of each table: those that cost most, and the last days.
    """
    if not rollup.by["day"]:
        console.print("The ledger has no calls of that time.")
        return
    days = sorted(rollup.by["day"])
    console.print(f"{days[0]} to {days[-1]}, days of UTC\n", highlight=False)
    console.print(waterfall(rollup.total))
    for name, lines in rollup.by.items():
        console.print(_breakdown(name, lines, most))
    console.print(compared(rollup.holdout, most), highlight=False)
    for note in (*notes(rollup.total), *to_look_into(rollup.leaks)):
        console.print(shown(note), highlight=False, markup=False)


def _breakdown(name: By, lines: Mapping[str, Line], most: int) -> Table:
    table = Table(title=f"By {name}", title_justify="left")
    for head in (name, *_HEADS):
        table.add_column(head, justify="left" if head == name else "right")
    for value, line in islice(_ordered(name, lines), most):
        table.add_row(Text(shown(value)), *_cells(line))
    if len(lines) > most:
        rest = Line()
        for _, line in islice(_ordered(name, lines), most, None):
            rest.merge(line)
        table.add_section()
        table.add_row(f"{len(lines) - most:,} more", *_cells(rest))
    return table


def _ordered(name: By, lines: Mapping[str, Line]) -> Iterator[tuple[str, Line]]:
    if name == "day":
        return iter(sorted(lines.items(), reverse=True))
    return iter(sorted(lines.items(), key=lambda item: (-item[1].baseline, item[0])))


def _cells(line: Line) -> tuple[str, ...]:
    hits = line.outcomes["hit"]
    return f"{line.requests:,}", f"{hits:,}", money(line.baseline), money(line.actual), f"{line.saved_fraction:.1%}"
