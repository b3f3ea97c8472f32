"""What may be stored, under which names, for how long, and the reason in words where it may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from thrift_plugins.caching import CachePolicy, Rule
from thrift_plugins.caching import policy as policy_module
from thrift_plugins.types import NO_USAGE, Json, Message, Reply, Request, Scope, ToolCall

DAY, HOUR = 86_400.0, 3_600.0
POLICY = CachePolicy()


def asked(text: str = "What is a prime?", **told: Any) -> Request:
    return Request("1", 0.0, "m", (Message("user", text),), **told)


def said(content: str | list[Json] = "A number.", *calls: ToolCall, **told: Any) -> Reply:
    return Reply(content, NO_USAGE, calls, **{"finish_reason": "stop", **told})


def tool(name: str, description: str = "", **told: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "parameters": {"type": "object", "properties": {}}, **told}


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that everybody can follow: the first word is the kind."""
    known = {"write": "creative", "now": "time"}
    monkeypatch.setattr(policy_module, "kind", lambda text: known.get(text.split(" ")[0], "general"))


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, ""),
        ({"temperature": 0}, ""),
        ({"temperature": 0.1}, ""),
        ({"temperature": 0.11}, "temperature 0.11"),
        ({"temperature": 1}, "temperature 1"),
        ({"temperature": None}, ""),
        ({"extra_body": {"temperature": 0.7}}, "temperature 0.7"),
        ({"n": 1}, ""),
        ({"n": 2}, "2 answers asked for"),
    ],
)
def test_who_wants_variety_is_not_answered_from_the_cache(params: dict[str, Json], why: str):
    admission = POLICY.admit(asked(params=params))
    assert admission.why == why
    assert (admission.key is None) is bool(why)


def test_a_temperature_is_cached_when_asked_for():
    hot = asked(params={"temperature": 0.9}, scope=Scope(feature="faq"))
    assert CachePolicy(max_temperature=1).admit(hot).key is not None
    assert CachePolicy(features={"faq": Rule(max_temperature=1)}).admit(hot).key is not None
    assert CachePolicy(features={"faq": Rule(max_temperature=0)}, max_temperature=1).admit(hot).why == "temperature 0.9"


@pytest.mark.usefixtures("kinds")
def test_how_long_an_answer_lives_goes_by_what_is_asked():
    general, time, creative = (
        POLICY.admit(asked("what is it")),
        POLICY.admit(asked("now what")),
        POLICY.admit(asked("write a poem")),
    )
    assert (general.ttl, time.ttl) == (DAY, HOUR)
    assert (creative.key, creative.why) == (None, "creative request")
    assert CachePolicy(kinds=False).admit(asked("write a poem")).ttl == DAY
    assert CachePolicy(ttl=60).admit(asked("now what")).ttl == 60


@pytest.mark.usefixtures("kinds")
def test_only_the_last_turn_of_the_user_says_what_is_asked():
    turns = (
        Message("system", "write poems"),
        Message("user", "write a poem"),
        Message("assistant", "la la"),
        Message("user", "thanks"),
    )
    assert POLICY.admit(replace(asked(), messages=turns)).key is not None
    assert POLICY.admit(replace(asked(), messages=(Message("system", "write poems"),))).key is not None


@pytest.mark.usefixtures("kinds")
def test_what_depends_on_the_time_is_never_shown_stale():
    policy = CachePolicy(stale=600, features={"slow": Rule(stale=60), "fixed": Rule(kind="general")})
    assert policy.admit(asked("what is it")).stale == 600
    assert policy.admit(asked("now what")).stale == 0
    assert policy.admit(asked("now what", scope=Scope(feature="slow"))).stale == 0
    assert policy.admit(asked("what is it", scope=Scope(feature="slow"))).stale == 60
    assert policy.admit(asked("now what", scope=Scope(feature="fixed"))).stale == 600


@pytest.mark.usefixtures("kinds")
def test_a_feature_has_its_own_rule():
    policy = CachePolicy(features={"off": Rule(enabled=False), "news": Rule(kind="time"), "art": Rule(kind="creative"),
                                   "poems": Rule(kind="general", ttl=5)})  # fmt: skip

    def of(feature: str, text: str = "what is it") -> tuple[str, float]:
        admission = policy.admit(asked(text, scope=Scope(feature=feature)))
        return admission.why, admission.ttl

    assert of("off") == ("switched off by a rule", 0)
    assert of("news") == ("", HOUR)
    assert of("art") == ("creative request", 0)
    assert of("poems", "write a poem") == ("", 5)
    assert of("other") == ("", DAY)
    assert of("") == ("", DAY)


def test_a_rule_in_code_sees_the_request_and_may_leave_it_to_the_feature():
    def rules(request: Request) -> Rule | None:
        return Rule(ttl=7) if "prime" in request.messages[-1].text else None

    policy = CachePolicy(features={"faq": Rule(ttl=9)}, rules=rules)
    assert policy.admit(asked(scope=Scope(feature="faq"))).ttl == 7
    assert policy.admit(asked("Hello there", scope=Scope(feature="faq"))).ttl == 9
    assert policy.admit(asked("Hello there")).ttl == DAY


def test_the_names_by_which_an_answer_is_forgotten():
    assert POLICY.admit(asked()).tags == ()
    scope = Scope(feature="faq", tags=("doc:42", "kb"))
    assert POLICY.admit(asked(scope=scope)).tags == ("feature:faq", "doc:42", "kb")
    assert POLICY.admit(asked(scope=replace(scope, feature=""))).tags == ("doc:42", "kb")
    assert POLICY.admit(asked(scope=scope)).key == POLICY.admit(asked()).key, "a tag is no wall"


def test_folding_is_a_setting_and_each_setting_has_addresses_of_its_own():
    spellings = [asked("What is a prime?"), asked("what  is a prime")]
    assert len({POLICY.admit(one).key for one in spellings}) == 1
    exact = {CachePolicy(fold=False).admit(one).key for one in spellings}
    assert len(exact) == 2
    assert POLICY.admit(asked("what is a prime")).key not in exact


@pytest.mark.parametrize(
    "spellings",
    [
        ("Who is best football player in the world?", "who is best football player in the world"),
        ("When did season 4 of Breaking Bad start?", "When did season 4 of Breaking Bad start"),
        ("What are some ways to get good handwriting? ", "What are some ways to get good handwriting"),
    ],
)
def test_spellings_that_share_an_address_are_of_one_kind(spellings: tuple[str, ...]):
    assert len({POLICY.admit(asked(text)) for text in spellings}) == 1


def test_a_request_without_a_canonical_form_has_no_key():
    admission = POLICY.admit(asked(cacheable=False))
    assert (admission.key, admission.why) == (None, "part of the request has no canonical form")


@pytest.mark.parametrize(
    ("offered", "why", "ttl"),
    [
        ({"type": "web_search_preview"}, "", HOUR),
        ({"type": "web_search_20250305", "name": "web_search"}, "", HOUR),
        ({"google_search": {}}, "", HOUR),
        ({"type": "file_search"}, "", DAY),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "offers 'code_interpreter', which may act", 0),
        ({"type": "mcp", "server_url": "https://x"}, "offers 'mcp', which may act", 0),
        ({"type": "computer_use_preview"}, "offers 'computer_use_preview', which may act", 0),
        ({"type": "function", "function": tool("book_flight")}, "", DAY),
        (tool("book_flight"), "", DAY),
    ],
)
def test_tools_that_the_provider_runs(offered: dict[str, Json], why: str, ttl: float):
    for request in (asked(tools=(offered,)), asked(params={"tools": [offered]})):
        admission = POLICY.admit(request)
        assert (admission.why, admission.ttl) == (why, ttl)
    everything = CachePolicy(features={"": Rule(tool_calls="all")})
    assert everything.admit(asked(tools=(offered,))).key is not None


def test_a_model_that_searches_the_web_is_asked_again_after_an_hour():
    assert POLICY.admit(asked(params={"web_search_options": {}})).ttl == HOUR


@pytest.mark.parametrize("finish", ["stop", "STOP", "end_turn", "tool_calls", "COMPLETE", "eos", "stop_sequence"])
def test_the_words_for_a_whole_answer(finish: str):
    assert POLICY.keeps(asked(), said(finish_reason=finish), streamed=True) is None


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (said(complete=False), "cut off"),
        (said(storable=False), "no faithful JSON form, or other settings meanwhile"),
        (said(finish_reason="length"), "cut at the output limit"),
        (said(finish_reason="MAX_TOKENS"), "cut at the output limit"),
        (said(finish_reason="content_filter"), "filtered"),
        (said(finish_reason="SAFETY"), "filtered"),
        (said(finish_reason="guardrail_intervened"), "filtered"),
        (said(finish_reason="refusal"), "refused"),
        (said(finish_reason="pause_turn"), "ended with 'pause_turn'"),
        (said(finish_reason=""), "ended with ''"),
        (said(""), "empty"),
        (said("  \n"), "empty"),
        (said([{"type": "text", "text": " "}]), "empty"),
        (said([{"type": "thinking", "thinking": "hm"}]), "empty"),
        (said("I'm sorry, but I can't help with that."), "refused"),
        (said("", extra={"additional_kwargs": {"refusal": "No."}}), "empty"),
        (said("No.", extra={"additional_kwargs": {"refusal": "No."}}), "refused"),
        (said([{"type": "text", "text": "No."}, {"type": "refusal", "refusal": "No."}]), "refused"),
        (said("Error: 429 Too Many Requests"), "error text"),
        (said('{"error": {"message": "overloaded"}}'), "error text"),
        (said("fine"), None),
        (said([{"type": "image_url", "image_url": {"url": "data:"}}]), None),
    ],
)
def test_an_answer_that_must_not_be_given_again_has_a_reason(reply: Reply, why: str | None):
    assert POLICY.keeps(asked(), reply, streamed=False) == why


def test_a_stream_must_have_said_why_it_ended():
    silent = said(finish_reason=None)
    assert POLICY.keeps(asked(), silent, streamed=True) == "the stream did not say why it ended"
    assert POLICY.keeps(asked(), silent, streamed=False) is None


def test_an_answer_of_another_shape_than_was_asked_for_is_not_kept():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wants = asked(schema=schema)
    assert POLICY.keeps(wants, said('{"n": 1}'), streamed=False) is None
    assert POLICY.keeps(wants, said("not JSON"), streamed=False) == "not valid JSON"
    assert POLICY.keeps(wants, said('{"m": 1}'), streamed=False) == "missing key 'n'"
    as_call = said("", ToolCall("1", "Person", {"n": 1}))
    assert POLICY.keeps(wants, as_call, streamed=False) is None, "the adapter's own tool is no act"


def test_an_answer_that_calls_a_tool_is_kept_where_the_tool_only_reads():
    offers = asked(tools=(tool("get_weather"), tool("book_flight"), tool("gadget")))

    def kept(*names: str, policy: CachePolicy = POLICY) -> str | None:
        calls = [ToolCall(str(place), name, {}) for place, name in enumerate(names)]
        return policy.keeps(offers, said("", *calls, finish_reason="tool_calls"), streamed=False)

    assert kept("get_weather") is None
    assert kept("book_flight") == "calls 'book_flight', which may act"
    assert kept("gadget") == "calls 'gadget', which may act"
    assert kept("get_weather", "book_flight") == "calls 'book_flight', which may act"
    assert kept("gadget", policy=CachePolicy(read_only_tools=frozenset({"gadget"}))) is None
    assert kept("book_flight", policy=CachePolicy(features={"": Rule(tool_calls="all")})) is None
    assert kept("get_weather", policy=CachePolicy(features={"": Rule(tool_calls="none")})) == "calls a tool"
