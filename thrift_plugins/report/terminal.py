"""Bills in the terminal: money and quality side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from thrift_plugins.report.tables import Table, Tone, bill
from thrift_plugins.report.truth import notes
from thrift_plugins.report.waterfall import waterfall
from thrift_plugins.report.wording import digits_of, money, shown

if TYPE_CHECKING:
    from thrift_plugins.ledger import Line
    from thrift_plugins.replay import Outcome


def stderr() -> Console:
    """Where progress goes, so that what is printed can be piped."""
    return Console(stderr=True)


_STYLES: Mapping[Tone, str] = {"": "", "good": "green", "bad": "red", "beside": "yellow", "total": "bold"}


_ROOMY: Final = 8
"""Columns up to which there is room for spaces between them, in a terminal of 80."""


def drawn(table: Table) -> RichTable:
    """A table for the terminal."""
    tight = len(table.heads) > _ROOMY
    lines = RichTable(title=table.title, title_justify="left", padding=(0, 0 if tight else 1))
    for number, head in enumerate(table.heads):
        if number < table.texts or table.words:
            lines.add_column(head)
        else:  # a number that is cut would be another one
            cells = (row.cells[number] for row in (*table.rows, *table.foot))
            widest = max((len(cell) for cell in cells if " " not in cell), default=0)
            lines.add_column(head, justify="right", min_width=widest, overflow="fold")
    for section in (table.rows, table.foot):
        for row in section:
            cells = (shown(cell) if cell or place < table.texts else "" for place, cell in enumerate(row.cells))
            lines.add_row(*map(Text, cells), style=_STYLES[row.tone])
        lines.add_section()
    return lines


def by_feature(
    lines: Mapping[str, Line], digits: int, quality: Mapping[str, tuple[float, float]] | None = None
) -> RichTable:
    """Each feature's bill, with quality beside it where it is known.

    Args:
        digits: after the point of every amount.
    """
    table = RichTable(title="By feature", title_justify="left")
    heads = ["feature", "requests", "before", "after", "saved", *(["quality before", "after"] if quality else [])]
    for head in heads:
        table.add_column(head, justify="left" if head == "feature" else "right")
    for feature, line in sorted(lines.items(), key=lambda item: -item[1].baseline):
        cells = [
            f"{line.requests:,}",
            money(line.baseline, digits),
            money(line.actual, digits),
            f"{line.saved_fraction:.1%}",
        ]
        if quality:
            before, after = quality[feature]
            cells += [f"{before:.4f}", f"{after:.4f}"]
        table.add_row(Text(shown(feature)), *cells)
    return table


def print_outcome(outcome: Outcome, *, learnt: Sequence[str] = ()) -> None:
    """Print a replay's bill.

    Args:
        learnt: what was learnt from the month before.
    """
    console = Console()
    total, quality = outcome.summary.total, outcome.quality
    digits = digits_of(total.baseline)
    told = (f": {money(total.baseline, digits)} before, {money(total.actual, digits)} after, {total.saved_fraction:.1%} saved; quality "
            f"{quality.baseline:.4f} before, {quality.actual:.4f} after\n")  # fmt: skip
    console.print(Text(shown(outcome.name), "bold").append(told, "not bold"))
    console.print(drawn(bill(waterfall(total), digits)))
    known = {feature: (q.baseline, q.actual) for feature, q in outcome.quality_by_feature.items()}
    console.print(by_feature(outcome.summary.by_feature, digits, known))
    for note in (*notes(total), *learnt):
        console.print(Text(shown(note)))
    console.print(f"ledger {outcome.ledger_sha256}", highlight=False)
