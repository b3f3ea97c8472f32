"""The requests that OpenAI refuses with a 400 and that an app under test must not send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from thrift_plugins.testing.script import Wire, WireRequest

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def problem_of(request: WireRequest) -> str | None:
    """What is wrong with a request, in a sentence, or None."""
    return next((problem for check in _CHECKS if (problem := check(request))), None)


def _model(request: WireRequest) -> str | None:
    return None if request.model else "you must provide a model parameter"


def _messages(request: WireRequest) -> str | None:
    messages = request.body.get("messages")
    if request.endpoint == "completions":
        return None if "prompt" in request.body else "missing required parameter: 'prompt'"
    if not isinstance(messages, Sequence) or not messages:
        return "'messages' must be a non-empty array"
    roles = [message.get("role") for message in messages]
    return next((f"invalid role {role!r} at messages[{i}]" for i, role in enumerate(roles) if role not in _ROLES), None)


def _tool_results(request: WireRequest) -> str | None:
    """Each tool call is answered at once, and nothing else is."""
    open_ids: set[str] = set()
    for index, message in enumerate(request.messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_ids:
                return f"messages[{index}] with role 'tool' must answer a preceding message with 'tool_calls'"
            open_ids.discard(message["tool_call_id"])
        elif open_ids:
            break
        else:
            open_ids = {call["id"] for call in message.get("tool_calls") or ()}
    if open_ids:
        return f"an assistant message with 'tool_calls' must be followed by tool messages for {sorted(open_ids)}"
    return None


def _tool_choice(request: WireRequest) -> str | None:
    choice = request.body.get("tool_choice")
    if choice in {None, "auto", "none"} if not isinstance(choice, dict) else False:
        return None
    names = [function["name"] for function in request.functions]
    if not names:
        return "'tool_choice' is only allowed when 'tools' are specified"
    wanted = choice["function"]["name"] if isinstance(choice, dict) else None
    return f"tool choice {wanted!r} not found in 'tools'" if wanted and wanted not in names else None


def _json_word(request: WireRequest) -> str | None:
    wanted: Wire = request.body.get("response_format") or {}
    if wanted.get("type") == "json_object" and "json" not in request.text.lower():
        return "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'"
    return None


def _stream_options(request: WireRequest) -> str | None:
    if request.body.get("stream_options") and not request.stream:
        return "'stream_options' is only allowed when 'stream' is enabled"
    return None


def _limits(request: WireRequest) -> str | None:
    limit = request.body.get("max_completion_tokens", request.body.get("max_tokens"))
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        return "'max_tokens' must be an integer of at least 1"
    return None


_CHECKS: Final[Sequence[Callable[[WireRequest], str | None]]] = (
    _model,
    _messages,
    _tool_results,
    _tool_choice,
    _json_word,
    _stream_options,
    _limits,
)
