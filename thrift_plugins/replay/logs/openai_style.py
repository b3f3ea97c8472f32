"""Requests and answers as OpenAI's API has them, in one record: whatever a team's own proxy or wrapper has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from thrift_plugins.replay.logs.logged import (
    Logged,
    Unread,
    dollars,
    listed,
    mapping,
    params,
    prompt,
    reply,
    schema,
    seconds,
    tools,
)
from thrift_plugins.replay.logs.usage import usage_of
from thrift_plugins.types import Reply, Scope, Usage

NAME: Final = "OpenAI-style requests and responses"

_REQUEST: Final = ("request", "request_body", "req", "body", "input")
_RESPONSE: Final = ("response", "response_body", "resp", "completion", "output")
_TIME: Final = ("at", "timestamp", "ts", "time", "created_at", "created", "start_time", "date")


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of these."""
    request = _request(record)
    return "messages" in request or ("model" in request and ("prompt" in request or "input" in request))


def read(record: Mapping[str, Any]) -> Logged | None:
    """The call of a record. Raises `Unread`."""
    request, given = _request(record), _first(record, _RESPONSE)
    response = mapping(given) or ({"content": given, "stop_reason": "stop"} if isinstance(given, str) else {})
    if isinstance(response.get("body"), Mapping):  # OpenAI's batch files have it one level deeper
        response = mapping(response["body"])
    model = str(request.get("model") or response.get("model") or record.get("model") or "")
    if not model:
        raise Unread("no model")
    used = usage_of(response.get("usage") or record.get("usage"))
    told = _answer(response, used, str(response.get("model") or model))
    error = record.get("error") or response.get("error")
    return Logged(
        id=str(record.get("id") or record.get("request_id") or response.get("id") or ""),
        at=seconds(_first(record, _TIME) or response.get("created")),
        model=model,
        messages=prompt(request),
        usage=used,
        scope=scope_in(record, request),
        tools=tools(request.get("tools")),
        schema=schema(request.get("response_format")),
        params=params(request),
        reply=told,
        paid=dollars(record.get("cost", record.get("cost_usd"))),
        error=str(mapping(error).get("type") or mapping(error).get("message") or error) if error else "",
    )


def answer(response: Mapping[str, Any], used: Usage, model: str) -> Reply | None:
    """The answer in a chat completion, a text completion or Anthropic's message; None where there is none."""
    choices = listed(response.get("choices"))
    if choices:
        choice = mapping(choices[0])
        finish = choice.get("finish_reason")
        told = mapping(choice.get("message")) or {"content": choice.get("text") or ""}
        return reply(told, used, model, str(finish) if finish else None)
    if response.get("content") is not None:
        finish = response.get("stop_reason")
        return reply(response, used, model, str(finish) if finish else None)
    return None


def _answer(response: Mapping[str, Any], used: Usage, model: str) -> Reply | None:
    found = answer(response, used, model)
    if found is not None:
        return found
    items = [mapping(each) for each in listed(response.get("output"))]  # of the Responses API
    parts = [item for item in items if item.get("type") == "message"]
    calls = [item for item in items if item.get("type") == "function_call"]
    if not parts and not calls:
        return None
    why = mapping(response.get("incomplete_details")).get("reason") or response.get("status") or "completed"
    content = parts[-1].get("content") if parts else ""
    return reply({"content": content, "tool_calls": calls}, used, model, "stop" if why == "completed" else str(why))


def scope_in(*places: Mapping[str, Any]) -> Scope:
    """Whose call it was, as far as a record says so by a usual name."""
    found = [each for place in places for each in (place, mapping(place.get("metadata"))) if each]

    def named(*names: str) -> str:
        values = (place.get(name) for name in names for place in found)
        return next((str(value) for value in values if isinstance(value, str | int) and value != ""), "")

    return Scope(
        tenant=named("tenant", "tenant_id", "thrift_tenant", "org_id", "organization_id", "team_id"),
        user=named("user", "user_id", "end_user", "thrift_user"),
        feature=named("feature", "thrift_feature", "route", "endpoint"),
        session=named("session", "session_id", "thread_id", "conversation_id", "thrift_session"),
    )


def _request(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found = mapping(_first(record, _REQUEST))
    inner = mapping(found.get("body"))
    return inner or found or record


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)
