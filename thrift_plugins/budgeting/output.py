"""Output budgets: answers are asked to be as long as their feature needs, and cut where hardly any has ended.

`OutputPolicy.plan` says what of a call changes, `learn` what came of it, and `patch` what that is worth. Nothing is
claimed that the holdout does not support: what an answer would have been without being asked to be short is modelled by
the means of both, and is unknown while there are few of either. A cut answer is never a saving.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from thrift_plugins.budgeting.continuation import continuation, is_cut
from thrift_plugins.budgeting.lengths import Arm, Form, Kind, Lengths
from thrift_plugins.budgeting.output_place import noted, places
from thrift_plugins.budgeting.output_words import WORDINGS, edges, language_of, says_how_long
from thrift_plugins.budgeting.target import Target
from thrift_plugins.shape import required_tool
from thrift_plugins.tokens import count
from thrift_plugins.types import Message, Patch, Reply, Request, Tier

_LEAST: Final = 128
"""Output tokens that every answer may have, however short those were that came."""

_OBEYED: Final = 1.5  # an answer that keeps to its target is never cut, nor is one that nearly does
_WORTH: Final = 16  # output tokens below which a rest is not asked for
_TURNS: Final = 4  # of the user that are read for their language
_NONE: Final = Target(mode="off")


class Note(NamedTuple):
    """A text that is appended to a message of a request.

    Attributes:
        at: index of the message.
        text: the text, to be set off by a blank line, or as a block of its own.
    """

    at: int
    text: str


class Rest(NamedTuple):
    """How to ask for the rest of an answer.

    Attributes:
        turns: what there is of it, and the question for what is not.
        most: output tokens that the app's own limit leaves for it, None where it has none.
    """

    turns: tuple[Message, Message]
    most: int | None


class _Asked(NamedTuple):
    """What is asked of a prompt.

    Attributes:
        now: whether it is asked of the turn that is answered.
        why: the reason in a short phrase.
    """

    notes: tuple[Note, ...] = ()
    now: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What changes about a call. What is empty or None stays as it is.

    Attributes:
        notes: what is appended to the prompt, and where; an adapter appends it to the framework's own messages.
        messages: the same in our words.
        asked: whether it asks for a length now; what an earlier turn was told does not.
        most: output tokens that an answer may have; never more than the app allows.
        temperature: what it is to be.
        reasons: in short phrases what was done, and why.
    """

    notes: tuple[Note, ...] = ()
    messages: tuple[Message, ...] | None = None
    asked: bool = False
    most: int | None = None
    temperature: float | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputPolicy:
    """The output budgets of an app.

    Attributes:
        features: feature to its target.
        default: the target of every other feature.
        lengths: how long answers have been.
    """

    features: Mapping[str, Target] = field(default_factory=dict)
    default: Target = _NONE
    lengths: Lengths = field(default_factory=Lengths)

    def target(self, request: Request) -> Target:
        """The output budget that a request falls under."""
        return self.features.get(request.scope.feature, self.default)

    def plan(self, request: Request, tier: Tier) -> Plan | None:
        """What changes about a request on a tier, None where nothing does. Not to be asked for a call of the holdout."""
        target = self.target(request)
        if target.mode == "off":
            return None
        asked = _asked(request, target)
        most, why = self._fuse(request, tier, target, "asked" if asked.now else "plain")
        heat = _temperature(request, target)
        if not asked.notes and most is None and heat is None:
            return None
        reasons = (asked.why, why, f"temperature {heat:g}" if heat is not None else "")
        messages = _with(request, asked.notes) if asked.notes else None
        return Plan(asked.notes, messages, asked.now, most, heat, tuple(filter(None, reasons)))

    def rest(self, request: Request, tier: Tier, reply: Reply, *, imposed: bool) -> Rest | None:
        """How to ask for the rest of an answer, None where it has none, or the feature does not want it.

        Args:
            imposed: whether we limited the answer's length. What the app's own limit has cut is as the app wants it.
        """
        target = self.target(request)
        if target.mode == "off" or not target.go_on:
            return None
        limit = min((own for own in (tier.limit, _limit(request)) if own is not None), default=None)
        left = None if limit is None else limit - reply.usage.output_tokens
        if left is not None and (left < _WORTH or not imposed):
            return None
        turns = continuation(request, reply)
        return Rest(turns, left) if turns else None

    def learn(self, request: Request, tier: Tier, reply: Reply, plan: Plan | None = None) -> None:
        """Remember how long an answer was. What nobody but us has counted is not: hidden reasoning would be missing.

        Args:
            plan: what had changed about the call, None in the holdout.
        """
        tokens = _length(reply, plan)
        if tokens is None or request.params.get("n") not in (None, 1):
            return
        asked = plan.asked if plan else _asked(request, self.target(request)).now
        arm: Arm = "plain" if not asked else "asked" if plan else "free"
        kind = _kind(request, tier, arm, _form(request, reply))
        self.lengths.learn(kind, tokens, hidden=reply.usage.reasoning, truncated=is_cut(reply))

    def patch(self, request: Request, tier: Tier, reply: Reply, plan: Plan) -> Patch | None:
        """What a plan has changed about the usage of an answer: the prompt is longer, and the answer shorter.

        Args:
            reply: the answer, with what it has used.

        Returns:
            A patch to the usage, modelled; None where nothing was asked of the prompt.
        """
        if not plan.notes:
            return None
        usage = reply.usage
        claims = plan.asked and not is_cut(reply)
        ratio = self._lengthening(request, tier, _form(request, reply)) if claims else None
        output = usage.output_tokens if ratio is None else round(usage.output_tokens * ratio)
        reasoning = usage.reasoning if ratio is None else round(usage.reasoning * ratio)
        cached = usage.cache_read + usage.cache_write + usage.cache_write_1h
        added = sum(count(note.text, tier.model) for note in plan.notes)
        before = replace(
            usage,
            input_tokens=max(min(cached, usage.input_tokens), usage.input_tokens - added),
            output_tokens=output,
            reasoning=min(reasoning, output),
            output_audio=max(0, min(usage.output_audio, output - reasoning)),
        )
        return Patch("budget", "usage", before, usage, "modelled") if before != usage else None

    def signature(self, request: Request) -> str:
        """What of the output budget decides an answer, for the cache's key; "" where nothing does."""
        target = self.target(request)
        return target.signature if _applies(request) or target.temperature else ""

    def _lengthening(self, request: Request, tier: Tier, form: Form) -> float | None:
        """How much longer answers are that are not asked to be short, None while nobody can know."""
        asked = self.lengths.mean(_kind(request, tier, "asked", form))
        free = self.lengths.mean(_kind(request, tier, "free", form))
        return free / asked if asked and free else None

    def _fuse(self, request: Request, tier: Tier, target: Target, arm: Arm) -> tuple[int | None, str]:
        """Output tokens that hardly any answer needs, and the reason; None while that is not known.

        None in a batch run, too: what is learnt meanwhile would change the question, and its answer would be paid twice.
        """
        if target.mode != "hard" or request.waits:
            return None, ""
        found = [self.lengths.ceiling(_kind(request, tier, arm, form)) for form in _forms(request)]
        found = [ceiling for ceiling in found if ceiling.seen]
        known = [ceiling.tokens for ceiling in found if ceiling.tokens is not None]
        if not known or len(known) < len(found):  # a kind of answer that has come may come again
            return None, ""
        most = max(_LEAST, _obedient(request, target), *known)
        if any(limit is not None and limit <= most for limit in (tier.limit, tier.max_output, _limit(request))):
            return None, ""
        return most, f"at most {most} tokens, by {sum(ceiling.seen for ceiling in found)} answers"


def _asked(request: Request, target: Target) -> _Asked:
    """What is asked of the prompt; nothing where the answer is an object or the call of a tool."""
    if not target.asks or not _applies(request):
        return _Asked()
    limited = any(_says_how_long(message) for message in request.messages if message.role == "system")
    at = places(request.messages)
    told = () if limited else tuple(place for place in at if not _says_how_long(request.messages[place]))
    languages = [_language(request, place) for place in told]
    notes = tuple(Note(place, _sentence(target, language)) for place, language in zip(told, languages, strict=True))
    if not at:
        return _Asked()
    if told[-1:] != at[-1:]:
        return _Asked(notes, why="the prompt says how long")
    length = f"{target.words} words" if target.words else f"{target.tokens} tokens" if target.tokens else "a form"
    return _Asked(notes, now=True, why=f"asked for {length} ({languages[-1] or 'language unknown'})")


def _language(request: Request, at: int) -> str:
    """The language of a turn, or where it shows none that of those before it, or of the instructions.

    What comes later does not count, so that a note is the same whenever it is made.
    """
    before = [message for message in request.messages[: at + 1] if message.role in {"user", "system"}]
    spoken = [message for message in reversed(before) if message.role == "user"][:_TURNS]
    instructions = [message for message in before if message.role == "system"][:1]
    return _language_of(tuple(edges(message.text) for message in (*spoken, *instructions)))


@lru_cache(maxsize=256)
def _language_of(texts: tuple[str, ...]) -> str:
    """The same turns are read at every step of a loop of tools."""
    return language_of(texts)


@lru_cache(maxsize=256)
def _limits_itself(edges_of_text: str) -> bool:
    return says_how_long(edges_of_text)


def _says_how_long(message: Message) -> bool:
    return _limits_itself(edges(message.text))


def _sentence(target: Target, language: str) -> str:
    wording = WORDINGS[language]
    asks = wording.ask.format(n=wording.length(target.words, target.tokens)) if target.words or target.tokens else ""
    return " ".join(filter(None, (asks, target.form.strip())))


def _with(request: Request, notes: Iterable[Note]) -> tuple[Message, ...]:
    messages = list(request.messages)
    for at, text in notes:
        messages[at] = replace(messages[at], content=noted(messages[at].content, text))
    return tuple(messages)


def _applies(request: Request) -> bool:
    """Whether the answer is prose, or may be."""
    return request.schema is None and required_tool(request) is None


def _length(reply: Reply, plan: Plan | None) -> int | None:
    """How long an answer was, None where nobody knows.

    One that our own limit has cut counts whoever counted it: else a limit that is too low would never hear of it.
    """
    if reply.complete and reply.usage.source == "provider":
        return reply.usage.output_tokens
    return plan.most if plan and is_cut(reply) else None


def _form(request: Request, reply: Reply) -> Form:
    if request.schema is not None:
        return "schema"
    return "tools" if reply.tool_calls else "text"


def _forms(request: Request) -> Iterator[Form]:
    """What the answer may be."""
    if request.schema is not None:
        yield "schema"
        return
    if required_tool(request) is None:
        yield "text"
    if request.tools:
        yield "tools"


def _kind(request: Request, tier: Tier, arm: Arm, form: Form) -> Kind:
    return Kind(request.scope.feature, tier.name, tier.model, _effort(request), arm, form)


def _effort(request: Request) -> str:
    """How much the model is told to think, as the request says it: with another effort, answers are of another length."""
    told = (request.params.get(name) for name in ("reasoning_effort", "reasoning", "thinking", "thinking_budget"))
    return " ".join(str(one) for one in told if one is not None)


def _obedient(request: Request, target: Target) -> int:
    """Tokens of an answer that keeps to its target, and a margin, in the language that needs most for it."""
    if not _applies(request):
        return 0
    if target.words:
        return round(target.words * _OBEYED * max(wording.units * wording.tokens for wording in WORDINGS.values()))
    return round((target.tokens or 0) * _OBEYED)


def _limit(request: Request) -> int | None:
    limits = (request.params.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)


def _temperature(request: Request, target: Target) -> float | None:
    """The app's own temperature brought into the target's range, None where it is there, or the app says none.

    Reasoning models refuse one, so none is ever added.
    """
    told = request.params.get("temperature")
    if target.temperature is None or isinstance(told, bool) or not isinstance(told, int | float):
        return None
    low, high = target.temperature
    within = min(max(float(told), low), high)
    return within if within != told else None
