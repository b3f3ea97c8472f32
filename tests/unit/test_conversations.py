"""Conversations stay where they cost least: never dearer than without routing, and never on another model inside a tool loop."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from tests.benchmarks.conversations import measure
from thrift_plugins.prices import Prices
from thrift_plugins.routing import Conversations, in_tool_loop, turn_of
from thrift_plugins.tokens import estimate
from thrift_plugins.types import Decision, Message, Request, Scope, Tier, ToolCall, Usage

TIERS = (Tier("cheap", "gpt-4.1-nano"), Tier("mid", "gpt-4.1-mini"), Tier("strong", "gpt-5"))
CHEAP = Decision(0, "cheap", "rules", ("short request",), (1, 2))
CALLED = Message("assistant", "", (ToolCall("1", "search", {}),))
GIVEN = Message("tool", "It rains.", tool_call_id="1")
NOW = 1_780_000_000.0


def request(*messages: Message, at: float = NOW, **fields: Any) -> Request:
    return Request("1", at, "gpt-5", messages or (Message("user", "How is the weather?"),), **fields)


def long(words: int = 4_000) -> Message:
    return Message("system", "harbour " * words)


@pytest.fixture
def conversations() -> Conversations:
    prices = Prices()
    prices.load()
    return Conversations(prices)


def test_a_first_short_question_goes_where_the_router_sends_it(conversations: Conversations) -> None:
    assert conversations.keep(request(), TIERS, 2, CHEAP) is CHEAP


def test_a_warm_prompt_stays_with_its_model(conversations: Conversations) -> None:
    asked = request(long(20_000), Message("user", "Hello?"))
    conversations.learn(asked, TIERS[2], TIERS[2], Usage(20_010, 20, source="provider"))
    more = request(*asked.messages, Message("assistant", "Yes."), Message("user", "And now?"), at=NOW + 20)
    kept = conversations.keep(more, TIERS, 2, replace(CHEAP, propensity=0.9))
    assert (kept.tier, kept.name, kept.policy, kept.alternatives) == (2, "strong", "pinned", ())
    assert kept.propensity is None, "chance has drawn another tier"
    assert kept.reasons == ("stays: its prompt cache is worth more", "short request")


def test_in_a_batch_run_there_is_no_prompt_cache_to_be_lost(conversations: Conversations) -> None:
    asked = request(long(20_000), Message("user", "Hello?"), waits=True)
    conversations.learn(asked, TIERS[2], TIERS[2], Usage(20_010, 20, source="provider"))
    more = request(*asked.messages, Message("assistant", "Yes."), Message("user", "And now?"), at=NOW + 20, waits=True)
    assert conversations.keep(more, TIERS, 2, CHEAP) is CHEAP


def test_answers_that_did_not_stand_are_on_the_account(conversations: Conversations) -> None:
    """A turn that the cheap tier answers pays for the way back, but not for what was thrown away besides."""
    other = Conversations(conversations._prices)
    asked = request(long(20_000), Message("user", "Hello?"))
    more = request(*asked.messages, Message("assistant", "Yes."), Message("user", "And now?"), at=NOW + 20)
    used = Usage(20_010, 20, source="provider")
    for each, wasted in ((conversations, ()), (other, [(TIERS[1], used)] * 20)):
        each.learn(asked, TIERS[0], TIERS[2], used, wasted=wasted)
    assert conversations.keep(more, TIERS, 2, CHEAP) is CHEAP
    assert other.keep(more, TIERS, 2, CHEAP).reasons[0] == "stays: its prompt cache is worth more"


def test_a_prompt_that_nobody_remembers_may_go(conversations: Conversations) -> None:
    asked = request(long(20_000), Message("user", "Hello?"))
    conversations.learn(asked, TIERS[2], TIERS[2], Usage(20_010, 900, source="provider"))
    later = request(*asked.messages, Message("assistant", "Yes."), Message("user", "And now?"), at=NOW + 4_000)
    assert conversations.keep(later, (TIERS[0], Tier("strong", "gpt-4o")), 1, CHEAP).tier == 0


@pytest.mark.parametrize(("tokens", "tier"), [(1_000, 1), (600, 0)])
def test_a_prompt_that_may_be_long_enough_to_be_cached(conversations: Conversations, tokens: int, tier: int) -> None:
    """By our count it is not, and by the provider's it may be: then its cache would be lost on the way back."""
    two = (Tier("cheap", "claude-3-5-haiku-latest"), Tier("strong", "claude-sonnet-4-5"))
    asked_for: dict[str, Any] = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    asked = request(Message("system", [asked_for]), Message("user", "Hello?"))
    conversations.learn(asked, two[0], two[1], Usage(130, 2, source="provider"))
    words = next(words for words in range(tokens // 2, 2 * tokens) if estimate("harbour " * words) >= tokens)
    more = request(*asked.messages, Message("assistant", "Yes."), Message("user", "harbour " * words), at=NOW + 10)
    assert conversations.keep(more, two, 1, CHEAP).tier == tier


def test_a_prompt_too_short_to_be_cached_is_not_written_there(conversations: Conversations) -> None:
    """Putting it there costs a quarter more: what it would have cost is told without."""
    two = (Tier("cheap", "claude-3-5-haiku-latest"), Tier("strong", "claude-sonnet-4-5"))
    marked = Message("system", [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    asked = request(marked, Message("user", "Hello?"))
    conversations.learn(asked, two[0], two[1], Usage(1_000, 0, source="provider"))
    thread = conversations._thread(asked)
    assert thread is not None
    assert thread.account == 1_000 * (3_000 - 800), "nano-dollars: $3.00 and $0.80 for a million tokens"


@pytest.mark.parametrize(("grew", "tier"), [(100, 0), (40_000, 1)])
def test_a_loop_may_grow_past_what_the_way_back_is_paid_with(conversations: Conversations, grew: int, tier: int) -> None:
    """Nobody changes inside it: what a tool says is read by the cheap model, and by the app's own on the way back."""
    two = (Tier("cheap", "gpt-5-mini"), Tier("strong", "gpt-5"))
    tools = ({"name": "search", "parameters": {}},)
    before = request(Message("user", "Where is it?"), tools=tools)
    conversations.learn(before, two[1], two[1], Usage(50, 20, source="provider"))
    conversations.learn(replace(before, messages=(*before.messages, CALLED, GIVEN)), two[1], two[1], Usage(50 + grew, 20, source="provider"))
    asked = request(Message("user", "Where was it?"), tools=tools)
    assert conversations.keep(asked, two, 1, CHEAP).tier == tier
    assert conversations.keep(replace(asked, tools=()), two, 1, CHEAP).tier == 0, "nothing is added without tools"


def test_what_other_processes_have_answered_is_taken_for_the_apps_own(conversations: Conversations) -> None:
    more = request(long(20_000), Message("user", "Hello?"), Message("assistant", "Yes."), Message("user", "And now?"))
    assert conversations.keep(more, TIERS, 2, CHEAP).tier == 2


def test_no_switch_inside_a_tool_loop(conversations: Conversations) -> None:
    asked = request()
    conversations.learn(asked, TIERS[1], TIERS[2], Usage(20, 10, source="provider"))
    step = request(*asked.messages, CALLED, GIVEN)
    kept = conversations.keep(step, TIERS, 2, CHEAP)
    assert (kept.tier, kept.alternatives, kept.reasons[0]) == (1, (2,), "stays: inside a tool loop")
    assert conversations.keep(step, TIERS, 2, replace(CHEAP, tier=1, name="mid")).policy == "rules"


def test_a_loop_stays_although_another_agent_answers_in_its_session(conversations: Conversations) -> None:
    """A tool may be an agent of its own, and all agents of a LangGraph thread have its session."""
    one = request(scope=Scope(session="s"))
    conversations.learn(one, TIERS[0], TIERS[2], Usage(20, 10, source="provider"), CALLED.tool_calls)
    inner = replace(one, messages=(Message("user", "Prove it."),))
    conversations.learn(inner, TIERS[2], TIERS[2], Usage(20, 10, source="provider"))
    step = replace(one, messages=(*one.messages, CALLED, GIVEN))
    assert conversations.keep(step, TIERS, 2, CHEAP) is CHEAP
    for number in range(200):  # nothing grows without end
        conversations.learn(one, TIERS[1], TIERS[2], Usage(20, 10), (ToolCall(str(number + 2), "search", {}),))
    assert conversations.keep(step, TIERS, 2, CHEAP).tier == 1


def test_a_tier_that_can_no_longer_serve_is_left(conversations: Conversations) -> None:
    small = (Tier("cheap", "gpt-4.1-nano", window=2_000), *TIERS[1:])
    asked = request()
    conversations.learn(asked, small[0], TIERS[2], Usage(20, 10, source="provider"))
    step = request(*asked.messages, CALLED, replace(GIVEN, content="rain " * 3_000))
    kept = conversations.keep(step, small, 2, CHEAP)
    assert kept.tier > 0
    assert kept.policy == "pinned"


def test_every_step_of_a_loop_is_routed_as_its_first() -> None:
    asked = request(Message("system", "Be kind."), Message("user", "How is it?"))
    step = replace(asked, messages=(*asked.messages, CALLED, GIVEN))
    assert not in_tool_loop(asked)
    assert in_tool_loop(step)
    assert turn_of(step) == asked
    assert turn_of(asked) is asked
    assert turn_of(request(CALLED, GIVEN)).messages == (CALLED, GIVEN)


def test_models_without_a_price_are_left_to_the_router(conversations: Conversations) -> None:
    unknown = (Tier("cheap", "nobody-knows"), Tier("strong", "nor-this"))
    asked = request(long(), Message("user", "Hello?"))
    conversations.learn(asked, unknown[0], unknown[1], Usage(4_010, 20, source="provider"))
    assert conversations.keep(asked, unknown, 1, CHEAP) is CHEAP


def test_sessions_tell_conversations_apart(conversations: Conversations) -> None:
    one, other = (request(scope=Scope(tenant="t", session=name)) for name in ("a", "b"))
    conversations.learn(one, TIERS[1], TIERS[2], Usage(20, 10, source="provider"))
    step = replace(one, messages=(*one.messages, CALLED, GIVEN))
    assert conversations.keep(step, TIERS, 2, CHEAP).tier == 1
    assert conversations.keep(replace(step, scope=other.scope), TIERS, 2, CHEAP).tier == 0


def test_a_month_of_conversations_is_never_dearer() -> None:
    """See the benchmark; there are 10,000."""
    figures = measure(int(60 * float(os.environ.get("THRIFT_TEST_SCALE", "1"))))
    assert figures["conversations_above"] == 0
    assert figures["switches_in_tool_loops"] == 0
    assert figures["turns_cheaper"] > 0.3
