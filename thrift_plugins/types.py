"""The only currency between rooms: what is asked, what is answered, what it used, and what changed about it.

Everything here is frozen, holds plain JSON values, and knows no framework. Money is integer nano-dollars
(`Nano`, 1e-9 US dollars) wherever it is added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""A JSON value."""

Nano: TypeAlias = int
"""Money: integer nano-dollars."""

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

UsageSource: TypeAlias = Literal["provider", "estimated", "replayed", "none"]
"""Who said so: the provider's own count, our tokenizer, a recording, or nobody (nothing was used)."""

Provenance: TypeAlias = Literal["measured", "replayed", "counted", "modelled"]
"""How a patch knows its baseline: seen, recorded, counted by tokenizer, or assumed from what was served."""

Processing: TypeAlias = Literal["standard", "batch", "flex", "priority"]
"""How a provider is asked to work: at once, within a day, when it has room, or before others. Each has a price."""

Outcome: TypeAlias = Literal["answered", "hit", "error", "aborted", "cancelled"]
"""How a call ended. `aborted`: the consumer closed a stream early."""


def usd(nano: Nano) -> float:
    """Nano-dollars as dollars, for people. Never add these up."""
    return nano / 1_000_000_000


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that a model asked for.

    Attributes:
        id: the provider's id; never part of a cache key.
        name: the tool.
        arguments: the arguments as JSON, or the raw text where it does not parse.
    """

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as any chat API has it.

    Attributes:
        content: text, or content blocks as JSON objects.
        extra: what else is sent to the model (for example reasoning that must be passed back).
    """

    role: Role
    content: str | Sequence[Json]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    extra: Mapping[str, Json] | None = None

    @property
    def text(self) -> str:
        """The words in it, blocks joined by newlines."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(
            block if isinstance(block, str) else str(block.get("text", ""))
            for block in self.content
            if isinstance(block, str) or (isinstance(block, Mapping) and "text" in block)
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose call it is. `tenant` is a wall for every cache; the rest is for the bill and for policies.

    Attributes:
        session: conversation or thread.
        keys: further keys that the app wants kept apart, like `(("region", "eu"),)`.
        tags: names by which the answers kept here can be forgotten together, like `("doc:42",)`; no wall.
    """

    tenant: str = ""
    user: str = ""
    feature: str = ""
    session: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call.

    Attributes:
        input_tokens: all input, cached tokens included.
        output_tokens: all output, reasoning included.
        cache_read: input tokens that the provider read from its prompt cache.
        cache_write: input tokens that it wrote there (5 minutes).
        cache_write_1h: the same for an hour.
        reasoning: output tokens that were never shown.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    source: UsageSource = "none"

    def __post_init__(self) -> None:
        if self.input_tokens < 0 or self.output_tokens < 0:
            raise ValueError(f"a usage cannot be negative: {self}")

    @classmethod
    def told(cls, input_tokens: object, output_tokens: object, **parts: object) -> Usage:
        """What a provider says was used, or no usage at all where that cannot be, so that it is counted instead.

        Args:
            input_tokens: all input, as the provider gives it; so with `output_tokens`.
            parts: the further attributes; those that say more than the whole are left out.
        """
        whole = [_count(input_tokens), _count(output_tokens)]
        if None in whole:
            return cls()
        known = {name: count for name, part in parts.items() if (count := _count(part))}
        read = sum(known.get(name, 0) for name in ("cache_read", "cache_write", "cache_write_1h"))
        if read > (whole[0] or 0) or known.get("reasoning", 0) > (whole[1] or 0):
            known = {}
        return cls(whole[0] or 0, whole[1] or 0, **known, source="provider")

    def __add__(self, other: Usage) -> Usage:
        names = [name for name in self.__slots__ if name != "source"]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        source = self.source if other.source in (self.source, "none") else other.source
        return Usage(**sums, source="estimated" if "estimated" in (self.source, other.source) else source)


def _count(told: object) -> int | None:
    """A number of tokens, None where it cannot be one."""
    if told is None:
        return 0
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    return told if isinstance(told, int) and 0 <= told <= _MOST_TOKENS else None


_MOST_TOKENS = 2**53
"""More than any call has; larger numbers do not survive JSON."""

NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Request:
    """What the app asks, before any tactic has touched it.

    Attributes:
        id: unique id of the call.
        at: when, in seconds since the epoch, by the runtime's clock.
        model: the baseline: the model that the app would have used without us.
        tools: each an OpenAI-style function object: name, description, parameters.
        schema: JSON schema of a structured answer.
        params: everything else that decides the answer (temperature, max_tokens, stop, seed, ...).
        identity: a digest of the model's own settings, in the dialect of the adapter.
        cacheable: False where something in the request has no canonical form, so that no key may be made.
        fresh: True where the app wants no stored answer; the new one is stored in its place.
        forced: tier that the caller insists on.
        baseline_usage: what the baseline is known to use for it (replays know), else None.
        run: id of the app's run that it is part of, such as an agent's or a chain's; "" if there is none.
        waits: whether it is made in a batch, and may take hours.
        within: seconds in which it must be answered then, None where the batch run says so.
        drawn_as: what chance draws it by, where that is not its id: whoever asks for a line of a batch again must ask the same.
    """

    id: str
    at: float
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Json], ...] = ()
    schema: Mapping[str, Json] | None = None
    params: Mapping[str, Json] = field(default_factory=dict)
    identity: str = ""
    scope: Scope = Scope()
    cacheable: bool = True
    fresh: bool = False
    forced: str | None = None
    baseline_usage: Usage | None = None
    run: str = ""
    waits: bool = False
    within: float | None = None
    drawn_as: str = ""

    @property
    def lot(self) -> str:
        """What chance draws it by."""
        return self.drawn_as or self.id


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        finish_reason: "stop", "length", "tool_calls", "content_filter", another word of the provider, or None.
        model: the name that the provider gave back.
        extra: what the adapter needs to show the answer again, as JSON.
        complete: False for the part of a stream that arrived before it broke.
        storable: False where the answer has no faithful JSON form, or where it is not sure with which settings it was given.
        tier: name of the tier that gave it.
        processing: how the provider says that it has worked, None where it does not say.
    """

    content: str | Sequence[Json]
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    model: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)
    complete: bool = True
    storable: bool = True
    tier: str = ""
    processing: Processing | None = None

    def given_by(self, tier: str, usage: Usage) -> Reply:
        """The same answer, with the tier that gave it and what it used."""
        return Reply(  # by hand: `replace` looks every field up anew on each call
            self.content, usage, self.tool_calls, self.finish_reason, self.model, self.extra, self.complete,
            self.storable, tier, self.processing,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tier:
    """One model of the app's own that may answer, and what it can do. Tiers are ordered, cheapest first.

    Attributes:
        name: how the app and the ledger call it; by default the model's name.
        model: name that prices and tokenizers know.
        window: context window in tokens, None if unknown.
        max_output: most output tokens it gives, None if unknown.
        limit: most output tokens of an answer by the app's own settings, None where they do not say.
        processing: how the provider is asked to work.
        breakpoints: whose messages can be marked for its provider's prompt cache, as Anthropic's classes take it; none
            where marks are not known to be taken.
    """

    name: str
    model: str
    tools: bool = True
    vision: bool = True
    structured: bool = True
    window: int | None = None
    max_output: int | None = None
    limit: int | None = None
    processing: Processing = "standard"
    breakpoints: tuple[Role, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Which tier answers, and why.

    Attributes:
        tier: index of the tier chosen.
        name: its name.
        policy: who chose: "only", "forced", "rules", "learned", "pinned", "explore", "drift", "fallback", and so on.
        reasons: short phrases, most important first.
        alternatives: indices of stronger tiers, in the order of trying when the chosen one fails. Never a weaker one,
            which would cost answers, and never one dearer than the baseline, which would cost money.
        score: the policy's own measure of how hard the request is, 0 to 1, if it has one.
        chances: tier to the probability that its answer is good enough, where the policy knows it.
        costs: tier to what the call is expected to cost there, in nano-dollars, where prices are known.
        propensity: with what probability this tier was drawn, where chance had a part in it.
        verify: how much worse than the baseline's an answer may seem once it is there, in units of quality, and still
            stand; None: only its form is checked.
        gap: how much worse than the baseline's the cheapest tier's answer is expected to be, where the policy knows.
        twice: whether the tier is asked twice, and its answer stands only where both say the same.
    """

    tier: int
    name: str
    policy: str
    reasons: tuple[str, ...] = ()
    alternatives: tuple[int, ...] = ()
    score: float | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, Nano] = field(default_factory=dict)
    propensity: float | None = None
    verify: float | None = None
    gap: float | None = None
    twice: bool = False


def decision_record(decision: Decision) -> dict[str, Json]:
    """What a policy knows of its choice beyond the tier and the reasons, as JSON; empty where it knows no more."""
    told: dict[str, Json] = {}
    if decision.chances:
        told["chances"] = {name: round(chance, 4) for name, chance in decision.chances.items()}
    if decision.costs:
        told["costs"] = dict(decision.costs)
    if decision.propensity is not None:
        told["propensity"] = round(decision.propensity, 6)
    if decision.score is not None and told:
        told["score"] = round(decision.score, 4)
    return told


PatchField: TypeAlias = Literal["made", "model", "usage", "processing"]


@dataclass(frozen=True, slots=True)
class Patch:
    """One change that a tactic made to what a call costs; never a dollar figure.

    Attributes:
        tactic: "cache", "routing", ...
        field: what of the call it changed: whether it was made, by which model, with what usage, at what processing.
        before: as the baseline would have had it.
        after: as it was.
    """

    tactic: str
    field: PatchField
    before: Any
    after: Any
    provenance: Provenance = "measured"


@dataclass(frozen=True, slots=True)
class Overhead:
    """A paid model call beside the one that answered: a failed or rejected attempt, a retry, a judge.

    Attributes:
        tactic: whose bill it is on.
        reason: a short word: "failed", "rejected", "retry".
    """

    tactic: str
    model: str
    usage: Usage
    reason: str
    processing: Processing = "standard"
