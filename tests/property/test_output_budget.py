"""What holds of output budgets whatever the prompt: where the note stands, and how a cut answer is put together."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.budgeting import OutputPolicy, Target, continuation, joined
from thrift_plugins.budgeting.lengths import Kind, Lengths
from thrift_plugins.types import Message, Reply, Request, Tier, ToolCall, Usage

TIER = Tier("big", "gpt-4o")
POLICY = OutputPolicy(default=Target(words=80))
USED = Usage(10, 20, source="provider")

WORDS = st.sampled_from(
    ["How do I do it?", "ok", "Wie geht das mit dem Konto?", "in 50 words", "为什么不行？", "", "x\n\ny"]
)
BLOCKS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS}), min_size=1, max_size=2)
RESULT = st.just([{"type": "tool_result", "tool_use_id": "1", "content": "x"}])
SYSTEM = st.builds(Message, st.just("system"), st.sampled_from(["You help.", "Du hilfst und bist nicht lang.", ""]))
LATER = st.one_of(
    st.builds(Message, st.just("user"), st.one_of(WORDS, BLOCKS, RESULT)),
    st.builds(Message, st.just("assistant"), WORDS),
    st.just(Message("assistant", "", (ToolCall("1", "search", {}),))),
    st.builds(Message, st.just("tool"), WORDS, tool_call_id=st.just("1")),
)
STEP = st.just([Message("assistant", "", (ToolCall("1", "search", {}),)), Message("tool", "found", tool_call_id="1")])
TURN = st.builds(
    lambda said, steps: [Message("user", said), *chain(*steps), Message("assistant", "It is so.")],
    st.sampled_from(["How do I do it?", "Wie geht das mit dem Konto?", "ok", "in 50 words"]),
    st.lists(STEP, max_size=2),
)
PROMPTS = st.builds(
    lambda first, rest: (*first, *chain(*rest)),
    st.lists(SYSTEM, max_size=2),
    st.lists(st.one_of(TURN, TURN, LATER.map(lambda one: [one])), max_size=5),
)


def _sent(messages):
    request = Request(id="1", at=0.0, model="gpt-4o", messages=messages)
    plan = POLICY.plan(request, TIER)
    return plan.messages if plan else messages


@given(PROMPTS)
def test_only_what_people_wrote_gets_longer_and_only_at_its_end(messages):
    sent = _sent(messages)
    assert len(sent) == len(messages)
    for before, after in zip(messages, sent, strict=True):
        assert replace(after, content=before.content) == before
        assert after.content[: len(before.content)] == before.content
        if before.role in {"assistant", "tool"} or (
            not isinstance(before.content, str) and "content" in before.content[0]
        ):
            assert after is before


@settings(max_examples=300)
@given(PROMPTS, st.integers(0, 11))
def test_a_prompt_begins_as_the_one_before_did_down_to_the_last_note(messages, size):
    """So a provider's prompt cache keeps what it has, for every two prompts of a conversation that grows."""
    earlier, later = messages[:size], messages
    before, after = _sent(earlier), _sent(later)
    changed = [at for at in range(len(earlier)) if before[at] != after[at]]
    turns = [at for at, message in enumerate(earlier) if before[at] is not message]
    if changed:
        assert changed == turns[-1:]
        assert not any(message.tool_calls for message in earlier[changed[0] + 1 : changed[0] + 2])
        assert after[changed[0]] == earlier[changed[0]]


@given(PROMPTS)
def test_the_same_prompt_is_sent_the_same(messages):
    assert _sent(messages) == _sent(messages)


PROSE = st.lists(st.text("abcdefgäß的かم \n,.-", min_size=1, max_size=9), min_size=6, max_size=60).map(" ".join)


@given(PROSE, st.integers(0, 600))
def test_a_model_that_goes_on_where_it_was_told_gives_the_whole_answer(text, size):
    first = Reply(text[:size], USED, finish_reason="length")
    asked = continuation(Request(id="1", at=0.0, model="m", messages=(Message("user", "Hi"),)), first)
    if asked is None:
        return
    said = asked[0].content
    tail = asked[1].content.rsplit(": ", 1)[-1].rsplit("：", 1)[-1]
    whole = joined(first, Reply(tail + text[len(said) :], USED, finish_reason="stop"))
    assert whole is None or whole.content.rstrip() == text.rstrip()
    assert whole is not None or len(tail.strip(" .…")) < 6


@given(PROSE, st.text(max_size=80))
def test_whatever_comes_back_the_answer_only_grows(text, rest):
    first = Reply(text, USED, finish_reason="length")
    whole = joined(first, Reply(rest, USED, finish_reason="stop"))
    assert whole is None or whole.content.startswith(text.rstrip())


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.booleans()), max_size=200))
def test_another_process_learns_the_same(answers):
    kind, lengths = Kind("f", "t", "m", "", "free", "text"), Lengths()
    for tokens, hidden, truncated in answers:
        lengths.learn(kind, tokens, hidden=hidden, truncated=truncated)
    again = Lengths()
    if answers:
        again.merge(lengths.drain())
    assert again.ceiling(kind) == lengths.ceiling(kind)
    assert again.mean(kind) == lengths.mean(kind)


@given(st.lists(st.integers(1, 10**6), min_size=50, max_size=300))
def test_a_first_limit_is_above_every_answer_so_far(answers):
    kind, lengths = Kind("f", "t", "m", "", "free", "text"), Lengths()
    for tokens in answers[:299]:
        lengths.learn(kind, tokens)
    assert lengths.ceiling(kind).tokens > max(answers[:299])
