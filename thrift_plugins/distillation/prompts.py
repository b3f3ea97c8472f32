"""Which requests are one task's: the prompt around the text that changes, and the text itself, without secrets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from thrift_plugins.shape import function
from thrift_plugins.types import Message, Request

_SHORTEST_FRAME: Final = 12
"""Characters that texts share at one end, from which they belong to the prompt."""

_STRAYS: Final = 0.02
"""Share of texts that may have another prompt around them: somebody has tried something."""

REDACTOR: Final = "1"
"""Version of what is redacted: a student reads texts as they were when it learnt."""

LARGEST: Final = 20_000
"""Characters of a text that is worth reading; longer ones are documents."""

_SECRETS: Final = (
    ("<email>", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]*\w")),  # looks at a long word once, not from each letter
    ("<key>", re.compile(r"\b(?:sk|pk|rk|ghp|gho|xox[abp]|AKIA|AIza|eyJ)[-_A-Za-z0-9.]{16,}")),
    ("<iban>", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?\b")),
    ("<card>", re.compile(r"\b\d(?:[ -]?\d){12,18}\b")),
    ("<phone>", re.compile(r"(?<![\w.])\+?\d{1,3}?[ (-]{0,2}\d{2,4}[) -]{1,2}\d{3,4}[ -]?\d{2,4}(?:[ -]?\d{2,4})?\b")),
    ("<address>", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
)


def redacted(text: str) -> str:
    """The text with what may name or open somebody replaced by what it was: mail addresses, keys, accounts, numbers."""
    for name, pattern in _SECRETS:
        text = pattern.sub(name, text)
    return text


def holds_redacted(text: str) -> bool:
    """Whether something was taken out of it."""
    return "<" in text and any(name in text for name, _ in _SECRETS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a student sees it.

    Attributes:
        text: the user's turn.
        prompt: digest of all around it: instructions, tools and schema.
        shots: what was answered in the turns before it. Where these are answers of the task, which the student knows, they are
            examples, and may be others each time; else it is a conversation, which no student follows.
    """

    text: str
    prompt: str
    shots: tuple[str, ...] = ()


_OF_A_TOOL: Final = ("name", "description", "parameters")


def asked(request: Request) -> Asked | str:
    """What is asked; in words, why no student can answer it."""
    turns = [message for message in request.messages if message.role != "system"]
    shots = _shots(turns[:-1])
    if shots is None or not turns or turns[-1].role != "user":
        return CONVERSATION
    if not isinstance(turns[-1].content, str):
        parts = turns[-1].content
        if not all(isinstance(part, str) or (isinstance(part, dict) and part.get("type") == "text") for part in parts):
            return "there is more than text in it"
    if len(turns[-1].text) > LARGEST:
        return "a document, and no single question"
    told: dict[str, Any] = {
        "system": [message.text for message in request.messages if message.role == "system"],
        "tools": [[function(tool).get(part) for part in _OF_A_TOOL] for tool in request.tools],
        "schema": request.schema,
    }
    try:
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:32]
    except (TypeError, ValueError):
        return "its prompt has no canonical form"
    return Asked(turns[-1].text, digest, shots)


CONVERSATION: Final = "a conversation, and no single question"


def _shots(turns: Sequence[Message]) -> tuple[str, ...] | None:
    """The answers among pairs of a question and an answer, None where they are no such pairs."""
    if [turn.role for turn in turns] != ["user", "assistant"] * (len(turns) // 2):
        return None
    if any(turn.tool_calls or not isinstance(turn.content, str) for turn in turns):
        return None
    return tuple(str(turn.content) for turn in turns[1::2])


@dataclass(frozen=True, slots=True)
class Frame:
    """What of a prompt stands in the user's turn, before and behind the text that changes."""

    before: str = ""
    behind: str = ""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Frame:
        """What these begin and end with, all but a few strays, as far as it is long enough to be no chance."""
        if len(set(texts)) < 2:
            return cls()
        before = _shared(texts)
        before = before[: 1 + max(before.rfind(" "), before.rfind("\n"))]
        if len(before) < _SHORTEST_FRAME:
            before = ""
        rest = [text[len(before) :][::-1] for text in texts if text.startswith(before)]
        behind = _shared(rest)[::-1]
        cut = min((at for at in (behind.find(" "), behind.find("\n")) if at >= 0), default=len(behind))
        behind = behind[cut:]
        return cls(before, behind if len(behind) >= _SHORTEST_FRAME else "")

    def inside(self, text: str) -> str | None:
        """The text that changes, None where the prompt is another one."""
        if not text.startswith(self.before) or not text.endswith(self.behind):
            return None
        if len(text) < len(self.before) + len(self.behind):
            return None
        return text[len(self.before) : len(text) - len(self.behind)]


def _shared(texts: Sequence[str]) -> str:
    """The most that all but a few of these begin with."""
    ranked, few = sorted(texts), int(_STRAYS * len(texts))
    # whatever is between two texts in their order begins with what these two share
    return max((_common(ranked[at], ranked[at - few - 1]) for at in range(few + 1)), key=len)


def _common(one: str, other: str) -> str:
    pairs = zip(one, other, strict=False)
    return one[: next((at for at, (mine, its) in enumerate(pairs) if mine != its), min(len(one), len(other)))]
