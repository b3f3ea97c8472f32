"""How much a prompt says, kind by kind: what can be counted, and what can only be bounded."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from thrift_plugins.forks import new_lock
from thrift_plugins.tokens.approx import bound
from thrift_plugins.tokens.blocks import detail_of, kind_of, payload_of, strings_in
from thrift_plugins.tokens.images import Rule, rule_for, size_in
from thrift_plugins.tokens.prompts import compact
from thrift_plugins.tokens.vocabulary import Measure, measure_for

if TYPE_CHECKING:
    from thrift_plugins.types import Json, Message


class Extent(NamedTuple):
    """What a prompt's messages hold.

    Attributes:
        text: tokens of the words, exact or estimated.
        size: their length in UTF-8.
        messages: how many.
        calls: tool calls in them.
        sealed: tokens that passages may have which only the provider can read, such as reasoning that is passed back.
        images: tokens of images, by their sizes.
        files: tokens that sound, films and documents may have.
        unseen: tokens that images and files may have which are not in the request, but behind an address or a name.
    """

    text: int
    size: int
    messages: int
    calls: int
    sealed: int
    images: int
    files: int
    unseen: int


def extent_of(messages: Sequence[Message], model: str) -> Extent:
    """What the messages of a request hold, as a model counts it."""
    scale = _Scale(model)
    calls = 0
    for message in messages:
        if isinstance(message.content, str):
            scale.words(message.content)
        else:
            for block in message.content:
                scale.block(block)
        if message.name:
            scale.words(message.name)
        for call in message.tool_calls:
            calls += 1
            scale.words(call.name)
            scale.words(call.arguments if isinstance(call.arguments, str) else compact(call.arguments))
        if message.extra:
            scale.other(message.extra)
    return Extent(scale.text, scale.size, len(messages), calls, scale.sealed, scale.images, scale.files, scale.unseen)


_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_SEALED_KEYS: Final = re.compile(r"signature|encrypted|redacted|^data$", re.IGNORECASE)
_ENCODED: Final = re.compile(r"[A-Za-z0-9+/_=\-]*")
_SEALED_PER_TOKEN = 4  # base64; what was seen is 0 to 0.22 a character
_NAME = 200  # characters: a file's name or address, and no file
_ADDRESSES = ("http:", "https:", "gs:", "s3:", "file:")
_UNSEEN: Final = {"audio": 10_000, "video": 100_000}  # five minutes
_UNSEEN_FILE = 20_000
_AUDIO_BYTES, _VIDEO_BYTES = 60, 20  # a token: 32 a second at 16 kbit, 300 a second at 48 kbit
_PAGE = 4_000


class _Scale:
    """Adds up what a prompt holds."""

    __slots__ = ("_measure", "_model", "_rule", "files", "images", "sealed", "size", "text", "unseen")

    def __init__(self, model: str) -> None:
        self._model = model
        self._measure: Measure = measure_for(model)
        self._rule: Rule | None = None
        self.text = self.size = self.sealed = self.images = self.files = self.unseen = 0

    def words(self, text: str) -> None:
        self.size += bound(text)
        self.text += self._measure(text) if len(text) < _LONG else _long.count(text, self._model, self._measure)

    def block(self, block: Json) -> None:
        """One content block, in any provider's or framework's words."""
        if not isinstance(block, Mapping):
            self.other(block)
            return
        text = block.get("text")
        if isinstance(text, str) and (len(block) == 1 or block.get("type") in _TEXTS):
            self.words(text)
            return
        thought = block.get("thinking")
        if isinstance(thought, str):  # providers drop what was thought in earlier turns, or do not
            self.sealed += self._measure(thought)
            block = {name: value for name, value in block.items() if name != "thinking"}
        kind = kind_of(block)
        if kind == "image":
            self._image(block)
        elif kind:
            self._file(block, kind)
        else:
            self.other(block)

    def other(self, value: Json) -> None:
        """Anything else: words count as words, sealed passages as what they may hold."""
        for key, text in strings_in(value):
            if _SEALED_KEYS.search(key) and _ENCODED.fullmatch(text):
                self.sealed += -(-len(text) // _SEALED_PER_TOKEN)
            else:
                self.words(text)

    def _image(self, block: Mapping[str, Json]) -> None:
        if self._rule is None:
            self._rule = rule_for(self._model)
        size, detail = size_in(payload_of(block)), detail_of(block)
        if size is None and detail != "low":
            self.unseen += self._rule.tokens(None, detail)
        else:
            self.images += self._rule.tokens(size, detail)

    def _file(self, block: Mapping[str, Json], kind: str) -> None:
        payload = payload_of(block)
        if payload.startswith(_ADDRESSES) or (len(payload) < _NAME and kind != "plain"):
            self.unseen += _UNSEEN.get(kind, _UNSEEN_FILE)
            return
        octets = sum(bound(text) for _, text in strings_in(block))
        if kind == "audio":
            self.files += octets // _AUDIO_BYTES + 32
        elif kind == "video":
            self.files += octets // _VIDEO_BYTES + 300
        else:
            self.files += octets + (0 if kind == "plain" else _PAGE)


# ---- long texts ----

_LONG = 2_048
_HUGE = 1 << 20
_KEPT = 4_096


class _Counted:
    """Counts of long texts, by their digests: a conversation's history is sent with every one of its calls."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._lock = new_lock()

    def count(self, text: str, model: str, measure: Measure) -> int:
        if len(text) >= _HUGE:
            return bound(text)
        key = (model, blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        known = self._counts.get(key)
        if known is None:
            known = measure(text)
            with self._lock:
                self._counts[key] = known
                if len(self._counts) > _KEPT:
                    self._counts.popitem(last=False)
        return known


_long = _Counted()
