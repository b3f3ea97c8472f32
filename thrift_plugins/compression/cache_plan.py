"""What a provider's prompt cache is worth, and which compression pays beside it.

A cache reads the beginning of a prompt at a discount, if it is long enough, was sent before, and has not been forgotten. So
to shorten that beginning anew for every request throws the discount away, and to shorten it below the minimum loses it for
good. `CachePlan.best` prices every choice over the turns of a conversation and takes the cheapest; to do nothing is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from thrift_plugins.prices import Prices, split_model

Choice: TypeAlias = Literal["none", "tail", "prefix", "both", "per request"]

_RULES: Final = (
    (re.compile(r"claude.*(?:opus-4-[5-9]|haiku-4-[5-9]|mythos)"), 4_096, 300.0, True),
    (re.compile(r"claude.*haiku-3|claude-3-5-haiku|claude-3-haiku"), 2_048, 300.0, True),
    (re.compile(r"claude"), 1_024, 300.0, True),
    (re.compile(r"gemini.*pro"), 4_096, 300.0, False),
    (re.compile(r"gemini"), 1_024, 300.0, False),
    (re.compile(r"deepseek"), 64, 7_200.0, False),
    (re.compile(r"gpt|chatgpt|^o\d"), 1_024, 300.0, False),
)
"""Of each family: the least tokens that are cached, how many seconds they are kept, and whether a breakpoint is needed."""

_UNKNOWN: Final = 1_024


@dataclass(frozen=True, slots=True)
class CacheRules:
    """How a model's provider caches prompts.

    Attributes:
        input: pico-dollars of a token that is not cached.
        read: of one that is read from the cache.
        write: of one that is written there; as `input` where writing is free.
        minimum: tokens below which nothing is cached.
        lifetime: seconds after the last use until it is forgotten.
        marked: whether the app must say where the cached part ends, as with Anthropic.
    """

    input: int
    read: int
    write: int
    minimum: int
    lifetime: float
    marked: bool

    @classmethod
    def of(cls, model: str, prices: Prices) -> CacheRules:
        """The rules of a model. Raises UnknownModelPrice where it has no price."""
        rates = prices.rates(model)
        name = model
        provider, rest = split_model(model)
        while provider is not None:
            name = rest
            provider, rest = split_model(rest)
        minimum, lifetime, marked = next(
            (rule[1:] for rule in _RULES if rule[0].search(name.lower())), (_UNKNOWN, 300.0, False)
        )
        write = rates.cache_write if marked else rates.input
        return cls(rates.input, rates.cache_read, write, minimum, lifetime, marked)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The calls that share a beginning.

    Attributes:
        prefix: tokens that are the same in all of them: instructions, tools, fixed examples.
        tail: tokens that each brings anew.
        answer: tokens that each leaves in the history beside its own.
        turns: calls of one conversation.
        hit_rate: how often the beginning is still in the cache, 0 to 1.
    """

    prefix: int
    tail: int
    answer: int = 0
    turns: int = 1
    hit_rate: float = 0.8


class Verdict(NamedTuple):
    """Which compression pays.

    Attributes:
        choice: "tail": each request's own part; "prefix": the shared beginning, once, offline; "both"; "per request": all of
            it anew each time, of which no cache keeps anything; "none".
        cost: of a conversation, in pico-dollars.
        without: the same without compression.
        refused: choices that would cost more than none, by how many pico-dollars.
    """

    choice: Choice
    cost: float
    without: float
    refused: dict[Choice, float]


@dataclass(frozen=True, slots=True)
class CachePlan:
    """Prices compression beside a provider's prompt cache."""

    rules: CacheRules

    def cost(self, traffic: Traffic, *, cacheable: bool = True) -> float:
        """Of the input of one conversation, in pico-dollars.

        Args:
            cacheable: whether each prompt begins as the one before.
        """
        rules, total = self.rules, 0.0
        cached = traffic.hit_rate * rules.read + (1 - traffic.hit_rate) * rules.write
        for turn in range(max(1, traffic.turns)):
            stable = traffic.prefix + turn * (traffic.tail + traffic.answer)
            known = cacheable and stable >= rules.minimum
            total += stable * (cached if known else rules.input) + traffic.tail * rules.input
        return total

    def best(self, traffic: Traffic, *, prefix: int | None = None, tail: int | None = None) -> Verdict:
        """The cheapest choice; in doubt, none.

        Args:
            prefix: tokens of the shared beginning after compression, None where there is none.
            tail: tokens that each request brings after compression, None where there is none.
        """
        less = traffic.prefix if prefix is None else prefix
        short = traffic.tail if tail is None else tail
        without = self.cost(traffic)
        costs: dict[Choice, float] = {"none": without}
        if tail is not None:
            costs["tail"] = self.cost(replace(traffic, tail=short))
        if prefix is not None:
            costs["prefix"] = self.cost(replace(traffic, prefix=less))
            costs["per request"] = self.cost(replace(traffic, prefix=less, tail=short), cacheable=False)
        if prefix is not None and tail is not None:
            costs["both"] = self.cost(replace(traffic, prefix=less, tail=short))
        choice = min(costs, key=lambda name: (costs[name], name != "none"))
        refused: dict[Choice, float] = {name: cost - without for name, cost in costs.items() if cost > without}
        return Verdict(choice, costs[choice], without, refused)

    def pays(self, before: int, after: int, tail: int, turns: int, hit_rate: float = 0.8) -> bool:
        """Whether to send a message shorter pays over the calls that will send it again.

        Args:
            before: tokens of the prompt up to and with the message, as it is.
            after: the same with the message compressed.
            tail: tokens that each later call brings.
            turns: calls that send it, this one included.
        """
        later = max(0, turns - 1)
        whole = Traffic(before, tail, 0, later, hit_rate)
        gained = (before - after) * self.rules.input
        return not later or gained + self.cost(whole) - self.cost(replace(whole, prefix=after)) >= 0

    def cut_pays(self, before: int, after: int, opening: int, calls: int, hit_rate: float = 0.8) -> bool:
        """Whether to leave out the oldest turns of a prompt that is in the cache pays over the calls that will send the rest.

        What stays has to be put there anew, and is shorter from then on.

        Args:
            before: tokens that are in the cache.
            after: the same without the turns that go.
            opening: of these, the tokens before the cut, which are still in the cache.
            calls: that send it, this one included.
        """
        rules = self.rules
        known = opening * (rules.read if opening >= rules.minimum else rules.input)
        stays = known + (after - opening) * (rules.write if after >= rules.minimum else rules.input)
        now = stays - before * (rules.read if before >= rules.minimum else rules.input)
        whole = Traffic(before, 0, 0, max(0, calls - 1), hit_rate)
        later = self.cost(whole) - self.cost(replace(whole, prefix=after)) if calls > 1 else 0.0
        return now <= later
