"""The address of an answer: the same for what must not matter, another for everything that must."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thrift_plugins.caching import address, canonical
from thrift_plugins.text.fold import fold
from thrift_plugins.types import Message, Request, Scope, ToolCall, Usage

names = st.text(alphabet="abcxyz", min_size=1, max_size=4)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(names, values, max_size=3)
contents = texts | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2)
tools = st.fixed_dictionaries({"name": names, "description": texts, "parameters": objects})
scopes = st.builds(
    Scope,
    tenant=texts,
    user=texts,
    feature=texts,
    session=texts,
    keys=st.dictionaries(names, texts, max_size=2).map(lambda walls: tuple(sorted(walls.items()))),
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    turns: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["user", "system", "assistant", "tools"])):
            case "tools":
                calls = tuple(
                    ToolCall(f"call-{number}-{i}", draw(names), draw(objects)) for i in range(draw(st.integers(1, 2)))
                )
                turns.append(Message("assistant", draw(contents), calls))
                turns += [
                    Message("tool", draw(contents), tool_call_id=call.id) for call in draw(st.permutations(calls))
                ]
            case role:
                extra = draw(st.none() | st.dictionaries(names, values, min_size=1, max_size=2))
                turns.append(Message(role, draw(contents), name=draw(st.none() | names), extra=extra))  # type: ignore[arg-type]
    return tuple(turns)


requests = st.builds(
    Request,
    id=names,
    at=st.floats(0, 2e9),
    model=names,
    messages=conversations(),
    tools=st.lists(tools, max_size=2).map(tuple),
    schema=st.none() | objects,
    params=objects,
    identity=texts,
    scope=scopes,
    forced=st.none() | names,
)


def decisive(request: Request) -> str:
    """All that decides an answer, told apart from the code under test: ids renamed by where they first stand."""
    seen: dict[str, int] = {}

    def place(call_id: str | None) -> int | None:
        return seen.setdefault(call_id, len(seen)) if call_id else None

    turns = [
        [
            m.role,
            m.content,
            [[place(c.id), c.name, c.arguments] for c in m.tool_calls],
            place(m.tool_call_id),
            m.name,
            m.extra,
        ]
        for m in request.messages
    ]
    scope = request.scope
    parts = [scope.tenant, scope.keys, request.model, request.identity, request.forced, turns, request.tools,
             request.schema, request.params]  # fmt: skip
    return json.dumps(parts, sort_keys=True, ensure_ascii=True)


@given(requests, requests)
@settings(max_examples=150, deadline=None)
def test_two_requests_share_an_address_only_if_nothing_tells_them_apart(one: Request, other: Request):
    assert (address(one) == address(other)) == (decisive(one) == decisive(other))


@given(requests, st.data())
@settings(max_examples=100, deadline=None)
def test_what_does_not_decide_the_answer_does_not_move_it(request: Request, data: st.DataObject):
    fresh: dict[str, str] = {}

    def renamed(call_id: str) -> str:
        return fresh.setdefault(call_id, f"{data.draw(names)}-{len(fresh)}")

    turns = tuple(
        replace(
            turn,
            tool_calls=tuple(replace(call, id=renamed(call.id)) for call in turn.tool_calls),
            tool_call_id=renamed(turn.tool_call_id) if turn.tool_call_id else None,
        )
        for turn in request.messages
    )
    moved = replace(
        request,
        id="another",
        at=1.0,
        messages=turns,
        scope=replace(request.scope, user="u2", feature="f2", session="s2"),
        baseline_usage=Usage(1, 2),
        params=dict(reversed(request.params.items())),
    )
    assert address(moved) == address(request)


spellings = st.sampled_from(
    ["What is a prime?", "what is a prime", "What  is a prime ?", "What is a Prime?", "What is 'a' prime?", "Correct typos.",
     "怎么重置密码？", "怎么重置密码", "How much is 5 mW?", "How much is 5 MW?"]
)  # fmt: skip
asked = st.builds(
    Message,
    st.sampled_from(["user", "user", "system", "assistant"]),
    spellings | spellings.map(lambda text: [{"type": "text", "text": text}]),
    extra=st.none() | st.just({"cache": True}),
)
dialogues = st.builds(
    Request,
    id=names,
    at=st.floats(0, 2e9),
    model=st.just("m"),
    messages=st.lists(asked, min_size=1, max_size=2).map(tuple),
    schema=st.none() | st.just({"type": "object"}),
)


def in_one_spelling(request: Request) -> Request:
    """The same request with each text of a user folded."""

    def said(turn: Message) -> Message:
        if turn.role != "user":
            return turn
        told = turn.content
        return replace(
            turn, content=fold(told) if isinstance(told, str) else [{"type": "text", "text": fold(turn.text)}]
        )

    return replace(request, messages=tuple(map(said, request.messages)))


@given(dialogues, dialogues)
@settings(max_examples=400, deadline=None)
def test_folded_addresses_meet_only_where_spellings_of_users_alone_tell_them_apart(one: Request, other: Request):
    met = address(one, folded=True) == address(other, folded=True)
    if met:
        assert decisive(in_one_spelling(one)) == decisive(in_one_spelling(other))
    if decisive(one) == decisive(other):
        assert met


@given(requests, requests)
@settings(max_examples=100, deadline=None)
def test_what_is_folded_never_meets_what_is_not(one: Request, other: Request):
    assert address(one, folded=True) != address(other)


BASE = Request(
    "1",
    0.0,
    "gpt-4o",
    (
        Message("system", "Be brief."),
        Message("user", "How is it in Bern?", name="ann", extra={"cache": True}),
        Message("assistant", "", (ToolCall("a", "weather", {"city": "Bern"}), ToolCall("b", "time", {"city": "Bern"}))),
        Message("tool", "sunny", tool_call_id="a"),
        Message("tool", "noon", tool_call_id="b"),
        Message("user", [{"type": "text", "text": "And"}, {"type": "text", "text": "Basel?"}]),
    ),
    tools=({"name": "weather", "description": "Tell it.", "parameters": {"properties": {"city": {"type": "string"}}}},),
    schema={"properties": {"answer": {"type": "string"}}},
    params={"temperature": 0, "stop": ["\n"]},
    identity="langchain abc",
    scope=Scope(tenant="acme", user="u", feature="f", keys=(("region", "eu"),)),
)


def with_turn(index: int, **changes: Any) -> Request:
    turns = list(BASE.messages)
    turns[index] = replace(turns[index], **changes)
    return replace(BASE, messages=tuple(turns))


def with_tool(**changes: Any) -> Request:
    tool: Mapping[str, Any] = BASE.tools[0]
    return replace(BASE, tools=({**tool, **changes},))


def with_scope(**changes: Any) -> Request:
    return replace(BASE, scope=replace(BASE.scope, **changes))


CALLS = BASE.messages[2].tool_calls
CHANGES = {
    "tenant": with_scope(tenant="acme2"),
    "tenant's case": with_scope(tenant="Acme"),
    "no tenant": with_scope(tenant=""),
    "value of a wall": with_scope(keys=(("region", "us"),)),
    "name of a wall": with_scope(keys=(("regio", "neu"),)),
    "one more wall": with_scope(keys=(("region", "eu"), ("tier", "eu"))),
    "no wall": with_scope(keys=()),
    "tenant and wall swapped": with_scope(tenant="eu", keys=(("region", "acme"),)),
    "model": replace(BASE, model="gpt-4o-mini"),
    "identity": replace(BASE, identity="langchain abd"),
    "boundary of model and identity": replace(BASE, model="gpt-4olang", identity="chain abc"),
    "forced": replace(BASE, forced="big"),
    "role": with_turn(0, role="user"),
    "one character": with_turn(0, content="Be brief!"),
    "case": with_turn(0, content="be brief."),
    "a space": with_turn(0, content="Be  brief."),
    "a final space": with_turn(0, content="Be brief. "),
    "a lookalike": with_turn(0, content="Be bri\u0435f."),
    "composed differently": with_turn(0, content="Be bri\u0301ef."),
    "boundary of two messages": replace(BASE, messages=(Message("system", "Be brief.H"), *BASE.messages[1:])),
    "name": with_turn(1, name="bob"),
    "no name": with_turn(1, name=None),
    "extra": with_turn(1, extra={"cache": False}),
    "tool that was called": with_turn(2, tool_calls=(replace(CALLS[0], name="wether"), CALLS[1])),
    "its arguments": with_turn(2, tool_calls=(replace(CALLS[0], arguments={"city": "Berne"}), CALLS[1])),
    "arguments as text": with_turn(2, tool_calls=(replace(CALLS[0], arguments='{"city":"Bern"}'), CALLS[1])),
    "order of calls": with_turn(2, tool_calls=CALLS[::-1]),
    "whose result": replace(BASE, messages=(*BASE.messages[:3], replace(BASE.messages[3], tool_call_id="b"),
                                            replace(BASE.messages[4], tool_call_id="a"), BASE.messages[5])),
    "order of messages": replace(BASE, messages=(BASE.messages[1], BASE.messages[0], *BASE.messages[2:])),
    "one message less": replace(BASE, messages=BASE.messages[:-1]),
    "an empty message more": replace(BASE, messages=(*BASE.messages, Message("user", ""))),
    "blocks joined": with_turn(5, content=[{"type": "text", "text": "AndBasel?"}]),
    "boundary of blocks": with_turn(5, content=[{"type": "text", "text": "AndB"}, {"type": "text", "text": "asel?"}]),
    "blocks as text": with_turn(5, content="And\nBasel?"),
    "tool's name": with_tool(name="weather2"),
    "tool's description": with_tool(description="Tell it"),
    "boundary of tool's name": with_tool(name="weatherT", description="ell it."),
    "type of a parameter": with_tool(parameters={"properties": {"city": {"type": "number"}}}),
    "no tools": replace(BASE, tools=()),
    "a tool twice": replace(BASE, tools=BASE.tools * 2),
    "schema": replace(BASE, schema={"properties": {"answer": {"type": "number"}}}),
    "no schema": replace(BASE, schema=None),
    "empty schema": replace(BASE, schema={}),
    "parameter": replace(BASE, params={"temperature": 0.1, "stop": ["\n"]}),
    "parameter's type": replace(BASE, params={"temperature": "0", "stop": ["\n"]}),
    "parameter moved": replace(BASE, params={"temperature": 0, "stop": [], "extra": ["\n"]}),
    "one parameter less": replace(BASE, params={"stop": ["\n"]}),
}  # fmt: skip


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES.keys())
def test_one_decisive_change_moves_it(changed: Request):
    assert address(changed) != address(BASE)


@pytest.mark.parametrize("folded", [False, True])
def test_no_two_of_them_meet(folded: bool):
    assert len({address(request, folded=folded) for request in (BASE, *CHANGES.values())}) == len(CHANGES) + 1


def asks(text: str, role: str = "user", **told: Any) -> Request:
    """A short request with a text in one of its turns."""
    turns = (Message("system", "Be brief."), Message(role, text, extra=told.pop("extra", None)))  # type: ignore[arg-type]
    return replace(Request("1", 0.0, "m", turns), **told)


def in_parts(*texts: str) -> Request:
    return replace(asks(""), messages=(Message("user", [{"type": "text", "text": text} for text in texts]),))


@pytest.mark.parametrize(
    "text", ["How is it in Bern", "how is it in Bern?", "How  is it in Bern ?", " How is it in Bern??"]
)
@pytest.mark.parametrize("made", [asks, in_parts])
def test_a_question_in_another_spelling_has_the_same_address(made: Callable[[str], Request], text: str):
    assert address(made(text), folded=True) == address(made("How is it in Bern?"), folded=True)


WHERE_BYTES_COUNT: dict[str, Callable[[str], Request]] = {
    "system": lambda text: asks(text, "system"),
    "assistant": lambda text: asks(text, "assistant"),
    "tool": lambda text: asks(text, "tool"),
    "developer": lambda text: asks(text, extra={"role": "developer"}),
    "structured": lambda text: asks(text, schema={"type": "object"}),
    "first of two texts": lambda text: in_parts(text, "And in Basel?"),
    "proof-reading": lambda text: replace(
        asks(""), messages=(Message("system", "Fix the grammar."), Message("user", text))
    ),
}


@pytest.mark.parametrize("made", WHERE_BYTES_COUNT.values(), ids=WHERE_BYTES_COUNT.keys())
def test_where_bytes_count_a_spelling_moves_it(made: Callable[[str], Request]):
    assert address(made("How is it in Bern"), folded=True) != address(made("How is it in Bern?"), folded=True)


def test_an_address_tells_nothing():
    found = address(BASE)
    assert found is not None
    tag, digest = found.split(":")
    assert len(digest) == 64
    assert tag.startswith("{")
    assert "acme" not in found
    assert address(with_scope(tenant="", keys=())).startswith("{-}:")


@pytest.mark.parametrize(
    "request_",
    [with_turn(0, content="\ud800"), replace(BASE, params={"seed": 2**64}), replace(BASE, cacheable=False),
     with_turn(1, extra={"object": object()}), replace(BASE, model="\udcff")],
    ids=["surrogate", "huge integer", "not cacheable", "object", "surrogate in a name"],
)  # fmt: skip
def test_what_has_no_canonical_form_has_no_address(request_: Request):
    assert address(request_) is None


@given(values)
def test_canonical_json_is_json_and_does_not_know_the_order_of_keys(value: Any):
    assert json.loads(canonical(value)) == json.loads(json.dumps(value))
    if isinstance(value, dict):
        assert canonical(dict(reversed(value.items()))) == canonical(value)
