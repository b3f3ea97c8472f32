"""Why a cheap answer must not stand, told from the answer alone: no model and no training is asked."""

from __future__ import annotations

from thrift_plugins.routing.constraints import output_limit
from thrift_plugins.shape import misfit, words
from thrift_plugins.types import Reply, Request


def rejects(request: Request, reply: Reply) -> str | None:
    """The reason to ask a stronger tier, or None where nothing speaks against the answer.

    Returns:
        A short phrase such as "content filter", "truncated", "empty answer", "missing argument 'city' of 'weather'".
    """
    if reply.finish_reason == "content_filter":
        return "content filter"
    if reply.finish_reason in {"length", "max_tokens", "MAX_TOKENS"} and output_limit(request) is None:
        return "truncated"
    if not reply.tool_calls and not words(reply).strip():
        return "empty answer"
    return misfit(request, reply)
