"""What is wrong with an answer by itself, whoever gave it and whatever another would have said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from thrift_plugins.shape import misfit, words
from thrift_plugins.types import Reply, Request

Flaw: TypeAlias = Literal["truncated", "refused", "invalid", "empty"]
Complaint: TypeAlias = Literal["rephrased", "thumbs down"]
"""What its reader has made of it."""

TRUNCATED: Final = frozenset({"length", "max_tokens", "max_output_tokens", "incomplete", "model_length"})
"""The words of the providers for an answer that was cut at the output limit, in small letters."""

REFUSED: Final = frozenset(
    {
        "refusal", "content_filter", "content_filtered", "safety", "guardrail_intervened", "recitation", "prohibited_content",
        "blocklist", "spii", "error_toxic",
    }
)  # fmt: skip
"""Their words for one that was refused or filtered."""

Refusing: TypeAlias = Callable[[Request, Reply], str | None]
"""Reads a refusal from an answer's words; None where it is none."""


def nobody_refuses(_request: Request, _reply: Reply) -> None:
    """A `Refusing` that reads nothing."""


def flaws(request: Request, reply: Reply, refusing: Refusing = nobody_refuses) -> tuple[Flaw, ...]:
    """What is wrong with an answer, for all to see."""
    ending = (reply.finish_reason or "").lower()
    found: list[Flaw] = []
    if ending in TRUNCATED:
        found.append("truncated")
    if ending in REFUSED or refusing(request, reply) is not None:
        found.append("refused")
    if not reply.tool_calls and not words(reply).strip():
        found.append("empty")
    elif misfit(request, reply) is not None:
        found.append("invalid")
    return tuple(found)
