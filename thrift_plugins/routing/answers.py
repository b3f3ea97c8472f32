"""What a learned check reads of a cheap answer beside its question: its form, its sums, and where their numbers come from.

The names are those that a person can check: a number that is in neither the question nor an earlier result, a result that
is never used, a number of the question that is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import copysign, log1p
from typing import Final

from thrift_plugins.routing.arithmetic import Sum, numbers, sums
from thrift_plugins.routing.traits import last_turn
from thrift_plugins.shape import words
from thrift_plugins.types import Json, Reply, Request

_READ: Final = 6_000
"""Letters of an answer."""

_DOUBTS: Final = re.compile(
    r"\b(?:however|but|assum\w*|approximately|about|let|suppose|denote|unknown|represent|actually|wait|cannot|impossible|"
    r"contradict\w*|mistake|rounded?|perhaps|probably|might|unclear|not sure)\b",
    re.IGNORECASE,
)
_RATIOS: Final = re.compile(
    r"\b(?:half|twice|thrice|third|quarter|percent|times|double|triple|remaining|rest|left|more than|less than|fewer than|each|"
    r"every|per|average|total|difference)\b",
    re.IGNORECASE,
)
_SAID: Final[Mapping[str, tuple[float, ...]]] = {
    "half": (2, 0.5, 50), "twice": (2,), "double": (2,), "doubled": (2,), "triple": (3,), "thrice": (3,), "third": (3,),
    "quarter": (4, 0.25, 25), "dozen": (12,), "week": (7,), "weeks": (7,), "year": (12, 52, 365), "hour": (60,), "hours": (60,),
    "one": (1,), "two": (2,), "three": (3,), "four": (4,), "five": (5,), "six": (6,), "seven": (7,), "eight": (8,),
    "nine": (9,), "ten": (10,), "eleven": (11,), "twelve": (12,), "twenty": (20,), "thirty": (30,), "fifty": (50,),
    "hundred": (100,),
}  # fmt: skip
_MUST: Final = frozenset({"half", "twice", "double", "triple", "third", "quarter", "dozen"})
_FREE: Final = frozenset({1.0, 2.0, 100.0, 0.01, 10.0})  # numbers that need come from nowhere
_WORD: Final = re.compile(r"[a-z]+")
_MARKED: Final = re.compile(r"(?:####|answer is|Answer:|\\boxed\{)\s*(.{0,40})")

NAMES: Final = (
    "letters", "words", "lines", "sums", "wrong sums", "a wrong sum", "equals signs", "numbers", "numbers asked", "marked result",
    "ends in a digit", "ends a sentence", "broken result", "result", "result was asked", "numbers used", "result was found",
    "broken numbers", "doubts", "brackets", "letters over asked", "letters asked", "new numbers", "result far above",
    "result below", "sums over numbers", "divisions", "products", "differences", "additions", "ratios asked", "largest over asked",
    "strange numbers", "a strange number", "unused results", "last result told", "words not used", "marked text",
    "tools called", "arguments", "arguments not said", "nested arguments", "optional arguments", "empty arguments", "invented text",
)  # fmt: skip
"""Of the numbers that `answer_traits` gives."""


def answer_traits(request: Request, reply: Reply) -> list[float]:
    """Numbers that may tell how good an answer is, on a logarithmic scale; as many as `NAMES`."""
    asked, said = last_turn(request.messages), words(reply)[:_READ]
    told = [*_of_words(asked, said), *_of_calls(request, asked, reply)]
    return [copysign(log1p(abs(number)), number) for number in told]


def _of_words(asked: str, said: str) -> list[float]:
    done = list(sums(said))
    given, found = numbers(asked), numbers(said)
    known = set(given)
    used = set(found)
    last = found[-1] if found else -1.0
    results = {round(each.found, 4) for each in done}
    wrong = sum(not each.right for each in done)
    tail = said.rstrip()
    marked = _MARKED.search(tail)
    most = max(given, default=0.0)
    return [
        len(said),
        len(said.split()),
        said.count("\n"),
        len(done),
        wrong,
        min(1, wrong),
        said.count("="),
        len(found),
        len(given),
        marked is not None,
        tail[-1:].isdigit(),
        tail[-1:] in ".!",
        not last.is_integer(),
        last,
        last in known,
        sum(number in used for number in known) / max(1, len(known)),
        round(last, 4) in results,
        sum(not number.is_integer() for number in found) / max(1, len(found)),
        len(_DOUBTS.findall(said)),
        said.count("("),
        len(said) / max(1, len(asked)),
        len(asked),
        len(used - known),
        last > most * 10,
        last < min(given, default=0.0),
        len(done) - len(given),
        said.count("/"),
        said.count("*") + said.count(" x "),
        said.count(" - "),
        said.count("+"),
        len(_RATIOS.findall(asked)),
        max(found, default=0.0) / max(1.0, most),
        *_of_sums(asked, done, known),
        marked is not None and not marked[1].strip(" $").replace(",", "").replace(".", "").isdigit(),
    ]


def _of_sums(asked: str, done: Sequence[Sum], known: set[float]) -> list[float]:
    """Whether what is reckoned with comes from somewhere, and what comes of it goes somewhere."""
    spoken = _WORD.findall(asked.lower())
    said = {number for word in spoken for number in _SAID.get(word, ())}
    sources = known | said | _FREE | {number / 100 for number in known}
    terms = {term for each in done for term in each.terms}
    strange = 0
    for each in done:
        strange += sum(term not in sources for term in each.terms)
        sources.update((each.told, round(each.found, 2)))
    unused = sum(all(each.told not in later.terms for later in done[at + 1 :]) for at, each in enumerate(done[:-1]))
    missed = sum(not terms.intersection(_SAID[word]) for word in _MUST.intersection(spoken))
    return [strange, min(1, strange), unused, done[-1].told if done else -1.0, missed]


def _of_calls(request: Request, asked: str, reply: Reply) -> list[float]:
    """Whether what is given to tools was asked for."""
    lowered = asked.lower()
    required = {name for tool in request.tools for name in _names(tool, "required")}
    given = [call.arguments for call in reply.tool_calls if isinstance(call.arguments, Mapping)]
    flat = [(str(name), value) for arguments in given for name, value in arguments.items()]
    values = [value for _, value in flat]
    texts = [value for value in values if isinstance(value, str)]
    return [
        len(reply.tool_calls),
        len(flat),
        sum(not _is_said(value, lowered) for value in values),
        sum(isinstance(value, list | Mapping) for value in values),
        sum(name not in required for name, _ in flat),
        sum(value in ("", None, [], {}) for value in values),
        sum(len(text) for text in texts if text.lower() not in lowered),
    ]


def _names(tool: Mapping[str, Json], of: str) -> Sequence[str]:
    parameters = tool.get("parameters")
    told = parameters.get(of) if isinstance(parameters, Mapping) else None
    return [name for name in told if isinstance(name, str)] if isinstance(told, Sequence) else []


def _is_said(value: Json, lowered: str) -> bool:
    if isinstance(value, str):
        return value.lower() in lowered
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return f"{value:g}" in lowered.replace(",", "")
    return all(_is_said(part, lowered) for part in (value.values() if isinstance(value, Mapping) else value))
