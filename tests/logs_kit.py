"""Some calls of an app that nobody has, as each of the known logs would have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

START = 1_760_000_000.0
BIG, SMALL = "gpt-4o", "gpt-4o-mini"
QUESTIONS = ("What is a refund?", "Where is my card?", "How do I close an account?", "Is a transfer free?")


def calls(count: int = 40, *, step: float = 3_600.0) -> Iterator[dict[str, Any]]:
    """Every fourth question comes again; one call in ten calls a tool, one in twenty failed."""
    for number in range(count):
        question = QUESTIONS[number % len(QUESTIONS)] if number % 2 else f"What is item {number}?"
        yield {
            "id": f"call-{number}",
            "at": START + step * number,
            "model": SMALL if number % 5 == 0 else BIG,
            "question": question,
            "answer": f"About: {question}",
            "user": f"u{number % 3}",
            "feature": "faq" if number % 3 else "search",
            "usage": {
                "prompt_tokens": 1_000,
                "completion_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 400},
            },
            "tool": number % 10 == 9,
            "failed": number % 20 == 19,
        }


def _messages(call: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "You help customers of a bank."},
        {"role": "user", "content": call["question"]},
    ]


def _said(call: dict[str, Any]) -> dict[str, Any]:
    if not call["tool"]:
        return {"role": "assistant", "content": call["answer"]}
    function = {"name": "look_up", "arguments": '{"what": "' + call["question"] + '"}'}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


def _response(call: dict[str, Any]) -> dict[str, Any]:
    finish = "tool_calls" if call["tool"] else "stop"
    choices = [{"index": 0, "message": _said(call), "finish_reason": finish}]
    return {"id": "chatcmpl-1", "model": call["model"], "choices": choices, "usage": call["usage"]}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def openai(call: dict[str, Any]) -> dict[str, Any]:
    """What a team's own proxy writes."""
    record = {
        "id": call["id"],
        "timestamp": _iso(call["at"]),
        "metadata": {"user": call["user"], "feature": call["feature"]},
        "request": {"model": call["model"], "messages": _messages(call), "temperature": 0},
    }
    if call["failed"]:
        return {**record, "error": {"type": "RateLimitError", "message": "slow down"}}
    return {**record, "response": _response(call)}


def langsmith(call: dict[str, Any]) -> dict[str, Any]:
    """A run of LangChain's tracer."""
    usage = {"input_tokens": 1_000, "output_tokens": 100, "input_token_details": {"cache_read": 400}}
    kwargs: dict[str, Any] = {"content": "" if call["tool"] else call["answer"], "type": "ai", "usage_metadata": usage}
    if call["tool"]:
        kwargs["tool_calls"] = [{"id": "c1", "name": "look_up", "args": {"what": call["question"]}}]
    kwargs["response_metadata"] = {
        "finish_reason": "tool_calls" if call["tool"] else "stop",
        "model_name": call["model"],
    }
    message = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": kwargs}
    given = [
        {"lc": 1, "id": ["langchain", "schema", "messages", kind], "kwargs": {"content": told["content"], "type": role}}
        for told, kind, role in zip(
            _messages(call), ("SystemMessage", "HumanMessage"), ("system", "human"), strict=True
        )
    ]
    failed = call["failed"]
    return {
        "id": call["id"],
        "run_type": "llm",
        "start_time": _iso(call["at"]).removesuffix("Z"),
        "inputs": {"messages": [given]},
        "outputs": None
        if failed
        else {"generations": [[{"text": kwargs["content"], "message": message}]], "llm_output": None},
        "error": "RateLimitError\nTraceback" if failed else None,
        "extra": {
            "invocation_params": {"model": call["model"], "temperature": 0},
            "metadata": {"user_id": call["user"], "feature": call["feature"], "ls_model_name": call["model"]},
        },
        "prompt_tokens": 1_000,
        "completion_tokens": 100,
    }


def langfuse(call: dict[str, Any]) -> dict[str, Any]:
    """A row of the blob export: inner objects are texts."""
    usage = {"input": 600, "input_cached_tokens": 400, "output": 100, "total": 1_100}
    return {
        "id": call["id"],
        "trace_id": "t1",
        "type": "GENERATION",
        "start_time": _iso(call["at"]).replace("T", " ").removesuffix("Z"),
        "provided_model_name": call["model"],
        "model_parameters": '{"temperature": 0}',
        "input": orjson.dumps(_messages(call)).decode(),
        "output": None if call["failed"] else orjson.dumps(_said(call)).decode(),
        "usage_details": usage,
        "user_id": call["user"],
        "trace_name": call["feature"],
        "level": "ERROR" if call["failed"] else "DEFAULT",
        "status_message": "RateLimitError" if call["failed"] else "",
    }


def litellm(call: dict[str, Any]) -> dict[str, Any]:
    """A spend log of a proxy that keeps prompts."""
    failed = call["failed"]
    return {
        "request_id": call["id"],
        "call_type": "acompletion",
        "spend": 0.0 if failed else 0.004,
        "prompt_tokens": 1_000,
        "completion_tokens": 100,
        "total_tokens": 1_100,
        "startTime": _iso(call["at"]),
        "model": call["model"],
        "model_group": call["model"],
        "end_user": call["user"],
        "request_tags": ["User-Agent: curl", call["feature"]],
        "cache_hit": "False",
        "messages": {},
        "proxy_server_request": {"model": call["model"], "messages": _messages(call), "temperature": 0},
        "response": {} if failed else _response(call),
        "status": "failure" if failed else "success",
        "metadata": {
            "usage_object": call["usage"],
            "error_information": {"error_class": "RateLimitError"} if failed else None,
        },
    }


AS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "openai": openai,
    "langsmith": langsmith,
    "langfuse": langfuse,
    "litellm": litellm,
}


def lines(records: Sequence[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return b"\n".join(map(orjson.dumps, records)) + b"\n"
