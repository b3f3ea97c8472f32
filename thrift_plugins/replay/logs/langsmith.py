"""LangSmith's runs, as its SDK gives them or its bulk export writes them. Only those of models count; the others hold them."""

from __future__ import annotations

from collections.abc import Mapping
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
from thrift_plugins.replay.logs.openai_style import answer, scope_in
from thrift_plugins.replay.logs.usage import usage_of
from thrift_plugins.types import Reply, Usage

NAME: Final = "LangSmith runs"


def fits(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of these."""
    return "run_type" in record and ("inputs" in record or "inputs_preview" in record)


def read(record: Mapping[str, Any]) -> Logged | None:
    """The call of a record, None for what is no model's. Raises `Unread`."""
    if record.get("run_type") != "llm":
        return None
    inputs, outputs = mapping(record.get("inputs")), mapping(record.get("outputs"))
    extra = mapping(record.get("extra"))
    metadata, invocation = mapping(extra.get("metadata")), mapping(extra.get("invocation_params"))
    message, finish = _generation(outputs)
    told = mapping(message.get("response_metadata"))
    names = (inputs.get("model"), invocation.get("model"), invocation.get("model_name"), metadata.get("ls_model_name"))
    model = next((str(name) for name in (*names, told.get("model_name")) if name), "")
    if not model:
        raise Unread("no model")
    used = _usage(record, outputs, message)
    given = next((inputs[name] for name in ("messages", "prompts", "prompt", "input") if inputs.get(name)), None)
    if isinstance(given, list) and isinstance(given[0], str):  # prompts of a model of texts, of which a run has one
        given = given[0]
    return Logged(
        id=str(record.get("id") or ""),
        at=seconds(record.get("start_time")),
        model=model,
        messages=prompt({**inputs, "messages": given}) if given else (),  # which a team may hide
        usage=used,
        scope=scope_in(metadata),
        tools=tools(invocation.get("tools") or inputs.get("tools")),
        schema=schema(invocation.get("response_format") or inputs.get("response_format")),
        params={**params(inputs), **params(invocation)},
        reply=_reply(outputs, message, used, model, finish),
        paid=dollars(record.get("total_cost")),
        error=str(record.get("error") or "").partition("\n")[0][:200],
        cached=_given_again(message),
    )


def _given_again(message: Mapping[str, Any]) -> bool:
    """Whether no model was asked: LangChain's cache has answered, or ours, or a student of ours."""
    ours = mapping(mapping(message.get("response_metadata")).get("thrift"))
    return bool(ours.get("hit")) or mapping(message.get("usage_metadata")).get("total_cost") == 0


def _generation(outputs: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """LangChain's own answer: its message, and why it ended."""
    first = listed(outputs.get("generations"))
    while first and not isinstance(first[0], Mapping):
        first = listed(first[0])
    generation = mapping(first[0]) if first else {}
    message = mapping(generation.get("message"))
    message = (
        mapping(message.get("kwargs")) or message or mapping(outputs.get("message")) or mapping(outputs.get("output"))
    )
    if not message and "text" in generation:
        message = {"content": generation["text"]}
    info = {**mapping(generation.get("generation_info")), **mapping(message.get("response_metadata"))}
    finish = info.get("finish_reason") or info.get("stop_reason")
    return message, str(finish) if finish else None


def _reply(
    outputs: Mapping[str, Any], message: Mapping[str, Any], used: Usage, model: str, finish: str | None
) -> Reply | None:
    if message.get("content") is not None or message.get("tool_calls"):
        return reply(message, used, model, finish)
    return answer(outputs, used, model)


def _usage(record: Mapping[str, Any], outputs: Mapping[str, Any], message: Mapping[str, Any]) -> Usage:
    """The most detailed that there is; the run's own sums know nothing of cached tokens."""
    llm_output, told = mapping(outputs.get("llm_output")), mapping(message.get("response_metadata"))
    places = (
        message.get("usage_metadata"), outputs.get("usage_metadata"), outputs.get("usage"), llm_output.get("token_usage"),
        told.get("token_usage"), told.get("usage"), record,
    )  # fmt: skip
    return next((used for place in places if (used := usage_of(place)).source != "none" and used.input_tokens), Usage())
