"""Whether two answers of a model to the same question say the same: a model that guesses seldom guesses alike twice.

Tool calls and structured answers must be equal. Of a text it is enough that what it comes to is: a marked result, or where a
number is asked for, the numbers of its last sentence. In doubt they differ, and a stronger model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard
from unicodedata import normalize

import orjson

from thrift_plugins.shape import portable, structured, words
from thrift_plugins.text.features import features
from thrift_plugins.types import Json, Reply, Request, ToolCall

_READ: Final = 20_000  # letters of an answer, at its end: there a result stands
_MARKED: Final = re.compile(
    r"(?:####|\bthe answer(?: is|:)|\banswer(?: is)?:|\bresult(?: is)?:|\\boxed\{|答案(?:是|为|:)|答え(?:は|:))\s*(?=([^\n}]{1,120}))"
)
_OPTION: Final = re.compile(r"\(?([a-j])(?:\)|[).:] .*)?")  # (b), or b) with what it says
_SENTENCE: Final = re.compile(r"[.!?。！？](?:\s|$)|\n")  # noqa: RUF001
_NUMBER: Final = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?|(?<=[^\d.,])\d[\d,]*(?:\.\d+)?")
_NOT: Final = re.compile(r"\b(?:not?|never|cannot|neither)\b|n't|不|没|ない")
_DRESS: Final = re.compile(r"[*_`$]+")  # marks of Markdown, and of money
_ENDS: Final = " .!。\"'"  # of no meaning at the ends of a text


def alike(request: Request, first: Reply, second: Reply) -> bool:
    """Whether two answers say the same.

    Args:
        request: what both of them answer.
    """
    if first.tool_calls or second.tool_calls:
        return _same_calls(first.tool_calls, second.tool_calls)
    one, other = words(first), words(second)
    if request.schema is not None:
        return _same_json(one, other)
    if not one.strip() or not other.strip():
        return False
    one, other = _bare(one), _bare(other)
    if one == other:
        return True
    numeric = _asks_for_a_number(request)
    found = result(one, numeric=numeric)
    return found is not None and found == result(other, numeric=numeric)


def result(text: str, *, numeric: bool) -> str | None:
    """What a text comes to, as `alike` compares it; None where it does not say so.

    Args:
        text: without dress, in small letters.
        numeric: whether a number is asked for. Its last sentence then says it, and words beside the numbers do not matter.
    """
    marked = _MARKED.findall(text)
    if marked:
        said = marked[-1]  # an answer may be taken back
    elif numeric:
        said = next((part for part in reversed(_SENTENCE.split(text)) if part.strip()), "")
    else:
        return None
    said = said.strip(_ENDS)
    option = _OPTION.fullmatch(said)
    if option is not None:
        return f"option {option[1]}"
    return _numbers(said) if numeric else said or None


def _numbers(said: str) -> str | None:
    """The numbers of a sentence, each once, and what turns them into others; of a sum, those behind the last sign of equality."""
    found = dict.fromkeys(map(_plain, _NUMBER.findall(said.rpartition("=")[2])))
    if not found:
        return None
    turned = ("%" if "%" in said else "", "not" if _NOT.search(said) else "")
    return " ".join([*found, *filter(None, turned)])


def _bare(text: str) -> str:
    """A text without what may differ though the same is said: letter case, spaces, marks around words."""
    text = _DRESS.sub("", normalize("NFKC", text[-_READ:]).casefold().replace("\u2212", "-"))
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip()).strip(_ENDS)


def _asks_for_a_number(request: Request) -> bool:
    found = features(request.messages)
    return not found.exam and (found.quantity > 0 or (found.numbers >= 2 and found.asks > 0))


def _plain(number: str) -> str:
    """The same for 1,200 and 1200.00."""
    told = number.replace(",", "")
    return told.rstrip("0").rstrip(".") if "." in told else told


def _same_calls(first: Sequence[ToolCall], second: Sequence[ToolCall]) -> bool:
    """Whether the same tools are called with the same arguments, in any order."""
    left = list(second)
    for call in first:
        twin = next((other for other in left if _same_call(call, other)), None)
        if twin is None:
            return False
        left.remove(twin)
    return not left


def _same_call(first: ToolCall, second: ToolCall) -> bool:
    return portable(first.name) == portable(second.name) and _same(first.arguments, second.arguments)


def _same_json(first: str, second: str) -> bool:
    try:
        return _same(structured(first), structured(second))
    except orjson.JSONDecodeError:
        return False


def _same(first: Json, second: Json) -> bool:
    """Whether two values of JSON are equal. To Python, true is 1."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_same(value, second[name]) for name, value in first.items())
    if _is_list(first) and _is_list(second):
        return len(first) == len(second) and all(map(_same, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)
