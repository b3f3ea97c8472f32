"""White space and markup that say nothing: taken out of prose, never out of code, tables, indentation or quotes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from thrift_plugins.text.sentences import FENCE

_TRAILING: Final = re.compile(r"(?<=\S)[ \t]+(?=\n)")
_BLANK: Final = re.compile(r"\n(?:[ \t]*\n){2,}")
_INNER: Final = re.compile(r" (?<=[\w,.;:!?)] ) +(?=[\w(])")
_EXACT: Final = re.compile(r"[|\t`\"'\u201c\u201d\u2018\u2019{}<>=\\]|^\s")
"""A line with one of these may be a table, code, a quotation or a template: its inner white space stays."""


def tidied(text: str) -> str:
    """The text without trailing white space, runs of empty lines, and double spaces inside plain prose."""
    if "```" not in text and "~~~" not in text:
        return _prose(text)
    parts: list[str] = []
    at = 0
    for fence in FENCE.finditer(text):
        parts += [_prose(text[at : fence.start()]), fence.group()]
        at = fence.end()
    return "".join([*parts, _prose(text[at:])])


def _prose(text: str) -> str:
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    if "\n" in text:
        text = _BLANK.sub("\n\n", text)
    if "  " not in text:
        return text
    return "\n".join(line if _EXACT.search(line) else _INNER.sub(" ", line) for line in text.split("\n"))


_MARKUP: Final = re.compile(r"<(?:html|body|div|p|span|table|ul|ol|section|article|h[1-6])\b[^<>]*>", re.IGNORECASE)
_LEAST_TAGS: Final = 4
_SILENT: Final = frozenset({"script", "style", "noscript", "template", "svg", "head"})
_BREAKS: Final = frozenset(
    {
        "p",
        "div",
        "br",
        "li",
        "tr",
        "table",
        "ul",
        "ol",
        "section",
        "article",
        "header",
        "footer",
        "blockquote",
        "pre",
        "hr",
    }
    | {f"h{level}" for level in range(1, 7)}
)


def is_html(text: str) -> bool:
    """Whether a text is a page, or a part of one, and not prose that names a tag."""
    if not text.lstrip().startswith("<") or "```" in text or len(_MARKUP.findall(text)) < _LEAST_TAGS:
        return False
    low = text.lower()
    return not any(low.count(opens, low.rfind(closes) + 1) > _FEW for opens, closes in _READ_ON)


_READ_ON: Final = (("<", ">"), ("<!--", "-->"), ("<![", "]>"), ("<![cdata[", "]]>"))
"""What the parser reads to the end of a page for where it is not closed, each time that it is opened."""

_FEW: Final = 16


def html_text(text: str) -> str:
    """The words of a page with the addresses of its links and pictures, a line for each block, `|` between cells.

    As it was where its declarations are none that a parser knows.
    """
    reader = _Words()
    try:
        reader.feed(text)
        reader.close()
    except AssertionError:
        return text
    return re.sub(r"\n{2,}", "\n", re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(reader.parts))).strip()


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0
        self._exact = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BREAKS:
            self.parts.append("\n")
        elif tag in {"td", "th"}:
            self.parts.append(" | ")
        self._exact += tag == "pre"
        if tag == "a":
            self._links.append(told.get("href") or "")
        if tag == "img":
            self.parts.append(" ".join(filter(None, (told.get("alt"), told.get("src")))))

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BREAKS:
            self.parts.append("\n")
        self._exact = max(0, self._exact - (tag == "pre"))
        if tag == "a" and self._links:
            link = self._links.pop()
            self.parts.append(f" ({link})" if link and not link.startswith("#") else "")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data if self._exact else re.sub(r"\s+", " ", data))
