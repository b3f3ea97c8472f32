"""Compression in the flow of a call: what is sent, what is booked, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.compression_kit import NEEDED, QUESTION, passages
from tests.unit.test_engine import REQUEST, TIERS, play
from thrift_plugins.budgeting import OutputPolicy, Target
from thrift_plugins.compression import Compressor, Limit
from thrift_plugins.compression.policy import CompressionPolicy
from thrift_plugins.effects import Call
from thrift_plugins.engine import OFF, Engine
from thrift_plugins.ledger.bill import bill
from thrift_plugins.prices import Prices
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import Message, Reply, Scope, Usage

ASKED = replace(REQUEST, messages=(Message("system", "Answer from the passages."), Message("user", passages())))
POLICY = CompressionPolicy(Compressor(Limit(ratio=3)))


def counted(call: Call) -> Reply:
    """What a provider that counts as we do would answer."""
    return Reply("Oslo", Usage(count_messages(call.request.messages, "gpt-4o"), 2, source="provider"))


def test_the_contexts_shrink_and_the_books_add_up():
    full = count_messages(ASKED.messages, "gpt-4o")
    sent = []
    played = play(Engine(compression=POLICY), ASKED, calls=[lambda call: sent.append(call) or counted(call)])
    (call,) = sent
    text = call.request.messages[1].content
    assert NEEDED in text
    assert text.endswith(f"Question: {QUESTION}")
    assert call.request.messages[0] is ASKED.messages[0]
    event = played.event
    (patch,) = event.patches
    assert (patch.tactic, patch.field, patch.provenance) == ("compression", "usage", "counted")
    assert patch.before.input_tokens == full == event.baseline.usage.input_tokens
    assert patch.after == event.usage
    assert any(reason.startswith("compression: extraction -") for reason in event.reasons)
    made = bill(event, Prices())
    assert made.rows["compression"] > 0
    assert made.baseline == made.actual + sum(made.rows.values()) + sum(made.overheads.values())


def test_it_stands_beside_an_output_budget():
    output = OutputPolicy(default=Target(words=20, mode="soft"))
    sent = []
    played = play(
        Engine(compression=POLICY, output=output), ASKED, calls=[lambda call: sent.append(call) or counted(call)]
    )
    assert sent[0].change.edits
    assert sent[0].plan.notes
    assert "20 words" in sent[0].request.messages[-1].content
    assert "Bread" not in sent[0].request.messages[-1].content
    assert {patch.tactic for patch in played.event.patches} == {"compression", "budget"}
    made = bill(played.event, Prices())
    assert made.baseline == made.actual + sum(made.rows.values())


@pytest.mark.parametrize("how", ["held out", "switched off", "another feature"])
def test_who_is_left_alone(how: str):
    engine = Engine(compression=POLICY)
    request = ASKED
    if how == "held out":
        engine = replace(engine, holdout=lambda _request: True)
    elif how == "switched off":
        engine = engine.without(frozenset({"compression"}))
        assert "compression" in OFF
    else:
        engine = Engine(compression=CompressionPolicy(POLICY.default, {"legal": None}))
        request = replace(ASKED, scope=Scope(feature="legal"))
    sent = []
    played = play(engine, request, calls=[lambda call: sent.append(call) or counted(call)])
    assert sent[0].request.messages == ASKED.messages
    assert played.event.patches == ()


def test_a_bug_never_stops_a_call():
    class Broken:
        def of(self, request):
            return None

        def signature(self, request):
            return ""

        def compress(self, request, tier):
            raise ZeroDivisionError

    played = play(Engine(compression=Broken()), ASKED, calls=[counted])
    assert played.raised is None
    assert played.event.fallbacks == ("compression: failed (ZeroDivisionError), prompt sent as it was",)


def test_a_replay_is_set_beside_what_the_baseline_is_known_to_use():
    known = Usage(count_messages(ASKED.messages, "gpt-4o"), 2, source="replayed")
    played = play(Engine(compression=POLICY), replace(ASKED, baseline_usage=known), TIERS[-1:], calls=[counted])
    event = played.event
    assert event.baseline.usage.input_tokens == known.input_tokens
    made = bill(event, Prices())
    assert made.rows["compression"] == made.baseline - made.actual > 0
