"""From the facts of a call to its one event."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from thrift_plugins.errors import StreamClosed
from thrift_plugins.ledger.booking import Booking
from thrift_plugins.ledger.event import Cost, record
from thrift_plugins.tokens import count_messages
from thrift_plugins.types import (
    NO_USAGE,
    Decision,
    Message,
    Overhead,
    Patch,
    Reply,
    Request,
    Scope,
    Tier,
    ToolCall,
    Usage,
)

SMALL, BIG = Tier("small", "gpt-4o-mini"), Tier("big", "gpt-4o")
REQUEST = Request("r1", 12.5, "gpt-4o", (Message("user", "Hello"),), scope=Scope("t", "u", "f", "s", (("region", "eu"),)))
USED = Usage(9, 4, source="provider")
ANSWER = Reply("Hello to you", USED, finish_reason="stop")


def asked() -> Request:
    return REQUEST


@pytest.fixture
def booking() -> Booking:
    return Booking(REQUEST, BIG, "test")


def test_the_baseline_s_own_answer_changes_nothing(booking: Booking):
    event = booking.answered(ANSWER, BIG)
    assert (event.baseline, event.patches, event.usage) == (Cost("gpt-4o", USED), (), USED)


def test_another_tier_s_answer_is_a_change_of_model(booking: Booking):
    event = booking.answered(ANSWER, SMALL)
    assert event.baseline == Cost("gpt-4o", USED), "what the baseline would have used is assumed to be the same"
    assert event.patches == (Patch("routing", "model", "gpt-4o", "gpt-4o-mini", "modelled"),)


def test_what_a_cheap_model_confirms_out_of_a_batch_is_the_batch_s_saving_too(booking: Booking):
    booking.batched(SMALL, "batch")
    event = booking.confirmed(replace(SMALL, processing="batch"), USED, "stop")
    assert event.patches == (
        Patch("distillation", "model", "gpt-4o", "gpt-4o-mini", "modelled"),
        Patch("batch", "processing", "standard", "batch"),
    )


def test_a_recording_knows_what_the_baseline_used():
    known = Usage(9, 40, source="replayed")
    booking = Booking(replace(REQUEST, baseline_usage=known), BIG, "test")
    assert booking.answered(ANSWER, SMALL).patches[1] == Patch("routing", "usage", known, USED, "replayed")
    same = replace(known, output_tokens=4)
    booking = Booking(replace(REQUEST, baseline_usage=same), BIG, "test")
    assert len(booking.answered(ANSWER, SMALL).patches) == 1, "who said so is no difference in usage"


def test_a_call_that_failed_is_its_own_baseline():
    booking = Booking(replace(REQUEST, baseline_usage=Usage(1, 1)), BIG, "test")
    event = booking.ended(ValueError("secret"), SMALL, USED)
    assert (event.outcome, event.error, event.baseline) == ("error", "ValueError", Cost(SMALL.model, USED))
    assert event.patches == (), "a cheaper model that fails has saved nothing"
    assert "secret" not in str(record(event))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(StreamClosed(), "aborted"), (asyncio.CancelledError(), "cancelled"), (KeyboardInterrupt(), "cancelled"),
     (SystemExit(), "error"), (OSError(), "error")],
)  # fmt: skip
def test_how_a_call_ended(booking: Booking, error: BaseException, outcome: str):
    assert booking.ended(error, BIG, NO_USAGE).outcome == outcome
    refused = booking.refused(error)
    assert (refused.outcome, refused.served, refused.baseline) == (outcome, "", Cost("gpt-4o", NO_USAGE))


def test_attempts_that_cost_nothing_leave_a_note_and_no_overhead(booking: Booking):
    booking.gave_up(SMALL, NO_USAGE, "failed", "rate limit")
    booking.gave_up(SMALL, USED, "rejected", "empty answer")
    event = booking.answered(ANSWER, BIG)
    assert event.fallbacks == ("routing: small failed (rate limit)", "routing: small rejected (empty answer)")
    assert event.overheads == (Overhead("routing", "gpt-4o-mini", USED, "rejected"),)


def test_what_a_reply_used(booking: Booking):
    sent = count_messages(REQUEST.messages, "gpt-4o")
    assert booking.measured(ANSWER, BIG, asked) == USED
    silent = replace(ANSWER, usage=NO_USAGE)
    assert booking.measured(silent, BIG, asked) == Usage(sent, 3, source="estimated")
    calls = replace(silent, content="", tool_calls=(ToolCall("1", "look", {}),))
    assert booking.measured(calls, BIG, asked) == Usage(sent, 5, source="estimated")
    begun = replace(ANSWER, usage=Usage(30, 1, cache_read=20, source="provider"), complete=False)
    assert booking.measured(begun, BIG, asked) == Usage(30, 3, cache_read=20, source="estimated")
    told = replace(ANSWER, usage=Usage(30, 90, source="provider"), complete=False)
    assert booking.measured(told, BIG, asked).output_tokens == 90, "hidden reasoning is in the provider's count"


def test_what_is_counted_is_what_was_sent(booking: Booking):
    as_sent = replace(REQUEST, tools=({"name": "look", "description": "", "parameters": {}},))
    assert booking.sent(BIG, lambda: as_sent).input_tokens > booking.sent(BIG, asked).input_tokens


def test_the_record_is_plain_and_holds_no_words_of_the_prompt(booking: Booking):
    booking.routed(Decision(0, "small", "rules", ("short request",)))
    booking.fallback("cache: store down, call made")
    told = record(booking.answered(ANSWER, SMALL))
    assert told == {
        "schema": 1, "id": "r1", "dialect": "test", "at": 12.5, "tenant": "t", "user": "u", "feature": "f", "session": "s",
        "keys": {"region": "eu"}, "outcome": "answered", "requested_model": "gpt-4o", "served_model": "gpt-4o-mini",
        "usage": {"input_tokens": 9, "output_tokens": 4, "source": "provider"}, "finish_reason": "stop",
        "baseline": {"usage": {"input_tokens": 9, "output_tokens": 4, "source": "provider"}, "made": True,
                     "processing": "standard"},
        "patches": [["routing", "model", "gpt-4o", "gpt-4o-mini", "modelled"]], "overheads": [], "policy": "rules",
        "reasons": ["short request"], "fallbacks": ["cache: store down, call made"], "error": "",
    }  # fmt: skip
