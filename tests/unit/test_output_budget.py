"""What an output budget changes about a call, what it learns from the answer, and what it claims."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thrift_plugins.budgeting import Note, OutputPolicy, Target
from thrift_plugins.errors import ConfigError
from thrift_plugins.tokens import count
from thrift_plugins.types import Message, Reply, Request, Scope, Tier, ToolCall, Usage

TIER = Tier("big", "gpt-4o")
SHORT = "Keep your answer to 80 words or fewer."
TOOL = {"name": "search", "parameters": {"type": "object", "properties": {}}}
ASKED = Message("user", "How do I reset my password?")
CALLED = Message("assistant", "", (ToolCall("1", "search", {}),))
GIVEN = Message("tool", "See settings.", tool_call_id="1")


def _policy(**target):
    return OutputPolicy({"support": Target(**{"words": 80, **target})})


def _request(*messages, **fields):
    scope = fields.pop("scope", Scope(feature="support"))
    return Request(id="1", at=0.0, model="gpt-4o", messages=messages or (ASKED,), scope=scope, **fields)


def _reply(tokens, finish="stop", *, reasoning=0, source="provider", **fields):
    usage = Usage(100, tokens, reasoning=reasoning, source=source)
    return Reply("Go to settings.", usage, finish_reason=finish, **fields)


def _notes(request, policy=None):
    plan = (policy or _policy()).plan(request, TIER)
    return plan.notes if plan else ()


# ---- what is asked of the prompt ----


def test_a_length_is_asked_for_at_the_end_of_the_users_turn():
    plan = _policy().plan(_request(Message("system", "You help."), ASKED), TIER)
    assert plan.notes == (Note(1, SHORT),)
    assert plan.messages == (Message("system", "You help."), replace(ASKED, content=f"{ASKED.content}\n\n{SHORT}"))
    assert (plan.asked, plan.most, plan.temperature) == (True, None, None)
    assert plan.reasons == ("asked for 80 words (en)",)


def test_it_is_asked_for_in_the_users_language():
    (note,) = _notes(_request(Message("system", "You help."), Message("user", "Wie setze ich mein Passwort zurück?")))
    assert note.text == "Antwort in höchstens 80 Wörtern."


def test_blocks_and_their_marks_stay_as_they_are():
    marked = {"type": "text", "text": "How do I reset it?", "cache_control": {"type": "ephemeral"}}
    plan = _policy().plan(_request(Message("user", [marked])), TIER)
    assert plan.messages[0].content == [marked, {"type": "text", "text": SHORT}]
    assert plan.messages[0].content[0] is marked


def test_a_form_is_asked_for_as_it_stands():
    (note,) = _notes(_request(), _policy(form="No lists."))
    assert note.text == f"{SHORT} No lists."
    assert _notes(_request(), _policy(words=None, form="No lists."))[0].text == "No lists."


def test_tokens_are_asked_for_in_words():
    assert _notes(_request(), _policy(words=None, tokens=140))[0].text == "Keep your answer to 100 words or fewer."


def test_in_a_loop_of_tools_the_note_stays_where_it_was():
    first, second = _request(ASKED, tools=(TOOL,)), _request(ASKED, CALLED, GIVEN, tools=(TOOL,))
    assert _notes(first) == _notes(second) == (Note(0, SHORT),)


def test_a_turn_that_was_followed_by_tools_keeps_its_note_and_others_do_not():
    answer, thanks = Message("assistant", "Go to settings."), Message("user", "And how do I do that on the phone?")
    assert [note.at for note in _notes(_request(ASKED, answer, thanks))] == [2]
    assert [note.at for note in _notes(_request(ASKED, CALLED, GIVEN, answer, thanks))] == [0, 4]


def test_what_a_tool_gave_is_never_touched():
    given = Message("user", [{"type": "tool_result", "tool_use_id": "1", "content": "x"}])
    odd = Message("user", "You are a helper.", extra={"role": "developer"})
    assert [note.at for note in _notes(_request(odd, ASKED, CALLED, given, odd))] == [1]
    assert _notes(_request(given)) == ()


def test_without_a_user_the_last_instruction_is_the_place():
    assert [note.at for note in _notes(_request(Message("system", "a"), Message("system", "Tell me the news.")))] == [1]
    assert _notes(_request(Message("assistant", "hi"))) == ()
    told = Message("system", "Tell me the news.")
    assert [note.at for note in _notes(_request(told, CALLED, GIVEN))] == [0]
    assert [note.at for note in _notes(_request(told, CALLED, GIVEN, ASKED))] == [0, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": {"type": "object"}},
        {"tools": (TOOL,), "params": {"tool_choice": "required"}},
        {"tools": (TOOL,), "params": {"tool_choice": {"type": "function", "function": {"name": "search"}}}},
    ],
)
def test_objects_and_demanded_tool_calls_are_asked_for_no_length(fields):
    assert _policy().plan(_request(**fields), TIER) is None


def test_a_prompt_that_says_how_long_is_not_contradicted():
    assert _policy().plan(_request(Message("user", "Tell me about it in 300 words.")), TIER) is None
    assert _policy().plan(_request(Message("system", "At most 2 sentences."), ASKED), TIER) is None


def test_a_turn_that_says_how_long_leaves_the_notes_on_earlier_turns():
    own = Message("user", "Now the same in 300 words.")
    plan = _policy().plan(_request(ASKED, CALLED, GIVEN, Message("assistant", "So."), own), TIER)
    assert [note.at for note in plan.notes] == [0]
    assert not plan.asked


def test_off_and_other_features_change_nothing():
    assert _policy(mode="off").plan(_request(), TIER) is None
    assert _policy().plan(_request(scope=Scope(feature="other")), TIER) is None
    assert OutputPolicy(default=Target(words=80)).plan(_request(scope=Scope(feature="other")), TIER) is not None


def test_the_request_itself_is_not_changed():
    request = _request(Message("user", [{"type": "text", "text": "How do I do it?"}]))
    before = repr(request)
    _policy().plan(request, TIER)
    assert repr(request) == before


# ---- temperature ----


@pytest.mark.parametrize(
    ("told", "becomes"), [(1.0, 0.5), (0.2, None), (0.0, 0.1), (None, None), (True, None), (1, 0.5)]
)
def test_a_temperature_is_brought_into_the_range_and_never_added(told, becomes):
    plan = _policy(words=None, temperature=(0.1, 0.5)).plan(_request(params={"temperature": told}), TIER)
    assert (plan.temperature if plan else None) == becomes


# ---- the limit ----


def _taught(policy, tokens, times, request=None, tier=TIER, **how):
    request = request or _request()
    for _ in range(times):
        policy.learn(request, tier, _reply(tokens, **how), policy.plan(request, tier))
    return policy


def test_hard_limits_come_from_the_answers_that_came():
    policy = _policy(mode="hard")
    assert policy.plan(_request(), TIER).most is None
    plan = _taught(policy, 600, 400).plan(_request(), TIER)
    assert 750 <= plan.most <= 820
    assert plan.reasons[-1] == f"at most {plan.most} tokens, by 400 answers"


def test_in_a_batch_run_what_is_learnt_meanwhile_changes_no_question():
    assert _taught(_policy(mode="hard"), 600, 400).plan(_request(waits=True), TIER).most is None


def test_soft_limits_nothing():
    assert _taught(_policy(), 600, 400).plan(_request(), TIER).most is None


def test_an_answer_that_keeps_to_its_target_is_never_cut():
    policy = _taught(_policy(words=500, mode="hard"), 20, 400)
    assert policy.plan(_request(), TIER).most >= 500 * 3
    assert _taught(_policy(words=None, form="No lists.", mode="hard"), 3, 400).plan(_request(), TIER).most == 128


def test_features_models_efforts_and_tiers_are_learnt_apart():
    policy = _taught(_policy(mode="hard"), 600, 400)
    assert policy.plan(_request(), Tier("small", "gpt-4o-mini")).most is None
    assert policy.plan(_request(), Tier("big", "gpt-5")).most is None
    assert policy.plan(_request(params={"reasoning_effort": "high"}), TIER).most is None


@pytest.mark.parametrize("tier", [replace(TIER, limit=500), replace(TIER, max_output=500)])
def test_a_limit_never_raises_the_apps_own(tier):
    assert _taught(_policy(mode="hard"), 600, 400, tier=tier).plan(_request(), tier).most is None


def test_a_limit_of_the_call_itself_stands():
    request = _request(params={"max_tokens": 500})
    assert _taught(_policy(mode="hard"), 600, 400, request=request).plan(request, TIER).most is None


def test_tool_calls_and_answers_both_fit_under_the_limit():
    request = _request(tools=(TOOL,))
    policy = _taught(_policy(mode="hard"), 600, 400, request=request)
    policy.learn(request, TIER, _reply(3_000, tool_calls=(ToolCall("1", "search", {}),)), policy.plan(request, TIER))
    assert policy.plan(request, TIER).most is None  # a kind of answer of which nobody knows enough
    _taught(policy, 3_000, 400, request=request, tool_calls=(ToolCall("1", "search", {}),))
    assert policy.plan(request, TIER).most >= 3_000


def test_objects_have_a_limit_of_their_own():
    request = _request(schema={"type": "object"})
    policy = _taught(_policy(mode="hard"), 2_000, 400, request=request)
    plan = policy.plan(request, TIER)
    assert plan.messages is None
    assert plan.most >= 2_000


@pytest.mark.parametrize(
    "how",
    [{"source": "estimated"}, {"source": "none"}, {"complete": False}],
    ids=["counted by us", "unknown", "broken"],
)
def test_answers_of_unsure_length_teach_nothing(how):
    assert _taught(_policy(mode="hard"), 600, 400, **how).plan(_request(), TIER).most is None


def test_a_limit_that_is_too_low_hears_of_it_even_where_only_we_have_cut():
    policy = _taught(_policy(mode="hard"), 600, 400)
    before = policy.plan(_request(), TIER).most
    _taught(policy, 1, 40, finish="length", source="estimated", complete=False)
    assert policy.plan(_request(), TIER).most >= 2 * before


def test_several_answers_at_once_teach_nothing():
    policy = _policy(mode="hard")
    _taught(policy, 600, 400, request=_request(params={"n": 3}))
    assert policy.plan(_request(), TIER).most is None


# ---- what is claimed ----


def _measured(free=300, asked=100, times=40):
    policy = _policy()
    request = _request()
    for _ in range(times):
        policy.learn(request, TIER, _reply(free))
        policy.learn(request, TIER, _reply(asked), policy.plan(request, TIER))
    return policy, request, policy.plan(request, TIER)


def test_the_saving_is_what_the_holdout_shows_less_the_longer_prompt():
    policy, request, plan = _measured()
    patch = policy.patch(request, TIER, _reply(50, reasoning=20), plan)
    assert (patch.tactic, patch.field, patch.provenance) == ("budget", "usage", "modelled")
    assert patch.after.output_tokens == 50
    assert (patch.before.output_tokens, patch.before.reasoning) == (150, 60)
    assert patch.before.input_tokens == 100 - count(SHORT, TIER.model)


def test_a_loss_is_booked_as_one():
    policy, request, plan = _measured(free=100, asked=200)
    assert policy.patch(request, TIER, _reply(100), plan).before.output_tokens == 50


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_a_cut_answer_claims_nothing_but_pays_for_its_prompt(finish):
    policy, request, plan = _measured()
    patch = policy.patch(request, TIER, _reply(50, finish), plan)
    assert patch.before.output_tokens == 50
    assert patch.before.input_tokens < patch.after.input_tokens


def test_nothing_is_claimed_while_the_holdout_is_small():
    policy, request, plan = _measured(times=29)
    assert policy.patch(request, TIER, _reply(50), plan).before.output_tokens == 50


def test_prompts_that_say_how_long_are_no_measure_of_the_others():
    policy, request, plan = _measured(times=29)
    own = _request(Message("user", "Tell me about it in 300 words."))
    for _ in range(100):
        policy.learn(own, TIER, _reply(900))
    assert policy.patch(request, TIER, _reply(50), plan).before.output_tokens == 50


def test_answers_from_before_it_was_switched_on_count_as_free():
    policy, request, plan = _measured(free=100, asked=100, times=0), _request(), None
    off = OutputPolicy({"support": Target(words=80, mode="off")}, lengths=policy[0].lengths)
    for _ in range(40):
        off.learn(request, TIER, _reply(300))
        policy[0].learn(request, TIER, _reply(100), policy[0].plan(request, TIER))
    plan = policy[0].plan(request, TIER)
    assert policy[0].patch(request, TIER, _reply(100), plan).before.output_tokens == 300


def test_a_plan_without_a_note_changes_no_usage():
    policy = _policy(words=None, temperature=(0, 0.1))
    request = _request(params={"temperature": 1.0})
    assert policy.patch(request, TIER, _reply(50), policy.plan(request, TIER)) is None


def test_the_prompt_was_never_shorter_than_what_was_read_from_the_cache():
    policy, request, plan = _measured(times=0)
    usage = Usage(100, 50, cache_read=98, source="provider")
    patch = policy.patch(request, TIER, Reply("x", usage, finish_reason="stop"), plan)
    assert patch.before.input_tokens == 98


# ---- keys and bad settings ----


def test_what_decides_an_answer_is_in_the_signature():
    request = _request()
    known = [
        _policy(words=80),
        _policy(words=90),
        _policy(words=None, tokens=80),
        _policy(form="x"),
        _policy(mode="off"),
    ]
    signatures = [policy.signature(request) for policy in known]
    assert len(set(signatures)) == len(known)
    assert signatures[-1] == ""
    assert _policy(mode="hard").signature(request) == _policy().signature(request)
    assert _policy().signature(_request(schema={"type": "object"})) == ""
    assert _policy(temperature=(0, 1)).signature(_request(schema={"type": "object"})) != ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"words": 0}, "whole number above 0"),
        ({"words": -5}, "whole number above 0"),
        ({"words": 2.5}, "whole number above 0"),
        ({"words": True}, "whole number above 0"),
        ({"tokens": 0}, "whole number above 0"),
        ({"words": 5, "tokens": 5}, "leave one of them"),
        ({"mode": "strict"}, "'off', 'soft' or 'hard'"),
        ({"form": 3}, "a sentence"),
        ({"temperature": (1, 0)}, "two numbers"),
        ({"temperature": (0, float("nan"))}, "two numbers"),
        ({"temperature": 0.3}, "two numbers"),
        ({"temperature": (0, 1, 2)}, "two numbers"),
    ],
)
def test_a_target_that_cannot_work_says_what_would(settings, says):
    with pytest.raises(ConfigError, match=says):
        Target(**settings)
