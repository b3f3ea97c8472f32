"""Reads a report back from the page, from Markdown and from the terminal, and writes its numbers anew from the JSON alone."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from rich.console import Console

from tests.report_kit import NOW
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import print_overview
from thrift_plugins.report.story import Story
from thrift_plugins.report.wording import money, percent, points

_PARTS = ("by_feature", "by_tenant", "by_model", "by_day")
_OUTSIDE = re.compile(r"url\(|@import|https?:|javascript:|\son\w+=")

Rows = list[list[str]]


class Read(HTMLParser):
    """Tables, the text, and all that a page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [(tag, value or "") for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._cell:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


def in_html(story: Story, most: int) -> Read:
    return Read(page(story, most=most, now=NOW))


def in_markdown(story: Story, most: int) -> Rows:
    lines = [line for line in markdown(story, most=most).splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("*") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in row] for row in cells]


def in_terminal(story: Story, most: int) -> tuple[str, Rows]:
    out = io.StringIO()
    print_overview(story, most=most, console=Console(file=out, width=400))
    lines = [re.split("[│┃]", line)[1:-1] for line in out.getvalue().splitlines() if line[:1] in ("│", "┃")]
    return out.getvalue(), [[cell.strip() for cell in row] for row in lines]


def of_json(told: Mapping[str, Any], digits: int, most: int) -> Iterator[list[str]]:
    """Every row of numbers that is shown, written from the integers of the JSON alone."""
    before = told["total"]["baseline_nano"]
    for step in told["waterfall"]:
        yield [money(step["amount_nano"], digits), percent(step["amount_nano"] / before)]
    for key in _PARTS:
        lines = {name: line for name, line in told[key].items() if line["calls"] or line["actual_nano"]}
        dearest = sorted(lines, key=lambda name: (-lines[name]["baseline_nano"], name))
        for name in (sorted(lines, reverse=True) if key == "by_day" else dearest)[:most]:
            line = lines[name]
            cells = [f"{line['calls']:,}", f"{line['outcomes'].get('hit', 0):,}"]
            if sum(line["unpriced"].values()) >= line["calls"] > 0 and not line["baseline_nano"]:
                cells += ["-"] * 3
            else:
                cells += [money(line[f"{which}_nano"], digits) for which in ("baseline", "actual")]
                cells.append(percent(line["saved_fraction"]))
            if key == "by_feature":
                cells.append(percent(told["quality_by_feature"][name]["sound"], 2))
            yield cells
    yield from _of_quality([told["quality"], *[*told["quality_by_feature"].values()][:most]])
    for row in told["holdout"][: most + 1]:
        if row["measured_nano"]:
            amounts = [row["booked_nano"], row["corrected_nano"], *row["measured_nano"]]
            yield [f"{row['calls']:,}", f"{row['held_out']:,}", *(money(amount, digits) for amount in amounts)]


def _of_quality(parts: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    for one in parts:
        arms = one["treated"], one["left_alone"]
        if one["change"]:
            yield [percent(arms[0]["sound"], 2), percent(arms[1]["sound"], 2), *(points(value, 2) for value in one["change"])]
        if arms[0]["answers"]:
            counts = [sum(arm[kind] for arm in arms) for kind in ("answers", "cut", "refused", "failed", "escalated")]
            yield [*(f"{count:,}" for count in counts), percent(one["sound"], 2)]


def unequal(story: Story, told: Mapping[str, Any], most: int) -> Rows:
    """Rows of numbers of the JSON that are not so in the terminal, in Markdown or on the page."""
    wanted = list(of_json(told, story.digits, most))
    missing: Rows = []
    for rows in (in_html(story, most).rows, in_markdown(story, most), in_terminal(story, most)[1]):
        shown = {tuple(row[first : first + size]) for row in rows for first in (1, 2) for size in range(2, 9)}
        missing += [row for row in wanted if tuple(row) not in shown]
    return missing


def outside(text: str) -> list[str]:
    """All on a page that would ask somebody, or run."""
    read = Read(text)
    loads = [value for _, value in read.loads if not value.startswith("data:")]
    return [*loads, *_OUTSIDE.findall(text), *({"script", "img", "iframe", "object", "embed", "form", "base"} & set(read.tags))]
