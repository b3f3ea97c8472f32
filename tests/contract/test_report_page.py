"""One report, four ways to show it: the same numbers in the terminal, JSON, Markdown and on the page, and no name does harm."""

from __future__ import annotations

import io
import json
import os
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests import report_kit
from tests.cli_kit import command, stranger
from tests.report_reading import Read, in_html, in_markdown, in_terminal, of_json, outside, unequal
from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import print_overview
from thrift_plugins.report.story import Story, Verdict, tell
from thrift_plugins.report.tables import tables
from thrift_plugins.report.wording import discreet, money, percent, points
from thrift_plugins.stores import MemoryEventLog, SQLiteEventLog
from thrift_plugins.types import Scope, Usage

MOST = 50


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(SQLiteEventLog(path)) as log:
        report_kit.fill(log, 3_000)
    return path


@pytest.fixture(scope="module")
def story(ledger: Path) -> Story:
    with closing(SQLiteEventLog(ledger)) as log:
        return tell(roll_up(log.bodies()))


def told_by_json(ledger: Path) -> dict[str, Any]:
    assert command("report", "--ledger", str(ledger), "--json", "r.json").exit_code == 0
    found: dict[str, Any] = json.loads(Path("r.json").read_text())
    return found


@pytest.mark.parametrize("most", [2, MOST])
def test_the_numbers_are_equal_in_all_four(story: Story, ledger: Path, most: int):
    told = told_by_json(ledger)
    assert len(list(of_json(told, story.digits, MOST))) > 60
    assert unequal(story, told, most) == []
    told["by_tenant"]["acme"]["actual_nano"] += 10_000_000
    assert len(unequal(story, told, most)) == 3, "it sees a cent"


def test_no_number_is_cut_in_a_terminal_of_the_usual_width(story: Story):
    out = io.StringIO()
    print_overview(story, most=MOST, console=Console(file=out, width=80))
    assert "24 calls" in out.getvalue()
    assert not re.search(r"[$+-]?\d[\d.,]*%?\N{HORIZONTAL ELLIPSIS}", out.getvalue())
    whole = {cell for row in in_terminal(story, MOST)[1] for cell in row if re.fullmatch(r"-?\$[\d.,]+", cell)}
    assert whole <= {*re.findall(r"-?\$[\d.,]+\d", out.getvalue())}


def test_every_tactic_has_its_row(story: Story):
    tactics = {step.tactic for step in story.steps if step.kind == "saved"}
    assert tactics == {"cache", "routing", "budget", "compression", "batch", "distillation"}
    assert story.total.closes()


def test_every_table_is_the_same_in_three(story: Story):
    html, text, terminal = in_html(story, MOST).rows, in_markdown(story, MOST), in_terminal(story, MOST)[1]
    for table in tables(story, MOST):
        for row in (*table.rows, *table.foot):
            own = [*row.cells[: table.texts]]
            shown = [discreet(cell) for cell in own] + [cell and discreet(cell, 600) for cell in row.cells[table.texts :]]
            assert shown in text, table.name
            assert [cell or "-" for cell in own] + [*row.cells[table.texts :]] in terminal, table.name
            if table.name == "next":
                continue  # a list on the page
            if table.name == "bill":
                range_, shown = row.cells[3], shown[:3]
                shown[0] = f"{shown[0]} {range_} (95 %)" if range_ else shown[0]
            assert shown in html, table.name


def test_the_headline_is_the_same_in_all(story: Story, ledger: Path):
    told = told_by_json(ledger)
    check, digits, quality = told["check"], story.digits, told["quality"]
    numbers = [money(told["total"][key], digits) for key in ("baseline_nano", "actual_nano")]
    numbers += [money(check[key], digits) for key in ("claimed_nano", "measured_nano", "low_nano", "high_nano")]
    numbers += [percent(told["total"]["saved_fraction"]), percent(quality["treated"]["sound"], 2)]
    numbers += [points(value, 2) for value in quality["change"]]
    text, html = in_terminal(story, MOST)[0], " ".join("".join(in_html(story, MOST).text).split())
    for shown in (text, markdown(story, most=MOST), html):
        assert not [number for number in numbers if number not in shown]
    for action in told["next"][:6]:
        for shown in (text, markdown(story, most=MOST), html):
            assert action["what"] in shown


def test_a_page_is_whole_and_asks_nobody(story: Story):
    text = page(story, most=MOST, now=report_kit.NOW)
    assert outside(text) == []
    assert outside("<a href='http://x'><script>") == ["http://x", "http:", "script"]
    assert len(text.encode()) < 60_000
    assert page(story, most=MOST, now=report_kit.NOW) == text, "it is the same every time"


def test_the_command_writes_it_for_its_owner_alone(ledger: Path):
    done = command("report", "--ledger", str(ledger), "--html", "page.html", "--markdown", "page.md", "--json", "told.json")
    assert done.exit_code == 0
    for name, text in (("page.html", "What thrift-plugins saved"), ("page.md", "What thrift-plugins saved"), ("told.json", "total")):
        assert Path(name).stat().st_mode & 0o777 == 0o600
        assert text in Path(name).read_text(encoding="utf-8")
    Path("taken").mkdir()
    assert "is a folder" in str(command("report", "--ledger", str(ledger), "--html", "taken").exception)


def test_a_link_and_a_pipe_are_written_and_not_replaced(ledger: Path):
    Path("page.md").symlink_to("elsewhere.md")
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)  # which lets the writer open it, and holds what it writes
    try:
        assert command("diff", str(ledger), str(ledger), "--markdown", "page.md", "--json", "pipe").exit_code == 0
        assert os.read(reader, 1 << 20).startswith(b"{")
    finally:
        os.close(reader)
    assert Path("page.md").is_symlink()
    assert "What has changed" in Path("elsewhere.md").read_text(encoding="utf-8")
    assert Path("pipe").is_fifo()


def test_calls_without_a_price_are_not_shown_as_free():
    log = MemoryEventLog()
    book, usage = Ledger(log, Prices()), Usage(1_000, 100)
    for model in ("gpt-4o", "house-7b"):
        book.append(Event(model, 1e9, "test", Scope(feature=model), "answered", Cost(model, usage), model, usage, "stop"))
    assert book.flush()
    story = tell(roll_up(log.bodies()))
    for rows in (in_html(story, MOST).rows, in_markdown(story, MOST), in_terminal(story, MOST)[1]):
        for model, cells in (("house-7b", ["-", "-", "-"]), ("gpt-4o", ["$0.003500", "$0.003500", "0.0%"])):
            assert [row[1:6] for row in rows if row[0] == model].count(["1", "0", *cells]) == 2, "as a feature and as a model"
    assert "1 call in no sum" in in_terminal(story, MOST)[0]


def test_verdicts_of_a_gate_are_shown_where_there_are_any(story: Story):
    verdicts = [Verdict("routing", "faq", "holds", "no drop > 3 points, 95 %"), Verdict("cache", "<i>", "broken", "lost 12 of 40")]
    judged = tell(story.rollup, verdicts=verdicts)
    wanted = [["routing", "faq", "holds", "no drop > 3 points, 95 %"], ["cache", "<i>", "broken", "lost 12 of 40"]]
    for rows in (in_html(judged, MOST).rows, in_markdown(judged, MOST), in_terminal(judged, MOST)[1]):
        assert all(row in rows for row in wanted)
    assert "quality gate" not in page(story, most=MOST, now=report_kit.NOW)


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>", "{{ 7 * 7 }}", "{% raw %}", "[x](javascript:1)",
    "![x](http://evil.example/p.png)", "| a | b |", "`code`", "@everyone", "\x1b[2J\x07", "\u202eevil", "x" * 100_000, "\ud800", "&lt;",
]  # fmt: skip


def test_names_that_would_do_harm_do_none():
    log = MemoryEventLog()
    book, usage = Ledger(log, Prices()), Usage(1_000, 100)
    for number, name in enumerate(HOSTILE):
        book.append(Event(f"{number}", 1e9, "test", Scope(name, feature=name), "answered", Cost(name, usage), name, usage))
        asked = Cost("gpt-4o", usage)
        book.append(Event(f"x{number}", 1e9, "test", Scope(name, feature=name), "error", asked, "gpt-4o", usage, error=name))
    assert book.flush()
    story = tell(roll_up(log.bodies()))
    text = page(story, most=100, now=report_kit.NOW)
    read = Read(text)
    assert read.loads == [("link", "data:,")]
    assert not {"script", "img", "b"} & set(read.tags)
    assert "{{ 7 * 7 }}" in "".join(read.text)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800-\udfff]", text)
    assert len(text.encode()) < 60_000
    told = markdown(story, most=100)
    assert not re.search(r"(?<!\\)(<script|<img|\]\(|!\[|`|@)|[\x1b\u202e]", told)
    assert all(len(re.findall(r"(?<!\\)\|", line)) in range(4, 12) for line in told.splitlines() if line.startswith("|"))
    print_overview(story, most=100, console=Console(file=io.StringIO()))


def test_an_empty_ledger_has_a_page_too():
    story = tell(roll_up([]))
    assert "no calls of that time" in page(story, most=5, now=report_kit.NOW)
    assert "no calls of that time" in markdown(story, most=5)


def test_a_ledger_of_lost_events_alone():
    log = MemoryEventLog()
    book = Ledger(log, Prices())
    book.append(report_kit.gap("gap/1", 1e9, 7, "down"))
    assert book.flush()
    story = tell(roll_up(log.bodies()))
    assert "7 events in no sum" in page(story, most=5, now=report_kit.NOW)
    assert "7 events in no sum" in markdown(story, most=5)


def test_a_page_of_very_many_names_stays_small():
    log = MemoryEventLog()
    book, usage = Ledger(log, Prices(), capacity=9_000), Usage(1_000, 100)
    for number in range(3_000):
        name = f"a long name of a tenant, number {number}, " * 3
        place = Scope(name, feature=name)
        at = 1e9 + number * 86_400
        book.append(Event(f"{number}", at, "test", place, "answered", Cost("gpt-4o", usage), "gpt-4o", usage, "length"))
    assert book.flush()
    story = tell(roll_up(log.bodies()))
    assert len(page(story, most=20, now=report_kit.NOW).encode()) < 100_000
