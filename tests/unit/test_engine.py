"""The order of a call, by answering the engine's effects by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from thrift_plugins.caching import CachePolicy, pack
from thrift_plugins.effects import Append, Call, Effect, Keep, LookUp, Replay, Try
from thrift_plugins.engine import Engine
from thrift_plugins.errors import ConfigError, StoreUnavailable, StreamClosed, UnsupportedByTier
from thrift_plugins.ledger.event import Event
from thrift_plugins.routing import RuleRouter
from thrift_plugins.tokens import count_messages, count_reply
from thrift_plugins.types import NO_USAGE, Decision, Message, Overhead, Patch, Reply, Request, Tier, ToolCall, Usage

CHEAP, MIDDLE, STRONG = (Tier(name, model) for name, model in (("small", "gpt-4o-mini"), ("mid", "gpt-4.1"), ("big", "gpt-4o")))
TIERS = (CHEAP, MIDDLE, STRONG)
USED = Usage(100, 20, source="provider")
ANSWER = Reply("Paris", USED, finish_reason="stop", model="gpt-4o-2024")
REQUEST = Request("r1", 1_700_000_000.0, "gpt-4o", (Message("user", "What is the capital of France?"),))
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}, "required": ["city"]}}


class TooManyRequests(Exception):
    """What an SDK raises on a 429."""

    status_code = 429


class Broken(Exception):
    """What an SDK raises on a 503."""

    status_code = 503


class Fixed:
    """A router that always takes the cheapest tier."""

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        return Decision(0, tiers[0].name, "rules", ("short request",), tuple(range(1, len(tiers))))


class Buggy:
    """A router of the app's own, with a bug."""

    def decide(self, request: Request, tiers: Sequence[Tier], baseline: int) -> Decision:
        raise ZeroDivisionError


def packed(reply: Reply) -> bytes:
    """A reply as it was kept a minute ago, for a day."""
    return pack(reply, REQUEST.at - 60, REQUEST.at - 60 + 86_400)


@dataclass
class Played:
    """What a flow did, and what it was told. `told` answers effects by their kind, in turn; an exception is thrown."""

    lookup: bytes | BaseException | None = None
    keep: BaseException | bool = True
    calls: Sequence[Reply | BaseException | Callable[[Call], BaseException]] = (ANSWER,)
    replay: BaseException | None = None
    effects: list[Effect] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def kinds(self) -> list[type]:
        return [type(effect) for effect in self.effects]

    @property
    def event(self) -> Event:
        (event,) = [effect.event for effect in self.effects if isinstance(effect, Append)]
        assert isinstance(self.effects[-1], Append), "the event comes last"
        return event

    @property
    def asked(self) -> list[str]:
        return [effect.decision.name for effect in self.effects if isinstance(effect, Call)]


def play(
    engine: Engine,
    request: Request = REQUEST,
    tiers: Sequence[Tier] = TIERS,
    baseline: int = -1,
    *,
    streamed: bool = False,
    **told: object,
) -> Played:
    played = Played(**told)  # type: ignore[arg-type]
    calls = iter(played.calls)
    flow = engine.call(request, tiers, baseline % len(tiers), dialect="test", streamed=streamed)
    result: object = None
    try:
        while True:
            effect = flow.throw(result) if isinstance(result, BaseException) else flow.send(result)
            if isinstance(effect, Try):
                effect = effect.call
            if not (isinstance(effect, Replay) and effect.tried):
                played.effects.append(effect)
            match effect:
                case LookUp():
                    result = played.lookup
                case Keep():
                    result = played.keep
                case Replay():
                    result = None if effect.tried else played.replay
                case Call():
                    given = next(calls)
                    result = given(effect) if callable(given) else given
                case _:
                    result = None
    except StopIteration:
        pass
    except BaseException as error:
        played.raised = error
    return played


ALL = Engine(cache=CachePolicy(), router=Fixed())
CACHED = Engine(cache=CachePolicy(ttl=60))
ROUTED = Engine(router=Fixed())


def test_a_miss_looks_up_asks_keeps_and_books():
    played = play(CACHED, tiers=[STRONG])

    assert played.kinds == [LookUp, Call, Keep, Append]
    look, _, keep, _ = played.effects
    at = REQUEST.at
    assert keep == Keep(look.key, pack(replace(ANSWER, tier="big"), at, at + 60), 60, (), at, None)
    event = played.event
    assert (event.outcome, event.served, event.usage, event.patches) == ("answered", "gpt-4o", USED, ())
    assert (event.id, event.dialect, event.finish_reason, event.policy) == ("r1", "test", "stop", "baseline")


def test_a_hit_is_replayed_and_costs_nothing():
    stored = replace(ANSWER, tier="small")
    played = play(ALL, lookup=packed(stored))

    assert played.kinds == [LookUp, Replay, Append]
    assert played.effects[1] == Replay(stored, Decision(0, "small", "cache", ("exact hit",)))
    event = played.event
    assert (event.outcome, event.served, event.usage) == ("hit", "", NO_USAGE)
    assert event.patches == (Patch("cache", "made", before=True, after=False),)
    assert event.baseline.model == "gpt-4o"
    assert event.baseline.usage == USED, "worth what it took the first time"


def test_a_hit_from_a_tier_that_is_gone_is_shown_as_the_baseline():
    played = play(ALL, lookup=packed(replace(ANSWER, tier="retired")))
    assert played.effects[1].decision.name == "big"


def test_a_replay_that_is_left_is_booked_as_the_hit_that_it_was():
    played = play(ALL, lookup=packed(ANSWER), replay=StreamClosed())
    assert isinstance(played.raised, StreamClosed)
    assert played.event.outcome == "hit"


def test_a_replayed_recording_says_what_the_baseline_used():
    known = Usage(90, 40, source="replayed")
    request = replace(REQUEST, baseline_usage=known)

    assert play(ALL, request, lookup=packed(ANSWER)).event.baseline.usage == known
    event = play(ROUTED, request).event
    assert event.baseline.usage == known
    assert event.patches == (
        Patch("routing", "model", "gpt-4o", "gpt-4o-mini", "replayed"),
        Patch("routing", "usage", known, USED, "replayed"),
    )


def test_a_store_that_is_down_costs_an_answer_and_never_an_error():
    down = StoreUnavailable("down")
    played = play(CACHED, lookup=down, keep=down)

    assert played.raised is None
    assert played.kinds == [LookUp, Call, Keep, Append]
    assert played.event.fallbacks == ("cache: store down, call made", "cache: store down, answer not stored")


@pytest.mark.parametrize("entry", [b'{"v":0}', b"garbage", b"[]", b"null", packed(ANSWER)[:-3], b'{"v":2,"u":[-1]}'])
def test_an_entry_of_another_form_is_a_miss(entry):
    played = play(CACHED, lookup=entry)
    assert played.kinds == [LookUp, Call, Keep, Append]
    assert played.event.fallbacks == ("cache: entry of another version, call made",)


def test_a_request_without_canonical_form_is_neither_looked_up_nor_kept():
    assert play(CACHED, replace(REQUEST, cacheable=False)).kinds == [Call, Append]


def test_an_answer_without_json_form_is_not_kept():
    played = play(CACHED, calls=[replace(ANSWER, extra={"object": object()})])
    assert played.kinds == [LookUp, Call, Append]
    assert played.event.fallbacks == ("cache: answer has no JSON form, not stored",)


@pytest.mark.parametrize(
    ("reply", "streamed"),
    [
        (replace(ANSWER, finish_reason="length"), False),
        (replace(ANSWER, finish_reason="content_filter"), False),
        (replace(ANSWER, finish_reason=None), True),
        (replace(ANSWER, complete=False), True),
        (replace(ANSWER, storable=False), False),
        (replace(ANSWER, content=""), False),
    ],
    ids=["truncated", "filtered", "stream without an end", "partial", "no form", "empty"],
)
def test_what_is_not_whole_is_never_kept(reply, streamed):
    played = play(CACHED, calls=[reply], streamed=streamed)
    assert played.kinds == [LookUp, Call, Append]
    assert played.event.outcome == "answered"


def test_a_plain_answer_that_does_not_say_why_it_ended_is_whole():
    assert Keep in play(CACHED, calls=[replace(ANSWER, finish_reason=None)]).kinds


def test_a_router_with_a_bug_leaves_the_call_to_the_baseline():
    played = play(Engine(router=Buggy()))
    assert played.asked == ["big"]
    assert played.event.fallbacks == ("routing: policy failed (ZeroDivisionError), baseline asked",)
    assert played.event.policy == "baseline"


def test_a_router_that_says_no_is_heard_and_booked():
    tiers = [replace(tier, tools=False) for tier in TIERS]
    played = play(Engine(router=RuleRouter()), replace(REQUEST, tools=(TOOL,)), tiers)
    assert isinstance(played.raised, UnsupportedByTier)
    assert played.kinds == [Append]
    event = played.event
    assert (event.outcome, event.error, event.served, event.usage) == ("error", "UnsupportedByTier", "", NO_USAGE)


@pytest.mark.parametrize("name", ["mid", "gpt-4.1"])
def test_a_forced_tier_answers_by_its_name_or_model(name):
    played = play(ALL, replace(REQUEST, forced=name))
    assert played.asked == ["mid"]
    assert (played.event.policy, played.event.served) == ("forced", "gpt-4.1")


def test_a_forced_tier_that_fails_is_not_replaced():
    played = play(ALL, replace(REQUEST, forced="small"), calls=[Broken()])
    assert isinstance(played.raised, Broken)
    assert played.asked == ["small"]


def test_a_tier_that_there_is_not_is_an_error():
    played = play(ALL, replace(REQUEST, forced="huge"))
    assert isinstance(played.raised, ConfigError)
    assert played.event.error == "ConfigError"


def test_the_next_tier_is_asked_after_a_failure():
    played = play(ROUTED, calls=[TooManyRequests(), Broken(), ANSWER])

    assert played.asked == ["small", "mid", "big"]
    event = played.event
    assert (event.outcome, event.served, event.policy) == ("answered", "gpt-4o", "fallback")
    assert event.reasons == ("server error", "rate limit", "short request")
    assert event.fallbacks == ("routing: small failed (rate limit)", "routing: mid failed (server error)")
    assert event.overheads == (), "a refused call bills nothing"
    assert event.patches == ()


def test_a_time_out_is_an_overhead_of_its_prompt():
    played = play(ROUTED, calls=[TimeoutError(), ANSWER])
    sent = count_messages(REQUEST.messages, "gpt-4o-mini")
    assert played.event.overheads == (
        Overhead("routing", "gpt-4o-mini", Usage(sent, source="estimated"), "failed"),
    )


def test_the_last_tier_fails_for_all():
    played = play(ROUTED, calls=[Broken(), Broken(), Broken()])
    assert isinstance(played.raised, Broken)
    assert played.event.outcome == "error"
    assert len(played.event.fallbacks) == 2


def test_a_mistake_of_the_app_is_not_tried_elsewhere():
    played = play(ROUTED, calls=[ValueError("bad argument")])
    assert isinstance(played.raised, ValueError)
    assert played.asked == ["small"]


def test_a_rejected_answer_escalates_and_is_paid_for():
    request = replace(REQUEST, tools=(TOOL,))
    wrong = Reply("", USED, (ToolCall("1", "get_weather", {}),), "tool_calls")
    right = Reply("", Usage(100, 25, source="provider"), (ToolCall("1", "get_weather", {"city": "Paris"}),), "tool_calls")
    played = play(ALL, request, calls=[wrong, right])

    assert played.asked == ["small", "mid"]
    event = played.event
    assert event.reasons[0] == "missing argument 'city' of 'get_weather'"
    assert event.overheads == (Overhead("routing", "gpt-4o-mini", USED, "rejected"),)
    assert (event.served, event.usage) == ("gpt-4.1", right.usage)
    assert Keep in played.kinds


def test_the_last_answer_stands_even_if_it_is_poor():
    poor = replace(ANSWER, content="")
    played = play(ROUTED, calls=[poor, poor, poor])
    assert played.event.outcome == "answered"
    assert len(played.event.overheads) == 2


def delivered(error: BaseException, said: str) -> Callable[[Call], BaseException]:
    """A stream that breaks after the app has seen some of it."""

    def broke(call: Call) -> BaseException:
        call.delivered = True
        call.partial = Reply(said, NO_USAGE, complete=False)
        return error

    return broke


def test_what_the_app_has_seen_is_never_answered_by_another_tier():
    played = play(ROUTED, calls=[delivered(Broken(), "The capital")], streamed=True)

    assert isinstance(played.raised, Broken)
    assert played.asked == ["small"]
    spent = count_reply(Reply("The capital", NO_USAGE), "gpt-4o-mini")
    sent = count_messages(REQUEST.messages, "gpt-4o-mini")
    assert played.event.usage == Usage(sent, spent, source="estimated")
    assert (played.event.outcome, played.event.served) == ("error", "gpt-4o-mini")


def test_a_poor_answer_that_the_app_has_seen_stands():
    def seen(call: Call) -> Reply:
        call.delivered = True
        return replace(ANSWER, content="")

    assert play(ROUTED, calls=[seen], streamed=True).asked == ["small"]


ENDS = [(StreamClosed(), "aborted"), (asyncio.CancelledError(), "cancelled"), (KeyboardInterrupt(), "cancelled")]


@pytest.mark.parametrize(("error", "outcome"), ENDS)
def test_an_interrupted_call_is_booked_and_the_interrupt_passes(error, outcome):
    played = play(ALL, calls=[error])

    assert played.raised is error
    assert played.kinds == [LookUp, Call, Append]
    event = played.event
    assert event.outcome == outcome
    assert event.usage.input_tokens == count_messages(REQUEST.messages, "gpt-4o-mini"), "the prompt was read"


@pytest.mark.parametrize(("error", "outcome"), ENDS)
def test_an_interrupt_outside_the_model_is_booked_too(error, outcome):
    looking = play(ALL, lookup=error)
    assert looking.raised is error
    assert (looking.event.outcome, looking.event.usage) == (outcome, NO_USAGE)

    keeping = play(ALL, keep=error)
    assert keeping.raised is error
    assert (keeping.event.outcome, keeping.event.usage) == ("answered", USED), "the app paid for a whole answer"


def test_a_partial_count_of_the_provider_is_not_less_than_what_was_shown():
    def broke(call: Call) -> BaseException:
        call.partial = Reply("one two three four", Usage(50, 1, source="provider"), complete=False)
        return StreamClosed()

    used = play(ROUTED, calls=[broke]).event.usage
    assert used == Usage(50, count_reply(Reply("one two three four", NO_USAGE), "gpt-4o-mini"), source="estimated")


def test_an_answer_without_usage_is_counted():
    usage = play(ROUTED, calls=[replace(ANSWER, usage=NO_USAGE)]).event.usage
    assert usage == Usage(count_messages(REQUEST.messages, "gpt-4o-mini"), 1, source="estimated")


def test_without_policies_the_baseline_answers():
    played = play(Engine(), baseline=1)
    assert played.kinds == [Call, Append]
    assert played.asked == ["mid"]
    assert played.event.patches == ()


def test_two_tiers_of_one_model_cost_the_same():
    played = play(ROUTED, tiers=[Tier("warm", "gpt-4o"), Tier("cold", "gpt-4o")])
    assert (played.asked, played.event.patches) == (["warm"], ())


@pytest.mark.parametrize("error", [TypeError("a store of the app's own"), OSError("disk"), StoreUnavailable("down")])
def test_no_error_of_a_store_reaches_the_app(error: Exception):
    engine = Engine(cache=CachePolicy())
    before, after = play(engine, lookup=error), play(engine, keep=error)
    assert before.raised is after.raised is None
    assert before.event.outcome == after.event.outcome == "answered"
    assert "call made" in before.event.fallbacks[0]
    assert "not stored" in after.event.fallbacks[0]


def test_the_apps_own_choice_is_its_baseline_and_no_saving_of_ours():
    event = play(Engine(router=Fixed()), replace(REQUEST, forced="small")).event
    assert (event.baseline.model, event.served, event.patches) == ("gpt-4o-mini", "gpt-4o-mini", ())


def test_an_answer_that_cannot_be_used_is_not_given_again():
    asked = replace(REQUEST, schema={"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}})
    engine = Engine(cache=CachePolicy())
    assert Keep not in play(engine, asked, (STRONG,), calls=[replace(ANSWER, content='{"town": "Rome"}')]).kinds
    assert Keep in play(engine, asked, (STRONG,), calls=[replace(ANSWER, content='{"city": "Rome"}')]).kinds
    for arguments, kept in (({"town": "Rome"}, False), ({"city": "Rome"}, True)):
        called = replace(ANSWER, content="", tool_calls=(ToolCall("1", "City", arguments),), finish_reason="tool_calls")
        assert (Keep in play(engine, asked, (STRONG,), calls=[called]).kinds) is kept


def test_a_retry_of_the_app_is_asked_anew_and_replaces_what_was_kept():
    kinds = play(Engine(cache=CachePolicy()), replace(REQUEST, fresh=True), lookup=packed(ANSWER)).kinds
    assert LookUp not in kinds
    assert Keep in kinds


def test_what_is_out_of_order_for_every_call_is_in_every_event():
    assert play(Engine(standing=("store: in memory only",))).event.fallbacks == ("store: in memory only",)


def test_arguments_without_json_form_share_no_address_and_are_not_kept():
    call = ToolCall("1", "get_weather", {"celsius": float("nan")})
    asked = replace(REQUEST, messages=(*REQUEST.messages, Message("assistant", "", (call,))))
    assert CachePolicy().admit(asked).key is None
    engine = Engine(cache=CachePolicy())
    assert Keep not in play(engine, calls=[replace(ANSWER, tool_calls=(call,))]).kinds
