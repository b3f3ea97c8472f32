"""What a conversation may lose by going to another model: the provider's prompt cache, and the thread of a tool loop.

Providers read the part of a prompt that they have seen a moment ago for a fraction of its price. A conversation that goes
to a cheaper model for a turn and comes back pays the full price for all of it once more, which may be more than the turn
has saved. So each conversation has an account: what it has cost less than it would have with the app's own model, and
that model's prompt cache. It may go to a cheaper model only as long as the account can pay for the way back, at the
worst. Then routing never makes a conversation dearer, whenever it ends, and however often the router changes its mind; unless
tools add far more to a prompt than they did before, since nobody changes inside a tool loop.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from statistics import median_low
from typing import Final, NamedTuple, Protocol

from thrift_plugins.errors import UnknownModelPrice
from thrift_plugins.forks import new_lock
from thrift_plugins.prices import Rates
from thrift_plugins.routing.constraints import eligible
from thrift_plugins.tokens import compact, estimate
from thrift_plugins.types import Decision, Json, Message, Nano, Request, Tier, ToolCall, Usage

LIVES: Final = 300.0
"""Seconds for which a provider remembers a prompt at least, and which every use renews."""

_SHORTEST: Final = 1_024  # tokens of a prompt below which no provider caches any of it
_EXPECTED: Final = 16  # output tokens of an answer before any of its feature is known
_GROWTH: Final = 1_024  # tokens that tools' results add to a prompt, before any of the feature are known
_LATEST: Final = 10  # answers of a feature, of which the shortest is expected next, and of steps of its tool loops
_FEATURES: Final = 1_000
_REMEMBERED: Final = 10_000
_UNSURE: Final = 8  # part of an estimate that it may be short by, where it is near `_SHORTEST`
_CALLS: Final = 100  # of tools in a conversation, of which it is remembered who has made them
_LETTERS_PER_TOKEN: Final = 3  # of a prompt that is surely shorter than `_SHORTEST`


class RateCard(Protocol):
    """Knows prices."""

    def rates(self, model: str, *, at: float | None = None, input_tokens: int = 0) -> Rates: ...


@dataclass(slots=True)
class _Thread:
    """A conversation so far.

    Attributes:
        tier: name of the tier that answered last.
        account: nano-dollars that it has cost less than with the app's own model.
        size: tokens of its last prompt and answer: what a provider may have in its cache at the next turn.
        at: when that was, in seconds since the epoch.
        warm: model to the tokens of it that the model has seen, and when.
        caches: whether a prompt was seen to be cached.
        begun: size of its prompt when the user spoke last.
        calls: tool call to the tier that has made it, the latest last.
    """

    tier: str = ""
    account: Nano = 0
    size: int = 0
    at: float = 0.0
    warm: dict[str, tuple[int, float]] = field(default_factory=dict)
    caches: bool = False
    begun: int = 0
    calls: dict[tuple[str, str], str] = field(default_factory=dict)

    def in_loop(self, request: Request) -> str:
        """The tier that the tool loop is on.

        A tool may be an agent of its own, which answers in the same session in the middle of the loop: so it is told by the call
        whose result is in the request, and only where that is not known by who answered last.
        """
        calls = next((message.tool_calls for message in reversed(request.messages) if message.tool_calls), ())
        return next((self.calls[name] for call in calls if (name := (call.id, call.name)) in self.calls), self.tier)

    def called(self, tier: Tier, calls: Iterable[ToolCall]) -> None:
        """Remember who has made these calls of tools."""
        for call in calls:
            if call.id:
                self.calls.pop((call.id, call.name), None)
                self.calls[call.id, call.name] = tier.name
        for old in list(self.calls)[:-_CALLS]:
            del self.calls[old]

    def known_to(self, model: str, at: float) -> int:
        """Tokens that a model still has in its cache."""
        tokens, then = self.warm.get(model, (0, 0.0))
        return tokens if at - then <= LIVES else 0


class Conversations:
    """Keeps each conversation where it costs least. One object for an app; safe to use from several threads.

    A conversation is told by its session, or else by its instructions, its tools and its first question. What is known of
    it stays in this process: in one that knows nothing of it, it goes on as if the app's own model had answered so far.

    Args:
        prices: what models cost.
    """

    def __init__(self, prices: RateCard) -> None:
        self._prices = prices
        self._threads: OrderedDict[bytes, _Thread] = OrderedDict()
        self._answers = _Latest()
        self._growth = _Latest()
        self._lock = new_lock()

    def keep(self, request: Request, tiers: Sequence[Tier], baseline: int, decision: Decision) -> Decision:
        """The router's decision, or to stay where the conversation is, with the reason.

        Args:
            decision: on the turn of the user that the request is part of (see `turn_of`).
        """
        able = eligible(request, tiers)
        if able == (decision.tier,):
            return decision
        thread = self._thread(request)
        if thread is not None and in_tool_loop(request):
            own = thread.in_loop(request)
            there = next((index for index in able if tiers[index].name == own), None)
            if there == decision.tier:
                return decision
            if there is not None:
                return _stay(decision, there, tiers, able, baseline, "inside a tool loop")
        if decision.tier not in able:
            above = next((index for index in able if index > decision.tier), able[-1])
            decision = _stay(decision, above, tiers, able, baseline, "the turn has grown")
        if decision.tier >= baseline or baseline not in able:
            return decision
        if self._can_come_back(request, tiers[decision.tier].model, tiers[baseline].model, thread):
            return decision
        return _stay(decision, baseline, tiers, able, baseline, "its prompt cache is worth more")

    def priced(self, request: Request, tiers: Sequence[Tier], baseline: int, decision: Decision) -> Decision:
        """The decision with what the call is expected to cost on each tier that it knows of.

        Where a tier or the baseline has no price, nobody can say that anything is saved, and the baseline serves.
        """
        size = sum(estimate(message.text) for message in request.messages)
        with self._lock:
            out = max(self._answers.of(request.scope.feature), default=_EXPECTED)
        costs: dict[str, Nano] = {}
        for tier in tiers:
            if tier.name in decision.chances or tier.name == decision.name:
                try:
                    rates = self._prices.rates(tier.model, at=request.at, input_tokens=size)
                except UnknownModelPrice:
                    reasons = (f"no price for {tier.model}", *decision.reasons)
                    return Decision(baseline, tiers[baseline].name, "unpriced", reasons, chances=decision.chances)
                costs[tier.name] = rates.cost(Usage(size, out))
        return replace(decision, costs=costs)

    def learn(
        self,
        request: Request,
        tier: Tier,
        baseline: Tier,
        usage: Usage,
        calls: Iterable[ToolCall] = (),
        wasted: Iterable[tuple[Tier, Usage]] = (),
    ) -> None:
        """Remember who answered a turn, what it used, and which calls of tools it made.

        Args:
            wasted: what others have used for answers that did not stand, or that were only compared.
        """
        key = _key(request)
        with self._lock:
            thread = self._threads.setdefault(key, _Thread())
            self._threads.move_to_end(key)
            if len(self._threads) > _REMEMBERED:
                self._threads.popitem(last=False)
            thread.caches = thread.caches or usage.cache_read + usage.cache_write + usage.cache_write_1h > 0
            self._settle(thread, request, tier, baseline, usage)
            thread.account -= sum(self._cost(each, used, request) for each, used in wasted)
            size = usage.input_tokens + usage.output_tokens
            thread.tier, thread.size, thread.at = tier.name, size, request.at
            thread.warm[tier.model] = (size, request.at)
            thread.called(tier, calls)
            if size:  # else somebody else has booked it, and nobody here knows how long it was
                self._learn_sizes(request, thread, usage)

    def _learn_sizes(self, request: Request, thread: _Thread, usage: Usage) -> None:
        """How long answers are, and by how much a prompt grows in a tool loop."""
        self._answers.of(request.scope.feature).append(usage.output_tokens)
        if not in_tool_loop(request):
            thread.begun = usage.input_tokens
        elif thread.begun:  # else its beginning was another process's
            self._growth.of(request.scope.feature).append(max(0, usage.input_tokens - thread.begun))

    def _thread(self, request: Request) -> _Thread | None:
        with self._lock:
            thread = self._threads.get(_key(request))
            return replace(thread, warm=dict(thread.warm), calls=dict(thread.calls)) if thread else None

    def _settle(self, thread: _Thread, request: Request, tier: Tier, baseline: Tier, usage: Usage) -> None:
        """Book what a turn has cost less than it would have, or more where it came back."""
        if tier.model == baseline.model and thread.tier in ("", tier.name):
            return
        try:
            paid = self._prices.rates(tier.model, at=request.at, input_tokens=usage.input_tokens).cost(usage)
            own = self._prices.rates(baseline.model, at=request.at, input_tokens=usage.input_tokens)
        except UnknownModelPrice:
            return
        known = _standing(thread, request.at) if _is_cached(own, request, thread, usage.input_tokens) else 0
        thread.account += _turn(own, usage.input_tokens, usage.output_tokens, known, request, thread) - paid

    def _cost(self, tier: Tier, usage: Usage, request: Request) -> Nano:
        """What an answer has cost; nothing where nobody knows its price."""
        try:
            return self._prices.rates(tier.model, at=request.at, input_tokens=usage.input_tokens).cost(usage)
        except UnknownModelPrice:
            return 0

    def _can_come_back(self, request: Request, model: str, baseline: str, thread: _Thread | None) -> bool:
        """Whether the account can pay for the way back after a turn on another model.

        In a batch run, calls are hours apart and in any order: there is no cache to be lost. And what is asked again later is to be asked
        of the same model, whatever was learnt meanwhile.
        """
        if request.waits:
            return True
        letters = sum(len(message.text) for message in request.messages)
        if letters < _SHORTEST * _LETTERS_PER_TOKEN and not request.tools and (thread is None or not thread.account):
            return True
        size = sum(estimate(message.text) for message in request.messages)
        size += sum(estimate(compact(tool)) for tool in request.tools)
        try:
            own = self._prices.rates(baseline, at=request.at, input_tokens=size)
            other = self._prices.rates(model, at=request.at, input_tokens=size)
        except UnknownModelPrice:
            return True
        if thread is None:
            thread = _Thread(size=_before(request, size), at=request.at)
        with self._lock:
            out = min(self._answers.of(request.scope.feature), default=_EXPECTED)
            growth = median_low(self._growth.of(request.scope.feature) or (_GROWTH,))
        way = _Way(own, other, request, thread, out)
        left = thread.account + way.saved(size, _standing(thread, request.at), thread.known_to(model, request.at))
        if not way.is_paid_by(left, size):
            return False
        if not request.tools:
            return True
        # Nobody changes inside a tool loop, so this model reads what the tools say, and the other one does on the way back.
        told, grown = size + out, size + out + growth
        left += way.saved(grown, *(told if _is_cached(rates, request, thread, size) else 0 for rates in (own, other)))
        return way.is_paid_by(left, grown)


class _Latest:
    """The latest numbers of each feature."""

    def __init__(self) -> None:
        self._features: OrderedDict[str, deque[int]] = OrderedDict()

    def of(self, feature: str) -> deque[int]:
        numbers = self._features.setdefault(feature, deque(maxlen=_LATEST))
        self._features.move_to_end(feature)
        if len(self._features) > _FEATURES:
            self._features.popitem(last=False)
        return numbers


class _Way(NamedTuple):
    """To another model and back.

    Attributes:
        own, other: prices of the app's own model and of the other one.
        out: output tokens of a turn.
    """

    own: Rates
    other: Rates
    request: Request
    thread: _Thread
    out: int

    def saved(self, size: int, standing: int, here: int) -> Nano:
        """What a turn costs less there, where the models would have and do have so many tokens of its prompt in their caches."""
        told = [
            _turn(rates, size, self.out, known if _is_cached(rates, self.request, self.thread, size) else 0, self.request, self.thread)
            for rates, known in ((self.own, standing), (self.other, here))
        ]  # fmt: skip
        return told[0] - told[1]

    def is_paid_by(self, left: Nano, size: int) -> bool:
        """Whether so much pays for reading anew what the app's own model would have had in its cache after a turn."""
        if not _is_cached(self.own, self.request, self.thread, size + size // _UNSURE):
            return True
        lost = _fresh(self.own, self.request, self.thread) - self.own.cache_read
        return left >= (size + self.out) * lost // 1_000


def turn_of(request: Request) -> Request:
    """The request as it was when the user spoke last, so that every step of a tool loop is routed alike, in any process."""
    if not in_tool_loop(request):
        return request
    last = max((at for at, message in enumerate(request.messages) if message.role == "user"), default=None)
    return request if last is None else replace(request, messages=request.messages[: last + 1])


def in_tool_loop(request: Request) -> bool:
    """Whether a model has called tools since the user spoke last."""
    for message in reversed(request.messages):
        if message.role == "user":
            return False
        if message.role == "tool" or message.tool_calls:
            return True
    return False


def _stay(
    decision: Decision, tier: int, tiers: Sequence[Tier], able: Iterable[int], baseline: int, why: str
) -> Decision:
    above = tuple(index for index in able if tier < index <= baseline)
    reasons = (f"stays: {why}", *decision.reasons)
    return replace(
        decision, tier=tier, name=tiers[tier].name, policy="pinned", reasons=reasons, alternatives=above, propensity=None
    )  # chance has not drawn this tier


def _key(request: Request) -> bytes:
    """The name of a conversation."""
    scope = request.scope
    if scope.session:
        told: tuple[str, ...] = ("session", scope.tenant, scope.session)
    else:
        said = [message.text for message in _opening(request.messages)]
        told = (
            "opening",
            scope.tenant,
            scope.user,
            scope.feature,
            *said,
            *(str(tool.get("name")) for tool in request.tools),
        )
    return blake2b("\0".join(told).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _opening(messages: Sequence[Message]) -> Sequence[Message]:
    first = next((at for at, message in enumerate(messages) if message.role == "user"), len(messages))
    return messages[: first + 1]


def _before(request: Request, size: int) -> int:
    """Tokens of a prompt that somebody has answered before, as a share of its letters."""
    last = max((at for at, message in enumerate(request.messages) if message.role == "assistant"), default=-1)
    letters = [len(message.text) + 1 for message in request.messages]
    return size * sum(letters[: last + 1]) // max(1, sum(letters))


def _standing(thread: _Thread, at: float) -> int:
    """Tokens that the app's own model would have in its cache now, had it answered all."""
    return thread.size if at - thread.at <= LIVES else 0


def _turn(rates: Rates, size: int, out: int, known: int, request: Request, thread: _Thread) -> Nano:
    """What a turn costs where so many tokens of its prompt are in the cache."""
    known = min(known, size)
    fresh = _fresh(rates, request, thread) if size >= _SHORTEST else rates.input
    pico = (size - known) * fresh + known * rates.cache_read + out * rates.output
    return pico // 1_000


def _fresh(rates: Rates, request: Request, thread: _Thread) -> int:
    """Pico-dollars for a token that is not in the cache yet, and is put there."""
    return rates.cache_write if _asked_for(rates) and _is_asked(request, thread) else rates.input


def _is_cached(rates: Rates, request: Request, thread: _Thread, size: int) -> bool:
    """Whether the provider keeps the prompt: by itself, or where it has to be asked, because it is."""
    if rates.cache_read >= rates.input or size < _SHORTEST:
        return False
    return not _asked_for(rates) or _is_asked(request, thread)


def _asked_for(rates: Rates) -> bool:
    """Whether a provider caches only what it is asked to: those do that take a price for it."""
    return rates.cache_write > rates.input


def _is_asked(request: Request, thread: _Thread) -> bool:
    return thread.caches or _marked(request.params) or any(_marks(message.content) for message in request.messages)


def _marks(content: str | Sequence[Json]) -> bool:
    return not isinstance(content, str) and any(_marked(part) for part in content)


def _marked(part: Json) -> bool:
    return isinstance(part, Mapping) and ("cache_control" in part or "cachePoint" in part)
