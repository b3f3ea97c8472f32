"""A reconciliation, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thrift_plugins.report.reconcile import Pair, Reconciled
from thrift_plugins.report.statement import Statement
from thrift_plugins.report.wording import money, shown

_HEADS = ("tokens: ledger", "provider", "drift", "US dollars: ledger", "provider", "drift")


def print_drift(result: Reconciled, statement: Statement, *, most: int, console: Console) -> None:
    """Print what the two say of each model and day.

    Args:
        most: lines of each table: the days are those that are farthest apart.
    """
    console.print(_table("model", result.by_model(), result.total, statement, most))
    days = sorted(result.by_day().items(), key=lambda item: -_apart(item[1]))
    console.print(_table("day", dict(days), None, statement, most))
    for note in _notes(result, statement):
        console.print(shown(note), highlight=False, markup=False)


def drift_figures(result: Reconciled) -> dict[str, Any]:
    """Everything, money in nano-dollars, drifts as fractions of what the provider says."""
    return {
        "total": _figures(result.total),
        "by_model": {model: _figures(pair) for model, pair in result.by_model().items()},
        "by_day": {day: _figures(pair) for day, pair in result.by_day().items()},
        "lines": [
            {"day": day, "model": model, **_figures(result.pairs[day, model])} for day, model in sorted(result.pairs)
        ],
        "unnamed": asdict(result.unnamed),
        "only_in_the_ledger": {model: asdict(amounts) for model, amounts in result.only_ours.items()},
        "only_in_the_statement": list(result.only_theirs),
    }


def _figures(pair: Pair) -> dict[str, Any]:
    return {"ledger": asdict(pair.ours), "provider": asdict(pair.theirs), "token_drift": pair.token_drift, "money_drift": pair.money_drift}  # fmt: skip


def _apart(pair: Pair) -> float:
    return max(abs(pair.token_drift or 0.0), abs(pair.money_drift or 0.0))


def _table(name: str, pairs: dict[str, Pair], total: Pair | None, statement: Statement, most: int) -> Table:
    table = Table(title=f"By {name}", title_justify="left")
    for head in (name, *_HEADS):
        table.add_column(head, justify="left" if head == name else "right")
    for value, pair in islice(pairs.items(), most):
        table.add_row(Text(shown(value)), *_cells(pair, statement))
    if total is not None:
        table.add_section()
        table.add_row("all", *_cells(total, statement), style="bold")
    return table


def _cells(pair: Pair, statement: Statement) -> Iterator[str]:
    tokens = [f"{each.input + each.output:,}" for each in (pair.ours, pair.theirs)]
    yield from (*tokens, _percent(pair.token_drift)) if statement.tokens else (tokens[0], "", "")
    yield money(pair.ours.nano)
    yield from (money(pair.theirs.nano), _percent(pair.money_drift)) if statement.money else ("", "")


def _percent(drift: float | None) -> str:
    return "-" if drift is None else f"{drift:+.2%}"


def _notes(result: Reconciled, statement: Statement) -> Iterator[str]:
    for model in result.only_theirs:
        yield f"Not in the ledger at all: {model}."
    for model, amounts in sorted(result.only_ours.items()):
        yield f"Not in the statement: {model}, {amounts.input + amounts.output:,} tokens, {money(amounts.nano)}."
    if result.unnamed.nano or result.unnamed.input or result.unnamed.output:
        told = result.unnamed
        yield f"Without a model in the statement: {told.input + told.output:,} tokens, {money(told.nano)}."
    if statement.more:
        yield "The statement says that there is more of it: give all of its pages."
