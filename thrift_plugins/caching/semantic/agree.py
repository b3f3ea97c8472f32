"""Whether two answers say the same: by their words, strictly, without asking a model.

It errs towards "no": an answer in quite other words counts as a wrong one, so what the guard states of errors is rather
too high than too low. An app that knows better gives a function of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from thrift_plugins.caching.semantic.reading import Reading, read
from thrift_plugins.types import Reply

Agree: TypeAlias = Callable[[str, Reply, Reply], bool | None]
"""(question, stored answer, fresh answer) -> whether they say the same, None where that cannot be told."""

_SHARED = 0.5
"""Of the shorter answer's meaning words that the longer one must have."""

_SHORT = 12
"""Words up to which every number and every negation counts."""

_CONSENT = frozenset(("yes", "yeah", "correct", "true", "是", "对", "可"))
_DISSENT = frozenset(("no", "nope", "incorrect", "false", "不", "否", "没"))


def says_the_same(question: str, stored: Reply, fresh: Reply) -> bool | None:  # noqa: ARG001  an app's own may need it
    """The default `Agree`."""
    if stored.tool_calls or fresh.tool_calls:
        return _calls(stored) == _calls(fresh)
    first, second = text_of(stored), text_of(fresh)
    if not first.strip() or not second.strip():
        return None
    if " ".join(first.split()) == " ".join(second.split()):
        return True
    return _alike(read(first), read(second))


def text_of(reply: Reply) -> str:
    """The words of an answer."""
    if isinstance(reply.content, str):
        return reply.content
    return "\n".join(str(block["text"]) for block in reply.content if isinstance(block, dict) and "text" in block)


def _calls(reply: Reply) -> list[tuple[str, object]]:
    return [(call.name, call.arguments) for call in reply.tool_calls]


def _alike(first: Reading, second: Reading) -> bool:
    if _verdict(first) * _verdict(second) < 0:
        return False
    numbers = set(first.numbers), set(second.numbers)
    short = min(len(first.words), len(second.words)) <= _SHORT
    if short and (first.negated != second.negated or numbers[0] != numbers[1]):
        return False
    if not (numbers[0] <= numbers[1] or numbers[1] <= numbers[0]):
        return False
    meant = first.content | first.pairs, second.content | second.pairs
    least = min(map(len, meant))
    return least > 0 and len(meant[0] & meant[1]) >= _SHARED * least


def _verdict(answer: Reading) -> int:
    """1 for an answer that begins with a yes, -1 for a no, else 0."""
    start = answer.words[0] if answer.words else ""
    return (start in _CONSENT) - (start in _DISSENT)
