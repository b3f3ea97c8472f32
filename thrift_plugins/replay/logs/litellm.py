"""LiteLLM's spend logs, from its API or its database. Prompts are in them only where the proxy was told to keep them."""

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
    schema,
    seconds,
    tools,
)
from thrift_plugins.replay.logs.openai_style import answer, scope_in
from thrift_plugins.replay.logs.usage import usage_of
from thrift_plugins.types import Usage

NAME: Final = "LiteLLM spend logs"

_CHAT: Final = ("completion", "text_completion", "generate_content", "responses", "anthropic_messages", "")


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of these."""
    return "spend" in record and "call_type" in record and "request_id" in record


def read(record: Mapping[str, Any]) -> Logged | None:
    """The call of a record, None for what is no chat. Raises `Unread`."""
    if str(record.get("call_type") or "").removeprefix("a") not in _CHAT:
        return None
    metadata, response = mapping(record.get("metadata")), mapping(record.get("response"))
    request = mapping(record.get("proxy_server_request"))
    request = mapping(request.get("body")) or request
    model = str(record.get("model") or request.get("model") or "")
    if not model:
        raise Unread("no model")
    details = usage_of(metadata.get("usage_object") or response.get("usage"))
    used = details if details.source != "none" else _sums(record)
    given = listed(record.get("messages")) or request.get("messages") or request.get("input")
    told = answer(response, used, model)
    failed = str(record.get("status") or metadata.get("status") or "") == "failure"
    scope = scope_in(record, metadata)
    group = str(record.get("model_group") or "")
    return Logged(
        id=str(record.get("request_id")),
        at=seconds(record.get("startTime") or record.get("start_time")),
        model=model,
        messages=prompt({**request, "messages": given}) if given else (),
        usage=used,
        scope=scope if scope.feature else replace(scope, feature=_tag(record) or group),
        tools=tools(request.get("tools")),
        schema=schema(request.get("response_format")),
        params=params(request),
        reply=told if given else None,
        paid=dollars(record.get("spend")),
        error=str(mapping(metadata.get("error_information")).get("error_class") or "failure") if failed else "",
        cached=str(record.get("cache_hit")).lower() == "true",
    )


def _sums(record: Mapping[str, Any]) -> Usage:
    counts = [record.get(name) for name in ("prompt_tokens", "completion_tokens")]
    try:
        return Usage.told(*(int(count or 0) for count in counts)) if any(count not in (None, "") for count in counts) else Usage()
    except ValueError:
        return Usage()


def _tag(record: Mapping[str, Any]) -> str:
    """The first tag of the request that a user of the proxy has chosen, not a client's name."""
    tags = (str(tag) for tag in listed(record.get("request_tags")))
    return next((tag for tag in tags if not tag.startswith("User-Agent:")), "")
