"""Langfuse's observations, from its API, its pages or its blob export. Only generations count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    unpacked,
)
from thrift_plugins.replay.logs.openai_style import answer, scope_in
from thrift_plugins.replay.logs.usage import langfuse_usage
from thrift_plugins.types import Reply, Scope, Usage

NAME: Final = "Langfuse observations"


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of these."""
    return ("traceId" in record or "trace_id" in record) and "type" in record and "run_type" not in record


def read(record: Mapping[str, Any]) -> Logged | None:
    """The call of a record, None for what is no model's. Raises `Unread`."""
    if str(record.get("type")).upper() != "GENERATION":
        return None

    def either(*names: str) -> Any:
        return next((record[name] for name in names if record.get(name) not in (None, "", {})), None)

    given, settings = unpacked(record.get("input")), mapping(either("modelParameters", "model_parameters"))
    request = mapping(given)
    model = str(either("model", "provided_model_name", "providedModelName", "internalModel", "modelId") or "")
    if not model:
        raise Unread("no model")
    used = langfuse_usage(either("usageDetails", "usage_details", "usage"))
    costs = mapping(either("costDetails", "cost_details"))
    level, status = str(record.get("level") or ""), str(either("statusMessage", "status_message") or "")
    return Logged(
        id=str(record.get("id") or ""),
        at=seconds(either("startTime", "start_time")),
        model=model,
        messages=prompt(request if _asks(request) else {"messages": given}) if given else (),  # which a team may hide
        usage=used,
        scope=_scope(record, either("traceName", "trace_name", "name")),
        tools=tools(request.get("tools")),
        schema=schema(request.get("response_format")),
        params={**params(settings), **params(request)},
        reply=_reply(unpacked(record.get("output")), used, model),
        paid=dollars(either("totalCost", "total_cost", "calculatedTotalCost") or costs.get("total")),
        error=(status or "error")[:200] if level == "ERROR" else "",
    )


def _asks(request: Mapping[str, Any]) -> bool:
    return any(request.get(name) for name in ("messages", "prompt", "input"))


def _scope(record: Mapping[str, Any], name: Any) -> Scope:
    whose = {
        "user": record.get("userId") or record.get("user_id"),
        "session": record.get("sessionId") or record.get("session_id"),
    }
    found = scope_in(whose, record)
    return found if found.feature or not name else replace(found, feature=str(name))


def _reply(told: Any, used: Usage, model: str) -> Reply | None:
    if isinstance(told, str):
        return reply({"content": told}, used, model, "stop")
    found = mapping(told) or mapping(next(iter(listed(told)), None))
    if found.get("choices"):
        return answer(found, used, model)
    if found.get("content") is None and not found.get("tool_calls"):
        return None
    finish = found.get("finish_reason")
    return reply(found, used, model, str(finish) if finish else "stop")
