"""The stages that a text goes through. Each is checked when it is done, and taken back where it broke something."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from thrift_plugins.compression.enclosed import enclosed
from thrift_plugins.compression.extraction import GAP, Extractor
from thrift_plugins.compression.json_forms import cheapest
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.marks import broken, in_order
from thrift_plugins.compression.prompt_parts import Part
from thrift_plugins.compression.reading import Passage
from thrift_plugins.compression.repeats import without_repeats
from thrift_plugins.compression.result import Dropped, Stage, StageName, dropped
from thrift_plugins.compression.tidy import html_text, is_html, tidied

Measure: TypeAlias = Callable[[str], int]
Parts: TypeAlias = Sequence[Part]


@dataclass(slots=True)
class Work:
    """One text on its way.

    Attributes:
        parts: as they are now.
        message: index of its message.
        tokens: of all parts as they are now.
        before: of all parts as they were.
        stages: what was done.
        dropped: what was left out.
        failed: whether a stage has raised, and may not the next time.
    """

    parts: list[Part]
    message: int
    measure: Measure
    tokens: int
    stages: list[Stage] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    failed: bool = False
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.tokens

    @property
    def text(self) -> str:
        """All parts together."""
        return "".join(part.text for part in self.parts)

    def take(self, name: StageName, stage: Callable[[Work], None]) -> None:
        """Go through a stage, or say that it raised."""
        try:
            stage(self)
        except Exception as error:  # noqa: BLE001  an embedder is the app's own; a prompt can always be sent as it is
            self.failed = True
            self.stages.append(Stage(name, self.message, self.tokens, self.tokens, "", f"{type(error).__name__} raised"))

    def changed(self, name: StageName, at: int, text: str, *, detail: str = "", wrong: str = "") -> None:
        """Take over one part as a stage has made it, if it is right and shorter. Only the part is counted."""
        part = self.parts[at]
        ends = part.text[len(part.text.rstrip()) :]
        text = text.rstrip() + ends if ends else text
        saved = self.measure(part.text) - self.measure(text)
        if not wrong and (saved <= 0 or not text.strip()):
            return
        after = self.tokens if wrong else self.tokens - saved
        self.stages.append(Stage(name, self.message, self.tokens, after, detail, wrong))
        if not wrong:
            self.parts[at] = replace(part, text=text)
            self.tokens = after

    def done(
        self, name: StageName, parts: list[Part], goes: Sequence[Dropped] = (), *, detail: str = "", wrong: str = ""
    ) -> None:
        """Take over what a stage has made, unless something is wrong with it; then only say so."""
        before = self.tokens
        after = self.measure("".join(part.text for part in parts))
        if not wrong and after >= before:
            wrong = "it saves nothing" if after == before else "it would be longer"
        if not wrong and not any(part.text.strip() for part in parts):
            wrong = "nothing would be left"
        if wrong:
            self.stages.append(Stage(name, self.message, before, before, detail, wrong))
            return
        self.parts, self.tokens = parts, after
        self.dropped += goes
        self.stages.append(Stage(name, self.message, before, after, detail))


def spelling(work: Work) -> None:
    """Contexts in a cheaper spelling: JSON in another form, a page as its words, prose without idle white space."""
    for at, part in enumerate(work.parts):
        if part.kind != "context":
            continue
        written = cheapest(part.text, work.measure)
        if written is not None:
            if written.form != "as it was":
                work.changed("json", at, written.text, detail=written.form)
            continue
        if is_html(part.text):
            made = html_text(part.text)
            work.changed("html", at, made, wrong=_lost_of_page(part.text, made))
            part = work.parts[at]  # noqa: PLW2901  as the page has become
        made = tidied(part.text)
        if made != part.text:
            work.changed("tidy", at, made, wrong=_lost_of_prose(part.text, made))


def _lost_of_prose(text: str, made: str) -> str:
    """What is missing where only white space should be."""
    if text.split() != made.split():
        return broken(text, made) or "a word would be lost"
    return broken(text, made, ("fence", "code", "quote")) if _QUOTED.search(text) else ""


_QUOTED: Final = re.compile('[`~"\u201c\u300c]')


def duplicates(work: Work) -> None:
    """Contexts without what another one before them has said."""
    places = [at for at, part in enumerate(work.parts) if part.kind == "context"]
    texts = [work.parts[at].text for at in places]
    made = without_repeats(texts)
    if made == texts:
        return
    parts = list(work.parts)
    goes: list[Dropped] = []
    for place, before, after in zip(places, texts, made, strict=True):
        if before == after:
            continue
        parts[place] = replace(parts[place], text=after if after.strip() else "")
        goes += [dropped(work.message, parts[place].title, text, "duplicates") for text in _missing(before, after)]
        if not after.strip():
            _close(parts, place)
    whole = "\n".join(texts)
    wrong = "" if all(one.text.strip() in whole for one in goes) else "it left out what is nowhere else"
    work.done("duplicates", parts, goes, wrong=wrong)


def _missing(before: str, after: str) -> list[str]:
    """What of a text is gone: its beginning, or paragraphs."""
    if before.endswith(after):
        return [before[: len(before) - len(after)]]
    stays = Counter(after.split("\n\n"))
    gone: list[str] = []
    for one in before.split("\n\n"):
        if stays[one] > 0:
            stays[one] -= 1
        else:
            gone.append(one)
    return gone


def extraction(work: Work, query: str, limit: Limit, extractor: Extractor) -> None:
    """Of the contexts the sentences that the question needs."""
    places = [at for at, part in enumerate(work.parts) if part.kind == "context" and part.text.strip()]
    if not places:
        return
    passages = [Passage(work.parts[at].text, work.parts[at].title, work.parts[at].score) for at in places]
    heads = [_head(work.parts, at) for at in places]
    letters = sum(len(part.text) for part in work.parts)
    share = (sum(len(passage.text) for passage in passages) + sum(map(len, heads))) / max(1, letters)
    made = extractor.extract(query, passages, limit, work.measure, heads, whole=round(work.tokens * share))
    if all(excerpt.whole for excerpt in made.excerpts):
        return
    parts = list(work.parts)
    goes: list[Dropped] = []
    wrong = ""
    for place, passage, excerpt in zip(places, passages, made.excerpts, strict=True):
        if excerpt.whole:
            continue
        ends = passage.text[len(passage.text.rstrip()) :]
        parts[place] = replace(parts[place], text=excerpt.text + ends if excerpt.text else "")
        goes += [
            dropped(work.message, passage.title, passage.text[span.start : span.end], "extraction")
            for span in excerpt.dropped
        ]
        wrong = wrong or _wrong_excerpt(passage.text, excerpt.text)
        if not excerpt.text:
            _close(parts, place)
    if all(not parts[place].text for place in places):
        wrong = "nothing would be left"
    work.done("extraction", parts, goes, wrong=wrong)


def _wrong_excerpt(before: str, after: str) -> str:
    if not in_order(before, [piece.strip() for piece in after.split(GAP) if piece.strip()]):
        return "a sentence is not as it was"
    return "a tag would lose its other half" if after and _balance(before) != _balance(after) else ""


_TAG: Final = re.compile(r"<(/?)([A-Za-z][\w:.-]{0,40})(?:\s[^<>\n]{0,200})?(/?)>")


def _balance(text: str) -> dict[str, int]:
    """For each tag how many more open than close; those that are even are left out."""
    found: Counter[str] = Counter()
    for closes, name, empty in _TAG.findall(text) if "<" in text else ():
        if not empty:
            found[name.lower()] += -1 if closes else 1
    return {name: count for name, count in found.items() if count}


def _head(parts: Parts, at: int) -> str:
    return parts[at - 1].text if at and parts[at - 1].kind == "head" else ""


def _close(parts: list[Part], at: int) -> None:
    """Nothing of a context is left: its head goes too."""
    if at and parts[at - 1].kind == "head":
        parts[at - 1] = replace(parts[at - 1], text="")


_SILENT: Final = re.compile(r"<(?P<tag>(?:script|style|noscript|template|svg|head)\b|!--)", re.IGNORECASE)
_LINK: Final = re.compile(r"\b(?:href|src)\s*=\s*[\"']?(https?://[^\s\"'<>]+)", re.IGNORECASE)


def _lost_of_page(page: str, made: str) -> str:
    """What of the words of a page is missing; "" where nothing is. Its addresses must all be there."""
    seen = _seen(page)
    missing = [link for link in _LINK.findall(seen) if html.unescape(link) not in made]
    if missing:
        return f"{len(missing)} addresses would be lost"
    plain = html.unescape(re.sub(r"<[^<>]+>", " ", seen))
    return broken(" ".join(plain.split()), " ".join(made.split()), ("negation",)) or _fewer_words(plain, made)


def _seen(page: str) -> str:
    """A page without what nobody sees of it."""
    parts: list[str] = []
    at = 0
    for opens, closes in enclosed(page, _SILENT, _closing):
        parts.append(page[at : opens.start()])
        at = closes.end()
    return " ".join([*parts, page[at:]])


def _closing(tag: str) -> re.Pattern[str]:
    return re.compile("-->" if tag == "!--" else rf"</{tag}\s*>", re.IGNORECASE)


def _fewer_words(plain: str, made: str) -> str:
    lost = Counter(re.findall(r"\w+", plain))
    lost.subtract(re.findall(r"\w+", made))
    gone = sum(count for count in lost.values() if count > 0)
    return f"{gone} words would be lost" if gone else ""
