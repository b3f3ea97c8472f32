"""The cache's steps of a call, by answering its effects by hand: followers, leaders, stale and similar answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from thrift_plugins.caching import CachePolicy, pack
from thrift_plugins.caching.flights import LEFT, Flight, Landing, Seat
from thrift_plugins.effects import (
    Append,
    Await,
    Call,
    Effect,
    Flow,
    Join,
    Judge,
    Keep,
    Learn,
    Leave,
    LookUp,
    Pause,
    Renew,
    Replay,
    Search,
    TakeClaim,
)
from thrift_plugins.engine import Engine
from thrift_plugins.errors import StoreUnavailable, StreamClosed
from thrift_plugins.ledger.event import Event
from thrift_plugins.stores.base import Claim
from thrift_plugins.types import NO_USAGE, Message, Overhead, Reply, Request, Tier, Usage

TIER = Tier("big", "gpt-4o")
USED = Usage(100, 20, source="provider")
ANSWER = Reply("Paris", USED, finish_reason="stop", model="gpt-4o-2024", tier="big")
OLD = replace(ANSWER, content="Paris, of old")
AT = 1_700_000_000.0
REQUEST = Request("r1", AT, "gpt-4o", (Message("user", "What is the capital of France?"),))
DAY = 86_400.0
FLYING = Engine(cache=CachePolicy(), patience=3.0)
STALE = Engine(cache=CachePolicy(ttl=60, stale=600), patience=3.0)
CLAIM = Claim("k", "t")


class Origin:
    """A store that gets its claims back."""

    def __init__(self) -> None:
        self.released: list[Claim] = []

    def release(self, claim: Claim) -> None:
        self.released.append(claim)


def packed(reply: Reply = ANSWER, age: float = 10.0, ttl: float = DAY) -> bytes:
    return pack(reply, AT - age, AT - age + ttl)


def flight() -> Flight[Claim]:
    return Flight(("test", "k"), asynchronous=False)


def seat(*, patient: bool = True) -> Seat[Claim]:
    return Seat(flight(), Origin(), patient=patient)


@dataclass
class Played:
    effects: list[Effect]
    raised: BaseException | None = None

    @property
    def kinds(self) -> list[str]:
        return [type(effect).__name__ for effect in self.effects]

    @property
    def event(self) -> Event:
        (event,) = [effect.event for effect in self.effects if isinstance(effect, Append)]
        assert isinstance(self.effects[-1], Append), "the event comes last"
        return event

    def of(self, kind: type) -> Any:
        (found,) = [effect for effect in self.effects if isinstance(effect, kind)]
        return found


Told = Callable[[Any], Any] | Sequence[Any]


def play(flow: Flow, told: dict[type, Any]) -> Played:
    """Run a flow. `told` answers each kind of effect: a list in turn, anything else each time; exceptions are thrown."""
    turns: dict[type, Iterator[Any]] = {kind: iter(given) for kind, given in told.items() if isinstance(given, list)}
    played, result = Played([]), None
    try:
        while True:
            effect = flow.throw(result) if isinstance(result, BaseException) else flow.send(result)
            played.effects.append(effect)
            kind = type(effect)
            result = next(turns[kind]) if kind in turns else told.get(kind)
            if callable(result) and not isinstance(result, type):
                result = result(effect)
    except StopIteration:
        pass
    except BaseException as error:
        played.raised = error
    return played


def call(engine: Engine, told: dict[type, Any], request: Request = REQUEST, *, streamed: bool = False) -> Played:
    return play(engine.call(request, (TIER,), 0, dialect="test", streamed=streamed), {Call: ANSWER, Keep: True, **told})


def test_a_lonely_miss_leads_claims_looks_again_and_gives_the_claim_back_with_the_answer():
    taken = seat()
    played = call(FLYING, {Join: taken, TakeClaim: CLAIM})
    assert played.kinds == ["LookUp", "Join", "TakeClaim", "LookUp", "Call", "Keep", "Leave", "Append"]
    kept: Keep = played.of(Keep)
    assert (kept.claim, kept.asked, kept.ttl) == (CLAIM, AT, DAY)
    assert played.of(Leave).landing == Landing(kept.value)
    assert taken.flight.claim is None, "given back in the same step as the answer"
    assert (played.event.outcome, played.event.reasons, played.event.extra) == ("answered", (), {})


def test_a_follower_replays_what_the_leader_got():
    landed = Landing(packed(age=2.0))
    played = call(FLYING, {Join: flight(), Await: [None, landed]})
    assert played.kinds == ["LookUp", "Join", "Await", "Await", "Replay", "Append"]
    assert (played.event.outcome, played.event.reasons) == ("hit", ("shared a call in flight",))
    assert played.event.extra == {"cache": {"hit": "shared", "age": 2.0}}


@pytest.mark.parametrize("why", ["a shared call failed (RateLimitError)", "a shared answer could not be kept (cut)"])
def test_a_follower_of_nothing_asks_for_itself_and_queues_behind_nobody(why: str):
    played = call(FLYING, {Join: [flight()], Await: Landing(why=why)})
    assert played.kinds == ["LookUp", "Join", "Await", "Call", "Keep", "Append"]
    assert played.event.reasons == (f"cache: {why}, asked too",)


def test_a_follower_takes_the_place_of_a_leader_that_left():
    played = call(FLYING, {Join: [flight(), seat()], Await: LEFT, TakeClaim: CLAIM})
    assert played.kinds[:5] == ["LookUp", "Join", "Await", "Join", "TakeClaim"]
    assert played.event.outcome == "answered"


def test_a_follower_tries_twice_where_answers_are_not_kept():
    unkept = Landing(again=True, why="a shared answer was forgotten or replaced")
    played = call(FLYING, {Join: flight(), Await: unkept})
    assert played.kinds == ["LookUp", "Join", "Await", "Join", "Await", "Call", "Keep", "Append"]


def test_patience_ends():
    played = call(FLYING, {Join: flight(), Await: None})
    assert [effect.seconds for effect in played.effects if isinstance(effect, Await)] == [1.0, 1.0, 1.0]
    assert played.event.reasons == ("cache: the same call is under way for too long, asked too",)


def test_patience_is_one_for_all_the_leaders_that_come_and_go():
    played = call(FLYING, {Join: flight(), Await: [None, None, LEFT, None]})
    assert [effect.seconds for effect in played.effects if isinstance(effect, Await)] == [1.0, 1.0, 1.0, 1.0]
    assert played.event.reasons == ("cache: the same call is under way for too long, asked too",)


def test_a_leader_whose_app_does_not_read_its_stream_holds_nobody():
    held = flight()
    held.reading = Call(0, REQUEST, None, held=True, pieces=2)  # type: ignore[arg-type]
    engine = replace(FLYING, patience=60.0)
    played = call(engine, {Join: [held, seat()], Await: None, TakeClaim: CLAIM})
    assert played.kinds.count("Await") == 6
    assert played.effects[8] == Leave(held, LEFT)
    assert played.event.outcome == "answered"


def test_a_slow_leader_whose_app_waits_is_waited_for():
    slow = flight()
    slow.reading = Call(0, REQUEST, None, pieces=2)  # type: ignore[arg-type]
    played = call(replace(FLYING, patience=60.0), {Join: slow, Await: [*[None] * 20, Landing(packed())]})
    assert played.event.outcome == "hit"


def test_who_must_not_wait_goes_alone_and_says_so():
    played = call(FLYING, {Join: "asked from inside of another call, asked too"})
    assert played.kinds == ["LookUp", "Join", "Call", "Keep", "Append"]
    assert played.event.reasons == ("cache: asked from inside of another call, asked too",)


def test_an_answer_that_came_between_the_first_look_and_the_claim_is_no_call():
    data = packed()
    played = call(FLYING, {Join: seat(), TakeClaim: CLAIM, LookUp: [None, data]})
    assert played.kinds == ["LookUp", "Join", "TakeClaim", "LookUp", "Leave", "Replay", "Append"]
    assert played.of(Leave).landing == Landing(data)
    assert played.event.extra["cache"] == {"hit": "exact", "age": 10.0}


def test_another_process_is_waited_for():
    played = call(FLYING, {Join: seat(), TakeClaim: None, LookUp: [None, None, None, None, packed()]})
    assert [effect.seconds for effect in played.effects if isinstance(effect, Pause)] == pytest.approx(
        [0.002, 0.003, 0.0045]
    )
    assert played.event.reasons == ("shared a call in flight",)


def test_another_process_that_dies_is_followed():
    played = call(FLYING, {Join: seat(), TakeClaim: [None, None, CLAIM]})
    assert played.kinds.count("Call") == 1
    assert played.of(Keep).claim == CLAIM


def test_another_process_is_not_waited_for_for_ever_nor_from_inside_of_a_flight():
    waited = call(FLYING, {Join: seat()})
    assert sum(effect.seconds for effect in waited.effects if isinstance(effect, Pause)) == pytest.approx(3.0, abs=0.1)
    assert waited.event.reasons == ("cache: another process is asking, asked too",)
    inside = call(FLYING, {Join: seat(patient=False)})
    assert Pause not in map(type, inside.effects)
    assert inside.of(Keep).claim is None


def test_a_store_that_is_down_shares_in_this_process_and_waits_for_no_other():
    down = StoreUnavailable("down")
    played = call(FLYING, {LookUp: down, Join: seat(), Keep: down})
    assert played.kinds == ["LookUp", "Join", "Call", "Keep", "Leave", "Append"]
    assert played.of(Leave).landing.value == played.of(Keep).value
    claiming = call(FLYING, {Join: seat(), TakeClaim: down})
    assert claiming.event.fallbacks == ("cache: store down, call not shared",)
    assert claiming.event.outcome == "answered"


ENDS = [asyncio.CancelledError(), KeyboardInterrupt(), StreamClosed()]


@pytest.mark.parametrize("error", ENDS)
def test_a_leader_that_is_interrupted_leaves_its_place_to_another(error: BaseException):
    for told in ({Call: error}, {TakeClaim: error}, {LookUp: [None, error]}):
        played = call(FLYING, {Join: seat(), TakeClaim: CLAIM, **told})
        assert played.raised is error
        assert played.of(Leave).landing == LEFT
        assert isinstance(played.effects[-1], Append)


@pytest.mark.parametrize("error", ENDS)
def test_an_answer_that_is_paid_for_is_shared_whatever_happens_to_the_leader(error: BaseException):
    keeping = call(FLYING, {Join: seat(), TakeClaim: CLAIM, Keep: error})
    assert keeping.raised is error
    assert keeping.of(Leave).landing.value is not None
    leaving = call(FLYING, {Join: seat(), TakeClaim: CLAIM, Leave: error})
    assert leaving.raised is error
    assert leaving.event.outcome == "answered"


def test_a_leader_that_failed_says_so():
    played = call(FLYING, {Join: seat(), TakeClaim: CLAIM, Call: ValueError("bad")})
    assert isinstance(played.raised, ValueError)
    assert played.of(Leave).landing == Landing(why="a shared call failed (ValueError)")


def test_an_answer_that_must_not_be_kept_is_not_shared():
    taken = seat()
    played = call(FLYING, {Join: taken, TakeClaim: CLAIM, Call: replace(ANSWER, finish_reason="length")})
    assert Keep not in map(type, played.effects)
    landing = played.of(Leave).landing
    assert (landing.value, landing.again) == (None, False)
    assert landing.why.startswith("a shared answer could not be kept")
    assert played.event.reasons[0].startswith("cache: not kept, ")
    assert taken.flight.claim == CLAIM, "for the one who leaves to give back"


def test_an_answer_that_was_forgotten_meanwhile_is_not_shared():
    played = call(FLYING, {Join: seat(), TakeClaim: CLAIM, Keep: False})
    assert played.of(Leave).landing.again
    assert played.event.reasons == ("cache: not kept, forgotten or replaced since it was asked for",)


@pytest.mark.parametrize(
    ("request_", "kinds"),
    [
        (replace(REQUEST, fresh=True), ["Call", "Keep", "Append"]),
        (replace(REQUEST, params={"temperature": 1}), ["Call", "Append"]),
        (replace(REQUEST, cacheable=False), ["Call", "Append"]),
    ],
    ids=["fresh", "hot", "no form"],
)
def test_what_is_not_looked_up_joins_nothing(request_: Request, kinds: list[str]):
    assert call(FLYING, {}, request_).kinds == kinds


def test_why_a_call_is_not_the_cache_s_is_in_its_event():
    assert call(FLYING, {}, replace(REQUEST, params={"temperature": 1})).event.reasons == ("cache: temperature 1",)


def test_a_rule_of_the_app_with_a_bug_stops_no_call():
    def rule(_request: Request) -> None:
        raise ZeroDivisionError

    played = call(Engine(cache=CachePolicy(rules=rule)), {})
    assert played.kinds == ["Call", "Append"]
    assert played.event.fallbacks == ("cache: policy failed (ZeroDivisionError), call made",)


# Stale ------------------------------------------------------------------------------------------------------------


def test_a_stale_answer_is_given_and_renewed():
    data = packed(OLD, age=100, ttl=60)
    played = call(STALE, {LookUp: data})
    assert played.kinds == ["LookUp", "Renew", "Replay", "Append"]
    assert played.of(Replay).reply == OLD
    assert played.event.reasons == ("stale, being renewed",)
    assert played.event.extra["cache"] == {"hit": "stale", "age": 100.0}

    renewal = play(played.of(Renew).flow, {Join: seat(), TakeClaim: CLAIM, LookUp: data, Call: ANSWER, Keep: True})
    assert renewal.kinds == ["Join", "TakeClaim", "LookUp", "Call", "Keep", "Leave", "Append"]
    assert renewal.of(Keep).ttl == 660
    event = renewal.event
    assert (event.id, event.outcome, event.served, event.usage) == ("r1-renewal", "answered", "", NO_USAGE)
    assert (event.baseline.made, event.patches) == (False, ())
    assert event.overheads == (Overhead("cache", "gpt-4o", USED, "renewal"),)


def test_an_answer_is_stale_for_its_time_only():
    assert (
        call(STALE, {LookUp: packed(OLD, age=660, ttl=60), Join: seat(), TakeClaim: CLAIM}).event.outcome == "answered"
    )
    assert (
        call(FLYING, {LookUp: packed(OLD, age=61, ttl=60), Join: seat(), TakeClaim: CLAIM}).event.outcome == "answered"
    )


def renewal_of(told: dict[type, Any]) -> Played:
    flow = call(STALE, {LookUp: packed(OLD, age=100, ttl=60)}).of(Renew).flow
    return play(flow, told)


def test_a_renewal_that_somebody_is_at_is_none():
    assert renewal_of({Join: flight()}).kinds == ["Join"]
    assert renewal_of({Join: "no"}).kinds == ["Join"]
    assert renewal_of({Join: seat()}).kinds == ["Join", "TakeClaim", "Leave"]


def test_an_answer_that_another_process_has_renewed_is_given_to_those_who_wait():
    data = packed(age=1)
    played = renewal_of({Join: seat(), TakeClaim: CLAIM, LookUp: data})
    assert played.kinds == ["Join", "TakeClaim", "LookUp", "Leave"]
    assert played.of(Leave).landing == Landing(data)


def test_a_renewal_that_fails_is_booked_at_no_baseline():
    played = renewal_of({Join: seat(), TakeClaim: CLAIM, Call: TimeoutError()})
    assert isinstance(played.raised, TimeoutError)
    assert (played.event.outcome, played.event.baseline.made) == ("error", False)
    assert [overhead.tactic for overhead in played.event.overheads] == ["cache"]


# Similar questions ------------------------------------------------------------------------------------------------

SIMILAR = replace(FLYING, semantic=True)


@dataclass(frozen=True)
class Found:
    shadow: bool = False
    key: str = "other"
    reply_bytes: bytes = packed(OLD)
    score: float = 0.9
    probability: float = 0.971


def test_a_similar_question_s_answer_is_given():
    played = call(SIMILAR, {Search: Found()})
    assert played.kinds == ["LookUp", "Search", "Replay", "Append"]
    assert played.event.reasons == ("semantic hit, probability 0.97",)
    assert played.event.policy == "cache"
    assert played.event.extra["cache"] == {"hit": "semantic", "age": 10.0}


def test_a_shadow_is_judged_by_the_real_answer_and_never_given():
    match = Found(shadow=True)
    played = call(SIMILAR, {Search: match, Join: seat(), TakeClaim: CLAIM})
    assert played.event.outcome == "answered"
    judged: Judge = played.of(Judge)
    assert judged.match is match
    assert judged.reply.content == "Paris"


def test_what_is_kept_is_learnt_after_those_who_wait_have_it():
    played = call(SIMILAR, {Join: seat(), TakeClaim: CLAIM})
    assert played.kinds[-4:] == ["Keep", "Leave", "Learn", "Append"]


def test_no_error_of_the_semantic_tier_reaches_the_app():
    bug = ValueError("dimension")
    played = call(SIMILAR, {Search: bug, Join: seat(), TakeClaim: CLAIM, Learn: bug})
    assert played.raised is None
    assert played.event.fallbacks == (
        "cache: semantic search failed (ValueError)",
        "cache: semantic index failed (ValueError)",
    )
    judged = call(SIMILAR, {Search: Found(shadow=True), Join: seat(), TakeClaim: CLAIM, Judge: bug})
    assert judged.event.fallbacks == ("cache: semantic check failed (ValueError)",)


def test_a_match_whose_entry_is_damaged_is_none():
    assert call(SIMILAR, {Search: Found(reply_bytes=b"{}"), Join: seat(), TakeClaim: CLAIM}).event.outcome == "answered"
