"""What holds for every request: the choice is lawful, repeatable, and a sign of difficulty never makes it cheaper."""

from __future__ import annotations

import json
import os

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thrift_plugins.routing import RuleRouter, recoverable, rejects
from thrift_plugins.routing.rules import difficulty
from thrift_plugins.text.features import features
from thrift_plugins.types import NO_USAGE, Message, Reply, Request, Tier, ToolCall

SCALE = float(os.environ.get("THRIFT_TEST_SCALE", "1"))
EXAMPLES = settings(max_examples=max(10, int(150 * SCALE)), deadline=None)

TEXTS = st.text(max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS | st.lists(JSON, max_size=3)), max_size=5
)
TIERS = st.integers(1, 5).map(lambda count: tuple(Tier(f"t{n}", f"m{n}") for n in range(count)))
HARDER = ("Prove it.", "证明它", "and calculate the integral", "```x = 1```", "A. red\nB. blue\nC. green", "下列哪项正确", "never", "in JSON")


def ask(*messages: Message) -> Request:
    return Request("r", 0.0, "m", messages)


@EXAMPLES
@given(MESSAGES, TIERS, st.data(), st.floats(0.01, 1.0))
def test_every_request_gets_a_lawful_and_repeatable_tier(
    messages: list[Message], tiers: tuple[Tier, ...], data: st.DataObject, caution: float
) -> None:
    baseline = data.draw(st.integers(0, len(tiers) - 1))
    router = RuleRouter(caution)
    decision = router.decide(ask(*messages), tiers, baseline)
    assert decision == router.decide(ask(*messages), tiers, baseline)
    assert decision.tier <= baseline
    assert decision.name == tiers[decision.tier].name
    if len(tiers) > 1:
        assert (decision.tier, *decision.alternatives) == tuple(range(decision.tier, baseline + 1))
        assert decision.score is not None
        assert 0 <= decision.score <= 1


@EXAMPLES
@given(st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=300), st.sampled_from(HARDER))
def test_a_further_sign_never_lowers_the_score(text: str, sign: str) -> None:
    known = f"Please tell me what this is: {text}"
    assume(features((Message("user", known),)).familiar)  # a sign may end the doubt about a language
    assert difficulty(ask(Message("user", f"{known}\n{sign}")))[0] >= difficulty(ask(Message("user", known)))[0]


@EXAMPLES
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), TEXTS)
def test_more_caution_never_chooses_a_cheaper_tier(one: float, other: float, text: str) -> None:
    tiers = tuple(Tier(f"t{n}", f"m{n}") for n in range(4))
    low, high = (RuleRouter(caution).decide(ask(Message("user", text)), tiers, 3).tier for caution in sorted((one, other)))
    assert low <= high


@EXAMPLES
@given(JSON, JSON, JSON, TEXTS, st.sampled_from(["stop", "length", "tool_calls", None]))
def test_verification_survives_any_answer_and_schema(
    arguments: object, parameters: object, choice: object, text: str, finish: str | None
) -> None:
    tool = {"name": "t", "parameters": {"properties": parameters, "required": parameters}}
    schema = parameters if isinstance(parameters, dict) else {"type": parameters}
    request = Request("r", 0.0, "m", (Message("user", "q"),), (tool,), schema, {"tool_choice": choice})  # type: ignore[dict-item]
    for calls in ((), (ToolCall("1", "t", arguments),)):  # type: ignore[arg-type]
        for content in (text, json.dumps(arguments)):
            assert rejects(request, Reply(content, NO_USAGE, calls, finish)) != ""


@EXAMPLES
@given(st.dictionaries(st.sampled_from(["status_code", "code", "response", "body", "status", "type"]), JSON))
def test_any_error_has_a_reason_or_none(attributes: dict[str, object]) -> None:
    error = type("OddError", (Exception,), attributes)()
    assert recoverable(error) in {
        None, "rate limit", "server error", "timeout", "connection", "context overflow", "content filter",
        "truncated", "wrong form",
    }  # fmt: skip
