"""Reads what a message is made of: passages that were found for a question, the question itself, and everything else.

Only forms that nobody writes by chance are read as passages. What is not is protected: it is sent as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from thrift_plugins.compression.enclosed import enclosed
from thrift_plugins.text.sentences import is_dialogue

Kind: TypeAlias = Literal["context", "head", "frame", "query", "other"]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text, in its order; all of them joined are the text.

    Attributes:
        kind: "context" may lose sentences, "head" stands before the context after it and goes with it, "query" is asked,
            "other" is instructions and whatever else, "frame" what encloses contexts: these stay.
        title: of a context, what it is about.
        score: of a context, its retriever's.
    """

    kind: Kind
    text: str
    title: str = ""
    score: float | None = None


_TAGS: Final = "context|contexts|document|documents|passage|passages|search_results|search_result|sources|source|transcript|article|articles|excerpts|knowledge"
_OPENS: Final = re.compile(rf"<(?P<tag>{_TAGS})(?:\s[^<>\n]*)?>\n?", re.IGNORECASE)
_RULE: Final = re.compile(r"^(?:-{5,}|={5,}|#{5,})$", re.MULTILINE)
_NAMES_CONTEXT: Final = re.compile(r"\b(?:context|passages?|documents?|sources?)\b", re.IGNORECASE)
_HEADED: Final = re.compile(
    r"^(?:#+ *|\*\*)?(?:Retrieved |Relevant |Background |Supporting |Search |Reference )?"
    r"(?:Context|Contexts|Passages|Documents|Docs|Sources|Search results|Results|Excerpts|Transcript|References|Knowledge|参考资料|资料|上下文|文档|背景)"
    r"(?:\*\*)?(?: (?:information|below))*\s*[:：](?:\*\*)?[ \t]*\n?",  # noqa: RUF001
    re.MULTILINE | re.IGNORECASE,
)
_ASKED: Final = re.compile(
    r"^(?:#+ *|\*\*)?(?:Question|User question|Query|User query|Q|Task|Instructions?|Request|问题|提问|质問|質問)(?:\*\*)?\s*[:：](?:\*\*)?",  # noqa: RUF001
    re.MULTILINE | re.IGNORECASE,
)
_NUMBERED: Final = re.compile(
    r"^(?:\[(?P<a>\d{1,3})\]|(?:Document|Passage|Source|Doc|Result|Excerpt) *\[?(?P<b>\d{1,3})\]?[:.]?|\((?P<c>\d{1,3})\)(?= ))[ \t]*"
    r"(?P<title>(?:\(Title: [^\n]{1,160}?\))|[^\n]{1,160}(?=\n))?",
    re.MULTILINE,
)
_TITLE_LINE: Final = 110
_LEAST_CONTEXT: Final = 80
"""Characters; a shorter context has nothing to give."""


def parts_of(text: str) -> list[Part]:
    """The parts of a text. One part of kind "other" where nothing in it is known to be context."""
    for read in (_tagged, _ruled, _headed, _listed, _transcript):
        found = read(text)
        if found is not None and sum(len(part.text) for part in found if part.kind == "context") >= _LEAST_CONTEXT:
            return [part for part in found if part.text]
    return [Part("other", text)] if text else []


def passages(text: str) -> int:
    """How many documents a text encloses that were found for a question; 0 for a conversation."""
    return 0 if is_dialogue(text) else sum(part.kind == "context" for part in parts_of(text))


def query_in(parts: list[Part]) -> str:
    """The question of a message: what is asked, or what stays beside its context where nothing says that it asks."""
    asked = " ".join(part.text for part in parts if part.kind == "query").strip()
    if asked:
        return _unlabelled(asked)
    beside = [part.text.strip() for part in parts if part.kind == "other" and part.text.strip()]
    paragraphs = [one.strip() for text in beside for one in text.split("\n\n") if one.strip()]
    questions = [one for one in paragraphs if one.rstrip("*_ ").endswith(("?", "？"))]  # noqa: RUF001
    return _unlabelled((questions or paragraphs or [""])[-1])


def _unlabelled(text: str) -> str:
    before, gap, last = text.rstrip().rpartition("\n")
    if gap and _LABEL.fullmatch(last.strip()):
        text = before
    return _ASKED.sub("", text, count=1).strip()


_LABEL: Final = re.compile(r"(?:Answer|A|回答|答案)\s*[:：]?")  # noqa: RUF001


def _tagged(text: str) -> list[Part] | None:
    found: list[Part] = []
    at = 0
    for opens, closes in enclosed(text, _OPENS, _closing):
        inner = text[opens.end() : closes.start()].rstrip()
        found += _beside(text[at : opens.start()])
        found.append(Part("frame", opens.group()))
        found += _passages(inner)
        found.append(Part("frame", text[opens.end() + len(inner) : closes.end()]))
        at = closes.end()
    return [*found, *_beside(text[at:])] if found else None


def _closing(tag: str) -> re.Pattern[str]:
    return re.compile(f"</{tag}>", re.IGNORECASE)


def _ruled(text: str) -> list[Part] | None:
    """Between two rules that are alike, under a line that says what is there."""
    rules = list(_RULE.finditer(text))
    for at, opens in enumerate(rules):
        closes = next((rule for rule in rules[at + 1 :] if rule.group() == opens.group()), None)
        before = text.rfind("\n", 0, max(0, opens.start() - 1)) + 1
        if closes is not None and _NAMES_CONTEXT.search(text, before, opens.start()):
            start, end = opens.end() + 1, max(opens.end() + 1, closes.start() - 1)
            return [
                *_beside(text[:before]),
                Part("frame", text[before:start]),
                *_passages(text[start:end]),
                Part("frame", text[end : closes.end()]),
                *_beside(text[closes.end() :]),
            ]
    return None


def _headed(text: str) -> list[Part] | None:
    match = _HEADED.search(text)
    if match is None:
        return None
    end = _end_of_context(text, match.end())
    told = _end_of_passages(text, match.end(), end)
    return [
        *_beside(text[: match.start()]),
        Part("frame", match.group()),
        *_passages(text[match.end() : told]),
        Part("other", text[told:end]),
        *_beside(text[end:], asks=True),
    ]


def _listed(text: str) -> list[Part] | None:
    marks = list(_NUMBERED.finditer(text))
    if len(marks) < _LEAST_LISTED or [_number(mark) for mark in marks[:2]] not in ([1, 2], [0, 1]):
        return None
    end = _end_of_context(text, marks[-1].end())
    told = _end_of_passages(text, marks[-1].end(), end)
    return [
        *_beside(text[: marks[0].start()]),
        *_passages(text[marks[0].start() : told]),
        Part("other", text[told:end]),
        *_beside(text[end:], asks=True),
    ]


_LEAST_LISTED: Final = 3


def _transcript(text: str) -> list[Part] | None:
    body, gap, asked = text.rpartition("\n\n")
    if not gap or not is_dialogue(body) or len(asked) > _LONGEST_QUESTION:
        return None
    return [Part("context", body), Part("frame", gap), Part("query", asked)]


_LONGEST_QUESTION: Final = 1_500


def _end_of_context(text: str, start: int) -> int:
    """Where passages that nothing closes end: before what asks, or before the last paragraph where it is short."""
    asked = [match.start() for match in _ASKED.finditer(text, start)]
    if asked:
        return asked[-1]
    last = text.rstrip().rfind("\n\n", start)
    if last > 0 and len(text) - last <= _LONGEST_QUESTION and not _NUMBERED.match(text, last + 2):
        return last + 2
    return len(text)


def _end_of_passages(text: str, start: int, end: int) -> int:
    """Where the instructions begin that stand between passages that nothing closes and the question behind them."""
    for _ in range(_PARAGRAPHS):
        gap = text.rfind("\n\n", start, max(start, len(text[:end].rstrip())))
        if gap < 0 or _TELLS.match(text, gap + 2) is None:
            break
        end = gap + 2
    return end


_PARAGRAPHS: Final = 12
"""Of instructions; each look costs the length of the text."""


_TELLS: Final = re.compile(
    r"\s*(?:[-*>#]+ *|\*\*)?(?:Instructions?\b|Answer\b|Respond\b|Reply\b|Return\b|Output\b|Write\b|Use\b|Using\b|Cite\b|Quote\b|Keep\b|Be\b|Do not\b|Don['\u2019]t\b"
    r"|Never\b|Always\b|Only\b|Please\b|Make sure\b|Remember\b|You (?:are|must|should|may|can|will)\b|If (?:you|the (?:answer|context|question|documents?|passages?))\b"
    r"|(?:Based|Given|Considering|According)\b|请|不要|只|仅|根据|如果)",
    re.IGNORECASE,
)
"""How a paragraph begins that tells a model what to do. One of a passage that begins so stays too."""


def _beside(text: str, *, asks: bool = False) -> list[Part]:
    """What is no context: the question from where it is said to be one, or all of it behind a context."""
    if not text.strip():
        return [Part("other", text)] if text else []
    asked = list(_ASKED.finditer(text))
    if asked:
        at = asked[-1].start()
        return [*([Part("other", text[:at])] if at else []), Part("query", text[at:])]
    return [Part("query" if asks else "other", text)]


def _passages(text: str) -> list[Part]:
    """The passages of a context: numbered ones with their titles, or one that is all of it."""
    marks = list(_NUMBERED.finditer(text))
    if len(marks) < 2:
        inner = _tagged(text)
        return inner if inner is not None else [Part("context", text)]
    found = [Part("context", text[: marks[0].start()])] if text[: marks[0].start()].strip() else []
    if not found and marks[0].start():
        found.append(Part("other", text[: marks[0].start()]))
    for mark, end in zip(marks, [*(following.start() for following in marks[1:]), len(text)], strict=True):
        found += _passage(text[mark.start() : end], mark)
    return found


def _passage(text: str, mark: re.Match[str]) -> Iterator[Part]:
    """A numbered passage: the number with its title, and what it says. Where all of it is one line, there is no title."""
    title = mark.group("title") or ""
    body = text[mark.end() - mark.start() :]
    if not title or len(title) > _TITLE_LINE or not body.strip():
        cut = (mark.start("title") if title else mark.end()) - mark.start()
        yield Part("head", text[:cut])
        yield Part("context", text[cut:])
        return
    head = mark.end() - mark.start()
    gap = len(body) - len(body.lstrip())
    yield Part("head", text[: head + gap], title.strip())
    yield Part("context", body[gap:], title.strip().removeprefix("(Title: ").rstrip(")"))


def _number(mark: re.Match[str]) -> int:
    return int(mark.group("a") or mark.group("b") or mark.group("c"))
