"""Keeps conversations short, and their beginnings in the provider's prompt cache: which turns go, and where marks belong.

What was sent, and when, is remembered in this process: a cut is moved while the cache has the prompt only where that pays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import takewhile
from typing import Final, NamedTuple

from thrift_plugins.compression.breaks import breakpoints, is_marked, with_breaks
from thrift_plugins.compression.cache_plan import CachePlan, CacheRules
from thrift_plugins.compression.history import Talk
from thrift_plugins.compression.result import Compressed, Stage
from thrift_plugins.forks import new_lock
from thrift_plugins.tokens import compact, count_messages
from thrift_plugins.types import Json, Request, Tier

_REMEMBERED: Final = 10_000
"""Conversations, and instructions."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the conversations of a feature are kept.

    Attributes:
        max_history: tokens of a prompt from which on its oldest turns are left out, None: they never are.
        cache_control: whether breakpoints are set for a provider that wants them.
        turns: calls of a conversation, on average.
    """

    max_history: int | None = None
    cache_control: bool = False
    turns: int = 1


class _Sent(NamedTuple):
    """What was sent last of a conversation.

    Attributes:
        cut: turns that were left out.
        tokens: of what was sent.
        whole: of what would have been sent with nothing left out.
        at: when, in seconds since the epoch.
    """

    cut: int
    tokens: int
    whole: int
    at: float


class Conversations:
    """What is known of conversations. One object for an app; safe to use from several threads."""

    def __init__(self) -> None:
        self._sent: OrderedDict[bytes, _Sent] = OrderedDict()
        self._lock = new_lock()

    def kept(
        self, made: Compressed, keeping: Keeping, request: Request, tier: Tier, rules: CacheRules | None
    ) -> Compressed:
        """A prompt without the turns that are too many, with the breakpoints that it is to have.

        Args:
            made: the prompt so far.
            rules: how the tier's provider caches prompts; None where that is not known, and nothing is refused for its sake.
        """
        marks = keeping.cache_control and rules is not None and rules.marked and not _marked_by_the_app(request)
        marks = marks and bool(tier.breakpoints)
        if keeping.max_history is not None:
            made = self._trimmed(made, keeping, request, tier, rules, marks=marks)
        return self._marked(made, keeping, request, tier, rules) if marks and rules is not None else made

    def _trimmed(
        self, made: Compressed, keeping: Keeping, request: Request, tier: Tier, rules: CacheRules | None, *, marks: bool
    ) -> Compressed:
        talk = Talk.of(made.messages, tier.model)
        cut = talk.cut(keeping.max_history or 0)
        key = _key(request, tier, talk.opening + 1, request.scope.user, request.scope.session)
        known = self._last(key, request)
        if known is not None and (cut < known.cut or made.tokens_before < known.whole):
            known = None  # another conversation that begins alike, or this one from an earlier turn on
        if rules is not None and rules.marked and not marks and not _named(request.params):
            rules = None  # nothing of it is in the cache
        warm = known is not None and rules is not None and request.at - known.at <= rules.lifetime
        refused = bool(warm and known and rules and not _pays(talk, cut, known, rules, keeping))
        if refused and known:
            cut = known.cut
        short, whole = talk.without(cut), made.tokens_before
        self._note(key, _Sent(cut, short.tokens_after, whole, request.at))
        told = (Stage("history", talk.opening, talk.tokens, talk.tokens, "", _WORTH_MORE),) if refused else ()
        if short.kept is None:
            return replace(made, stages=made.stages + told)
        return replace(
            made,
            messages=short.messages,
            tokens_after=made.tokens_after - short.saved,
            stages=made.stages + short.stages + told,
            dropped=made.dropped + short.dropped,
            kept=short.kept,
            read=0 if rules is None or marks else _read(talk, known, whole, rules, warm=warm),
        )

    def _marked(
        self, made: Compressed, keeping: Keeping, request: Request, tier: Tier, rules: CacheRules
    ) -> Compressed:
        """With breakpoints. To write into a cache costs more than to send, so it must be likely that somebody reads it."""
        messages = made.messages
        opening = len(list(takewhile(lambda message: message.role == "system", messages)))
        key = _key(request, tier, opening)
        known = self._last(key, request)
        self._note(key, _Sent(0, 0, 0, request.at))
        goes_on = keeping.turns > 1 or any(message.role == "assistant" for message in messages)
        priming = count_messages((), tier.model)
        tools = count_messages((), tier.model, request.tools) - priming
        places = breakpoints(
            messages,
            [count_messages((message,), tier.model) - priming for message in messages],
            rules,
            before=tools,
            roles=tier.breakpoints,
            shared=goes_on or (known is not None and request.at - known.at <= rules.lifetime),
            goes_on=goes_on,
        )
        return replace(made, messages=with_breaks(messages, places), breaks=tuple(places)) if places else made

    def _last(self, key: bytes, request: Request) -> _Sent | None:
        """What was sent last; nothing in a batch run, where the same is asked again later, and is to be sent as it was."""
        with self._lock:
            return None if request.waits else self._sent.get(key)

    def _note(self, key: bytes, sent: _Sent) -> None:
        with self._lock:
            self._sent[key] = sent
            self._sent.move_to_end(key)
            if len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)


_WORTH_MORE: Final = "the prompt cache is worth more"


def _pays(talk: Talk, cut: int, known: _Sent, rules: CacheRules, keeping: Keeping) -> bool:
    """Whether to move the cut of a conversation that is in the cache pays over the calls that are to come."""
    if cut == known.cut:
        return True
    opening = talk.tokens - sum(talk.sizes)
    goes = sum(talk.sizes[known.cut : cut])
    calls = max(1, keeping.turns - len(talk.turns) + 1)
    return CachePlan(rules).cut_pays(known.tokens, max(opening, known.tokens - goes), opening, calls)


def _read(talk: Talk, known: _Sent | None, whole: int, rules: CacheRules, *, warm: bool) -> int:
    """What of the whole prompt would be in the cache now; in doubt, all but the last turn, so that no saving is overstated."""
    if known is not None and not warm:
        return 0
    read = min(known.whole, whole) if known else whole - talk.sizes[-1]
    return read if read >= rules.minimum else 0


def _marked_by_the_app(request: Request) -> bool:
    """Whether the app says itself what is to be cached: in messages, tools, or arguments of the call."""
    return is_marked(request.messages) or _named([*request.tools, request.params])


def _named(told: Json) -> bool:
    """Whether tools or arguments ask for the cache. An argument of the call asks to keep all of its prompt."""
    return any(name == "cache_control" for name in _names(told))


def _names(value: Json) -> Iterator[str]:
    """The keys of all objects in a JSON value."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)


def _key(request: Request, tier: Tier, messages: int, *whose: str) -> bytes:
    """The name of a beginning: on which model, with which tools and messages. Instructions are shared by all users of a tenant."""
    told = [tier.model, request.scope.tenant, str(len(whose)), *whose, compact([*request.tools])]
    told += [message.text for message in request.messages[:messages]]
    return blake2b("\0".join(told).encode("utf-8", "backslashreplace"), digest_size=16).digest()
