"""A cut answer, asked for its rest once, and put together.

The rest is asked to begin with the last words of what there is, so that the seam is found and not guessed: whether a
space belongs there, nobody could tell otherwise. An answer that does not take up the thread is not joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from thrift_plugins.budgeting.output_words import WORDINGS, language_of
from thrift_plugins.shape import required_tool, words
from thrift_plugins.types import Json, Message, Reply, Request

CUT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length"})
"""How providers say that an answer ended at a limit."""

_TAIL: Final = 48  # characters of the last words
_SEAM: Final = 12  # that must agree, where the rest begins elsewhere than it was asked to
_OVERLAP: Final = 2_000  # characters that the rest may repeat
_MARKS: Final = tuple("\"'`«»„“”‘’「」『』")  # noqa: RUF001  what models put around words that they were given
_QUOTES: Final = "".join(_MARKS) + " \t\r\n…."


def is_cut(reply: Reply) -> bool:
    """Whether an answer ended at a limit on its length."""
    return reply.finish_reason in CUT


def continuation(request: Request, reply: Reply) -> tuple[Message, Message] | None:
    """What to send after the prompt for the rest of an answer: what there is of it, and a request for what is not.

    Returns:
        None where there is no rest to ask for, or none that could be joined: the answer is not cut, shows nothing (all
        went into hidden reasoning), calls tools, or is an object, or one of several.
    """
    if not is_cut(reply) or not reply.complete or reply.tool_calls or request.schema is not None:
        return None
    if required_tool(request) is not None or request.params.get("n") not in (None, 1) or not _all_text(reply.content):
        return None
    text = words(reply)
    if len(text.strip()) < _SEAM:
        return None
    ask = WORDINGS[language_of([text])].go_on.format(tail=_tail(text))
    return Message("assistant", text.rstrip()), Message("user", ask)


def joined(first: Reply, rest: Reply) -> Reply | None:
    """Both as one answer, which ends as the rest does and has used what both have; None where they do not join.

    Args:
        first: an answer for which there is a `continuation`.
        rest: what came of it.
    """
    if rest.tool_calls or not rest.complete or not _all_text(rest.content):
        return None
    new = _new(words(first), words(rest))
    if new is None:
        return None
    return replace(
        first,
        content=_extended(first.content, new),
        usage=first.usage + rest.usage,
        finish_reason=rest.finish_reason,
        storable=first.storable and rest.storable,
    )


def _tail(text: str) -> str:
    """The last words of a text: its last line, or the end of a long one, or more than one where that is short."""
    text = text.strip()
    line = text.rsplit("\n", 1)[-1].strip()
    if _SEAM <= len(line) <= _TAIL or line == text:
        return line[-_TAIL:]
    tail = (line if len(line) > _TAIL else text)[-_TAIL:].lstrip()
    _, space, from_word = tail.partition(" ")
    return from_word if space and len(from_word) >= _SEAM else tail


def _new(text: str, rest: str) -> str | None:
    """What the rest adds to a text, None where it does not take it up."""
    tail, rest = _tail(text), rest.strip()
    bare, start = tail.lstrip(_QUOTES), rest.lstrip(_QUOTES)
    if len(bare) >= _SEAM // 2 and start.startswith(bare):
        new = start[len(bare) :]
        quoted = rest[:1] in _MARKS and not rest.startswith((tail, bare)) and new[:1] in _MARKS
        return new[1:] if quoted else new
    text = text.rstrip()
    longest = min(len(text), len(start), _OVERLAP)
    return next((start[size:] for size in range(longest, _SEAM - 1, -1) if text.endswith(start[:size])), None)


def _extended(content: str | Sequence[Json], new: str) -> str | Sequence[Json]:
    """Content with text at the end of its last block of text."""
    if isinstance(content, str):
        return content.rstrip() + new
    *before, last = content
    if isinstance(last, Mapping):
        return [*before, {**last, "text": str(last["text"]).rstrip() + new}]
    return [*before, str(last).rstrip() + new]


def _all_text(content: str | Sequence[Json]) -> bool:
    """Whether content is nothing but text, reasoning before it apart, so that its end is the end of a text."""
    if isinstance(content, str):
        return True
    kinds = ["text" if isinstance(block, str) else _kind(block) for block in content]
    return bool(kinds) and kinds[-1] == "text" and kinds.count("text") == 1 and not set(kinds) - {"text", "thinking"}


def _kind(block: Json) -> str:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text" and isinstance(block, Mapping) and isinstance(block.get("text"), str):
        return "text"
    return "thinking" if kind in {"thinking", "redacted_thinking", "reasoning"} else "other"
