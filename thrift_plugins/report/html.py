"""A ledger as one page of HTML that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from thrift_plugins.report.charts import bars, trend
from thrift_plugins.report.overview import NO_CALLS, headline, period, remarks
from thrift_plugins.report.story import Story
from thrift_plugins.report.tables import tables
from thrift_plugins.report.wording import discreet, less, money, percent, points

_SENTENCE: Final = 600
"""Letters of a sentence, which may name things of the app."""


def page(story: Story, *, most: int, now: datetime) -> str:
    """The page.

    Args:
        most: rows of each table: those that cost most, and the last days.
        now: when it is made.
    """
    shown = {table.name: table for table in tables(story, most)}
    return _environment().get_template("page.html.j2").render(
        story=story,
        tables=shown,
        bars=bars(story.steps),
        trend=trend(story.rollup) if story.days else None,
        period=period(story),
        headline=list(headline(story)),
        remarks=list(remarks(story)),
        no_calls=NO_CALLS,
        made=f"{now:%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("thrift_plugins", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "discreet": discreet,
        "sentence": lambda text: discreet(text, _SENTENCE),
        "less": less,
        "money": money,
        "percent": percent,
        "points": points,
    }
    return environment
