"""`thrift-plugins diff`: two reports side by side, and a check that fails where it has become worse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thrift_plugins.cli.booked import ledger_of
from thrift_plugins.cli.figures import JsonFile, MarkdownFile, write_figures, write_text
from thrift_plugins.errors import ConfigError

if TYPE_CHECKING:
    from thrift_plugins.report.compare import Condition, Figures
    from thrift_plugins.report.tables import Table

_HELP = """A condition that must not be so, such as 'saved < 0.5', 'quality drop > 0.005', 'paid in faq rise > 10%'. May be given
several times."""
_EACH = "a ledger (a path or URL), or the JSON of 'report' or 'replay'."


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help=f"Before: {_EACH}")],
    second: Annotated[str, typer.Argument(metavar="B", help=f"After: {_EACH}")],
    fail_if: Annotated[list[str] | None, typer.Option(help=_HELP)] = None,
    most: Annotated[int, typer.Option(min=1, help="Features that are shown.")] = 20,
    markdown: MarkdownFile = None,
    json_file: JsonFile = None,
) -> None:
    """Compare two reports. Exit code 1 where a condition is so, 2 where one cannot be told.

    A condition is a MEASURE, then perhaps `in FEATURE`, then perhaps `drop` or `rise` (from A to B; else B alone is looked at),
    then <, <=, > or >= and a number. Measures: saved, quality, hits, cut, refused, failed, escalated, estimated (shares, which
    change in points: 0.005 or 0.5%); before, paid, cost per call (US dollars), calls, unpriced, lost (with %, a change is a
    share of A).
    """
    from rich.console import Console

    from thrift_plugins.report.compare import Condition, by_feature, compared, verdict
    from thrift_plugins.report.terminal import drawn
    from thrift_plugins.report.wording import shown

    conditions = [Condition.read(text) for text in fail_if or ()]
    old, new = _figures(first), _figures(second)
    shown_tables = [table for table in (compared(old, new), by_feature(old, new, most)) if table.rows]
    judged = [(condition, condition.value(old, new)) for condition in conditions]
    sentences = [verdict(*each) for each in judged]
    console = Console()
    for table in shown_tables:
        console.print(drawn(table))
    for sentence in sentences:
        console.print(shown(sentence), highlight=False, markup=False)
    if markdown is not None:
        write_text(markdown, _markdown(shown_tables, sentences))
    if json_file is not None:
        write_figures(json_file, _json(old, new, judged))
    _end(judged)


def _end(judged: list[tuple[Condition, float | None]]) -> None:
    if any(value is not None and condition.holds(value) for condition, value in judged):
        raise typer.Exit(1)
    if any(value is None for _, value in judged):
        raise typer.Exit(2)


def _figures(name: str) -> Figures:
    """The figures of a file of them, or of a ledger."""
    from thrift_plugins.report.compare import check_figures

    path = Path(name)
    if path.is_file() and (path.suffix == ".json" or _is_json(path)):
        return check_figures(_read(path), name)
    from thrift_plugins.ledger.rollup import roll_up
    from thrift_plugins.report.figures import figures
    from thrift_plugins.report.story import tell

    with ledger_of(None, name) as log:
        return figures(tell(roll_up(log.bodies())))


def _is_json(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] in (b"{", b"[")


def _read(path: Path) -> object:
    import orjson

    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error


def _json(old: Figures, new: Figures, judged: list[tuple[Condition, float | None]]) -> dict[str, Any]:
    from thrift_plugins.report.compare import measures

    conditions = [
        {"condition": condition.text, "value": value, "holds": None if value is None else condition.holds(value)}
        for condition, value in judged
    ]
    return {"a": measures(old), "b": measures(new), "conditions": conditions}


def _markdown(tables: list[Table], sentences: list[str]) -> str:
    from thrift_plugins.report.markdown import drawn, plain

    lines = ["## What has changed", *(line for table in tables for line in drawn(table))]
    if sentences:
        lines += ["", *(f"- {plain(sentence, 600)}" for sentence in sentences)]
    return "\n".join(lines) + "\n"
