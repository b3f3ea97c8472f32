"""What the loopback provider bills: OpenAI's published token formula, and a row per request.

Written apart from `thrift_plugins.tokens` on purpose, so that one can check the other.

Tokens are those of `o200k_base`, special tokens read as plain text; `t(x)` is the number of tokens of a string.

Input of a chat request, in tokens:

* each message: 3, plus t(role), plus t(content), plus t(name) + 1 where it has a name;
* content in parts: t(text) of each text part on its own, 85 for any other part (OpenAI's base price of an image);
* each tool call in the history: 3 + t(function name) + t(arguments), arguments as the string that was sent;
* once per request: 3, which prime the answer;
* tools: 12 once, and for each function 7 + t("name:description"); if it has properties 3 more, and for each property
  3 + t("name:type:description"), and with an enum -3 and for each item 3 + t(item). One dot at the end of a
  description is dropped; what is missing, or not a string, is empty;
* `response_format` of type "json_schema": t(schema), the schema in compact JSON, keys as sent, non-ASCII as it is.

Input of a legacy completion: t(prompt), summed over a list of prompts.

Output: t(text), plus 3 + t(name) + t(arguments) of each tool call asked for, plus the reasoning tokens. An answer cut
short bills the tokens of the whole answer that were kept.

Rules: a refused request (4xx, 5xx) bills nothing. Once the prompt was read the input is billed, even when the client
goes away. Output is billed for each token written before the disconnect was noticed, or before the stall or the
break. A whole (not streamed) answer counts as written at once, so a client that left before it bills no output.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import tiktoken

from thrift_plugins.testing.script import Endpoint, Wire, WireRequest
from thrift_plugins.types import Usage

PART_TOKENS: Final = 85
CALL_TOKENS: Final = 3
_MESSAGE, _NAME, _PRIMING = 3, 1, 3
_FUNC_INIT, _FUNC_END = 7, 12
_PROP_INIT, _PROP_KEY = 3, 3
_ENUM_INIT, _ENUM_ITEM = -3, 3

_CACHE_FIRST, _CACHE_STEP = 1024, 128  # OpenAI caches prompts of 1,024 tokens and more, in steps of 128

_loading = threading.Lock()


@lru_cache(maxsize=1)
def encoding() -> tiktoken.Encoding:
    """`o200k_base`, from the copy that llama-index-core ships, so that no network is needed."""
    llama_index = find_spec("llama_index")
    roots = llama_index.submodule_search_locations if llama_index else None
    shipped = [path for root in roots or () if (path := Path(root) / "core" / "_static" / "tiktoken_cache").is_dir()]
    with _loading:
        before = os.environ.get("TIKTOKEN_CACHE_DIR")
        if before is None and shipped:
            os.environ["TIKTOKEN_CACHE_DIR"] = str(shipped[0])
        try:
            return tiktoken.get_encoding("o200k_base")
        finally:
            if before is None:
                os.environ.pop("TIKTOKEN_CACHE_DIR", None)


@lru_cache(maxsize=8192)
def tokens_of(text: str) -> int:
    """How many tokens a string has."""
    return len(encoding().encode_ordinary(text))


def input_tokens(request: WireRequest) -> int:
    """The input tokens that a request is billed for; the formula is in the module's docstring."""
    if request.endpoint == "completions":
        prompt = request.body.get("prompt", "")
        return sum(tokens_of(text) for text in ([prompt] if isinstance(prompt, str) else prompt))
    messages = sum(_message_tokens(message) for message in request.messages)
    return messages + _PRIMING + _tools_tokens(request.functions) + _schema_tokens(request.body)


def _message_tokens(message: Wire) -> int:
    total = _MESSAGE + tokens_of(str(message.get("role", ""))) + _content_tokens(message.get("content"))
    if name := message.get("name"):
        total += _NAME + tokens_of(name)
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        total += CALL_TOKENS + tokens_of(function.get("name", "")) + tokens_of(function.get("arguments", ""))
    return total


def _content_tokens(content: object) -> int:
    if isinstance(content, str):
        return tokens_of(content)
    if not isinstance(content, Sequence):
        return 0
    return sum(tokens_of(part["text"]) if part.get("type") == "text" else PART_TOKENS for part in content)


def _tools_tokens(functions: Sequence[Wire]) -> int:
    if not functions:
        return 0
    return _FUNC_END + sum(_function_tokens(function) for function in functions)


def _function_tokens(function: Wire) -> int:
    total = _FUNC_INIT + tokens_of(f"{function['name']}:{_sentence(function.get('description'))}")
    properties: Wire = (function.get("parameters") or {}).get("properties") or {}
    if properties:
        total += _PROP_INIT
    for name, spec in properties.items():
        kind = spec.get("type", "")
        line = f"{name}:{kind if isinstance(kind, str) else ''}:{_sentence(spec.get('description'))}"
        total += _PROP_KEY + tokens_of(line)
        if "enum" in spec:
            total += _ENUM_INIT + sum(_ENUM_ITEM + tokens_of(str(item)) for item in spec["enum"])
    return total


def _sentence(description: object) -> str:
    return description.removesuffix(".") if isinstance(description, str) else ""


def _schema_tokens(body: Wire) -> int:
    wanted = body.get("response_format") or {}
    if wanted.get("type") != "json_schema":
        return 0
    schema = wanted.get("json_schema", {}).get("schema", {})
    return tokens_of(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


class PromptCache:
    """Which prompt prefixes were seen, per model: 1,024 tokens or more, in steps of 128. Used on one thread."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def read(self, request: WireRequest, billed: int) -> int:
        """How many of the `billed` input tokens were seen before; remembers the prompt."""
        head = {key: request.body.get(key) for key in ("model", "tools", "response_format")}
        rendered = json.dumps([head, *request.messages], ensure_ascii=False)
        tokens = encoding().encode_ordinary(rendered)[:billed]
        prefixes = [
            (end, sha256(str(tokens[:end]).encode()).digest())
            for end in range(_CACHE_FIRST, len(tokens) + 1, _CACHE_STEP)
        ]
        cached = max((end for end, digest in prefixes if digest in self._seen), default=0)
        self._seen.update(digest for _, digest in prefixes)
        return cached


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One request and what it was billed.

    Attributes:
        number: its place in the order of arrival, from 1.
        input_tokens: all input, cached tokens included.
        output_tokens: all output, reasoning included.
        status: the HTTP status sent.
        aborted: the client left, or the connection was broken, before the answer ended.
        completion_id: the id in the answer, empty for a refused request.
    """

    number: int
    model: str
    endpoint: Endpoint
    stream: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    status: int = 200
    aborted: bool = False
    completion_id: str = ""


class Ledger:
    """Every request in the order of arrival. Written on one thread, read from any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[BilledCall] = []

    def open(self, row: BilledCall) -> Meter:
        """Add a row; its output is metered afterwards."""
        with self._lock:
            self._rows.append(row)
            return Meter(self, len(self._rows) - 1)

    def update(self, index: int, *, output: int = 0, reasoning: int = 0, aborted: bool = False) -> None:
        """Add tokens to a row, or mark it aborted."""
        with self._lock:
            row = self._rows[index]
            self._rows[index] = replace(
                row,
                output_tokens=row.output_tokens + output,
                reasoning_tokens=row.reasoning_tokens + reasoning,
                aborted=row.aborted or aborted,
            )

    @property
    def rows(self) -> tuple[BilledCall, ...]:
        """The rows as they are now."""
        with self._lock:
            return tuple(self._rows)

    def clear(self) -> None:
        """Forget every row. Only while no request is under way."""
        with self._lock:
            self._rows.clear()


@dataclass(frozen=True, slots=True)
class Meter:
    """Writes on the bill of one request."""

    _ledger: Ledger
    _index: int

    def write(self, tokens: int, *, reasoning: bool = False) -> None:
        """Bill output tokens."""
        self._ledger.update(self._index, output=tokens, reasoning=tokens if reasoning else 0)

    def abort(self) -> None:
        """Note that the answer did not reach its end."""
        self._ledger.update(self._index, aborted=True)


def totals(rows: Iterable[BilledCall]) -> dict[str, Usage]:
    """What each model was billed in all."""
    sums: dict[str, Usage] = defaultdict(Usage)
    for row in rows:
        sums[row.model] += Usage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cache_read=row.cached_tokens,
            reasoning=row.reasoning_tokens,
            source="provider",
        )
    return dict(sums)
