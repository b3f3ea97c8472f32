"""The page of a report in a real browser: quiet, accessible, and readable in light and dark, on a phone and on paper.

Screenshots are left in THRIFT_TEST_SCREENSHOTS, to be looked at, if it is set.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests import report_kit
from thrift_plugins.ledger import Cost, Event, Ledger
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.prices import Prices
from thrift_plugins.report.html import page as written
from thrift_plugins.report.story import Verdict, tell
from thrift_plugins.stores import MemoryEventLog
from thrift_plugins.types import Scope, Usage

VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2},
    "print": {"viewport": {"width": 688, "height": 1000}},  # A4 less its margins
}

# Pairs of texts that lie on each other, texts that are cut, and whatever is wider than the window. A table may be moved
# sideways in its own box; its first column stays, and may cover the others then.
LOOK = """() => {
  const found = [];
  const name = node => `${node.tagName.toLowerCase()}.${node.className} "${node.textContent.trim().slice(0, 40)}"`;
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest('title, style') || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (box.width > 1) texts.push([box, parent]);
  }
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const [a, first] = texts[i], [b, second] = texts[j];
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left), y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (first !== second && x > 1 && y > 4) found.push(`${name(first)} lies on ${name(second)}`);
  }
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide, not ${width}`);
  for (const [box, parent] of texts)
    if (!parent.closest('.scroll') && (box.right > width + 1 || box.left < -1)) found.push(`${name(parent)} is beyond the window`);
  const boxes = [...document.querySelectorAll('section, .card, .cards, header, footer')];
  for (const box of boxes) for (const other of boxes) {
    if (box === other || box.contains(other) || other.contains(box)) continue;
    const a = box.getBoundingClientRect(), b = other.getBoundingClientRect();
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1)
      found.push(`${name(box)} lies on ${name(other)}`);
  }
  return found;
}"""


SIDEWAYS = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
"""Tables that are wider than their box, and would have to be moved."""


def month() -> str:
    log = MemoryEventLog()
    report_kit.fill(log, 3_000)
    gate = [Verdict("routing", "faq", "holds", "no drop > 3 points, 95 %, 1,210 requests compared"),
            Verdict("compression", "contract review", "broken", "12 of 40 answers lost; switched off")]  # fmt: skip
    return written(tell(roll_up(log.bodies()), verdicts=gate), most=20, now=report_kit.NOW)


def crowded() -> str:
    """Long names, large sums, losses, and one day."""
    log = MemoryEventLog()
    book, usage = Ledger(log, Prices()), Usage(900_000_000, 50_000_000)
    names = ["an-identifier-without-any-space-" * 4, "a name of many words " * 5, "株式会社" * 20, "x"]
    for number, name in enumerate(names * 3):
        scope = Scope(name, feature=name)
        book.append(Event(f"{number}", 1e9, "test", scope, "answered", Cost("gpt-4o-mini", usage), "gpt-4o", usage, "length"))
        book.append(Event(f"e{number}", 1e9, "test", scope, "error", Cost(name, usage), name, usage, error=name))
    assert book.flush()
    return written(tell(roll_up(log.bodies())), most=20, now=report_kit.NOW)


PAGES = {"month": month, "crowded": crowded, "empty": lambda: written(tell(roll_up([])), most=5, now=report_kit.NOW)}
SHOWN = [*(("month", view) for view in VIEWS), *(("crowded", view) for view in VIEWS if view != "dark"), ("empty", "phone")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, write in PAGES.items():
        (folder / f"{name}.html").write_text(write(), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@contextmanager
def opened(browser: Browser, file: Path, **view: Any) -> Iterator[Page]:
    """A page as one who opens the file sees it."""
    context = browser.new_context(**view)
    context.set_default_timeout(120_000)
    try:
        shown = context.new_page()
        if view == VIEWS["print"]:
            shown.emulate_media(media="print")
        yield shown
    finally:
        context.close()


@pytest.mark.parametrize(("name", "view"), SHOWN)
def test_it_is_quiet_accessible_and_nothing_lies_on_anything(browser: Browser, files: dict[str, Path], name: str, view: str):
    told: list[str] = []
    asked: list[str] = []
    with opened(browser, files[name], **VIEWS[view]) as shown:
        shown.on("console", lambda message: told.append(message.text))
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("request", lambda sent: asked.append(sent.url))
        shown.goto(files[name].as_uri())
        folder = os.environ.get("THRIFT_TEST_SCREENSHOTS")
        if folder:
            shown.screenshot(path=Path(folder) / f"{name}-{view}.png", full_page=True)
        assert shown.evaluate(LOOK) == []
        if view != "phone":
            assert shown.evaluate(SIDEWAYS) == 0, "a table is cut off"
        if view != "print" and shown.locator("summary").count():
            shown.locator("summary").click()
            assert shown.evaluate(LOOK) == [], "with the days in numbers"
        found = Axe().run(shown)
    assert not found.response["violations"], found.generate_report()
    assert told == []
    assert [url for url in asked if url != files[name].as_uri() and not url.startswith("data:")] == []


def test_it_sees_what_lies_on_something(browser: Browser, tmp_path: Path):
    (tmp_path / "bad.html").write_text("<p>one</p><p style='margin-top:-2em'>two</p><p style='width:9999px'>three</p>")
    with opened(browser, tmp_path / "bad.html", **VIEWS["light"]) as shown:
        shown.goto((tmp_path / "bad.html").as_uri())
        assert len(shown.evaluate(LOOK)) >= 2


def test_dark_is_dark_and_paper_is_white(browser: Browser, files: dict[str, Path]):
    papers = {}
    for name in ("light", "dark", "print"):
        with opened(browser, files["month"], **{"color_scheme": "dark", **VIEWS[name]}) as shown:
            if name == "print":
                shown.emulate_media(media="print", color_scheme="dark")
            shown.goto(files["month"].as_uri())
            papers[name] = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    assert papers == {"light": "rgb(250, 249, 246)", "dark": "rgb(20, 23, 26)", "print": "rgb(255, 255, 255)"}


def test_a_reader_of_screens_hears_it_in_order(browser: Browser, files: dict[str, Path]):
    with opened(browser, files["month"]) as shown:
        shown.goto(files["month"].as_uri())
        levels = shown.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(head => +head.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        unnamed = "[...document.querySelectorAll('table')].filter(table => !table.caption?.textContent.trim()).length"
        assert shown.evaluate(unnamed) == 0
        for mark in shown.locator("svg:not([aria-hidden])").all():
            assert mark.locator("title").first.text_content()
