"""Laws of learnt bounds that hold for any prompts and bills."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.tokens import Bounds, count_messages
from thrift_plugins.types import Message, Request, ToolCall, Usage

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
many = settings(max_examples=int(100 * SCALE), deadline=None)

MODELS = st.sampled_from(["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash", "who-knows"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
BLOCKS = JSON | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "image", "file", "input_audio", "reasoning"])},
    optional={"text": st.text(max_size=40), "data": st.text("Ab1+/", max_size=400), "source": JSON, "detail": JSON},
)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=st.text(max_size=80) | st.lists(BLOCKS, max_size=3),
    tool_calls=st.lists(st.builds(ToolCall, st.just("1"), st.text(max_size=8), JSON), max_size=2).map(tuple),
    extra=st.none() | st.dictionaries(st.text(max_size=8), JSON, max_size=2),
)
REQUESTS = st.builds(
    Request,
    id=st.just("1"),
    at=st.just(0.0),
    model=st.just("m"),
    messages=st.lists(MESSAGES, max_size=4).map(tuple),
    tools=st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=3), max_size=2).map(tuple),
    schema=st.none() | st.dictionaries(st.text(max_size=8), JSON, max_size=2),
)
TEXTS = st.builds(
    lambda texts: Request("1", 0.0, "m", tuple(Message("user", text) for text in texts)),
    st.lists(st.text(max_size=200), max_size=5),
)
BILLS = st.integers(1, 10**7)


def billed(tokens: int) -> Usage:
    return Usage(tokens, 1, source="provider")


@many
@given(REQUESTS, MODELS, BILLS)
def test_nothing_raises_and_what_was_billed_is_covered(request_, model, tokens):
    known = Bounds()
    assert known.bound(request_, model) > 0
    known.learn(request_, model, billed(tokens))
    assert known.bound(request_, model) >= tokens


@many
@given(st.lists(st.tuples(TEXTS, BILLS), min_size=1, max_size=16), MODELS)
def test_a_remembered_request_is_never_bounded_below_its_bill(seen, model):
    known = Bounds()
    for request, tokens in seen:
        known.learn(request, model, billed(tokens))
    for request, tokens in seen:
        assert known.bound(request, model) >= tokens
    other = Bounds()
    other.merge(known.drain())
    assert all(other.bound(request, model) >= bill for request, bill in seen)


@many
@given(TEXTS, MODELS)
def test_a_first_bound_is_above_what_is_counted(request_, model):
    assert Bounds().bound(request_, model) >= min(
        count_messages(request_.messages, model),
        sum(4 + len(message.text.encode("utf-8", "surrogatepass")) for message in request_.messages),
    )


@many
@given(st.lists(TEXTS, min_size=4, max_size=60), MODELS, st.integers(0, 5_000))
def test_a_provider_that_adds_the_same_each_time_is_always_bounded(requests, model, added):
    """However many there are: joining what is remembered never makes a bound too low."""
    known = Bounds()
    for number, request in enumerate(requests):
        tokens = added + count_messages(request.messages, model)
        if number:
            assert known.bound(request, model) >= tokens
        known.learn(request, model, billed(tokens))
