"""What the loopback provider says when nobody scripted it: a function of the request and of nothing else.

* A tool that `tool_choice` demands is called; where it is left to the model, a tool is called if no tool result ended
  the chat and the last user turn has a word of the tool's name in it, or the word "tool". Every tool so named is called,
  or the first alone where `parallel_tool_calls` is false.
* `json_schema` gets a minimal value of the schema, `json_object` an object with the keys quoted in the chat.
* Anything else gets a short English text that ends the echo of the last user turn with words chosen by its digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

from thrift_plugins.testing.billing import encoding
from thrift_plugins.testing.schema_instance import Instance
from thrift_plugins.testing.script import Answer, Wire, WireRequest, text_of
from thrift_plugins.types import Json, ToolCall

_ECHO_WORDS: Final = 16
_WORD: Final = re.compile(r"[a-z0-9]{3,}")
_KEY: Final = re.compile(r"['\"`](\w+)['\"`]")
_COMMON: Final = frozenset({"the", "and", "for", "get", "set", "with", "function", "what", "that", "this", "from"})
_VOCABULARY: Final = (
    "steady",
    "careful",
    "river",
    "answer",
    "market",
    "simple",
    "garden",
    "number",
    "window",
    "reason",
    "morning",
    "paper",
    "signal",
    "harbour",
    "winter",
    "measure",
    "bright",
    "question",
    "record",
    "balance",
    "village",
    "engine",
    "travel",
    "letter",
    "silver",
    "method",
    "station",
    "summer",
    "pattern",
    "history",
    "budget",
)


def default_answer(request: WireRequest, length: int) -> Answer:
    """The answer to a request; `length` is that of a plain text, in tokens."""
    if calls := _tool_calls(request):
        return Answer(tool_calls=calls)
    wanted: Wire = request.body.get("response_format") or {}
    match wanted.get("type"):
        case "json_schema":
            schema = wanted["json_schema"].get("schema", {})
            return Answer(_as_json(Instance(request.last_user).of(schema)))
        case "json_object":
            return Answer(_as_json(_object_for(request)))
        case _:
            return Answer(_plain(request, length))


def _tool_calls(request: WireRequest) -> tuple[ToolCall, ...]:
    functions, choice = request.functions, request.body.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return ()
    if isinstance(choice, dict):
        chosen = [function for function in functions if function["name"] == choice["function"]["name"]]
    else:
        chosen = _plausible(functions, request.last_user)
        if choice == "required":
            chosen = chosen or list(functions[:1])
        elif request.answers_tool:
            chosen = []
    if request.body.get("parallel_tool_calls") is False:
        chosen = chosen[:1]
    filler = Instance(request.last_user)
    return tuple(ToolCall("", function["name"], filler.of(function.get("parameters") or {})) for function in chosen)


def _plausible(functions: Sequence[Wire], asked: str) -> list[Wire]:
    """The tools that a user's words name, or the first where they only say that a tool be used."""
    said = _words(asked)
    named = [function for function in functions if _words(function["name"]) & said]
    return named or (list(functions[:1]) if "tool" in said else [])


def _words(text: str) -> set[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).replace("_", " ")
    return set(_WORD.findall(spaced.lower())) - _COMMON


def _object_for(request: WireRequest) -> Json:
    """An object with the keys quoted in the instructions; those of the assistant's own turns do not count."""
    asked = "\n".join(text_of(m.get("content")) for m in request.messages if m.get("role") != "assistant")
    return dict.fromkeys(_KEY.findall(asked), request.last_user[:80]) or {"answer": request.last_user[:80]}


def _plain(request: WireRequest, length: int) -> str:
    digest = sha256(json.dumps([request.text, request.last_user], ensure_ascii=False).encode()).digest()
    echo = " ".join(request.last_user.split()[-_ECHO_WORDS:])
    start = encoding().encode_ordinary(f"You said: {echo}. About that:" if echo else "You said nothing. Still:")
    words = (_VOCABULARY[byte % len(_VOCABULARY)] for byte in _bytes_from(digest))
    while len(start) < length:
        start += encoding().encode_ordinary(f" {next(words)}")
    return encoding().decode(start) + "."


def _bytes_from(seed: bytes) -> Iterator[int]:
    while True:
        yield from seed
        seed = sha256(seed).digest()


def _as_json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
