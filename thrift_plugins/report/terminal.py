"""Bills in the terminal: money and quality side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from thrift_plugins.types import Nano, usd

if TYPE_CHECKING:
    from thrift_plugins.ledger import Line
    from thrift_plugins.replay import Outcome


def stderr() -> Console:
    """Where progress goes, so that what is printed can be piped."""
    return Console(stderr=True)


def money(amount: Nano, digits: int = 4) -> str:
    """An amount for people, in US dollars."""
    dollars = usd(amount)
    return f"{'-' if dollars < 0 else ''}${abs(dollars):,.{digits}f}"


def shown(name: str) -> str:
    """A name that an app gave, safe to print: what a terminal would obey becomes its escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name) or "-"


def waterfall(line: Line) -> Table:
    """The way from what the app alone would have paid to what was paid; the rows add up to the nano-dollar."""
    table = Table("", "US dollars", "of the bill", title="The bill", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"

    def row(name: str, amount: Nano, style: str = "") -> None:
        share = amount / line.baseline if line.baseline else 0.0
        table.add_row(name, money(amount), f"{share:.1%}", style=style)

    row("without thrift-plugins", line.baseline)
    for tactic, amount in sorted(line.by_tactic.items(), key=lambda item: -item[1]):
        row(f"saved by {tactic}", -amount, "green" if amount >= 0 else "red")
    for tactic, amount in sorted(line.overheads.items()):
        row(f"paid beside the answers by {tactic}", -amount, "yellow")
    table.add_section()
    row("paid", line.actual, "bold")
    return table


def by_feature(lines: Mapping[str, Line], quality: Mapping[str, tuple[float, float]] | None = None) -> Table:
    """Each feature's bill, with quality beside it where it is known."""
    table = Table(title="By feature", title_justify="left")
    heads = ["feature", "requests", "before", "after", "saved", *(["quality before", "after"] if quality else [])]
    for head in heads:
        table.add_column(head, justify="left" if head == "feature" else "right")
    for feature, line in sorted(lines.items(), key=lambda item: -item[1].baseline):
        cells = [
            feature or "-",
            f"{line.requests:,}",
            money(line.baseline),
            money(line.actual),
            f"{line.saved_fraction:.1%}",
        ]
        if quality:
            before, after = quality[feature]
            cells += [f"{before:.4f}", f"{after:.4f}"]
        table.add_row(*cells)
    return table


def notes(line: Line) -> Iterable[str]:
    """What a reader of a bill should know about it."""
    hits = line.outcomes["hit"]
    yield f"{line.requests:,} calls, {hits:,} of them answered from the cache, {line.estimated:,} counted by our tokenizer."
    if line.lost:
        yield f"{line.lost:,} events were lost on their way into the ledger, and are in no sum."
    if line.unpriced:
        yield f"Not priced, and not in the sums: {', '.join(f'{model} ({count:,})' for model, count in line.unpriced.items())}."
    if line.apart:
        yield f"Beside the sums: {money(line.apart)} for priced models in calls that also had one without a price."
    kinds: Counter[str] = Counter()
    for what, count in line.fallbacks.items():
        kinds[what.partition(" (")[0]] += count
    for kind, count in kinds.most_common():
        yield f"{count:,} x {kind}."


def print_outcome(outcome: Outcome, *, learnt: bool = True) -> None:
    """Print a replay's bill.

    Args:
        learnt: False where a month before was given that nothing which is on can learn from.
    """
    console = Console()
    total, quality = outcome.summary.total, outcome.quality
    console.print(f"[bold]{outcome.name}[/bold]: {money(total.baseline)} before, {money(total.actual)} after, "
                  f"{total.saved_fraction:.1%} saved; quality {quality.baseline:.4f} before, {quality.actual:.4f} after\n")  # fmt: skip
    console.print(waterfall(total))
    known = {feature: (q.baseline, q.actual) for feature, q in outcome.quality_by_feature.items()}
    console.print(by_feature(outcome.summary.by_feature, known))
    for note in notes(total):
        console.print(note, highlight=False)
    if not learnt:
        console.print("Nothing that is on learns from the month before: --warm changed nothing.")
    console.print(f"ledger {outcome.ledger_sha256}", highlight=False)
