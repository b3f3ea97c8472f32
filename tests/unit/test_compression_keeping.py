"""Conversations in the flow of a call: which turns are left out, when, and where the prompt cache is marked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_engine import REQUEST, STRONG, play
from thrift_plugins.compression import Compressor
from thrift_plugins.compression.cache_plan import CachePlan, CacheRules
from thrift_plugins.compression.history import Talk, trimmed
from thrift_plugins.compression.keeping import Keeping
from thrift_plugins.compression.policy import CompressionPolicy
from thrift_plugins.effects import Call
from thrift_plugins.engine import Engine
from thrift_plugins.ledger.bill import bill
from thrift_plugins.prices import Prices
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message, Reply, Scope, Tier, ToolCall, Usage

CLAUDE = Tier("claude-sonnet-4-5", "claude-sonnet-4-5", breakpoints=("system", "user", "tool"))
RULES = Message("system", "Be brief and kind. " * 20)
LONG = Message("system", "Be brief and kind, and never sell a ticket without a name. " * 120)


def turn(number: int, words: int = 60) -> list[Message]:
    """A turn of a conversation in which a tool is called."""
    return [
        Message("user", f"Question {number}: " + "word " * words),
        Message("assistant", "", (ToolCall(f"c{number}", "look", {"n": number}),)),
        Message("tool", "result " * words, tool_call_id=f"c{number}"),
        Message("assistant", f"Answer {number}."),
    ]


def talk(turns: int, opening: Message = RULES, words: int = 60) -> tuple[Message, ...]:
    """A conversation of so many turns with their answers, and one more question."""
    return (opening, *(message for number in range(turns) for message in turn(number, words)), Message("user", "And now?"))


def policy(**settings: Any) -> CompressionPolicy:
    keeping = Keeping(**{"max_history": 600, **settings})
    return CompressionPolicy(Compressor(), prices=Prices(), turns=keeping.turns, keeping=keeping)


def sent(
    engine: Engine, messages: tuple[Message, ...], tier: Tier = STRONG, *, at: float = 0.0, read: int = 0, waits: bool = False
) -> tuple[Call, Any]:
    """The call that a request comes to, and its event; the provider counts as we do."""
    calls: list[Call] = []

    def answer(call: Call) -> Reply:
        calls.append(call)
        return Reply("So.", Usage(count_messages(call.request.messages, tier.model), 2, cache_read=read, source="provider"))

    asked = replace(REQUEST, messages=messages, at=REQUEST.at + at, waits=waits)
    played = play(engine, asked, [tier], calls=[answer])
    assert played.raised is None
    return calls[0], played.event


def test_the_oldest_turns_go_whole_and_what_is_sent_is_a_conversation():
    compression = policy()
    for number in range(1, 12):
        messages = talk(number)
        call, _ = sent(Engine(compression=compression), messages, at=number * 10_000)
        made = call.request.messages
        assert made[0] == RULES
        assert made[-1] == messages[-1]
        assert {one.id for message in made for one in message.tool_calls} == {one.tool_call_id for one in made if one.tool_call_id}
        assert made[1].role == "user"
        if call.change is not None:
            assert made == tuple(messages[at] for at in call.change.kept or ())
            assert count_messages(made, "gpt-4o") <= 600
    assert call.change is not None


def test_what_went_can_be_fetched_back_and_the_books_add_up():
    compression = policy()
    messages = talk(8)
    full = count_messages(messages, "gpt-4o")
    _, event = sent(Engine(compression=compression), messages)
    (patch,) = event.patches
    assert patch.before.input_tokens == full
    assert any(reason.startswith("compression: history -") for reason in event.reasons)
    made = bill(event, Prices())
    assert made.baseline == made.actual + sum(made.rows.values())
    assert made.rows["compression"] > 0
    told = compression.compress(replace(REQUEST, messages=messages), STRONG)
    assert told is not None
    assert compression.default is not None
    assert [compression.default.fetch(one.id) for one in told.dropped] == [one.text for one in told.dropped]


def test_a_cut_is_moved_when_the_cache_is_cold_and_not_while_it_is_warm():
    refused = "compression: history undone (the prompt cache is worth more)"
    warm, cold = policy(max_history=3_000), policy(max_history=3_000)
    starts: dict[str, list[str]] = {"warm": [], "cold": []}
    for number in range(16, 26):
        messages = talk(number, words=100)
        for name, compression, gap in (("cold", cold, 1_000.0), ("warm", warm, 10.0)):
            call, event = sent(Engine(compression=compression), messages, at=number * gap)
            starts[name].append(call.request.messages[1].text[:12])
            behind = name == "warm" and starts["cold"][-1] != starts["warm"][0]
            assert (refused in event.fallbacks) == behind
    assert len(set(starts["warm"])) == 1
    assert len(set(starts["cold"])) > 2
    call, _ = sent(Engine(compression=warm), talk(25, words=100), at=100_000)
    assert call.request.messages[1].text[:12] == starts["cold"][-1]


def test_a_cut_that_pays_over_the_turns_to_come_is_made():
    rules = CacheRules.of("gpt-4o", Prices())
    plan = CachePlan(rules)
    assert not plan.cut_pays(10_000, 6_000, 1_000, 1)
    assert plan.cut_pays(10_000, 6_000, 1_000, 50)
    assert plan.cut_pays(10_000, 1_050, 1_000, 1)
    assert plan.cut_pays(900, 500, 100, 1), "nothing of it is in the cache"
    often = policy(max_history=3_000, turns=100)
    starts = [sent(Engine(compression=often), talk(n, words=100), at=n)[0].request.messages[1].text[:12] for n in range(16, 30)]
    assert len(set(starts)) > 1


def test_the_ledger_claims_no_more_than_the_cache_would_have_left():
    compression = policy(max_history=3_000)
    sent(Engine(compression=compression), talk(16, words=100))
    call, event = sent(Engine(compression=compression), talk(17, words=100), at=10, read=2_000)
    assert call.change is not None
    (patch,) = event.patches
    assert patch.before.cache_read == count_messages(talk(16, words=100), "gpt-4o")
    assert patch.provenance == "modelled"
    made = bill(event, Prices())
    assert made.baseline == made.actual + sum(made.rows.values())


@pytest.mark.parametrize("params", [{}, {"cache_control": {"type": "ephemeral"}}])
def test_an_argument_of_the_call_that_keeps_the_prompt_is_reckoned_with(params):
    compression = policy(max_history=3_000)
    before, now = (replace(REQUEST, messages=talk(n, words=100), params=params, at=REQUEST.at + n) for n in (20, 24))
    compression.compress(before, CLAUDE)
    told = compression.compress(now, CLAUDE)
    assert told is not None
    refused = any(stage.undone == "the prompt cache is worth more" for stage in told.stages)
    assert refused == bool(params)
    assert (told.read > 0) == bool(params)


def test_turns_stay_whole_where_results_come_late_or_in_the_users_words():
    late = (
        Message("user", "Look at one thing. " * 20),
        Message("assistant", "", (ToolCall("a", "look", {}),)),
        Message("user", "Hurry up, please. " * 20),
        Message("tool", "found " * 20, tool_call_id="a"),
        Message("assistant", "Found."),
        Message("user", "Thank you. " * 20),
        Message("assistant", "You are welcome."),
        Message("user", "Bye."),
    )
    assert [start for start, _ in Talk.of(late, "gpt-4o").turns] == [0, 5, 7]
    blocks = [{"type": "tool_result", "tool_use_id": "a", "content": "found"}]
    worded = (Message("user", "Look."), Message("assistant", "Looking."), Message("user", blocks), Message("user", "Bye."))
    assert [start for start, _ in Talk.of(worded, "gpt-4o").turns] == [0, 3]


def test_nothing_goes_that_the_app_has_marked_and_never_all():
    marked = [{"type": "text", "text": "word " * 400, "cache_control": {"type": "ephemeral"}}]
    messages = (RULES, *turn(0, 400), Message("user", marked), Message("assistant", "Yes."), Message("user", "And?"))
    assert trimmed(messages, "gpt-4o", 100).messages == messages
    call, _ = sent(Engine(compression=policy(max_history=100)), messages)
    assert call.change is None
    one = (RULES, Message("user", "word " * 500))
    assert sent(Engine(compression=policy(max_history=100)), one)[0].request.messages == one
    assert trimmed((), "gpt-4o", 1).messages == ()


def test_a_feature_has_its_own_limit_and_its_answers_are_kept_apart():
    compression = replace(policy(), keepings={"long": Keeping()})
    request = replace(REQUEST, messages=talk(8), scope=Scope(feature="long"))
    assert compression.signature(request) == ""
    assert compression.signature(replace(request, scope=Scope())) == "history=600"
    made = compression.compress(request, STRONG)
    assert made is not None
    assert made.messages == request.messages


# ---- breakpoints ----


def marks(call: Call) -> list[int]:
    """Indices of the messages that end with a mark."""
    return [at for at, one in enumerate(call.request.messages) if "cache_control" in str(one.content)]


def test_instructions_are_marked_once_they_come_again_and_a_conversation_that_goes_on():
    engine = Engine(compression=policy(max_history=None, cache_control=True))
    first, second = (LONG, Message("user", "Hello?")), (LONG, Message("user", "Hi!"))
    assert marks(sent(engine, first, CLAUDE)[0]) == []
    assert marks(sent(engine, second, CLAUDE, at=60)[0]) == [0]
    assert marks(sent(engine, second, CLAUDE, at=10_000)[0]) == [], "it is forgotten"
    call, _ = sent(engine, talk(2, LONG), CLAUDE, at=20_000)
    assert marks(call) == [0, 9]
    assert call.change is not None
    assert call.change.breaks == (0, 9)
    often = Engine(compression=policy(max_history=None, cache_control=True, turns=5))
    assert marks(sent(often, first, CLAUDE)[0]) == [0, 1]
    empty = (LONG, Message("user", [{"type": "text", "text": "Hello?"}, {"type": "text", "text": ""}]))
    assert marks(sent(often, empty, CLAUDE)[0]) == [0], "the provider refuses a mark on nothing"


def test_in_a_batch_run_a_prompt_is_sent_as_it_was():
    engine = Engine(compression=policy(max_history=3_000, cache_control=True))
    for messages in ((LONG, Message("user", "Hello?")), *(talk(number, words=100) for number in range(16, 26))):
        first, again = (sent(engine, messages, CLAUDE, at=at, waits=True)[0].request for at in (0, 10))
        assert first.messages == again.messages


def test_instructions_are_shared_by_users_and_conversations_are_not():
    compression = policy(max_history=None, cache_control=True)
    asked = [replace(REQUEST, messages=(LONG, Message("user", "Hello?")), scope=Scope(user=user)) for user in ("ann", "ben")]
    breaks = [made.breaks for one in asked if (made := compression.compress(one, CLAUDE)) is not None]
    assert breaks == [(), (0,)]


@pytest.mark.parametrize("who", ["another provider", "another class", "too short", "the app in a message", "in a tool", "in the call"])
def test_nothing_is_marked(who: str):
    engine = Engine(compression=policy(max_history=None, cache_control=True, turns=5))
    messages, tier, request = talk(2, LONG), CLAUDE, REQUEST
    mark = {"cache_control": {"type": "ephemeral"}}
    if who == "another provider":
        tier = replace(STRONG, breakpoints=("user",))
    elif who == "another class":
        tier = replace(CLAUDE, breakpoints=())
    elif who == "too short":
        messages = talk(2, words=10)
    elif who == "the app in a message":
        messages = (Message("system", [{"type": "text", "text": LONG.text, **mark}]), *messages[1:])
    elif who == "in a tool":
        request = replace(request, tools=({"name": "look", "parameters": {}},), params={"tools": [{"name": "look", **mark}]})
    else:
        request = replace(request, params=mark)
    calls: list[Call] = []
    play(engine, replace(request, messages=messages), [tier], calls=[lambda call: calls.append(call) or Reply("So.", Usage())])
    assert calls[0].change is None
    assert calls[0].request.messages == messages


def test_the_tools_before_count_and_whose_messages_take_marks_matters():
    tools = tuple({"name": f"tool{n}", "description": "It looks things up. " * 20, "parameters": {}} for n in range(20))
    compression = policy(max_history=None, cache_control=True, turns=5)
    made = compression.compress(replace(REQUEST, messages=talk(1), tools=tools), CLAUDE)
    assert made is not None
    assert made.breaks == (0, 5)
    made = compression.compress(replace(REQUEST, messages=talk(1)[:-2], tools=tools), replace(CLAUDE, breakpoints=("user",)))
    assert made is not None
    assert made.breaks == (1,)


def test_marks_are_booked_as_what_they_change():
    engine = Engine(compression=policy(max_history=None, cache_control=True, turns=5))
    for read, written in ((0, 2_000), (2_000, 100)):
        used = Usage(3_000, 5, cache_read=read, cache_write=written, source="provider")
        played = play(engine, replace(REQUEST, messages=talk(2, LONG)), [CLAUDE], calls=[Reply("So.", used)])
        (patch,) = played.event.patches
        assert (patch.before.cache_read, patch.before.cache_write, patch.before.input_tokens) == (0, 0, 3_000)
        made = bill(played.event, Prices())
        assert made.baseline == made.actual + sum(made.rows.values())
        assert (made.rows["compression"] > 0) == (read > 0)


def test_history_is_cut_beside_marks_only_where_that_pays():
    compression = policy(max_history=3_000, cache_control=True, turns=2)
    starts = []
    for number in range(16, 22):
        call, _ = sent(Engine(compression=compression), talk(number, LONG, words=100), CLAUDE, at=number)
        starts.append(call.request.messages[1].text[:12])
        assert marks(call) == [0, len(call.request.messages) - 1]
    assert len(set(starts)) == 1


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "gemini-2.5-flash", "claude-sonnet-4-6"])
@pytest.mark.parametrize("gaps", [(10.0,), (1_000.0,), (10.0, 10.0, 10.0, 1_000.0)])
def test_a_conversation_never_costs_more_than_with_all_of_it_sent(model: str, gaps: tuple[float, ...]):
    rules = CacheRules.of(model, Prices())
    tier = Tier(model, model, breakpoints=("system", "user", "tool"))
    compression = policy(max_history=3_000, cache_control=True)
    at, paid, whole, cached, all_cached = 0.0, 0.0, 0.0, (), ()
    for number in range(2, 40):
        gap = gaps[number % len(gaps)]
        at += gap
        messages = talk(number, LONG, words=100)
        made = compression.compress(replace(REQUEST, messages=messages, at=at), tier)
        assert made is not None
        sent = messages if made.kept is None else tuple(messages[place] for place in made.kept)
        warm = gap <= rules.lifetime
        paid += _billed(sent, cached if warm else (), rules, model, marked=bool(made.breaks) or not rules.marked)
        whole += _billed(messages, all_cached if warm else (), rules, model, marked=not rules.marked)
        cached, all_cached = sent, messages
    assert paid <= whole


def _billed(messages: Any, before: Any, rules: CacheRules, model: str, *, marked: bool) -> float:
    """What a prompt costs where the provider has the one before in its cache."""
    total = count_messages(messages, model)
    same = 0
    for one, other in zip(messages, before, strict=False):
        if one != other:
            break
        same += 1
    known = count_messages(messages[:same], model) if same else 0
    if not marked:
        return total * rules.input
    known = known if known >= rules.minimum else 0
    return known * rules.read + (total - known) * (rules.write if total >= rules.minimum else rules.input)
