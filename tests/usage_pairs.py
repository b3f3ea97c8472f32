"""Recorded requests in four providers' dialects, in our words, and the usage that each of them was billed.

What a row of `pricing/usage_pairs` says is read here for tests and benchmarks: an app's own requests come in by the
adapters.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thrift_plugins.types import Message, Request, ToolCall, Usage

DATA = Path(os.environ.get("THRIFT_DATA", Path(__file__).parents[2] / "shared" / "data"))
FILE = "pricing/usage_pairs.jsonl.gz"

_TURN = frozenset({"messages", "input", "instructions", "system", "contents", "systemInstruction", "tools", "model"})


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and what it was billed.

    Attributes:
        host: "openai", "anthropic" or "google".
        provider: the same, with "google-vertex" for Google's cloud, which counts otherwise than its public API.
        asks: whether a model was asked to answer; else it was an embedding, a cache's making, a compaction.
        told: the usage in the provider's own words.
        usage: the same in ours, None where it says no input.
        priced_as: the host, a slash, and the model that answered, as far as it is told.
    """

    host: str
    provider: str
    request: Request
    asks: bool
    told: Mapping[str, Any]
    usage: Usage | None
    priced_as: str

    @property
    def model(self) -> str:
        """The provider, a slash, and the model asked for."""
        return f"{self.provider}/{self.request.model.removeprefix('models/')}"


def read(data: Path = DATA) -> list[Pair]:
    """All pairs, in the order in which they were recorded."""
    with gzip.open(data / FILE, "rt", encoding="utf-8") as lines:
        return [_pair(number, json.loads(line)) for number, line in enumerate(lines)]


def _pair(number: int, row: Mapping[str, Any]) -> Pair:
    sent = row["request"]
    try:
        messages, tools, schema = _parts(row["host"], sent)
    except (KeyError, TypeError, AttributeError):  # words that we do not know: counted as what they hold
        messages, tools, schema = [Message("user", [sent])], [], None
    request = Request(
        id=str(number),
        at=float(number),
        model=row["model"],
        messages=tuple(messages),
        tools=tuple(tools),
        schema=schema,
        params={name: value for name, value in sent.items() if name not in _TURN},
    )
    priced_as = f"{row['host']}/{row['response_model'] or row['model']}"
    provider = "google-vertex" if "/projects/" in row["endpoint"] else row["host"]
    return Pair(row["host"], provider, request, _asks(row), row["usage"], usage_in(row["usage"]), priced_as)


def _asks(row: Mapping[str, Any]) -> bool:
    return not row["endpoint"].endswith(("/compact", "/cachedContents", "mbedContent", "mbedContents", "/embeddings"))


_Parts = tuple[list[Message], list[Any], Mapping[str, Any] | None]


def _parts(host: str, sent: Mapping[str, Any]) -> _Parts:
    if "contents" in sent or "requests" in sent or "content" in sent:
        return _google(sent)
    if host == "anthropic":
        return _anthropic(sent)
    return _chat(sent) if "messages" in sent else _responses(sent)


def _chat(sent: Mapping[str, Any]) -> _Parts:
    messages = []
    for message in sent["messages"]:
        calls = tuple(
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        )
        messages.append(
            Message(_role(message["role"]), message.get("content") or "", calls, message.get("tool_call_id"))
        )
    schema = (sent.get("response_format") or {}).get("json_schema")
    return messages, [tool.get("function", tool) for tool in sent.get("tools", ())], schema


def _responses(sent: Mapping[str, Any]) -> _Parts:
    messages = [Message("system", sent["instructions"])] if sent.get("instructions") else []
    asked = sent["input"]
    for item in [asked] if isinstance(asked, str) else asked:
        if isinstance(item, str):
            messages.append(Message("user", item))
        elif item.get("type", "message") == "message":
            messages.append(Message(_role(item["role"]), item["content"]))
        elif item["type"] == "function_call":
            messages.append(Message("assistant", "", (ToolCall(item["call_id"], item["name"], item["arguments"]),)))
        elif item["type"] == "function_call_output":
            messages.append(Message("tool", item["output"], (), item["call_id"]))
        else:
            messages.append(Message("assistant", [item]))
    form = (sent.get("text") or {}).get("format") or {}
    return messages, list(sent.get("tools", ())), form.get("schema")


def _anthropic(sent: Mapping[str, Any]) -> _Parts:
    system = sent.get("system")
    messages = [Message("system", system)] if system else []
    for message in sent["messages"]:
        content = message["content"]
        if isinstance(content, str):
            messages.append(Message(_role(message["role"]), content))
            continue
        results = [block for block in content if block["type"] == "tool_result"]
        messages += [Message("tool", block.get("content") or "", (), block["tool_use_id"]) for block in results]
        calls = tuple(ToolCall(b["id"], b["name"], b["input"]) for b in content if b["type"] == "tool_use")
        rest = [block for block in content if block["type"] not in ("tool_result", "tool_use")]
        if rest or calls:
            messages.append(Message(_role(message["role"]), rest, calls))
    tools = [_anthropic_tool(tool) for tool in sent.get("tools", ())]
    form = (sent.get("output_config") or {}).get("format") or {}
    return messages, tools, form.get("schema")


def _anthropic_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if "input_schema" not in tool:
        return tool
    named = {"parameters" if name == "input_schema" else name: value for name, value in tool.items()}
    return {"description": "", **named}


def _google(sent: Mapping[str, Any]) -> _Parts:
    system = sent.get("systemInstruction")
    turns = sent.get("contents") or [one["content"] for one in sent.get("requests", ())] or [sent["content"]]
    messages = [Message("system", system["parts"])] if system else []
    for turn in turns:
        role = _role("assistant" if turn.get("role") == "model" else "user")
        calls: list[ToolCall] = []
        content: list[Any] = []
        sealed: list[str] = []
        for part in turn["parts"]:
            call = part.get("functionCall") or part.get("function_call")
            result = part.get("functionResponse") or part.get("function_response")
            signature = part.get("thoughtSignature") or part.get("thought_signature")
            if call:
                calls.append(ToolCall(call.get("id", ""), call["name"], call.get("args", {})))
                sealed += [signature] if signature else []
            elif result:
                said = [{"text": json.dumps(result["response"])}, *result.get("parts", ())]
                messages.append(Message("tool", said, (), result.get("id"), result["name"]))
            else:
                content.append(part)
        if calls or content:
            extra = {"signatures": sealed} if sealed else None
            messages.append(Message(role, content, tuple(calls), extra=extra))
    return messages, list(_google_tools(sent.get("tools", ()))), _google_schema(sent.get("generationConfig", {}))


def _google_tools(tools: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for tool in tools:
        declared = tool.get("functionDeclarations")
        if declared is None:
            yield tool
            continue
        for one in declared:
            schema = one.get("parametersJsonSchema") or one.get("parameters_json_schema") or one.get("parameters") or {}
            yield {"name": one["name"], "description": one.get("description", ""), "parameters": schema}


def _google_schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return config.get("responseJsonSchema") or config.get("responseSchema")


def _role(role: str) -> Any:
    return {"developer": "system", "model": "assistant"}.get(role, role)


def usage_in(told: Mapping[str, Any]) -> Usage | None:
    """A provider's usage in our words, None where it says nothing about the input."""
    if "promptTokenCount" in told:
        return _google_usage(told)
    if "cache_creation_input_tokens" in told:
        return _anthropic_usage(told)
    words = ("prompt", "completion") if "prompt_tokens" in told else ("input", "output")
    if f"{words[0]}_tokens" not in told:
        return None
    given = told.get(f"{words[0]}_tokens_details") or {}
    made = told.get(f"{words[1]}_tokens_details") or {}
    return Usage.told(
        told[f"{words[0]}_tokens"],
        told.get(f"{words[1]}_tokens", 0),
        cache_read=given.get("cached_tokens"),
        cache_write=given.get("cache_write_tokens"),
        input_audio=given.get("audio_tokens"),
        reasoning=made.get("reasoning_tokens"),
        output_audio=made.get("audio_tokens"),
    )


def _anthropic_usage(told: Mapping[str, Any]) -> Usage:
    written = told.get("cache_creation") or {}
    hour = written.get("ephemeral_1h_input_tokens", 0)
    made, read = told["cache_creation_input_tokens"] or 0, told.get("cache_read_input_tokens") or 0
    return Usage.told(
        told["input_tokens"] + made + read,
        told["output_tokens"],
        cache_read=read,
        cache_write=made - hour,
        cache_write_1h=hour,
        reasoning=(told.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


def _google_usage(told: Mapping[str, Any]) -> Usage:
    audio = sum(
        part.get("tokenCount", 0) for part in told.get("promptTokensDetails", ()) if part["modality"] == "AUDIO"
    )
    thoughts = told.get("thoughtsTokenCount", 0)
    return Usage.told(
        told["promptTokenCount"] + told.get("toolUsePromptTokenCount", 0),
        told.get("candidatesTokenCount", 0) + thoughts,
        cache_read=told.get("cachedContentTokenCount"),
        reasoning=thoughts,
        input_audio=audio,
    )
