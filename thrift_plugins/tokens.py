"""How many tokens is a text, a prompt, or an answer? Three answers: a quick estimate, an upper bound, a true count.

A count is exact for OpenAI's current encodings, without a network: llama-index-core ships their files. For every other
model it is the estimate. Nothing here raises on any text: special tokens count as the plain text that they are,
and a lone surrogate as the replacement character that would be sent for it.

What a prompt counts is OpenAI's published formula; with t(x) the tokens of a text:

* each message: 3 + 1 for the role, + t(name) + 1 where it has one, and t(content), or for content in blocks the sum of t(text)
  over those with text and 85 for each other one (the base price of an image);
* each tool call in it: 3 + t(name) + t(arguments), in compact JSON;
* once: 3, which prime the answer;
* tools: 12 once, and for each 7 (10 with `cl100k_base`) + t("name:description"); if it has properties 3 more, and for
  each of these 3 + t("name:type:description"), and for an enum -3 and 3 + t(item) an item. One dot at the end of a
  description is dropped; what is missing or no string is empty;
* a schema: t of its compact JSON.

Against providers this is within a few per cent for OpenAI's chat models and too low for others with tools (Claude adds
hundreds of tokens of its own); the usage that comes back is the truth.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from thrift_plugins.prices import split_model

if TYPE_CHECKING:
    from tiktoken import Encoding

    from thrift_plugins.types import Json, Message, Reply, ToolCall

Measure: TypeAlias = Callable[[str], int]
"""Tokens of a text."""

# ---- estimate and bound ----

# UTF-8 by byte: a letter for the class of each byte that starts a character, "." for the others. Lead bytes stand for
# blocks of scripts: D0-D3 is Cyrillic, E4-E9 Han, and so on.
_CLASSES: Final = {
    "l": range(0x61, 0x7B),  # a-z
    "U": range(0x41, 0x5B),  # A-Z
    "d": range(0x30, 0x3A),
    "s": (0x20,),
    "n": (0x09, 0x0A, 0x0D),
    "x": range(0xC2, 0xCC),  # Latin with accents, phonetic letters
    "G": range(0xCC, 0xD0),  # Greek, combining accents
    "y": range(0xD0, 0xD4),  # Cyrillic
    "H": range(0xD4, 0xD8),  # Armenian, Hebrew
    "a": range(0xD8, 0xE0),  # Arabic, Syriac, Thaana, NKo
    "i": (0xE0,),  # Indic, Thai, Lao
    "v": (0xE1,),  # Georgian, Khmer, Vietnamese
    "q": (0xE2,),  # typographic signs, arrows, symbols
    "k": (0xE3,),  # Kana, East Asian punctuation
    "h": range(0xE4, 0xEA),  # Han
    "g": range(0xEA, 0xEE),  # Hangul
    "w": (0xEE, 0xEF),  # full-width forms
    "e": range(0xF0, 0xF8),  # emoji, rare Han
}

# Tokens per occurrence of a class, and of two classes in a row: fitted by least squares of the relative error to
# o200k_base on English, Chinese, Python, JSON and samples of ten more languages; kana and line ends then moved a little
# by hand, so that Japanese is nearer and no run counts less than nothing. A pair that starts a word adds, a pair inside
# a run of signs takes away, for runs are merged.
_COMMON: Final[Mapping[bytes, float]] = {
    b"l": 0.083,
    b"U": 0.152,
    b"d": 0.556,
    b"s": 0.045,
    b"n": 0.521,
    b"p": 1.389,
    b"sl": 0.579,
    b"sU": 0.632,
    b"lU": 0.638,
    b"pp": -1.972,
    b"nn": -1.04,
}
_FOREIGN: Final[Mapping[bytes, float]] = {
    b"x": 0.184,
    b"G": 0.367,
    b"y": 0.206,
    b"H": 0.374,
    b"a": 0.291,
    b"i": 0.324,
    b"v": 0.484,
    b"q": 1.343,
    b"k": 0.68,
    b"h": 0.78,
    b"g": 0.541,
    b"w": 1.251,
    b"e": 1.585,
}
_WEIGHTS: Final = tuple(_COMMON.items())
_ALL_WEIGHTS: Final = (*_WEIGHTS, *_FOREIGN.items())


def _class_table() -> bytes:
    table = bytearray(b"p" * 0x80 + b"." * 0x80)
    for letter, lead_bytes in _CLASSES.items():
        for byte in lead_bytes:
            table[byte] = ord(letter)
    return bytes(table)


_CLASS_OF: Final = _class_table()


def estimate(text: str) -> int:
    """Roughly how many tokens a text is, in any script: for decisions, not for bills.

    Linear, some microseconds a kilobyte, without a tokenizer. At least 1 for a text that is not empty.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    occurrences = encoded.translate(_CLASS_OF).count
    tokens = 0.0
    for what, weight in _WEIGHTS if text.isascii() else _ALL_WEIGHTS:
        tokens += weight * occurrences(what)
    return min(len(encoded), max(1, round(tokens)))


def bound(text: str) -> int:
    """More tokens than a text can have in any byte-level vocabulary: its length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


# ---- true counts ----

_BLOB = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"  # tiktoken's cache is named by its digest
_FILES: Final[Mapping[str, str]] = {
    "cl100k_base": "cl100k_base",
    "o200k_base": "o200k_base",
    "o200k_harmony": "o200k_base",
}
_CACHE_DIR: Final = "TIKTOKEN_CACHE_DIR"
_loading = Lock()


def _renew_after_fork() -> None:
    """One that another thread held at the fork would stay held in the child for ever."""
    global _loading  # noqa: PLW0603
    _loading = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)

# Over one piece of its splitting tiktoken 0.9 takes quadratic time (0.14 does not); all panic on a million spaces.
_RUN = 1_000
# Looking behind, only the start of a run is tried: shorter runs are read once, not once from each of their characters.
_LONG_RUN = re.compile(rf"(?<!\S)\S{{{_RUN},}}|(?<!\s)\s{{{_RUN},}}")
# ASCII signs but the apostrophe, and East Asian ones: a letter or digit ends its piece before any of them, so that a cut
# there changes no count.
_SIGNS = r"!-&(-/:-@\[-`{-~\u3001\u3002\u300a-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
_PIECES = re.compile(
    rf"\S{{1,{_RUN}}}(?:(?<=[^\W_])(?=[{_SIGNS}])|\Z)|\S{{{_RUN}}}|\s{{1,{_RUN}}}",
)


def count(text: str, model: str) -> int:
    """Tokens of a text: exact where `exact(model)` says so, else the estimate.

    In a run of a thousand characters or more without a break (one letter over and over, white space), which no
    natural text has, the count may be a few tokens too high: such runs are measured in parts.
    """
    return _measure(model)(text)


def exact(model: str) -> bool:
    """Whether counts for the model are exact: it is OpenAI's, and its vocabulary is on this machine."""
    return _encoding_of(model) is not None


def _measure(model: str) -> Measure:
    encoding = _encoding_of(model)
    if encoding is None:
        return estimate

    def measure(text: str) -> int:
        return sum(len(encoding.encode_ordinary(part)) for part in _parts(text))

    return measure


def _parts(text: str) -> Iterator[str]:
    """The text, cut inside its long runs."""
    start = 0
    if len(text) >= _RUN:
        for run in _LONG_RUN.finditer(text):
            for piece in _PIECES.finditer(text, run.start(), run.end()):
                if piece.end() < run.end():
                    yield text[start : piece.end()]
                    start = piece.end()
    yield text[start:]


@lru_cache(maxsize=1024)
def _encoding_of(model: str) -> Encoding | None:
    from tiktoken.model import encoding_name_for_model  # noqa: PLC0415 - at first need

    provider, name = split_model(model)
    while provider is not None:  # openrouter/openai/gpt-4o
        provider, name = split_model(name)
    try:
        return _load(encoding_name_for_model(name))
    except KeyError:
        return None


def _load(name: str) -> Encoding | None:
    """An encoding from the files in llama-index-core, None where they do not have it.

    A file that is not there is never fetched. One that is damaged tiktoken tries to fetch again.
    """
    from tiktoken import get_encoding  # noqa: PLC0415 - at first need

    spec = find_spec("llama_index.core")  # finds it without importing it
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if name not in _FILES or not folders:
        return None
    folder = Path(folders[0], "_static", "tiktoken_cache")
    digest = sha1(_BLOB.format(_FILES[name]).encode(), usedforsecurity=False).hexdigest()
    if not (folder / digest).is_file():
        return None
    with _loading:
        before = os.environ.get(_CACHE_DIR)
        os.environ[_CACHE_DIR] = str(folder)
        try:
            return get_encoding(name)
        except (OSError, ValueError):  # the file is damaged, and no new one was to be had
            return None
        finally:
            if before is None:
                del os.environ[_CACHE_DIR]
            else:
                os.environ[_CACHE_DIR] = before


# ---- prompts and answers ----

_MESSAGE, _NAME, _PRIMING, _CALL, _BLOCK = 3, 1, 3, 3, 85
_ROLE = 1  # each of our four is one token in every encoding
_FUNCTION, _FUNCTION_CL100K, _FUNCTIONS_END = 7, 10, 12
_PROPERTIES, _PROPERTY, _ENUM, _ENUM_ITEM = 3, 3, -3, 3


def count_messages(
    messages: Sequence[Message],
    model: str,
    tools: Sequence[Mapping[str, Json]] = (),
    schema: Mapping[str, Json] | None = None,
) -> int:
    """Input tokens of a request, by the formula at the top of this file.

    Args:
        tools: function objects (name, description, parameters), bare or in OpenAI's `{"type": "function"}` wrapper.
        schema: JSON schema of a structured answer.
    """
    measure = _measure(model)
    total = _PRIMING + sum(_message(message, measure) for message in messages)
    if tools:
        encoding = _encoding_of(model)
        each = _FUNCTION_CL100K if encoding is not None and encoding.name == "cl100k_base" else _FUNCTION
        total += _FUNCTIONS_END + sum(each + _function(tool, measure) for tool in tools)
    if schema is not None:
        total += measure(compact(schema))
    return total


def count_reply(reply: Reply, model: str) -> int:
    """Output tokens of an answer, as far as it shows: hidden reasoning is not in it."""
    measure = _measure(model)
    return _content(reply.content, measure) + sum(_call(call, measure) for call in reply.tool_calls)


def _message(message: Message, measure: Measure) -> int:
    total = _MESSAGE + _ROLE + _content(message.content, measure)
    if message.name:
        total += _NAME + measure(message.name)
    return total + sum(_call(call, measure) for call in message.tool_calls)


def _content(content: str | Sequence[Json], measure: Measure) -> int:
    if isinstance(content, str):
        return measure(content)
    texts = (block.get("text") if isinstance(block, Mapping) else block for block in content)
    return sum(measure(text) if isinstance(text, str) else _BLOCK for text in texts)


def _call(call: ToolCall, measure: Measure) -> int:
    arguments = call.arguments if isinstance(call.arguments, str) else compact(call.arguments)
    return _CALL + measure(call.name) + measure(arguments)


def _function(tool: Mapping[str, Json], measure: Measure) -> int:
    function = _mapping(tool.get("function")) or tool
    properties = _mapping(_mapping(function.get("parameters")).get("properties"))
    total = measure(f"{_string(function.get('name'))}:{_sentence(function.get('description'))}")
    if properties:
        total += _PROPERTIES
    return total + sum(_property(name, _mapping(spec), measure) for name, spec in properties.items())


def _property(name: str, spec: Mapping[str, Json], measure: Measure) -> int:
    total = _PROPERTY + measure(f"{name}:{_string(spec.get('type'))}:{_sentence(spec.get('description'))}")
    items = spec.get("enum")
    if isinstance(items, Sequence) and not isinstance(items, str):
        total += _ENUM + sum(_ENUM_ITEM + measure(str(item)) for item in items)
    return total


def _sentence(description: Json) -> str:
    return _string(description).removesuffix(".")


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def compact(value: Json) -> str:
    """A value as a provider is sent it, near enough to be counted: what has no JSON form counts as it prints."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_printed)
    except (TypeError, ValueError, RecursionError):  # keys that are no names, or a value that holds itself
        return str(value)


def _printed(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
