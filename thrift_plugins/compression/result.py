"""What a compression came to: the prompt that is sent, what each stage has done or was undone for, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias

from thrift_plugins.types import Message

StageName: TypeAlias = Literal["json", "html", "tidy", "duplicates", "extraction", "history", "examples"]


class Dropped(NamedTuple):
    """A piece of text that is not sent.

    Attributes:
        id: of the text; the same text has the same one. `Compressor.fetch` gives it back.
        message: index of the message it was in.
        title: of the passage it was in, "" where that has none.
        stage: which stage left it out.
    """

    id: str
    message: int
    title: str
    text: str
    stage: StageName


def dropped(message: int, title: str, text: str, stage: StageName) -> Dropped:
    """A piece of text that is not sent, with its id."""
    return Dropped(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest(), message, title, text, stage
    )


class Stage(NamedTuple):
    """What a stage did to one message.

    Attributes:
        name: of the stage.
        message: index of the message.
        before: tokens before it.
        after: tokens after it; as many where it was undone.
        detail: what it chose, such as the form of JSON.
        undone: why it was taken back, "" where it was not.
    """

    name: StageName
    message: int
    before: int
    after: int
    detail: str = ""
    undone: str = ""


class Edit(NamedTuple):
    """A text of a message that is sent otherwise.

    Attributes:
        at: index of the message.
        block: index of the content block, None where the content is one text.
        text: what is sent.
    """

    at: int
    block: int | None
    text: str


class Change(NamedTuple):
    """What becomes of a prompt, for whoever has its messages in another form.

    Attributes:
        edits: first, the texts that are sent otherwise.
        kept: then, the messages that stay; None where all do.
        breaks: last, of those that stay, the indices of messages behind which the provider's prompt cache is to end.
    """

    edits: tuple[Edit, ...] = ()
    kept: tuple[int, ...] | None = None
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Compressed:
    """A prompt after compression. An unchanged one has no edits, and the very messages that were given.

    Attributes:
        messages: what is sent.
        edits: where it differs, for whoever has the messages in another form.
        tokens_before: of all messages, by the model's tokenizer or the estimate.
        tokens_after: the same of what is sent.
        stages: what was done, and what was undone and why.
        dropped: everything that is not sent.
        kept: indices of the messages that stayed, where history was trimmed; None where all did.
        breaks: indices in `messages` of those that end with a breakpoint of ours for the provider's prompt cache.
        read: tokens of the whole prompt that the provider would have read from its cache, where history was trimmed.
    """

    messages: tuple[Message, ...]
    edits: tuple[Edit, ...] = ()
    tokens_before: int = 0
    tokens_after: int = 0
    stages: tuple[Stage, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    kept: tuple[int, ...] | None = field(default=None)
    breaks: tuple[int, ...] = ()
    read: int = 0

    @property
    def saved(self) -> int:
        """Tokens."""
        return self.tokens_before - self.tokens_after

    @property
    def change(self) -> Change | None:
        """How it differs from what was given, None where it does not."""
        told = Change(self.edits, self.kept, self.breaks)
        return None if told == Change() else told

    @property
    def undone(self) -> tuple[Stage, ...]:
        """The stages that were taken back."""
        return tuple(stage for stage in self.stages if stage.undone)

    def undoings(self) -> list[str]:
        """In short phrases which stages were taken back, and why, for the ledger."""
        return list(dict.fromkeys(f"{stage.name} undone ({_bare(stage.undone)})" for stage in self.undone))

    def notes(self) -> list[str]:
        """In short phrases what was done, for the ledger; no text of the prompt."""
        told: dict[str, list[int]] = {}
        for stage in self.stages:
            if not stage.undone and stage.after < stage.before:
                told.setdefault(stage.name, []).append(stage.before - stage.after)
        return [f"{name} -{sum(saved):,} tokens" for name, saved in told.items()]


def _bare(why: str) -> str:
    """A reason without what it quotes of the prompt."""
    return why.partition(", first ")[0]
