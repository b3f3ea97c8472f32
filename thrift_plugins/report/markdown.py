"""A ledger as Markdown, for a pull request or a wiki: the same tables as in the terminal and on the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from thrift_plugins.report.overview import NO_CALLS, headline, period, remarks
from thrift_plugins.report.story import Story
from thrift_plugins.report.tables import Row, Table, tables
from thrift_plugins.report.wording import discreet

_MEANS_SOMETHING: Final = re.compile(r"([\\`*_{}\[\]<>|#~$@!&])")
_SENTENCE: Final = 600


def markdown(story: Story, *, most: int) -> str:
    """The report.

    Args:
        most: rows of each table: those that cost most, and the last days.
    """
    return "\n".join(_lines(story, most)) + "\n"


def _lines(story: Story, most: int) -> Iterator[str]:
    yield "## What thrift-plugins saved"
    yield ""
    if story.days is None:
        yield NO_CALLS
        return
    yield f"{period(story)}."
    yield ""
    yield from (f"- {line}" for line in headline(story))
    for table in tables(story, most):
        yield from drawn(table)
    yield ""
    yield "### Worth knowing"
    yield ""
    yield from (f"- {plain(remark, _SENTENCE)}" for remark in remarks(story))


def drawn(table: Table) -> Iterator[str]:
    """A table under its title."""
    yield from ("", f"### {table.title}", "")
    yield _row(table.heads)
    yield _row(":--" if number < table.texts or table.words else "--:" for number in range(len(table.heads)))
    yield from (_row(_cells(table, row)) for row in (*table.rows, *table.foot))


def plain(text: str, most: int = 80) -> str:
    """A text that Markdown shows as it stands: no name of an app's is a link, a picture, a mention, or HTML."""
    return _MEANS_SOMETHING.sub(r"\\\1", discreet(text, most))


def _cells(table: Table, row: Row) -> Iterator[str]:
    for number, cell in enumerate(row.cells):
        ours = number >= table.texts and not table.words
        text = cell if ours else plain(cell, 80 if number < table.texts else _SENTENCE)
        yield f"**{text}**" if row.tone == "total" and text else text


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
