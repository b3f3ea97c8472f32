"""What routing does to conversations under providers' prompt caches: `python -m tests.benchmarks.conversations`.

Simulated: conversations of 1 to 30 turns, some with tool loops, pauses of seconds to an hour, prompts of any length, and a
router that changes its mind as it likes. Two of three are an agent's, whose every request carries its tools. Each model keeps
the prompts that it has seen for five minutes after the last use, as OpenAI (by itself), Google (the same) and Anthropic (on
demand, at a price) do; nobody keeps less than 1,024 tokens.
Without routing the same conversation is had with the dearest model alone.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace

from tests.benchmarks.harness import arguments, report
from thrift_plugins.prices import Prices
from thrift_plugins.routing import Conversations, RuleRouter, in_tool_loop, turn_of
from thrift_plugins.types import Decision, Message, Request, Scope, Tier, ToolCall, Usage

LADDERS = (
    ("gpt-4o-mini", "gpt-4o"),
    ("gpt-5-nano", "gpt-5-mini", "gpt-5"),
    ("claude-3-5-haiku-latest", "claude-sonnet-4-5"),
    ("gemini-2.5-flash-lite", "gemini-2.5-flash", "gemini-2.5-pro"),
)
WORD = "harbour "  # a token or a little more for every tokenizer
TARGETS = {"conversations_above": 0.0, "switches_in_tool_loops": 0.0}
LIVES, SHORTEST = 300.0, 1_024
TOOLS = ({"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},)


@dataclass(slots=True)
class Provider:
    """The prompt cache of one model for one conversation, as its provider keeps it: by itself, or where it is asked to."""

    alone: bool
    asked: bool
    seen: int = 0
    at: float = -1e9

    def usage(self, size: int, out: int, at: float) -> Usage:
        """What a turn is billed, and remembered."""
        known = min(self.seen, size) if at - self.at <= LIVES else 0
        read = known // 128 * 128 if size >= SHORTEST else 0
        wrote = size - read if self.asked and size >= SHORTEST else 0
        if size >= SHORTEST and (self.alone or self.asked):
            self.seen, self.at = size, at
        return Usage(size, out, cache_read=read, cache_write=wrote, source="provider")


@dataclass(slots=True)
class Talk:
    """One conversation: what it costs with routing and without, in nano-dollars."""

    chance: random.Random
    prices: Prices
    names: tuple[str, ...]
    conversations: Conversations
    number: int
    routed: int = 0
    plain: int = 0
    cheap: int = 0
    turns: int = 0
    switches: int = 0
    messages: list[Message] = field(default_factory=list)

    def live(self) -> None:
        chance = self.chance
        alone = not self.names[0].startswith("claude")
        asks = chance.random() < 0.7 and not alone
        mark = {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}
        system = WORD * int(10 ** chance.uniform(0.5, 4))
        self.messages = [Message("system", [{"type": "text", "text": system}, mark] if asks else system)]
        tiers = tuple(Tier(name, name) for name in self.names)
        with_us = {name: Provider(alone, asks) for name in self.names}
        without = Provider(alone, asks)
        tools = TOOLS if self.number % 3 else ()
        size, at, last = len(system.split()) + 10 + 30 * len(tools), 1_780_000_000.0, ""
        session = f"s{self.number}" if chance.random() < 0.5 else ""
        flips = chance.choice((0.1, 0.5, 0.9))
        wish = 0
        for _ in range(int(1 + chance.expovariate(1 / 6)) if chance.random() < 0.9 else 30):
            at += 10 ** chance.uniform(0.5, 3.5)
            if chance.random() < flips:
                wish = chance.randrange(len(tiers))
            said = int(10 ** chance.uniform(0.5, 2.5))
            self.messages.append(Message("user", WORD * said))
            size += said + 8
            steps = chance.choice((1, 1, 1, 2, 5)) if tools else 1
            for step in range(steps):
                scope = Scope(session=session, user=str(self.number))
                request = Request(f"{self.number}", at, self.names[-1], tuple(self.messages), tools, scope=scope)
                decision = self.decide(request, tiers, wish)
                out = int(10 ** chance.uniform(0.7, 3))
                tier = tiers[decision.tier]
                used = with_us[tier.name].usage(size, out, at)
                self.routed += self.prices.cost(tier.model, used, at=at)
                self.plain += self.prices.cost(self.names[-1], without.usage(size, out, at), at=at)
                self.conversations.learn(request, tier, tiers[-1], used)
                self.switches += in_tool_loop(request) and tier.name != last
                self.cheap += decision.tier < len(tiers) - 1
                self.turns += 1
                last = tier.name
                size += out + 8
                if step == steps - 1:
                    self.messages.append(Message("assistant", WORD * out))
                else:
                    self.messages.append(Message("assistant", WORD * out, (ToolCall("1", "search", {}),)))
                    given = int(10 ** chance.uniform(0.5, 3))
                    self.messages.append(Message("tool", WORD * given, tool_call_id="1"))
                    size += given + 8
                    at += chance.uniform(0.5, 30)

    def decide(self, request: Request, tiers: tuple[Tier, ...], wish: int) -> Decision:
        above = tuple(range(wish + 1, len(tiers)))
        decision = replace(RuleRouter().decide(turn_of(request), tiers, len(tiers) - 1), tier=wish, name=tiers[wish].name, alternatives=above)  # fmt: skip
        return self.conversations.keep(request, tiers, len(tiers) - 1, decision)


def measure(count: int, seed: int = 1) -> dict[str, float | int | str | None]:
    """The figures of so many conversations."""
    prices = Prices()
    prices.load()
    talks, conversations = [], Conversations(prices)
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        talk = Talk(chance, prices, LADDERS[number % len(LADDERS)], conversations, number)
        talk.live()
        talks.append(talk)
    above = [talk for talk in talks if talk.routed > talk.plain]
    routed, plain = sum(talk.routed for talk in talks), sum(talk.plain for talk in talks)
    return {
        "conversations": count,
        "conversations_above": len(above),
        "worst_above": max((talk.routed / talk.plain - 1 for talk in above), default=0.0),
        "cost_over_no_routing": routed / plain,
        "turns_cheaper": sum(talk.cheap for talk in talks) / sum(talk.turns for talk in talks),
        "switches_in_tool_loops": sum(talk.switches for talk in talks),
    }


def main() -> None:
    """Measure and report."""
    told = arguments(__doc__ or "")
    count = int(os.environ.get("THRIFT_BENCH_CONVERSATIONS", "10000"))
    report("conversations", measure(count), TARGETS, told.json)


if __name__ == "__main__":
    main()
