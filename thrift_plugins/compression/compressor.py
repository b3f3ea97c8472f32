"""Compresses a prompt: what each message brought, once, and the same whenever it is sent again.

A provider's prompt cache keeps the beginning of a prompt. So nothing before its last breakpoint is touched, and a message of
the history is compressed by itself and the question that it came with: when the conversation goes on, it is the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, TypeAlias

from thrift_plugins.compression import stages
from thrift_plugins.compression.breaks import is_break
from thrift_plugins.compression.extraction import Extractor
from thrift_plugins.compression.limit import Limit
from thrift_plugins.compression.prompt_parts import Part, parts_of, query_in
from thrift_plugins.compression.result import Compressed, Dropped, Edit
from thrift_plugins.errors import ConfigError
from thrift_plugins.forks import new_lock
from thrift_plugins.text.embed import Embedder
from thrift_plugins.tokens import Measure, count_messages
from thrift_plugins.tokens.vocabulary import measure_for
from thrift_plugins.types import Json, Message

Pays: TypeAlias = Callable[[int, int], bool]
"""Whether a prompt of so many tokens is better sent with so many."""

_LEAST: Final = 64
"""Tokens; of a shorter text there is nothing to save."""

_KEPT: Final = 512
"""Messages whose compressed form is remembered, and texts that can be fetched back."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A text in a prompt."""

    at: int
    block: int | None
    text: str


class Compressor:
    """Compresses prompts. Thread-safe; the same prompt gives the same result.

    Args:
        limit: what of a context may be left out. None: nothing; only the spelling of contexts changes.
        extractor: finds what a question needs; the default loads at first use.
        embedder: for the default one, which compares whole sentences with it, such as an `OnnxEmbedder`.
        spelling: whether JSON, pages and white space of contexts and tool results are spelt more cheaply.
        duplicates: whether what contexts say twice is sent once.

    Raises:
        ConfigError: both an extractor and an embedder, or a calibration that was made with others.
    """

    def __init__(
        self,
        limit: Limit | None = None,
        *,
        extractor: Extractor | None = None,
        embedder: Embedder | None = None,
        spelling: bool = True,
        duplicates: bool = True,
    ) -> None:
        if extractor is not None and embedder is not None:
            raise ConfigError("give the embedder to the extractor: Extractor(embedder=...)")
        self.limit = limit or Limit()
        self._extractor, self._embedder = extractor, embedder
        self._spelling, self._duplicates = spelling, duplicates
        self._lock = new_lock()
        self._known: OrderedDict[bytes, stages.Work | None] = OrderedDict()
        self._fetchable: OrderedDict[str, str] = OrderedDict()
        self._check(self.limit)

    @property
    def extractor(self) -> Extractor:
        """What finds the sentences that a question needs."""
        if self._extractor is None:
            self._extractor = Extractor(embedder=self._embedder)
        return self._extractor

    def of(self, limit: Limit | None) -> Limit:
        """A limit over its own. Raises ConfigError where it is a risk whose calibration was made with another extractor."""
        if limit is None or limit is self.limit:
            return self.limit
        self._check(limit)
        return limit

    def _check(self, limit: Limit) -> None:
        if limit.risk is not None and limit.calibration is not None:
            limit.calibration.check(self.extractor.name)

    @property
    def signature(self) -> str:
        """What decides which sentences stay, in a few words; "" where all do."""
        limit = self.limit
        if not limit.extracts:
            return ""
        told = (
            f"{name}={value}" for name in ("max_tokens", "ratio", "risk") if (value := getattr(limit, name)) is not None
        )
        return f"compressed {' '.join(told)} {self.extractor.name}"

    def fetch(self, id: str) -> str:  # noqa: A002  that is what it is
        """The text that was left out under an id of `Compressed.dropped`; the latest 512 are remembered.

        Raises:
            KeyError: it was never left out here, or too long ago.
        """
        with self._lock:
            return self._fetchable[id]

    def compress(
        self,
        messages: Sequence[Message],
        model: str,
        *,
        query: str = "",
        limit: Limit | None = None,
        plan: Pays | None = None,
    ) -> Compressed:
        """A prompt with fewer tokens, or as it was.

        Args:
            model: whose tokens are counted.
            query: the question that contexts without one of their own were found for; by default the user's last before, or
                right behind, them.
            limit: over that of the compressor.
            plan: says whether it pays to send a message shorter, by the tokens of the prompt up to it before and after.
        """
        messages = tuple(messages)
        limit = self.of(limit)
        measure = measure_for(model)
        works = [
            (place, work)
            for place in _open_places(messages)
            if (work := self._work(messages, place, measure, model, query, limit)) is not None
        ]
        works = _paying(messages, works, model, plan) if plan else works
        edits = tuple(Edit(place.at, place.block, work.text) for place, work in works if work.text != place.text)
        saved = sum(work.before - work.tokens for _, work in works)
        emptied = edited(messages, [Edit(place.at, place.block, "") for place, _ in works])  # counted already
        before = count_messages(emptied, model) + sum(work.before for _, work in works)
        told = tuple(stage for _, work in works for stage in work.stages)
        if not edits or saved <= 0:
            return Compressed(messages, (), before, before, told)
        goes = tuple(one for _, work in works for one in work.dropped)
        return Compressed(edited(messages, edits), edits, before, before - saved, told, goes)

    def _work(
        self, messages: Sequence[Message], place: _Place, measure: Measure, model: str, query: str, limit: Limit
    ) -> stages.Work | None:
        """What becomes of one text; None where nothing does."""
        parts = _parts(messages[place.at], place.text)
        if not any(part.kind == "context" for part in parts):
            return None
        asked = query_in(parts) or query or _question_for(messages, place.at)
        if messages[place.at].role == "system" and sum(message.role == "user" for message in messages) > 1:
            limit = Limit()  # by which of the questions?
        key = blake2b(
            "\0".join([model, self._told(limit), asked, str(place.at), messages[place.at].role, place.text]).encode(
                "utf-8", "surrogatepass"
            ),
            digest_size=16,
        ).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        work = self._made(parts, place, measure, asked, limit)
        if work is not None and work.failed:
            return work  # an embedder that was down may be up again
        with self._lock:
            self._known[key] = work
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return work

    def _made(self, parts: list[Part], place: _Place, measure: Measure, asked: str, limit: Limit) -> stages.Work | None:
        tokens = measure(place.text)
        if tokens < _LEAST:
            return None
        work = stages.Work(parts, place.at, measure, tokens)
        self.run(work, asked, limit)
        return work

    def run(self, work: stages.Work, asked: str, limit: Limit) -> None:
        """Take a text through the stages. One that raises, as an embedder of the app's own may, leaves it as it was.

        Args:
            asked: the question that its contexts were found for; "" where there is none, and nothing is left out.
        """
        if self._spelling:
            work.take("tidy", stages.spelling)
        if self._duplicates:
            work.take("duplicates", stages.duplicates)
        if limit.extracts and asked:
            work.take("extraction", lambda work: stages.extraction(work, asked, limit, self.extractor))
        self.remember(work.dropped)

    @staticmethod
    def _told(limit: Limit) -> str:
        return f"{limit.max_tokens} {limit.ratio} {limit.threshold()}"

    def remember(self, goes: Sequence[Dropped]) -> None:
        """Keep what was left out, for `fetch`."""
        with self._lock:
            for one in goes:
                self._fetchable[one.id] = one.text
                self._fetchable.move_to_end(one.id)
            while len(self._fetchable) > _KEPT:
                self._fetchable.popitem(last=False)


def own_or_new(compressor: Compressor | None, limit: Limit | None, embedder: Embedder | None) -> Compressor:
    """The compressor that an adapter was given, or a new one. Raises ConfigError where they do not go together."""
    if compressor is None:
        return Compressor(limit, embedder=embedder)
    if embedder is not None:
        raise ConfigError("give the embedder to the compressor: Compressor(embedder=...)")
    compressor.of(limit)
    return compressor


def _paying(
    messages: Sequence[Message], works: Sequence[tuple[_Place, stages.Work]], model: str, plan: Pays
) -> list[tuple[_Place, stages.Work]]:
    """Those that pay beside a provider's prompt cache; the others stay as they are, and say so."""
    found: list[tuple[_Place, stages.Work]] = []
    for place, work in works:
        before = count_messages(messages[: place.at + 1], model)
        if work.tokens < work.before and not plan(before, before - (work.before - work.tokens)):
            kept = stages.Work([Part("other", place.text)], place.at, work.measure, work.before)
            last = work.stages[-1]
            kept.stages = [
                last._replace(before=work.before, after=work.before, undone="the prompt cache is worth more")
            ]
            found.append((place, kept))
        else:
            found.append((place, work))
    return found


def edited(messages: Sequence[Message], edits: Sequence[Edit]) -> tuple[Message, ...]:
    """Messages with some of their texts replaced; blocks keep everything else."""
    made = list(messages)
    for at, block, text in edits:
        message = made[at]
        if block is None or isinstance(message.content, str):
            made[at] = replace(message, content=text)
            continue
        blocks = list(message.content)
        known = blocks[block]
        blocks[block] = {**known, "text": text} if isinstance(known, Mapping) else text
        made[at] = replace(message, content=blocks)
    return tuple(made)


def _open_places(messages: Sequence[Message]) -> list[_Place]:
    """The texts that may be changed: none before the last breakpoint of a provider's prompt cache, none of a model's own."""
    found: list[_Place] = []
    for at, message in enumerate(messages):
        if is_break(message.extra):
            found.clear()
            continue
        own = message.role in {"user", "tool", "system"} and not (message.extra and "role" in message.extra)
        if isinstance(message.content, str):
            if own:
                found.append(_Place(at, None, message.content))
            continue
        for number, block in enumerate(message.content):
            if is_break(block):
                found.clear()
            elif own and (text := _text_of(block)) is not None:
                found.append(_Place(at, number, text))
    return found


def _text_of(block: Json) -> str | None:
    """The text of a block that has nothing else in it that would have to fit: citations point into theirs."""
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping) and block.get("type") in {"text", "input_text"} and not block.get("citations"):
        text = block.get("text")
        return text if isinstance(text, str) else None
    return None


def _parts(message: Message, text: str) -> list[Part]:
    if message.role == "tool":
        parts = parts_of(text)
        if all(part.kind == "other" for part in parts):
            return [Part("context", text)]  # `extraction` is not for it: see `_question_for`
        return parts
    return parts_of(text)


def _question_for(messages: Sequence[Message], at: int) -> str:
    """The question that a message without one came with: the user's before it, or right behind it; "" where there is none."""
    if messages[at].role == "tool" and all(part.kind == "other" for part in parts_of(messages[at].text)):
        return ""  # it is data: nobody knows which of it is needed
    if messages[at].role == "system":
        first = next((message for message in messages if message.role == "user"), None)
        return query_in(parts_of(first.text)) if first else ""
    following = messages[at + 1] if at + 1 < len(messages) else None
    if messages[at].role == "user":
        return query_in(parts_of(following.text)) if following is not None and following.role == "user" else ""
    before = next((message for message in reversed(messages[:at]) if message.role == "user"), None)
    return query_in(parts_of(before.text)) if before is not None else ""
